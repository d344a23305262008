"""Which resources each kind of forward becomes, and that a change of one touches no other."""

from typing import TYPE_CHECKING, Any

import pytest

from settings import load
from tests.components.recording import COMMAND, Recording
from tests.components.samples import example
from tests.components.test_library import ARGS
from tests.components.test_reverse_tunnel import made
from tests.settings.samples import changed

if TYPE_CHECKING:
    from components import ReverseTunnelArgs

LAN = {
    "servers.homelab.networks": ["192.168.1.0/24"],
    "servers.attic.networks": ["10.0.0.0/24"],
    "forwards.nas.port": 2222,
    "forwards.nas.to": "192.168.1.30:22",
    "forwards.nas.sourceAddress": "tunnel",
}
GUARDED = {
    "vps.firewall": "defaultDeny",
    "vps.allow.mount": {"from": ["laptop"], "to": "homelab", "protocol": "tcp", "port": 445},
}


@pytest.fixture(scope="module")
def home() -> Recording:
    return made(example())


@pytest.fixture(scope="module")
def lan() -> Recording:
    return made(example(LAN))


@pytest.fixture(scope="module")
def guarded() -> Recording:
    return made(example(GUARDED))


def commands(*names: str) -> set[str]:
    return {f"{COMMAND}::{name}" for name in names}


@pytest.mark.parametrize(
    "change",
    [
        {"protocol": "tcp+udp"},
        {"enabled": False},
        {"from": ["198.51.100.0/24"]},
        {"limit": {"newPerSecond": 10}},
        {"sourceAddress": "tunnel"},
        {"to": "attic:8080"},
        {"port": "8000-8003", "to": "homelab:9000-9003"},
    ],
)
def test_every_change_of_a_forward_touches_its_own_command_alone(
    home: Recording, change: dict[str, object]
) -> None:
    more = made(example({f"forwards.http.{key}": value for key, value in change.items()}))
    assert more.changes_since(home) == commands("http")


def test_a_comment_is_shown_and_reaches_no_host(home: Recording) -> None:
    more = made(example({"forwards.http.comment": "$(reboot)"}))
    assert more.changes_since(home) == set()
    assert more.outputs["forwards"]["http"].endswith('172.16.0.4:8080 "$(reboot)"')


def test_a_host_behind_a_server_is_forwarded_on_the_vps_and_opened_on_that_server(
    lan: Recording,
) -> None:
    forward, opening = lan.command("nas", "nas"), lan.command("nas@homelab", "nas")
    assert forward.inputs["stdin"] == "tcp 2222 -> 192.168.1.30:22\n"
    assert opening.inputs["stdin"] == "tcp 192.168.1.30:22\nsource-address tunnel\n"
    assert " 1 put-opening nas;" in opening.inputs["create"]
    assert " 1 remove-opening nas;" in opening.inputs["delete"]
    assert opening.inputs["delete"].count("test ! -e") == 1
    assert opening.inputs["connection"]["host"] == "192.168.1.20"
    assert opening.deleted_with.endswith("::homelab-claim")
    assert {urn.rpartition("::")[2] for urn in opening.depends_on} >= {"homelab-interface"}


def test_the_way_is_open_before_the_forward_and_closed_after_it(lan: Recording) -> None:
    """Until the VPS knows the network as the server's, packets to it would leave for anywhere."""
    names = {urn.rpartition("::")[2] for urn in lan.command("nas", "nas").depends_on}
    assert names >= {"vps-interface", "homelab", "nas@homelab"}


def test_a_servers_own_ports_need_no_opening(home: Recording) -> None:
    assert not [each for each in home.commands if "opening" in each.inputs["create"]]


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        ({"port": 2200}, {"nas"}),
        ({"from": ["198.51.100.0/24"]}, {"nas"}),
        ({"sourceAddress": "client"}, {"nas@homelab"}),
        ({"enabled": False}, {"nas", "nas@homelab"}),
        ({"to": "192.168.1.31:22"}, {"nas", "nas@homelab"}),
        ({"to": "10.0.0.30:22"}, {"nas", "nas@homelab", "nas@attic"}),
        # On the VPS the address of the tunnel is taken for a server itself.
        ({"to": "homelab:22"}, {"nas", "nas@homelab"}),
    ],
)
def test_every_change_of_a_forward_to_a_lan_touches_its_own_commands_alone(
    lan: Recording, change: dict[str, object], touched: set[str]
) -> None:
    more = made(example({**LAN, **{f"forwards.nas.{key}": value for key, value in change.items()}}))
    assert more.changes_since(lan) == commands(*touched)


