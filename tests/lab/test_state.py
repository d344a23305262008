"""What the state holds, which the engine writes whole at every step."""

import json

from reach.shell import helper_digest
from tests.lab.deployment import Deployment
from tests.lab.recorded_stack import MANAGED


def test_where_in_the_program_a_resource_was_made_is_not_in_the_state(example: Deployment) -> None:
    """Each frame of a stack trace has the path of a file on the operator's machine."""
    resources = example.export()["deployment"]["resources"]
    ours = [each for each in resources if "reverse-tunnel:index:ReverseTunnel" in each["urn"]]
    assert {"laptop", "http", "vps-claim"} <= {each["urn"].rpartition("::")[2] for each in ours}
    assert [each["urn"] for each in ours if each.keys() & {"stackTrace", "sourcePosition"}] == []


def test_the_state_is_files_that_are_written_in_one_step(example: Deployment) -> None:
    """The backend's notes beside them are not, and without them whole no state can be read."""
    written = [path.name for path in (example.lab.state / "pulumi").rglob("*.*") if path.is_file()]
    assert f"{example.stack}.json" in written
    assert [name for name in written if name.endswith(".attrs")] == []


def test_the_helper_stands_there_by_its_digest_alone(example: Deployment) -> None:
    """It is on each host, whole: what was delivered is what the state says."""
    state = example.export()
    assert "HELPER_VERSION" not in json.dumps(state)
    for name in MANAGED:
        (told,) = [
            str(each["inputs"]["stdin"]).splitlines()[0]
            for each in state["deployment"]["resources"]
            if each["urn"].endswith(f"::{name}-helper")
        ]
        there = example.lab.host(name).run(
            "sha256sum </usr/local/lib/reverse-tunnel/wg0/reverse-tunnel"
        )
        assert told == f"helper={there.stdout.split()[0]}"
        assert told == f"helper={helper_digest()}"
    # What the command gets is lines, of which each can be read.
    largest = max(len(json.dumps(each)) for each in state["deployment"]["resources"])
    assert largest < 20_000
