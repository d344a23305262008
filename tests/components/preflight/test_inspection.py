"""When a host is looked at, and what its problems do to a preview and to an `up`."""

import re
from typing import Any

import pulumi
import pytest

from components import LookUpError, ReverseTunnel
from components.preflight import inspection, lookup
from components.preflight.lookup import Seen, script
from reach import claimant
from reach.entries.host_report import HostReport, PeerReport
from settings import load
from tests.components.inspected import NOTHING_YET, drifted, drifting, heard, run, stack
from tests.components.recording import Recording, deploy
from tests.components.sshd import Sshd, facts_text, running
from tests.settings.samples import host_key


@pytest.mark.parametrize("preview", [True, False])
def test_a_healthy_host_is_looked_at_once_in_silence(sshd: Sshd, *, preview: bool) -> None:
    made = run(stack(sshd), preview=preview)
    assert sshd.probed == 1
    assert not heard(made, "WARNING")
    assert not heard(made, "INFO")
    assert made.of_type("reverse-tunnel:index:Host").keys() == {"vps"}


@pytest.mark.parametrize("preview", [True, False])
def test_a_problem_ends_preview_and_up_before_anything_is_registered(
    sshd: Sshd, *, preview: bool
) -> None:
    made = Recording()
    sshd.answers = facts_text(tun="no", disk="1")
    with pytest.raises(LookUpError) as error:
        run(stack(sshd), preview=preview, recording=made)
    head, *lines = str(error.value).splitlines()
    assert head == "The hosts are not ready, and nothing was changed:"
    assert len(lines) == 2
    assert all(line.startswith("  vps (root@127.0.0.1") for line in lines)
    assert made.registrations == []


def test_what_is_behind_servers_is_looked_for_on_the_vps(sshd: Sshd) -> None:
    """Its own network of that name would swallow what is meant for the server's."""
    sshd.answers = facts_text(routes="172.17.0.0/16@docker0")

    def program() -> dict[str, pulumi.Output[str]]:
        ssh = {"host": pulumi.Output.from_input("192.168.1.20"), "hostKey": host_key(2)}
        homelab = {"address": "172.16.0.4", "networks": ["172.17.0.0/24"], "ssh": ssh}
        values = {**stack(sshd), "servers": {"homelab": homelab}}
        return {"at": ReverseTunnel("home", load(values, agent=False)).public_address}

    with pytest.raises(LookUpError, match=r"vps .* servers\.homelab\.networks overlaps"):
        deploy(program, state=NOTHING_YET)


@pytest.mark.parametrize("preview", [True, False])
def test_public_ports_of_another_stack_end_preview_and_up_unless_the_forward_is_paused(
    sshd: Sshd, *, preview: bool
) -> None:
    values: dict[str, Any] = {**stack(sshd), "servers": {"cabin": {"address": "172.16.0.7"}}}
    web = {"port": 80, "to": "cabin:8080"}
    sshd.answers = facts_text("wg1 reverse-tunnel/game 51821 172.17.0.1/24 ens6 site:tcp:80")
    with pytest.raises(LookUpError, match=r"web \(tcp 80: the forward site of the tunnel wg1 of"):
        run({**values, "forwards": {"web": web}}, preview=preview)
    run({**values, "forwards": {"web": {**web, "enabled": False}}}, preview=preview)


def test_the_folder_for_metrics_is_asked_for_on_the_vps(sshd: Sshd) -> None:
    values = drifting(sshd)
    sshd.asked = script("wg0", "/var/lib/node_exporter")
    assert not heard(run(values), "WARNING")
    sshd.answers = sshd.answers.replace("end=yes", "metrics-folder=no\nend=yes")
    with pytest.raises(LookUpError, match="has no folder /var/lib/node_exporter"):
        run(values)


def test_an_unreachable_host_is_a_warning_in_a_preview(sshd: Sshd) -> None:
    """A preview only tells; the host may be back when the time comes."""
    values = stack(sshd, port=1)
    made = run(values, preview=True)
    (warning,) = heard(made, "WARNING")
    assert "vps (root@127.0.0.1:1): the host refuses connections" in warning
    assert "without which `pulumi up` won't begin" in warning
    assert "To go on without: lookUp: false." in warning
    assert made.of_type("reverse-tunnel:index:Host").keys() == {"vps"}


def test_an_unreachable_host_is_an_error_in_an_up(sshd: Sshd) -> None:
    with pytest.raises(LookUpError, match="refuses connections"):
        run(stack(sshd, port=1), preview=False)


