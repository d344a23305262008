"""Which resources a stack file becomes. What they do on hosts is not to be seen here."""

import re
from typing import Any

import pulumi
import pytest

from components import ReverseTunnel, ReverseTunnelArgs
from settings import Settings
from tests.components.recording import COMMAND, Recording, Registration, deploy
from tests.components.samples import example
from tests.settings.samples import ABSENT, OTHER_SSH_KEY, PEM_KEY, SSH_KEY, host_key, public_key

PASSWORD = "random:index/randomPassword:RandomPassword"  # noqa: S105 - a type's token


def made(
    args: Settings | ReverseTunnelArgs,
    *,
    preview: bool = False,
    before: Recording | None = None,
) -> Recording:
    def program() -> dict[str, pulumi.Output[Any]]:
        tunnel = ReverseTunnel("home", args)
        return {
            "public_address": tunnel.public_address,
            "public_keys": tunnel.public_keys,
            "forwards": tunnel.forwards,
            "client_configs": tunnel.client_configs,
            "server_configs": tunnel.server_configs,
        }

    return deploy(program, preview=preview, state=None if before is None else before.as_state())


@pytest.fixture(scope="module")
def home() -> Recording:
    return made(example())


def test_every_entry_becomes_the_resources_that_carry_its_name(home: Recording) -> None:
    of = {
        kind: set(home.of_type(f"reverse-tunnel:index:{kind}"))
        for kind in ("ReverseTunnel", "KeyPair", "Host", "Peer", "PortForward")
    }
    assert of == {
        "ReverseTunnel": {"home"},
        # The phone made its own key.
        "KeyPair": {"vps", "homelab", "attic", "cabin", "laptop"},
        # The cabin is not managed.
        "Host": {"vps", "homelab", "attic"},
        "Peer": {"homelab", "attic", "cabin", "laptop", "phone"},
        "PortForward": {"http", "https", "game"},
    }


def test_no_two_resources_share_a_urn(home: Recording) -> None:
    urns = [(each.parent, each.type, each.name) for each in home.registrations]
    assert len(urns) == len(set(urns))


def test_parts_are_children_of_the_tunnel_and_commands_of_their_part(home: Recording) -> None:
    parents = {each.end: each.parent.rpartition("::")[2] for each in home.registrations}
    assert parents["reverse-tunnel:index:Host::vps"] == "home"
    assert parents[f"{COMMAND}::vps-claim"] == "vps"
    assert parents[f"{COMMAND}::https"] == "https"
    assert parents[f"{COMMAND}::handshake"] == "home"
    assert parents[f"{PASSWORD}::laptop-seed"] == "laptop"


@pytest.mark.parametrize("name", ["vps", "homelab", "attic"])
def test_everything_on_a_host_is_deleted_with_its_claim(home: Recording, name: str) -> None:
    """Destroying a host is one command, whatever is on it."""
    for part in ("helper", "key", "interface"):
        assert home.command(f"{name}-{part}", name).deleted_with.endswith(f"::{name}-claim")
    assert not home.command(f"{name}-claim", name).deleted_with
    assert "1 uninstall reverse-tunnel/home" in home.command(f"{name}-claim", name).inputs["delete"]


def test_forwards_and_peers_are_deleted_with_the_claim_of_the_vps(home: Recording) -> None:
    on_vps = [each for each in home.commands if re.search("put-(forward|peer)", text_of(each))]
    assert len(on_vps) == 8
    for each in on_vps:
        assert each.deleted_with.endswith("::vps-claim")
        assert any(urn.endswith("::vps-interface") for urn in each.depends_on)
        assert re.search(f"1 remove-(forward|peer) {each.name};", each.inputs["delete"])


def text_of(command: Registration) -> str:
    text = command.inputs["create"]
    assert isinstance(text, str)
    return text


def test_a_host_is_claimed_then_equipped_then_given_its_key_then_its_interface(
    home: Recording,
) -> None:
    """The claim is in the state before anything is done, so every failure later is cleaned up."""
    for before, after in (("claim", "helper"), ("helper", "key"), ("key", "interface")):
        dependencies = home.command(f"homelab-{after}", "homelab").depends_on
        assert any(urn.endswith(f"::homelab-{before}") for urn in dependencies)


