"""What many forwards in one `up` cost the VPS: few connections, little memory."""

from lab.benchmark.spending import watched
from tests.lab.deployment import Deployment
from tests.lab.snapshots import forward_rules

# More than twenty only where the machine is too busy to end them; without turns, it was fifty.
BUSY = 30
FORWARDS = {f"f{n}": {"port": 10000 + n, "to": "homelab:8080"} for n in range(60)}


def test_many_forwards_take_few_connections_and_little_memory(example: Deployment) -> None:
    """Of 512 MB, others need most. The plugin keeps every connection until it is ended for it.

    They are made on a large machine, and removed as docs/operations.md says: deletes are the
    engine's own.
    """
    vps = example.lab.host("vps")
    for forwards, parallel in ((FORWARDS, 64), ({}, 16)):
        example.forwards(forwards)
        with watched(vps) as spent:
            example.pulumi("up", "--yes", "--skip-preview", "--parallel", str(parallel))
        assert len(forward_rules(vps)) == len(forwards)
        assert 1 < spent.connections < BUSY
        assert 0 < spent.megabytes < 100
