"""What `status` finds wrong, and what it says is to be done; and what it leaves in peace."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from operate.judgement import judge
from operate.look import Look
from reach.entries.host_report import HostReport
from tests.operate.seen import FORWARD, PEER, SERVER, TARGET, VPS, WELL, seen, settings, vps

OTHER = "0" * 16  # the fingerprint of no text


def findings(look: Look, changes: Mapping[str, object] | None = None) -> list[str]:
    return [f"{finding.where}: {finding.says}" for finding in judge(settings(changes), look)]


def test_a_healthy_stack_has_none() -> None:
    """The laptop never came, and the phone is away since yesterday: both are no fault."""
    assert findings(WELL) == []


@pytest.mark.parametrize(
    ("look", "where", "words"),
    [
        (seen(homelab="can't be asked: it is off."), "homelab", "can't be asked: it is off."),
        (seen(vps(role=None)), "vps", "run `pulumi up`"),
        (
            seen(vps(enabled=False)),
            "vps",
            (
                "is not as the last `pulumi up` made it (its tunnel: does not start at boot): run"
                " `pulumi up`, which puts that right."
            ),
        ),
        (
            seen(vps(digest="0" * 64)),
            "vps",
            (
                "has another version of the helper than this checkout: run `pulumi up`, which puts"
                " that right."
            ),
        ),
        (seen(vps(wireguard=None)), "vps", "has its tunnel down: run `pulumi up`"),
        (
            seen(vps(chains={"RT-wg0-FWD": "differs"}, wrong=frozenset({"mtu"}))),
            "vps",
            "(its tunnel: rules missing or changed, MTU changed)",
        ),
        (
            seen(vps(forwards={"http": replace(FORWARD, rules="missing")})),
            "vps",
            "(its forward http: rules missing)",
        ),
        (
            seen(vps(peers={"laptop": None}, wrong_peers=frozenset({"laptop"}))),
            "vps",
            "(its peer laptop: unknown to WireGuard",
        ),
        (seen(vps(peers={"attic": None})), "vps", "does not know attic yet: run `pulumi up`"),
        (seen(vps(peers={"old": PEER})), "vps", "still knows old, which the stack file"),
        (
            seen(vps(peers={"-": PEER})),
            "vps",
            "(its tunnel: a peer that no stack gave it)",
        ),
        (
            seen(vps(peers={"homelab": replace(PEER, handshake=181)})),
            "homelab",
            (
                "has not been heard by the VPS for 3 min. Both are up, so UDP does not get through:"
                " the provider's firewall, in its panel, must let in 51820/udp"
            ),
        ),
        (
            seen(vps(peers={"homelab": replace(PEER, handshake=None)})),
            "homelab",
            "has never shaken hands with the VPS",
        ),
        (seen(vps(forwards={"https": None})), "forward https", "is not open yet: run `pulumi up`"),
        (
            seen(vps(forwards={"old": FORWARD})),
            "forward old",
            "is open, but no more in the stack file: run `pulumi up`",
        ),
        (
            seen(vps(forwards={"https": replace(FORWARD, rules="paused")})),
            "forward https",
            "is to be open, and is not: run `pulumi up`",
        ),
        (
            seen(vps(fingerprints={("forward", "https"): OTHER}, targets={(TARGET, 8081): None})),
            "forward https",
            "is otherwise on the VPS than in the stack file: run `pulumi up`",
        ),
        (
            seen(vps(fingerprints={("peer", "laptop"): OTHER, ("interface", ""): OTHER})),
            "vps",
            "has its tunnel, its peer laptop otherwise than the stack file: run `pulumi up`",
        ),
        (
            seen(homelab=replace(SERVER, enabled=False, fingerprints={("interface", ""): OTHER})),
            "homelab",
            "(its tunnel: does not start at boot): run `pulumi up`, which puts that right.",
        ),
        (
            seen(homelab=replace(SERVER, fingerprints={("interface", ""): OTHER})),
            "homelab",
            "has its tunnel otherwise than the stack file: run `pulumi up`",
        ),
        (
            seen(vps(targets={(TARGET, 8081): "refuses"}), ports={"https": "refuses"}),
            "forward https",
            "leads to 172.16.0.4:8081 (homelab), which refuses connections. Is the service running",
        ),
        (
            seen(vps(targets={(TARGET, 8081): "silent"}), ports={"https": "silent"}),
            "forward https",
            "leads to 172.16.0.4:8081 (homelab), which does not answer. Is the machine on",
        ),
        (
            seen(ports={"https": "silent"}),
            "forward https",
            (
                "does not answer at vps.example.org:443 when asked from here, although its target"
                " answers the VPS. The provider's firewall, in its panel, must let in tcp 443."
            ),
        ),
    ],
)
def test_one_thing_that_is_wrong_is_one_finding(look: Look, where: str, words: str) -> None:
    (finding,) = findings(look)
    assert finding.startswith(f"{where}: ")
    assert words in finding


def test_another_target_than_the_one_that_was_asked_is_said() -> None:
    """It was edited, with no `up` since; the provider's firewall has nothing to do with it."""
    look = seen(ports={"https": "silent"})
    (finding,) = findings(look, {"forwards.https.to": "homelab:9999"})
    assert finding == (
        "forward https: leads to another target than 172.16.0.4:9999 (homelab) still:"
        " run `pulumi up`."
    )
    # Where nobody was asked, or not all were, nothing is known of it.
    for targets in ({}, {(TARGET, 8080): "answers", (TARGET, 8081): "not tested"}):
        host = replace(VPS, targets=targets)
        assert findings(seen(host, ports={"https": "silent"})) == []
    # Its own rules are drift, of which the VPS is named.
    stray = vps(forwards={"https": replace(FORWARD, rules="stray")}, targets={(TARGET, 8081): None})
    (drift,) = findings(seen(stray))
    assert drift.startswith("vps: ")