def test_one_more_forward_to_a_lan_adds_its_own_resources_and_changes_no_other(
    lan: Recording,
) -> None:
    printer = {"port": 631, "to": "192.168.1.31", "sourceAddress": "tunnel"}
    more = made(example({**LAN, "forwards.printer": printer}))
    assert more.changes_since(lan) == {
        "reverse-tunnel:index:PortForward::printer",
        *commands("printer", "printer@homelab"),
    }


def test_no_two_resources_share_a_urn(lan: Recording) -> None:
    """Whatever the user calls things: commands of two forwards have the same type of parent."""
    urns = [(each.type, each.name) for each in lan.commands]
    assert len(urns) == len(set(urns))


def test_a_servers_networks_touch_its_peer_and_its_host(lan: Recording) -> None:
    more = made(example({**LAN, "servers.homelab.networks": ["192.168.0.0/23"]}))
    assert more.changes_since(lan) == commands("homelab", "homelab-interface")
    assert "\nallowed-ips 172.16.0.4/32,192.168.0.0/23\n" in stdin(more, "homelab", "homelab")
    assert stdin(more, "homelab-interface", "homelab").endswith("\nnetwork 192.168.0.0/23\n")


def test_a_network_that_moves_to_another_server_takes_its_forwards_along(lan: Recording) -> None:
    moved = {"servers.homelab.networks": [], "servers.attic.networks": ["192.168.1.0/24"]}
    more = made(example({**LAN, **moved}))
    assert more.changes_since(lan) == commands(
        *("homelab", "homelab-interface", "attic", "attic-interface"),
        *("nas", "nas@homelab", "nas@attic"),
    )
    # The forward itself leads where it led; only what it waits for is another server.
    assert stdin(more, "nas", "nas") == stdin(lan, "nas", "nas")


def stdin(recording: Recording, command: str, parent: str) -> str:
    text = recording.command(command, parent).inputs["stdin"]
    assert isinstance(text, str)
    return text


@pytest.mark.parametrize(
    ("change", "touched"),
    [
        ({"servers.homelab.egress": "tunnel"}, {"homelab", "homelab-interface"}),
        ({"servers.homelab.mtu": 1280}, {"homelab", "homelab-interface"}),
        ({"servers.cabin.egress": "tunnel"}, {"cabin"}),
        ({"clients.laptop.egress": "tunnel"}, {"laptop"}),
        ({"clients.laptop.mtu": 1280}, {"laptop"}),
    ],
)
def test_one_peers_way_touches_that_peer_alone(
    home: Recording, change: dict[str, object], touched: set[str]
) -> None:
    more = made(example(change))
    ((field, value),) = change.items()
    line = f"\n{field.rpartition('.')[2]} {value}\n"
    assert more.changes_since(home) == commands(*touched)
    for name in touched:
        (command,) = [each for each in more.commands if each.name == name]
        assert line in command.inputs["stdin"]


def test_the_files_of_peers_say_their_own_way_out_and_mtu() -> None:
    more = made(
        example(
            {
                "clients.laptop.egress": "tunnel",
                "clients.phone.mtu": 1280,
                "servers.cabin.egress": "tunnel",
            }
        )
    )
    clients, servers = more.outputs["client_configs"], more.outputs["server_configs"]
    assert "AllowedIPs = 0.0.0.0/0, ::/0\n" in clients["laptop"]
    assert "MTU = 1420\n" in clients["laptop"]
    assert "AllowedIPs = 172.16.0.0/24\n" in clients["phone"]
    assert "MTU = 1280\n" in clients["phone"]
    assert "Table = off" not in servers["cabin"]


IPV6 = {"network.ipv6": "fd5c:91e2:7a3b::/64"}


def test_ipv6_is_said_where_it_matters_and_a_hosts_own_address_touches_that_host_alone(
    home: Recording,
) -> None:
    dual = made(example(IPV6))
    assert stdin(dual, "vps-interface", "vps").count("\nipv6 fd5c:91e2:7a3b::1/64\n") == 1
    assert stdin(dual, "homelab-interface", "homelab").count("\nipv6 fd5c:91e2:7a3b::4/64\n") == 1
    assert "172.16.0.4/32,fd5c:91e2:7a3b::4/128\n" in stdin(dual, "homelab", "homelab")
    assert stdin(dual, "https", "https").endswith("\nipv6 fd5c:91e2:7a3b::4\n")
    assert "::" not in stdin(home, "vps-interface", "vps") + stdin(home, "https", "https")
    for kind, name in (("client_configs", "laptop"), ("server_configs", "cabin")):
        assert ", fd5c:91e2:7a3b::" in dual.outputs[kind][name]
        assert "fd5c" not in home.outputs[kind][name]
    more = made(example({**IPV6, "servers.attic.ipv6": "fd5c:91e2:7a3b::a77c"}))
    assert more.changes_since(dual) == commands("attic", "attic-interface")


