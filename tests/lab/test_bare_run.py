"""What the benchmark takes for the engine alone: components and commands that do nothing."""

import json

from lab.benchmark.stack_run import BareRun
from tests.lab.deployment import Deployment
from tests.lab.snapshots import rules

FORWARDS = "ls -A /etc/reverse-tunnel/wg0/forwards.d"


def test_it_has_a_component_and_a_command_for_each_and_leaves_nothing(example: Deployment) -> None:
    lab, vps = example.lab, example.lab.host("vps")
    before = rules(vps), vps.run(FORWARDS).stdout
    bare = BareRun(lab, "bare-test")
    bare.configure(3)
    bare.time("up")

    command = ["env", "PULUMI_STACK=bare-test", "pulumi", "-C", str(lab.state / "bare-test")]
    state = json.loads(lab.operator.run([*command, "stack", "export"]).stdout)
    types = [each["type"] for each in state["deployment"]["resources"]]
    assert types.count("bare:index:PortForward") == 3
    assert types.count("command:remote:Command") == 3
    assert lab.ssh_key.read_text().splitlines()[1] not in json.dumps(state)
    assert (rules(vps), vps.run(FORWARDS).stdout) == before
    bare.remove()
    assert not (lab.state / "bare-test").exists()
    assert "bare-test" not in lab.operator.run(["pulumi", "stack", "ls", "--all"]).stdout