def test_what_follows_from_a_silent_server_is_not_said_again() -> None:
    quiet = vps(
        peers={"homelab": replace(PEER, handshake=900)},
        targets={(TARGET, 8080): "silent", (TARGET, 8081): "silent"},
    )
    look = seen(quiet, ports={"http": "silent", "https": "silent"})
    (finding,) = findings(look)
    assert finding.startswith("homelab: has not been heard by the VPS for 15 min")


def test_a_server_that_is_off_is_named_by_its_silence_and_by_that_nobody_can_ask_it() -> None:
    quiet = vps(peers={"homelab": replace(PEER, handshake=900)})
    unasked, silent = findings(seen(quiet, homelab="can't be asked: no answer."))
    assert silent.startswith("homelab: has not been heard by the VPS for 15 min")
    assert "See what is said of that server itself" in silent
    assert unasked.startswith("homelab: can't be asked")


def test_what_follows_from_a_tunnel_that_is_down_is_not_said_again() -> None:
    down = vps(wireguard=None, peers={}, forwards={}, targets={})
    (finding,) = findings(seen(down, ports={"http": "silent", "https": "silent"}))
    assert finding.startswith("vps: has its tunnel down")


RULES_GONE = vps(forwards={"http": replace(FORWARD, rules="missing")})


@pytest.mark.parametrize(
    ("spoilt", "blamed"),
    [
        (RULES_GONE, False),
        (vps(chains={"RT-wg0-DNAT": "unhung"}), False),
        (vps(wrong=frozenset({"forwarding"})), False),
        (vps(wrong=frozenset({"firewall"})), False),
        (vps(enabled=False), True),
    ],
)
def test_the_providers_panel_is_not_blamed_where_rules_of_the_vps_are_gone(
    spoilt: HostReport, *, blamed: bool
) -> None:
    guarded = {"vps.firewall": "defaultDeny"}
    first, *rest = judge(settings(guarded), seen(spoilt, ports={"http": "silent"}))
    assert first.where == "vps"
    assert [finding.where for finding in rest] == ["forward http"] * blamed


@pytest.mark.parametrize(
    ("spoilt", "blamed"),
    [
        (replace(SERVER, wrong=frozenset({"routes"})), False),
        (replace(SERVER, wrong=frozenset({"forwarding"})), False),
        (replace(SERVER, chains={"RT-wg0-MARK": "differs"}), False),
        (replace(SERVER, wrong=frozenset({"modes"})), True),
        (replace(SERVER, wrong=frozenset({"watcher"})), True),
        ("can't be asked: it is off.", True),
    ],
)
def test_the_providers_panel_is_not_blamed_where_the_servers_way_back_is_gone(
    spoilt: HostReport | str, *, blamed: bool
) -> None:
    first, *rest = judge(settings(), seen(homelab=spoilt, ports={"http": "silent"}))
    assert first.where == "homelab"
    assert [finding.where for finding in rest] == ["forward http"] * blamed


QUIET = replace(PEER, handshake=None)
SECRET = {"servers.homelab.presharedKey": True}