def test_stdin_says_in_plain_lines_what_a_change_is_about(home: Recording) -> None:
    assert home.command("https", "https").inputs["stdin"] == "tcp 443 -> 172.16.0.4:8081\n"
    assert home.command("game", "game").inputs["stdin"] == (
        "udp 27000-27037 -> 172.16.0.4:27000-27037\n"
    )
    keys = home.outputs["public_keys"]
    assert home.command("laptop", "laptop").inputs["stdin"] == (
        f"public-key {keys['laptop']}\nallowed-ips 172.16.0.10/32\n"
    )
    assert home.command("vps-interface", "vps").inputs["stdin"] == (
        "owner reverse-tunnel/home\nrole vps\naddress 172.16.0.1/24\nlisten-port 51820\n"
        "public-interface ens6\nmtu 1420\n"
    )
    assert home.command("attic-interface", "attic").inputs["stdin"] == (
        "owner reverse-tunnel/home\nrole server\naddress 172.16.0.6/24\nmtu 1420\n"
        f"peer-public-key {keys['vps']}\n"
        "peer-address 172.16.0.1\npeer-endpoint vps.example.org:51820\nkeepalive 25\n"
    )


@pytest.mark.parametrize(("keepalive", "asking"), [(25, {"homelab", "attic"}), (0, set())])
def test_servers_are_installed_with_ping_unless_they_are_to_be_silent(
    keepalive: int, asking: set[str]
) -> None:
    """By it they ask whether the VPS answers."""
    stack = made(example({"network.keepalive": keepalive}))
    lines = {
        name: next(
            line
            for line in stack.command(f"{name}-helper", name).inputs["stdin"].splitlines()
            if line.startswith("set -- ")
        )
        for name in ("vps", "homelab", "attic")
    }
    assert {name for name, line in lines.items() if line.endswith(" ping")} == asking


def test_private_keys_are_secret_and_nowhere_but_in_stdin(home: Recording) -> None:
    keys = [each for each in home.commands if each.name.endswith("-key")]
    assert {each.name for each in keys} == {"vps-key", "homelab-key", "attic-key"}
    for each in keys:
        assert "stdin" in each.secrets
        private = each.inputs["stdin"].strip()
        for other in home.registrations:
            if other is not each:
                assert private not in repr(other)
        assert private not in repr({**each.inputs, "stdin": ""})


def test_connections_are_secret_and_carry_the_host_key(home: Recording) -> None:
    for each in home.commands:
        assert "connection" in each.secrets
        assert each.inputs["connection"]["hostKey"] == each.inputs["triggers"][0]
        words = repr({**each.inputs, "connection": ""})
        assert not [key for key in (SSH_KEY, PEM_KEY) if repr(key)[1:-1] in words]
    assert home.command("attic-key", "attic").inputs["connection"]["user"] == "hex"


def test_nothing_that_a_diff_should_show_is_secret(home: Recording) -> None:
    for each in home.commands:
        assert not each.secrets & {"create", "update", "delete", "triggers"}
        assert ("stdin" in each.secrets) == each.name.endswith("-key")


def test_no_command_logs_or_hands_its_output_to_the_next(home: Recording) -> None:
    for each in home.commands:
        assert each.inputs["logging"] == "none"
        assert each.inputs["addPreviousOutputInEnv"] is False
        assert each.inputs["connection"]["dialErrorLimit"] == 3


def test_what_is_given_a_secret_keeps_its_output_as_one() -> None:
    commands = made(example({"clients.laptop.presharedKey": True})).commands
    given = {each.name for each in commands if "stdin" in each.secrets}
    assert given == {"vps-key", "homelab-key", "attic-key", "laptop@preshared-key"}
    for each in commands:
        kept = {"stdout", "stderr"} if each.name in given else set()
        assert each.secret_outputs & {"stdout", "stderr"} == kept


def test_a_seed_is_a_password_resource(home: Recording) -> None:
    """The ID of `RandomBytes` is the secret itself; that of `RandomPassword` is `none`."""
    seeds = [each for each in home.registrations if each.name.endswith("-seed")]
    assert {each.type for each in seeds} == {PASSWORD}
    others = {each.name for each in home.registrations if each.type.startswith("random:")}
    others -= {each.name for each in seeds}
    assert others == {"vps-tenancy", "homelab-tenancy", "attic-tenancy"}
    assert all(each.inputs["length"] == 64 for each in seeds)