def test_metrics_are_one_command_that_goes_without_a_trace(home: Recording) -> None:
    folder = "/var/lib/prometheus/node-exporter"
    measured = made(example({"vps.metrics": folder}))
    (name,) = {each.name for each in measured.commands} - {each.name for each in home.commands}
    command = measured.command(name, "vps")
    assert name == "vps-metrics"
    assert command.inputs["stdin"] == f"folder {folder}\n"
    assert " 1 put-metrics;" in command.inputs["create"]
    assert " 1 remove-metrics;" in command.inputs["delete"]
    assert any(urn.endswith("::vps-interface") for urn in command.depends_on)
    assert command.deleted_with.endswith("::vps-claim")


def test_the_firewall_is_kept_by_a_second_login(guarded: Recording) -> None:
    text = "default-deny\nallow mount tcp 172.16.0.10 -> 172.16.0.4:445\n"
    firewall = guarded.command("vps-firewall", "vps")
    kept = guarded.command("vps-firewall-kept", "vps")
    assert (firewall.inputs["stdin"], kept.inputs["stdin"]) == (text, text)
    assert " 1 put-firewall;" in firewall.inputs["create"]
    assert " 1 remove-firewall;" in firewall.inputs["delete"]
    assert " 1 confirm-firewall;" in kept.inputs["create"]
    assert kept.inputs.get("delete") is None
    assert {urn.rpartition("::")[2] for urn in kept.depends_on} == {"vps-firewall"}
    for each in (firewall, kept):
        assert each.deleted_with.endswith("::vps-claim")


def test_the_firewall_touches_nothing_else(home: Recording, guarded: Recording) -> None:
    firewall = commands("vps-firewall", "vps-firewall-kept")
    # Whether the tunnel works is seen with the firewall in force.
    assert guarded.changes_since(home) == firewall | commands("handshake")
    assert stdin(guarded, "handshake", "home") == stdin(home, "handshake", "home")
    other = {**GUARDED, "vps.allow.dns": {"from": ["attic"], "to": "vps"}}
    assert made(example(other)).changes_since(guarded) == firewall


def test_without_a_firewall_there_is_no_command_for_one(home: Recording) -> None:
    assert not [each for each in home.commands if "firewall" in each.name]


@pytest.mark.parametrize("preview", [True, False])
def test_a_choice_left_open_is_asked_for_in_a_warning(*, preview: bool) -> None:
    nowhere_said = {key: value for key, value in LAN.items() if not key.endswith("sourceAddress")}
    (warning,) = warnings(made(example(nowhere_said), preview=preview))
    assert warning.startswith("WARNING: forwards.nas: 192.168.1.30 is behind homelab")


def test_a_choice_that_is_made_is_not_asked_for(lan: Recording) -> None:
    assert not warnings(lan)


def warnings(recording: Recording) -> list[str]:
    return [line for line in recording.log if line.startswith("WARNING")]


def test_arguments_say_every_kind_that_a_stack_file_says() -> None:
    args: ReverseTunnelArgs = {
        **ARGS,
        "vps": {
            **ARGS["vps"],
            "firewall": "defaultDeny",
            "allow": {"the-nas": {"from_": ["laptop"], "to": "homelab"}},
        },
        "servers": {
            **ARGS["servers"],
            "homelab": {
                **ARGS["servers"]["homelab"],
                "networks": ["192.168.1.0/24"],
                "egress": "tunnel",
                "mtu": 1280,
            },
        },
        "forwards": {
            "nas": {
                "protocol": "tcp+udp",
                "port": "2222-2223",
                "to": "192.168.1.30:22-23",
                "enabled": False,
                "from_": ["198.51.100.7"],
                "limit": {"new_per_second": 10, "concurrent": 50},
                "source_address": "client",
                "comment": "the NAS",
            }
        },
    }
    written: dict[str, Any] = changed(
        {
            "lookUp": False,
            "vps.firewall": "defaultDeny",
            "vps.allow": {"the-nas": {"from": ["laptop"], "to": "homelab"}},
            "servers.homelab.networks": ["192.168.1.0/24"],
            "servers.homelab.egress": "tunnel",
            "servers.homelab.mtu": 1280,
            "forwards": {
                "nas": {
                    "protocol": "tcp+udp",
                    "port": "2222-2223",
                    "to": "192.168.1.30:22-23",
                    "enabled": False,
                    "from": ["198.51.100.7"],
                    "limit": {"newPerSecond": 10, "concurrent": 50},
                    "sourceAddress": "client",
                    "comment": "the NAS",
                }
            },
        }
    )
    by_args, by_file = made(args), made(load(written, agent=False))
    assert by_args.changes_since(by_file) == set()
    assert by_args.outputs["forwards"] == by_file.outputs["forwards"]