@pytest.mark.parametrize(
    ("look", "todo"),
    [
        (
            seen(vps(peers={"homelab": QUIET, "attic": QUIET, "phone": QUIET})),
            "Both are up, so UDP does not get through: the provider's firewall, in its panel,",
        ),
        (
            seen(vps(peers={"homelab": QUIET})),
            "Both are up, and the VPS hears attic at 51820/udp, so look at homelab's own line",
        ),
        (
            seen(vps(peers={"homelab": QUIET}, wrong_keys=frozenset({"homelab"}))),
            "The two do not know each other as they shall",
        ),
        (
            seen(vps(peers={"homelab": QUIET, "attic": QUIET}, wrong_peers=frozenset({"homelab"}))),
            "The two do not know each other as they shall",
        ),
        (
            seen(
                vps(peers={"homelab": QUIET, "attic": QUIET}),
                homelab=replace(SERVER, wrong=frozenset({"key"})),
            ),
            "The two do not know each other as they shall",
        ),
    ],
)
def test_a_silent_servers_provider_is_blamed_for_what_it_may_have_done_alone(
    look: Look, todo: str
) -> None:
    found = [each for each in findings(look, SECRET) if "has never shaken hands" in each]
    assert any(each.startswith("homelab: ") and todo in each for each in found), found
    assert any("provider" in each for each in found if "homelab: " in each) == ("UDP" in todo)


def test_forwards_to_a_silent_server_that_are_not_there_are_named() -> None:
    gone = vps(peers={"homelab": QUIET}, forwards={"http": None, "https": None})
    look = seen(gone, ports={"http": "answers", "https": "silent"})
    assert [finding.where for finding in judge(settings(), look)] == [
        "homelab",
        "forward http",
        "forward https",
    ]


def test_an_unreachable_vps_leaves_what_is_seen_from_here() -> None:
    found = findings(seen("can't be asked: no answer.", ports={"http": "silent"}))
    assert found == [
        "vps: can't be asked: no answer.",
        "forward http: does not answer at vps.example.org:80. See what is said of the VPS.",
    ]


def test_a_silent_server_without_ssh_is_told_how_it_is_set_up() -> None:
    cabin = {"servers.cabin": {"address": "172.16.0.7"}}
    look = seen(vps(peers={"cabin": replace(PEER, handshake=None)}))
    (finding,) = findings(look, cabin)
    assert "`reverse-tunnel server cabin`" in finding


def test_silence_without_keepalive_says_nothing() -> None:
    look = seen(vps(peers={"homelab": replace(PEER, handshake=900)}))
    assert findings(look, {"network.keepalive": 0}) == []
    assert findings(look) != []


def test_the_first_port_of_a_range_may_be_nobodys() -> None:
    changes = {"forwards.https": {"port": "9000-9001", "to": "homelab:8081-8082"}}
    look = seen(vps(targets={(TARGET, 8081): "refuses"}), ports={"https": "refuses"})
    assert findings(look, changes) == []
    assert findings(look) != []


def test_a_paused_forward_is_left_in_peace() -> None:
    changes = {"forwards.https.enabled": False}
    paused = vps(forwards={"https": replace(FORWARD, rules="paused")})
    assert findings(seen(paused), changes) == []
    (finding,) = findings(seen(), changes)
    assert "is to be paused, and is not" in finding


def test_a_silent_target_behind_a_server_may_answer_another_way() -> None:
    changes = {
        "servers.homelab.networks": ["192.168.1.30/32"],
        "forwards.nas": {"port": 2222, "to": "192.168.1.30:22"},
    }
    look = seen(vps(forwards={"nas": FORWARD}, targets={("192.168.1.30", 22): "silent"}))
    (finding,) = findings(look, changes)
    assert "192.168.1.30:22 (behind homelab)" in finding
    assert "sourceAddress: tunnel" in finding


def test_without_a_look_an_up_would_not_know_of_drift() -> None:
    (finding,) = findings(seen(vps(enabled=False)), {"lookUp": False})
    assert "set `lookUp: true`, then run `pulumi up`" in finding


def test_the_sample_is_all_well() -> None:
    assert VPS.chains == {}


def test_an_opening_that_has_drifted_is_its_servers() -> None:
    lan = {
        "servers.homelab.networks": ["192.168.1.30/32"],
        "forwards.nas": {"port": 2222, "to": "192.168.1.30:22"},
    }
    look = seen(
        vps(forwards={"nas": FORWARD}, targets={("192.168.1.30", 22): "answers"}),
        homelab=replace(SERVER, openings={"nas": "differs"}),
        ports={"nas": "silent"},
    )
    (finding,) = judge(settings(lan), look)
    assert finding.where == "homelab"
    assert "(its opening for forward nas: rules changed)" in finding.says
