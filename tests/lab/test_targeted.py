"""Targeted changes: one entry of the stack file is one thing on the VPS, and nothing else moves."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment, Step
from tests.lab.flows import Connection, connection, download, echo_service, stream
from tests.lab.probes import LASTING, VPS, greeting, page, tunnel_of_a_client, udp_greeting
from tests.lab.snapshots import (
    ForwardRule,
    assert_no_handshake_lost,
    counters,
    forward_rules,
    rules,
    wireguard_peers,
)
from tests.support import eventually

FORWARD = "reverse-tunnel:index:PortForward"
COMMAND = "command:remote:Command"
LONG = 30.0  # seconds, for what normally takes one or two

Forwards = dict[str, dict[str, Any]]

# Pages at the first two, an echo service behind the others. Nothing here changes `http` and `game`.
HOUSE: Forwards = {
    "http": {"port": 80, "to": "homelab:8080"},
    "https": {"port": 443, "to": "homelab:8081"},
    "talk": {"port": 7000, "to": "homelab:7000"},
    "spare": {"port": 7001, "to": "homelab:7001"},
    "game": {"protocol": "udp", "port": 27015, "to": "homelab:7000"},
}
ADDRESSES = {"homelab": "172.16.0.4", "attic": "172.16.0.6"}
TABLET: dict[str, dict[str, Any]] = {"tablet": {"address": "172.16.0.20"}}
TABLET_STEPS = sorted(
    [
        Step("create", "reverse-tunnel:index:KeyPair", "tablet"),
        Step("create", "random:index/randomPassword:RandomPassword", "tablet-seed"),
        Step("create", "reverse-tunnel:index:Peer", "tablet"),
        Step("create", COMMAND, "tablet"),
    ]
)
"""What a preview says of one more client."""


@pytest.fixture
def house(lab: Lab, deployment: Deployment) -> Iterator[Deployment]:
    """The example with some more forwards, and services behind them on both servers."""
    deployment.configure_as_example()
    deployment.forwards(HOUSE)
    deployment.up_if_changed()
    with echo_service(lab.host("homelab"), "7000-7001"), echo_service(lab.host("attic"), "7001"):
        yield deployment


def expected_rules(forwards: Forwards) -> list[ForwardRule]:
    """What the VPS must hold for these forwards: one rule each."""
    rules = []
    for name, forward in forwards.items():
        server, port = forward["to"].split(":")
        protocol = forward.get("protocol", "tcp")
        target = f"{ADDRESSES[server]}:{port}"
        rules.append(ForwardRule(name, protocol, str(forward["port"]), target))
    return sorted(rules)


def steps(op: str, *names: str) -> list[Step]:
    """What a preview says of forwards that appear or go: the component and its command."""
    return [Step(op, kind, name) for name in names for kind in (COMMAND, FORWARD)]


@dataclass(frozen=True)
class Change:
    """A change of forwards.

    Attributes:
        forwards: what there is after it.
        steps: what the preview must say of it, and nothing else.
        dies: public ports of echo services whose forward ceases, changes or moves meanwhile.
        dies_back: the same on the way back to HOUSE.
    """

    forwards: Forwards
    steps: list[Step]
    dies: tuple[int, ...] = ()
    dies_back: tuple[int, ...] = ()


def with_changes(**changes: dict[str, Any] | None) -> Forwards:
    """HOUSE with some forwards changed; None removes one."""
    merged = HOUSE | changes
    return {name: forward for name, forward in merged.items() if forward is not None}


CHANGES = {
    "add one": Change(
        with_changes(new={"port": 8443, "to": "attic:7001"}),
        steps=steps("create", "new"),
        dies_back=(8443,),
    ),
    "change the port of one": Change(
        with_changes(spare={"port": 7005, "to": "homelab:7001"}),
        steps=[Step("update", COMMAND, "spare")],
        dies=(7001,),
        dies_back=(7005,),
    ),
    "remove one": Change(
        with_changes(spare=None),
        steps=steps("delete", "spare"),
        dies=(7001,),
    ),
    "rename one": Change(
        with_changes(spare=None, renamed=HOUSE["spare"]),
        steps=steps("create", "renamed") + steps("delete", "spare"),
    ),
    "swap the ports of two": Change(
        with_changes(talk=HOUSE["talk"] | {"port": 7001}, spare=HOUSE["spare"] | {"port": 7000}),
        steps=[Step("update", COMMAND, "spare"), Step("update", COMMAND, "talk")],
        dies=(7000, 7001),
        dies_back=(7000, 7001),
    ),
    "swap the names of two": Change(
        with_changes(talk=HOUSE["spare"], spare=HOUSE["talk"]),
        steps=[Step("update", COMMAND, "spare"), Step("update", COMMAND, "talk")],
    ),
    "move one to another server": Change(
        with_changes(spare={"port": 7001, "to": "attic:7001"}),
        steps=[Step("update", COMMAND, "spare")],
        dies=(7001,),
        dies_back=(7001,),
    ),
}


@contextmanager
def nothing_else_moves(lab: Lab, changed: set[str]) -> Iterator[None]:
    """Checks that between its begin and its end only these forwards' rules change.

    All other lines of the VPS's firewall are the same, in the same order, and go on counting; the
    servers' are the same altogether.
    """
    vps, servers = lab.host("vps"), [lab.host(name) for name in ADDRESSES]

    def others() -> list[str]:
        lines = rules(vps)
        return [line for line in lines if not any(f'"rt:wg0:{name}"' in line for name in changed)]

    before, counted_before, at_home = others(), counters(vps), [*map(rules, servers)]
    yield
    after, counted_after = others(), counters(vps)
    assert after == before
    assert [*map(rules, servers)] == at_home
    for line in after:
        if line in counted_before:
            assert counted_after[line] >= counted_before[line], f"counted anew: {line}"


def visit_all(client: Host, forwards: Forwards) -> None:
    """Every forward leads where it shall, and the ports of former ones nowhere.

    This also is one more connection for every rule, so that a counter begun anew would show.
    """
    for forward in forwards.values():
        if is_page(forward):
            said = page(client, f"{VPS}:{forward['port']}", LASTING)
            assert said == f"{forward['to']} sees you as {client.address}"
        else:
            ask = udp_greeting if forward.get("protocol") == "udp" else greeting
            assert ask(client, VPS, forward["port"], LASTING) == client.address
    for port in {80, 443, 7000, 7001, 7005, 8443} - {one["port"] for one in forwards.values()}:
        assert page(client, f"{VPS}:{port}") is None


def echo_ports(forwards: Forwards) -> set[int]:
    """The public ports at which a connection can be spoken through."""
    return {
        each["port"]
        for each in forwards.values()
        if each.get("protocol") != "udp" and not is_page(each)
    }


def is_page(forward: dict[str, Any]) -> bool:
    return str(forward["to"]).endswith(("8080", "8081"))


def assert_dies(one: Connection) -> None:
    eventually(one.is_dead, LONG, "the connection lives on without its forward")


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
def test_a_change_of_forwards_is_just_that(lab: Lab, house: Deployment, change: Change) -> None:
    """There and back again, each in one `up`, while much goes on through the other forwards."""
    client, vps = lab.host("client"), lab.host("vps")
    changed = {
        name for name in {*HOUSE, *change.forwards} if HOUSE.get(name) != change.forwards.get(name)
    }
    visit_all(client, HOUSE)
    with ExitStack() as flows:
        packets = flows.enter_context(stream(client, VPS, 27015))
        page_flow = flows.enter_context(download(client, VPS, 80))
        for before, forwards, dies in (
            (HOUSE, change.forwards, change.dies),
            (change.forwards, HOUSE, change.dies_back),
        ):
            held = {
                port: flows.enter_context(connection(client, VPS, port))
                for port in echo_ports(before)
            }
            house.forwards(forwards)
            if forwards is not HOUSE:
                assert house.preview_steps() == sorted(change.steps)
            with nothing_else_moves(lab, changed):
                house.up()
            assert forward_rules(vps) == expected_rules(forwards)
            for port, one in held.items():
                if port in dies:
                    assert_dies(one)
                else:
                    assert one.is_alive()
            visit_all(client, forwards)
        assert page_flow.end().alive
        assert packets.end().lost == []


def test_whatever_goes_through_a_removed_forward_ends(lab: Lab, house: Deployment) -> None:
    """Not only what the visitor says meets nobody: what a server sends does not arrive, either.

    It also shows that the flows of the other tests would tell of a loss.
    """
    client, vps = lab.host("client"), lab.host("vps")
    with download(client, VPS, 80) as page_flow, stream(client, VPS, 27015) as packets:
        remaining = {name: HOUSE[name] for name in HOUSE if name not in ("http", "game")}
        house.forwards(remaining)
        house.up()
        for protocol, port in (("tcp", 80), ("udp", 27015)):
            tracked = vps.run(f"conntrack -L -p {protocol} --orig-port-dst {port} 2>/dev/null")
            assert "172.16.0." not in tracked.stdout
        assert udp_greeting(client, VPS, 27015) is None
        assert not page_flow.end().alive
        report = packets.end()
        assert report.sent in report.lost, "the last packet came back"


def test_a_connection_of_the_vps_itself_outlives_a_forward_of_the_same_port(
    lab: Lab, house: Deployment
) -> None:
    """Its conntrack entry has the forward's port, too, but no forward made it."""
    vps, neighbour = lab.host("vps"), lab.host("neighbour")
    with (
        echo_service(neighbour, "7001"),
        connection(vps, neighbour.address, 7001) as own,
        connection(lab.host("client"), VPS, 7001) as visitor,
    ):
        house.forwards(with_changes(spare=None))
        house.up()
        assert_dies(visitor)
        assert own.is_alive()