def test_outputs_say_what_leads_where_and_keep_files_secret(home: Recording) -> None:
    assert home.outputs["public_address"] == "vps.example.org"
    assert home.outputs["forwards"] == {
        "http": "tcp vps.example.org:80 -> homelab 172.16.0.4:8080",
        "https": "tcp vps.example.org:443 -> homelab 172.16.0.4:8081",
        "game": "udp vps.example.org:27000-27037 -> homelab 172.16.0.4:27000-27037",
    }
    assert home.outputs["public_keys"]["phone"] == public_key(4)
    assert set(home.outputs["client_configs"]) == {"laptop", "phone"}
    assert set(home.outputs["server_configs"]) == {"cabin"}
    assert home.secret_outputs == {"client_configs", "server_configs"}


def test_a_servers_own_private_key_never_leaves_it() -> None:
    """Who gives its public key gets a file with a place for the other, and no keys are made."""
    made_ = made(example({"servers.cabin.publicKey": public_key(7)}))
    assert made_.outputs["public_keys"]["cabin"] == public_key(7)
    assert not {"cabin", "cabin-seed"} & {
        *made_.of_type("reverse-tunnel:index:KeyPair"),
        *made_.of_type(PASSWORD),
    }
    assert f"public-key {public_key(7)}\n" in made_.command("cabin", "cabin").inputs["stdin"]
    file = made_.outputs["server_configs"]["cabin"]
    assert "PUT-THE-PRIVATE-KEY-OF-cabin-HERE" in file


def test_where_nobody_needs_a_file_both_are_empty_and_still_say_files_by_name() -> None:
    alone = made(example({"clients": ABSENT, "servers.cabin": ABSENT}))
    for kind in ("client_configs", "server_configs"):
        assert alone.outputs[kind] == {}
    assert alone.secret_outputs == {"client_configs", "server_configs"}


def test_the_component_registers_its_outputs_last(home: Recording) -> None:
    (urn,) = [urn for urn in home.component_outputs if urn.endswith(":ReverseTunnel::home")]
    assert set(home.component_outputs[urn]) == {
        "publicAddress",
        "publicKeys",
        "forwards",
        "clientConfigs",
        "serverConfigs",
    }


def test_parts_without_outputs_register_none(home: Recording) -> None:
    """The engine would write the whole state once more for each of them (ADR 12)."""
    told = {
        re.sub(".*[:$](reverse-tunnel:index:.*)::.*", r"\1", urn) for urn in home.component_outputs
    }
    parts = {name for name in told if name.startswith("reverse-tunnel:index:")}
    assert parts == {"reverse-tunnel:index:ReverseTunnel", "reverse-tunnel:index:KeyPair"}


def test_a_preview_already_knows_the_forwards_in_words() -> None:
    """So that a plain `pulumi preview` shows the change under Outputs."""
    recording = made(example(), preview=True)
    assert recording.outputs["forwards"]["http"].startswith("tcp vps.example.org:80 -> homelab")


@pytest.mark.parametrize(
    ("changes", "added"),
    [
        (
            {"forwards.ssh": {"port": 2222, "to": "homelab:22"}},
            {"reverse-tunnel:index:PortForward::ssh", f"{COMMAND}::ssh"},
        ),
        (
            {"clients.tablet": {"address": "172.16.0.12"}},
            {
                "reverse-tunnel:index:KeyPair::tablet",
                f"{PASSWORD}::tablet-seed",
                "reverse-tunnel:index:Peer::tablet",
                f"{COMMAND}::tablet",
            },
        ),
    ],
)
def test_one_more_entry_adds_its_own_resources_and_changes_no_other(
    home: Recording, changes: dict[str, Any], added: set[str]
) -> None:
    assert made(example(changes)).changes_since(home) == added


def test_one_more_server_changes_besides_only_what_is_waited_for(home: Recording) -> None:
    ssh = {"host": "192.168.1.22", "hostKey": host_key(9)}
    more = made(example({"servers.cellar": {"address": "172.16.0.9", "ssh": ssh}}))
    assert more.changes_since(home) == {
        "reverse-tunnel:index:KeyPair::cellar",
        f"{PASSWORD}::cellar-seed",
        "reverse-tunnel:index:Host::cellar",
        "random:index/randomId:RandomId::cellar-tenancy",
        *(f"{COMMAND}::cellar-{part}" for part in ("claim", "helper", "key", "interface")),
        "reverse-tunnel:index:Peer::cellar",
        f"{COMMAND}::cellar",
        f"{COMMAND}::handshake",
    }