def test_a_host_that_is_too_busy_is_a_warning_in_a_preview_and_an_error_in_an_up(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Like one that is off."""
    monkeypatch.setattr(lookup, "PROBE_SECONDS", 0.5)
    sshd.silent = True
    values = stack(sshd)
    made = run(values, preview=True)
    (warning,) = heard(made, "WARNING")
    assert f"vps (root@127.0.0.1:{sshd.port}): the login works, but what was run" in warning
    assert "can't be asked now, without which `pulumi up` won't begin" in warning
    assert "To go on without: lookUp: false." in warning
    assert made.of_type("reverse-tunnel:index:Host").keys() == {"vps"}
    with pytest.raises(LookUpError, match=r"overloaded\? To go on without: lookUp: false\."):
        run(values, preview=False)


@pytest.mark.parametrize("preview", [True, False])
def test_a_neighbours_firewall_is_warned_of_and_ends_nothing(sshd: Sshd, *, preview: bool) -> None:
    sshd.answers = facts_text(firewall="ufw 22/tcp")
    made = run(stack(sshd), preview=preview)
    (warning,) = heard(made, "WARNING")
    assert "Run there: ufw allow 51820/udp" in warning
    assert made.of_type("reverse-tunnel:index:Host").keys() == {"vps"}


@pytest.mark.parametrize("preview", [True, False])
def test_a_slow_wireguard_is_warned_of_and_ends_nothing(sshd: Sshd, *, preview: bool) -> None:
    sshd.answers = facts_text(wireguard_go="0.0.20220316")
    made = run(stack(sshd), preview=preview)
    (warning,) = heard(made, "WARNING")
    assert "works, but could be faster" in warning
    assert "wireguard-go 0.0.20220316" in warning
    assert made.of_type("reverse-tunnel:index:Host").keys() == {"vps"}
    sshd.answers = facts_text(wireguard_go="0.0.20250522")
    assert not heard(run(stack(sshd), preview=preview), "WARNING")


@pytest.mark.parametrize(("keepalive", "warned"), [(25, ["homelab"]), (0, [])])
def test_a_server_that_cannot_ask_the_vps_is_warned_of(
    sshd: Sshd, keepalive: int, warned: list[str]
) -> None:
    """The VPS asks nobody, nor does a server that is to be silent."""
    sshd.answers = f"{facts_text(ping='no')}none\n"
    with running(Sshd(client_key=sshd.client_key, answers=sshd.answers)) as homelab:
        ssh = {"host": "127.0.0.1", "port": homelab.port, "hostKey": homelab.host_key}
        servers = {"homelab": {"address": "172.16.0.4", "ssh": ssh}}
        values = {**stack(sshd), "servers": servers, "network": {"keepalive": keepalive}}
        said = "\n".join(heard(run(values, preview=True), "WARNING"))
    assert re.findall(r"^  (\w+) \(.*\) has no ping", said, re.MULTILINE) == warned


@pytest.mark.parametrize("wg0", ["", "wg0"])
def test_what_a_neighbours_firewall_rejects_is_asked_of_each_host(sshd: Sshd, wg0: str) -> None:
    """From peer to peer on the VPS: where there is one peer alone, nothing passes."""
    sshd.answers = facts_text(firewall="firewalld 51820/udp", zoned=wg0)
    values = stack(sshd)
    clients = {"laptop": {"address": "172.16.0.10"}, "phone": {"address": "172.16.0.11"}}
    assert not heard(run(values, preview=True), "WARNING")
    warnings = heard(run({**values, "clients": clients}, preview=True), "WARNING")
    assert [("peer to peer" in warning) for warning in warnings] == ([] if wg0 else [True])
    full = {"laptop": {"address": "172.16.0.10", "egress": "tunnel"}}
    warnings = heard(run({**values, "clients": full}, preview=True), "WARNING")
    assert len(warnings) == (0 if wg0 else 1)


def test_no_host_is_looked_at_where_that_is_switched_off(sshd: Sshd) -> None:
    made = run({**stack(sshd, port=1), "lookUp": False}, preview=False)
    assert not heard(made, "WARNING")
    assert sshd.probed == 0


@pytest.mark.parametrize("late", ["host", "port", "user", "hostKey"])
def test_a_host_whose_connection_is_not_known_yet_is_passed_over_with_one_line(
    sshd: Sshd, late: str
) -> None:
    known = {"host": "127.0.0.1", "port": sshd.port, "user": "root", "hostKey": sshd.host_key}

    def program() -> dict[str, pulumi.Output[str]]:
        values = stack(sshd, **{late: pulumi.Output.from_input(known[late])})
        return {"at": ReverseTunnel("home", load(values, agent=False)).public_address}

    made = deploy(program)
    assert sshd.probed == 0
    (said,) = heard(made, "INFO")
    assert said.startswith("INFO: not looked at, the connection is not known yet: vps. ")
    assert said.endswith(f" Known only later: vps.ssh.{late}.")


def test_a_late_private_key_is_named_with_what_lets_the_hosts_be_looked_at(sshd: Sshd) -> None:
    """Most programs ask for it by `config.require_secret`, which is an Output."""

    def program(key: pulumi.Input[str]) -> dict[str, pulumi.Output[str]]:
        values = {**stack(sshd), "sshPrivateKey": key}
        return {"at": ReverseTunnel("home", load(values, agent=False)).public_address}

    made = deploy(lambda: program(pulumi.Output.secret(sshd.private_key)))
    assert sshd.probed == 0
    (said,) = heard(made, "INFO")
    assert " Known only later: sshPrivateKey." in said
    assert '`config.require("sshPrivateKey")`' in said
    plain = deploy(lambda: program(sshd.private_key), state=NOTHING_YET)
    assert sshd.probed == 1
    assert not heard(plain, "INFO")
    assert all("connection" in each.secrets for each in plain.commands)


def test_what_is_late_on_the_way_to_a_server_is_named_once(sshd: Sshd) -> None:
    late = pulumi.Output.from_input

    def program() -> dict[str, pulumi.Output[str]]:
        homelab = {
            "address": "172.16.0.4",
            "ssh": {"host": [late("192.168.1.20"), {"through": "vps"}], "hostKey": host_key(2)},
        }
        values = {**stack(sshd, port=late(sshd.port)), "servers": {"homelab": homelab}}
        return {"at": ReverseTunnel("home", load(values, agent=False)).public_address}

    (said,) = heard(deploy(program), "INFO")
    assert ": vps, homelab. Known only later: vps.ssh.port, servers.homelab.ssh.host." in said


# ---- several ways ----


def connections(made: Recording, host: str) -> list[dict[str, Any]]:
    on_host = [each for each in made.commands if each.name.startswith(f"{host}-")]
    return [each.inputs["connection"] for each in on_host]


@pytest.mark.parametrize("preview", [True, False])
def test_commands_take_the_way_that_has_answered(sshd: Sshd, *, preview: bool) -> None:
    made = run(stack(sshd, host=["127.0.0.2", "127.0.0.1"]), preview=preview)
    assert {each["host"] for each in connections(made, "vps")} == {"127.0.0.1"}
    (said,) = heard(made, "INFO")
    assert f"vps is reached by root@127.0.0.1:{sshd.port}, since no way before" in said


def test_nothing_is_said_of_the_first_way(sshd: Sshd) -> None:
    made = run(stack(sshd, host=["127.0.0.1", "127.0.0.2"]), preview=True)
    assert {each["host"] for each in connections(made, "vps")} == {"127.0.0.1"}
    assert not heard(made, "INFO")


def test_commands_take_the_first_way_where_nobody_answers(sshd: Sshd) -> None:
    made = run(stack(sshd, port=1, host=["127.0.0.1", "127.0.0.2"]), preview=True)
    assert {each["host"] for each in connections(made, "vps")} == {"127.0.0.1"}
    (warning,) = heard(made, "WARNING")
    assert "vps: none of its ways leads there:\n    root@127.0.0.1:1: " in warning


def test_commands_of_a_server_go_by_the_vps_where_its_ssh_says_so(sshd: Sshd) -> None:
    ssh = {"host": {"through": "vps"}, "user": "hex", "hostKey": host_key(2)}
    homelab = {"address": "172.16.0.4", "ssh": ssh}
    made = run({**stack(sshd), "servers": {"homelab": homelab}, "lookUp": False}, preview=True)
    for connection in connections(made, "homelab"):
        assert (connection["host"], connection["user"]) == ("172.16.0.4", "hex")
        proxy = connection["proxy"]
        assert (proxy["host"], proxy["port"]) == ("127.0.0.1", sshd.port)
        assert (connection["hostKey"], proxy["hostKey"]) == (host_key(2), sshd.host_key)
    assert all("proxy" not in each for each in connections(made, "vps"))
    assert all("connection" in each.secrets for each in made.commands)
    # What leads there is there before, and goes after.
    assert on_the_way(made, "homelab") == {"homelab-tenancy", "vps-claim", "homelab"}


def on_the_way(made: Recording, host: str) -> set[str]:
    claim = made.command(f"{host}-claim", host)
    return {urn.rpartition("::")[2] for urn in claim.depends_on}


def test_a_server_that_is_reached_directly_waits_for_nobody(sshd: Sshd) -> None:
    ssh = {"host": ["192.168.1.20", {"through": "vps"}], "hostKey": host_key(2)}
    homelab = {"address": "172.16.0.4", "ssh": ssh}
    made = run({**stack(sshd), "servers": {"homelab": homelab}, "lookUp": False}, preview=True)
    assert on_the_way(made, "homelab") == {"homelab-tenancy"}


@pytest.mark.parametrize(
    ("so_far", "endpoint", "breaks"),
    [
        ("homelab", "203.0.113.10:51820", "the address of homelab, its name so far, to house"),
        ("house", "203.0.113.10:51821", r"port 51821 for 51820 \(network.listenPort\)"),
    ],
    ids=["another name", "another port"],
)
def test_what_cuts_off_a_server_behind_the_tunnel_is_refused_there_alone(
    sshd: Sshd,
    monkeypatch: pytest.MonkeyPatch,
    so_far: str,
    endpoint: str,
    breaks: str,
) -> None:
    """At home it would be told, and so it is where nothing of that changes."""
    ssh = {"host": [{"through": "vps"}, "192.168.1.20"], "hostKey": host_key(2)}
    values = {**stack(sshd), "servers": {"house": {"address": "172.16.0.4", "ssh": ssh}}}

    def inspect(way: int, so_far: str, endpoint: str) -> None:
        peers = {"vps": PeerReport(endpoint, 1, 0, 0)}
        had = claimant(so_far, host_key(2))
        report = HostReport(1, "reverse-tunnel/home", "server", peers=peers, claimant=had)
        house = Seen([], report, way, equipped=True)
        monkeypatch.setattr(
            inspection, "look_up", lambda _: {"vps": Seen([], way=0), "house": house}
        )
        run(values)

    inspect(1, so_far, endpoint)
    inspect(0, "house", "203.0.113.10:51820")
    where = r"house \(root@172\.16\.0\.4 through root@127"
    with pytest.raises(LookUpError, match=rf"{where}.* breaks when .*{breaks}, before"):
        inspect(0, so_far, endpoint)


# ---- drift ----


@pytest.mark.parametrize("preview", [True, False])
@pytest.mark.parametrize(
    ("changes", "command", "words"),
    [
        ({"web": "missing"}, "web", "vps: its forward web: rules missing"),
        ({"web": "differs"}, "web", "vps: its forward web: rules changed"),
        ({"web": "stray"}, "web", "vps: its forward web: file missing"),
        ({"wrong": "peer laptop"}, "laptop", "vps: its peer laptop: unknown to WireGuard"),
        (
            {"wrong": "preshared-key laptop"},
            "laptop@preshared-key",
            "vps: its preshared key of laptop: not the one that it was given",
        ),
        ({"wrong": "metrics"}, "vps-metrics", "vps: its metrics: not renewed"),
        (
            {"wrong": "firewall"},
            "vps-firewall vps-firewall-kept",
            "vps: its firewall: rules missing or changed",
        ),
        (
            {"wrong": "taken-back"},
            "vps-firewall vps-firewall-kept",
            "vps: its firewall: taken back",
        ),
        ({"wrong": "key"}, "vps-key", "vps: its keys: not the ones that it was given"),
        ({"wrong": "mtu"}, "vps-interface", "vps: its tunnel: MTU changed"),
        ({"unit": "disabled"}, "vps-interface", "vps: its tunnel: does not start at boot"),
        ({"wrong": "conntrack"}, "vps-helper", "vps: its helper: conntrack is gone"),
    ],
)
def test_what_has_drifted_runs_again_alone_and_is_warned_of(
    sshd: Sshd, *, preview: bool, changes: dict[str, str], command: str, words: str
) -> None:
    made = run(drifting(sshd, **changes), preview=preview)
    assert drifted(made) == set(command.split())
    said = words.partition(": its ")[2].partition(": ")[2]
    for again in (each for each in made.commands if each.name in drifted(made)):
        text = again.inputs["update"].removesuffix(again.inputs["create"])
        assert re.match(rf"# drift, seen \d{{4}}-\d\d-\d\dT\d\d:\d\d:\d\dZ: {said}.*\n$", text)
    (warning,) = heard(made, "WARNING")
    assert "; a full one puts that right:\n" in warning
    assert f"\n  {words}" in warning
    assert not heard(made, "INFO")


OTHER_VERSION = {"digest": "0" * 64}


@pytest.mark.parametrize("preview", [True, False])
def test_a_helper_of_another_version_is_brought_and_told_as_no_drift(
    sshd: Sshd, *, preview: bool
) -> None:
    """As at every upgrade; and where a colleague's checkout is the newer one."""
    made = run(drifting(sshd, **OTHER_VERSION), preview=preview)
    assert drifted(made) == {"vps-helper"}
    assert not heard(made, "WARNING")
    (said,) = heard(made, "INFO")
    assert "another version of the helper" in said
    assert "`pulumi up` brings it: vps. If a colleague's is the newer one: git pull" in said


def test_what_has_drifted_beside_it_is_told_as_ever(sshd: Sshd) -> None:
    made = run(drifting(sshd, **OTHER_VERSION, web="missing"))
    assert drifted(made) == {"vps-helper", "web"}
    (warning,) = heard(made, "WARNING")
    assert warning.splitlines()[1:] == ["  vps: its forward web: rules missing"]
    (said,) = heard(made, "INFO")
    assert "brings it: vps." in said


def test_a_helper_of_another_version_of_which_more_is_wrong_has_drifted(sshd: Sshd) -> None:
    made = run(drifting(sshd, **OTHER_VERSION, wrong="conntrack"))
    assert drifted(made) == {"vps-helper"}
    (warning,) = heard(made, "WARNING")
    assert "conntrack is gone" in warning


def test_a_healthy_tunnel_is_no_drift(sshd: Sshd) -> None:
    made = run(drifting(sshd), preview=True)
    assert drifted(made) == set()
    assert not heard(made, "WARNING")


@pytest.mark.parametrize(("wrong", "again"), [("nothing", set()), ("peer laptop", {"laptop"})])
def test_the_state_is_not_read_where_all_servers_are_looked_at_and_nothing_is_unknown(
    sshd: Sshd, wrong: str, again: set[str]
) -> None:
    values = {**drifting(sshd, wrong=wrong), "servers": {}, "forwards": {}}
    for line in ("peer cabin - 0 0 0\n", "forward web ok 0 - - - -\n"):
        sshd.answers = sshd.answers.replace(line, "")
    assert drifted(run(values, state=None)) == again


def test_what_a_host_has_of_a_removed_or_paused_entry_is_no_drift(sshd: Sshd) -> None:
    """It may be about to go; a paused forward has no rules."""
    values = drifting(sshd, web="paused")
    state = run(values).as_state()

    def drifts(changes: dict[str, object], **told: str) -> set[str]:
        return drifted(run({**drifting(sshd, **told), **changes}, state=state))

    assert drifts({}, web="paused") == set()
    gone: dict[str, object] = {"forwards": {}, "clients": {}}
    assert drifts(gone, web="missing", wrong="peer laptop") == set()
    laptop = {"laptop": {"address": "172.16.0.10"}}
    assert drifts({"clients": laptop}, wrong="preshared-key laptop") == set()
    for word in ("metrics", "firewall"):
        assert drifts({"vps": stack(sshd)["vps"]}, wrong=word) == set()


def test_words_of_a_host_never_get_into_a_text(sshd: Sshd) -> None:
    values = drifting(sshd, web="$(own-it)", wrong="$(own-it)")
    made = run(values, preview=True)
    assert not [each.name for each in made.commands if "own-it" in repr(each.inputs)]


def test_only_a_server_without_a_tunnel_gets_its_key_before_the_vps_knows_it(sshd: Sshd) -> None:
    """A first `up` is no slower for an order that only another key needs."""

    def waits_for_the_vps(homelab: Sshd, report: str) -> bool:
        homelab.answers = facts_text() + report
        ssh = {"host": "127.0.0.1", "port": homelab.port, "hostKey": homelab.host_key}
        servers = {"homelab": {"address": "172.16.0.4", "ssh": ssh}}
        urns = run({**stack(sshd), "servers": servers}).command("homelab-key", "homelab").depends_on
        return any(urn.endswith("remote:Command::homelab") for urn in urns)

    report = "helper 1\ndigest -\nowner reverse-tunnel/home\nclaimant -\nend 1764290000\n"
    with running(Sshd(client_key=sshd.client_key)) as homelab:
        assert not waits_for_the_vps(homelab, "")
        assert waits_for_the_vps(homelab, report)
