"""Servers that are reached through a VPS which is another machine by now, or is forgotten."""

from typing import Any

import pytest

from components import LookUpError
from components.preflight import inspection
from reach import Login
from tests.components.inspected import drifting, heard, run, stack, state_of, without
from tests.components.sshd import Sshd, facts_text
from tests.settings.samples import host_key


@pytest.fixture
def waited_for(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The servers that are waited for. Mocks can't call back at an update."""
    sshd.reaches = False
    asked: list[str] = []

    def arrival(server: str, login: Login) -> None:
        assert login.host == "172.16.0.4"
        asked.append(server)

    monkeypatch.setattr(inspection, "arrival", arrival)
    return asked


def behind(sshd: Sshd, endpoint: str = "vps.example.org") -> dict[str, Any]:
    """A VPS, and a server that is reached through it alone, which has not dialled it."""
    values = stack(sshd)
    ssh = {"host": {"through": "vps"}, "hostKey": host_key(2)}
    return {
        **values,
        "vps": {**values["vps"], "endpoint": endpoint},
        "servers": {"homelab": {"address": "172.16.0.4", "ssh": ssh}},
    }


@pytest.mark.parametrize("endpoint", ["vps.example.org", "203.0.113.11"])
def test_a_server_behind_a_new_vps_is_waited_for_where_it_dials_that(
    sshd: Sshd, other: Sshd, waited_for: list[str], endpoint: str
) -> None:
    """By its name; or the address is the one of before."""
    before = behind(other, endpoint)
    before["vps"]["ssh"]["host"] = "203.0.113.11"
    made = run(behind(sshd, endpoint), preview=False, state=state_of(before))
    assert waited_for == ["homelab"]
    _gone, warning = sorted(heard(made, "WARNING"))
    assert "homelab (root@172.16.0.4 through root@127.0.0.1" in warning
    assert "`pulumi up` waits for it" in warning


def test_so_it_is_where_the_vps_has_lost_the_tunnel(sshd: Sshd, waited_for: list[str]) -> None:
    values = behind(sshd)
    state = state_of(values)
    sshd.answers = f"{facts_text()}none\n"
    made = run(values, preview=False, state=state)
    assert waited_for == ["homelab"]
    assert "or has lost the tunnel" in "\n".join(heard(made, "WARNING"))
    with pytest.raises(LookUpError, match="homelab"):  # it never was set up
        run(values, preview=False, state=without(state, "homelab-claim"))
    with pytest.raises(LookUpError, match="homelab"):  # the VPS never was
        run(values, preview=False, state=without(state, "vps-claim"))


def test_it_is_waited_for_by_the_way_through_the_vps_though_another_comes_first(
    sshd: Sshd, other: Sshd, waited_for: list[str]
) -> None:
    values = behind(sshd)
    values["servers"]["homelab"]["ssh"]["host"] = ["127.0.0.2", {"through": "vps"}]
    values["servers"]["homelab"]["ssh"]["port"] = 1
    made = run(values, preview=False, state=state_of(behind(other)))
    assert waited_for == ["homelab"]
    assert not heard(made, "INFO")
    connection = made.command("homelab-claim", "homelab").inputs["connection"]
    assert connection["host"] == "172.16.0.4"


@pytest.mark.parametrize(
    "case", ["the same vps", "another address", "another server", "no record", "no keepalive"]
)
def test_one_that_will_not_come_is_an_error_as_ever(
    sshd: Sshd, other: Sshd, waited_for: list[str], case: str
) -> None:
    endpoint = "203.0.113.11" if case == "another address" else "vps.example.org"
    before = behind(other, endpoint)
    if case == "the same vps":
        drifting(sshd)  # which has its tunnel
        before = behind(sshd, endpoint)
    if case == "another server":
        before["servers"]["homelab"]["ssh"]["hostKey"] = host_key(9)
    state = {} if case == "no record" else state_of(before)
    network = {"network": {"keepalive": 0}} if case == "no keepalive" else {}
    with pytest.raises(LookUpError, match=r"homelab \(root@172\.16\.0\.4 through root@127"):
        run({**behind(sshd, endpoint), **network}, preview=False, state=state)
    assert waited_for == []


def test_a_server_behind_a_forgotten_vps_alone_is_told_with_both_ways_out(sshd: Sshd) -> None:
    values = behind(sshd)
    values["vps"]["ssh"]["port"] = 1
    state = state_of(values)
    values["vps"]["forget"] = True
    with pytest.raises(LookUpError) as error:
        run(values, preview=False, state=state)
    assert "ssh.host, such as [192.168.1.20, {through: vps}] at home" in str(error.value)
    assert "servers.homelab.forget: true" in str(error.value)
    values["servers"]["homelab"]["forget"] = True
    made = run(values, preview=False, state=state)
    assert all(each.retained for each in made.commands)