def test_a_servers_new_address_touches_its_host_its_peer_and_the_forwards_to_it(
    home: Recording,
) -> None:
    moved = made(example({"servers.homelab.address": "172.16.0.5"}))
    assert moved.changes_since(home) == {
        f"{COMMAND}::{name}" for name in ("homelab-interface", "homelab", "http", "https", "game")
    }


@pytest.mark.parametrize(
    "change",
    [
        {"vps.ssh.host": "198.51.100.7"},
        {"vps.ssh.port": 2222},
        {"vps.ssh.user": "admin"},
        {"sshPrivateKey": OTHER_SSH_KEY},
    ],
)
def test_another_way_to_the_same_machine_changes_connections_alone(
    home: Recording, change: dict[str, object]
) -> None:
    """Harmless commands run again; no text differs, no trigger, and no rule on the host."""
    again = made(example(change))
    assert again.changes_since(home)
    assert {text_key(each) for each in again.commands} == {text_key(x) for x in home.commands}


def test_another_writing_of_the_same_ssh_key_changes_nothing(home: Recording) -> None:
    assert made(example({"sshPrivateKey": PEM_KEY})).changes_since(home) == set()


def text_key(command: Registration) -> str:
    return repr({**command.inputs, "connection": ""}) + repr(command.deleted_with)


def test_another_machine_is_another_host(home: Recording) -> None:
    again = made(example({"vps.ssh.hostKey": host_key(8)}))
    before = {each.end: each.inputs["triggers"] for each in home.commands}
    replaced = {each.name for each in again.commands if each.inputs["triggers"] != before[each.end]}
    on_vps = {each.name for each in home.commands if each.deleted_with.endswith("::vps-claim")}
    assert replaced == {"vps-claim", "handshake", *on_vps}


@pytest.mark.parametrize("host", ["vps", "homelab"])
def test_what_is_recorded_on_a_forgotten_host_stays_as_it_is_and_is_let_go(
    home: Recording, host: str
) -> None:
    """All of it, whatever else has changed: nothing there can be dialled."""
    changes: dict[str, object] = {"network.mtu": 1300, "vps.ssh.hostKey": host_key(8)}
    forget = "vps.forget" if host == "vps" else f"servers.{host}.forget"
    now = made(example({**changes, forget: True}), before=home)
    there = {each.end for each in home.commands if each.deleted_with.endswith(f"::{host}-claim")}
    there.add(f"{COMMAND}::{host}-claim")
    assert {each.end for each in now.commands if each.retained} == there
    given = {key for each in now.commands for key in each.inputs}
    for each in now.commands:
        if each.end in there:
            assert given - each.ignores == set()
        else:
            assert each.ignores <= {"update"}
    (tunnel,) = now.of_type("reverse-tunnel:index:ReverseTunnel").values()
    assert now.component_outputs[tunnel.own_urn]["forgotten"] == [host]
    assert not any(each.retained for each in home.commands)


def test_nobody_waits_for_a_forgotten_server_and_nobody_asks_a_forgotten_vps(
    home: Recording,
) -> None:
    without_server = made(example({"servers.homelab.forget": True}), before=home)
    waits = without_server.command("handshake", "home")
    assert re.findall(r"^peer (\w+)", waits.inputs["stdin"], re.MULTILINE) == ["attic"]
    without_vps = made(example({"vps.forget": True}), before=home)
    assert "handshake" not in {each.name for each in without_vps.commands}


def test_the_wait_lists_managed_servers_and_neither_clients_nor_forwards(home: Recording) -> None:
    keys = home.outputs["public_keys"]
    handshake = home.command("handshake", "home")
    assert handshake.inputs["stdin"] == (
        f"peer attic {keys['attic']}\npeer homelab {keys['homelab']}\n"
        f"endpoint vps.example.org:51820\npublic-key {keys['vps']}\n"
    )
    assert handshake.inputs.get("delete") is None
    names = {urn.rpartition("::")[2] for urn in handshake.depends_on}
    assert {"vps-interface", "homelab-interface", "attic-interface", "homelab", "attic"} <= names
    assert not names & {"laptop", "phone", "cabin", "http", "https", "game"}


def test_nothing_is_waited_for_without_managed_servers() -> None:
    alone = example({"servers.homelab.ssh": ABSENT, "servers.attic.ssh": ABSENT})
    assert "handshake" not in {each.name for each in made(alone).commands}
