"""The record: what the state says of machines and entries, and of nothing else."""

from typing import Any

import pulumi

from components.preflight.record import read_record
from tests.components.inspected import drifted, drifting, run, state_of
from tests.components.recording import COMMAND, deploy
from tests.components.sshd import Sshd
from tests.settings.samples import host_key


def test_names_of_servers_that_are_in_those_of_the_vps_s_commands_are_told_apart(
    sshd: Sshd,
) -> None:
    """Else such a server would have been the VPS, and another machine by now."""
    numbers = {"vps-firewall": 4, "preshared-key": 5, "vps-key": 6, "vps-firewall-kept": 8}
    values: dict[str, Any] = drifting(sshd)
    values["servers"] |= {
        name: {
            "address": f"172.16.0.{number}",
            "networks": [f"10.0.{number}.0/24"],
            "ssh": {"host": "192.168.1.20", "hostKey": host_key(number)},
        }
        for name, number in numbers.items()
    }
    values["forwards"]["nas"] = {"port": 22, "to": "10.0.5.1", "sourceAddress": "tunnel"}
    state = state_of(values)
    found: dict[str, Any] = {}

    def program() -> dict[str, pulumi.Output[str]]:
        found.update(read_record().machines)
        return {}

    deploy(program, state=state)
    assert {name: [each.host_key for each in machines] for name, machines in found.items()} == {
        "vps": [sshd.host_key],
        **{name: [host_key(number)] for name, number in numbers.items()},
    }


def test_commands_of_the_program_s_own_are_left_alone(sshd: Sshd) -> None:
    """A library's user has commands that lack what ours have, and names that look like ours."""
    values = drifting(sshd)
    state = run(values).as_state()
    urn = "urn:pulumi:home::reverse-tunnel::command:remote:Command::a::name-helper"
    own = {"type": COMMAND, "outputs": {"connection": {"host": "192.0.2.9"}}}
    gone: dict[str, object] = {**values, "forwards": {}, "clients": {}}
    assert drifted(run(gone, state={**state, urn: own})) == set()