def test_a_client_more_or_less_or_elsewhere_is_one_peer(lab: Lab, house: Deployment) -> None:
    """There and back again: nobody else's handshake, endpoint or packet is lost."""
    client, vps, tablet = lab.host("client"), lab.host("vps"), lab.host("neighbour")
    clients = house.settings("clients")
    peers, before = wireguard_peers(vps), rules(vps)
    with stream(client, VPS, 27015) as packets:
        house.configure(clients=clients | TABLET)
        assert house.preview_steps() == TABLET_STEPS
        house.up()
        key = house.output("publicKeys")["tablet"]
        after = wireguard_peers(vps)
        assert after.pop(key).networks == "172.16.0.20/32"
        assert_no_handshake_lost(peers, after)
        with tunnel_of_a_client(tablet, house.output("clientConfigs")["tablet"]):
            assert (
                page(tablet, "172.16.0.4:8080", LASTING) == "homelab:8080 sees you as 172.16.0.20"
            )
            moved = clients | {"tablet": {"address": "172.16.0.21"}}
            house.configure(clients=moved)
            assert house.preview_steps() == [Step("update", COMMAND, "tablet")]
            house.configure(clients=clients)
            house.up()
            assert_no_handshake_lost(peers, wireguard_peers(vps))
            assert page(tablet, "172.16.0.4:8080") is None
        assert rules(vps) == before
        assert packets.end().lost == []


def test_a_new_client_waits_while_an_up_is_for_a_forward_alone(house: Deployment) -> None:
    """The state knows nothing of any client's file then."""
    house.configure(clients=house.settings("clients") | TABLET)
    house.forwards(with_changes(spare={"port": 7001, "to": "attic:7001"}))
    house.pulumi("up", "--yes", "--skip-preview", "--target", house.urn("spare", COMMAND))
    assert house.preview_steps() == TABLET_STEPS
    house.up()
    assert house.output("clientConfigs").keys() == {"laptop", "tablet"}
