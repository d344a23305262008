"""The package as another program uses it: typed arguments, and values that come from resources."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import pulumi
import pytest
from pulumi_random import RandomPassword

from components import (
    AllowArgs,
    ArgumentsError,
    ClientArgs,
    ForwardArgs,
    LimitArgs,
    NetworkArgs,
    ReverseTunnel,
    ReverseTunnelArgs,
    ServerArgs,
    SshArgs,
    VpsArgs,
)
from settings import SettingsError
from tests.components.inspected import NOTHING_YET
from tests.components.recording import Recording, deploy
from tests.components.samples import example
from tests.components.test_reverse_tunnel import made
from tests.settings.samples import PEM_KEY, SSH_KEY, host_key, public_key

README = Path(__file__).parents[2] / "README.md"
ARGS: ReverseTunnelArgs = {
    "network": {"cidr": "172.16.0.0/24", "listen_port": 51820},
    "vps": {
        "address": "172.16.0.1",
        "endpoint": "vps.example.org",
        "public_interface": "ens6",
        "ssh": {"host": "203.0.113.10", "host_key": host_key(1)},
    },
    "servers": {
        "homelab": {
            "address": "172.16.0.4",
            "ssh": {"host": "192.168.1.20", "host_key": host_key(2)},
        },
        "attic": {
            "address": "172.16.0.6",
            "ssh": {"host": "192.168.1.21", "user": "hex", "host_key": host_key(3)},
        },
        "cabin": {"address": "172.16.0.7"},
    },
    "clients": {
        "laptop": {"address": "172.16.0.10"},
        "phone": {"address": "172.16.0.11", "public_key": public_key(4)},
    },
    "forwards": {
        "http": {"port": 80, "to": "homelab:8080"},
        "https": {"port": 443, "to": "homelab:8081"},
        "game": {"protocol": "udp", "port": "27000-27037", "to": "homelab"},
    },
    "ssh_private_key": SSH_KEY,
    "look_up": False,
}


def test_arguments_say_what_a_stack_file_says() -> None:
    assert made(ARGS).changes_since(made(example())) == set()


(SHOWN,) = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
BEGIN = "args: ReverseTunnelArgs = {\n"


def shown(text: str, exports: dict[str, Any]) -> Callable[[], dict[str, pulumi.Output[Any]]]:
    """The example of the README as a program, with a real key and without a look-up."""
    assert BEGIN in text
    text = text.replace(BEGIN, f'{BEGIN}    "look_up": False,\n')
    code = compile(text.replace("ssh-ed25519 AAAA...", host_key(1)), "README.md", "exec")

    def program() -> dict[str, pulumi.Output[Any]]:
        pulumi.runtime.set_all_config({"reverse-tunnel:sshPrivateKey": SSH_KEY})
        exec(code, {})  # noqa: S102 - that it can be run is what is tested
        return exports

    return program


@pytest.fixture
def exports(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What a program exports."""
    exports: dict[str, Any] = {}
    monkeypatch.setattr(pulumi, "export", exports.__setitem__)
    return exports


def test_the_example_of_the_readme_makes_a_tunnel(exports: dict[str, Any]) -> None:
    made = deploy(shown(SHOWN, exports))
    assert made.outputs["forwards"] == {"https": "tcp 203.0.113.10:443 -> homelab 172.16.0.4:8081"}


def test_the_example_of_the_readme_says_what_is_wrong(exports: dict[str, Any]) -> None:
    recording = Recording()
    with pytest.raises(SystemExit, match="32"):
        deploy(shown(SHOWN.replace("homelab:8081", "attic"), exports), recording=recording)
    assert "forwards.https.to" in "".join(recording.log)
    assert not recording.registrations


def test_a_host_of_another_resource_may_be_one_of_several_ways() -> None:
    def program() -> dict[str, pulumi.Output[Any]]:
        made = RandomPassword("machine", length=8).result.apply(lambda _: "192.168.1.99")
        ssh: SshArgs = {"host": [made, {"through": "vps"}], "host_key": host_key(2)}
        homelab: ServerArgs = {"address": "172.16.0.4", "ssh": ssh}
        tunnel = ReverseTunnel("home", {**ARGS, "servers": {"homelab": homelab}, "forwards": {}})
        return {"at": tunnel.public_address}

    claim = deploy(program).command("homelab-claim", "homelab")
    assert claim.inputs["connection"]["host"] == "192.168.1.99"


def test_wrong_arguments_are_refused_all_at_once_before_anything_is_registered() -> None:
    forwards: dict[str, ForwardArgs] = {"x": {"port": 1, "to": "nowhere"}}
    with pytest.raises(ArgumentsError) as error:
        made({**ARGS, "network": {"listen_port": 0}, "forwards": forwards})
    assert "network.listenPort" in str(error.value)
    assert "forwards.x.to" in str(error.value)


def test_an_unknown_argument_is_refused_by_name() -> None:
    with pytest.raises(ArgumentsError, match="listenPrt"):
        made({**ARGS, "network": {"listen_prt": 1}})  # type: ignore[arg-type] # a slip


LIMIT = {"concurrent": 9}


def nothing_in(args: type, **given: object) -> Any:  # noqa: ANN401 - arguments of that type
    """Arguments of which the optional ones that are not given are None."""
    return {**dict.fromkeys(args.__optional_keys__), **given}  # type: ignore[attr-defined]


def test_none_is_what_is_not_given_at_every_depth() -> None:
    """As `"public_key": keys.get(name)` says it."""
    ssh = {"host": "203.0.113.10", "host_key": host_key(1)}
    allow = {"from_": ["laptop"], "to": "homelab"}
    server, forward = {"address": "172.16.0.4"}, {"port": 80, "to": "homelab"}
    without: Any = {
        "vps": {"ssh": ssh, "firewall": "defaultDeny", "allow": {"x": allow}},
        "servers": {"homelab": server},
        "clients": {"laptop": {"address": "172.16.0.10"}},
        "forwards": {"http": forward, "slow": {"port": 81, "to": "homelab", "limit": LIMIT}},
        "ssh_private_key": SSH_KEY,
        "look_up": False,
    }
    vps = without["vps"] | {
        "ssh": nothing_in(SshArgs, **ssh),
        "allow": {"x": nothing_in(AllowArgs, **allow)},
    }
    limit = nothing_in(LimitArgs, **LIMIT)
    limited = nothing_in(ForwardArgs, port=81, to="homelab", limit=limit)
    with_none: Any = {
        **without,
        "network": nothing_in(NetworkArgs),
        "vps": nothing_in(VpsArgs, **vps),
        "servers": {"homelab": nothing_in(ServerArgs, **server)},
        "clients": {"laptop": nothing_in(ClientArgs, address="172.16.0.10")},
        "forwards": {"http": nothing_in(ForwardArgs, **forward), "slow": limited},
    }
    assert made(with_none).changes_since(made(without)) == set()
    sections = {"vps": {"ssh": ssh}, "ssh_private_key": SSH_KEY, "look_up": False}
    assert made(nothing_in(ReverseTunnelArgs, **sections)).command("vps-claim", "vps")


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"vps": None}, r"\n  vps: is missing"),
        ({"vps": {"ssh": {"host": None, "host_key": host_key(1)}}}, r"vps\.ssh\.host: is missing"),
        ({"servers": {"homelab": {"address": None}}}, r"servers\.homelab\.address: is missing"),
        ({"clients": {"laptop": None}}, r"clients\.laptop: nothing is not allowed"),
        ({"forwards": {"x": {"port": 80, "to": "homelab", "from_": [None]}}}, r"forwards\.x\.from"),
    ],
)
def test_none_for_what_must_be_given_is_told(args: dict[str, Any], says: str) -> None:
    with pytest.raises(ArgumentsError, match=says):
        made(cast("ReverseTunnelArgs", {**ARGS, **args}))


def from_a_resource() -> Recording:
    """A VPS that the same program makes hands over its address, its host key and the login."""

    def program() -> dict[str, pulumi.Output[Any]]:
        machine = RandomPassword("machine", length=8)
        known = {
            "address": machine.result.apply(lambda _: "203.0.113.99"),
            "key": machine.result.apply(lambda _: f"{host_key(5)} comment"),
        }
        vps: ReverseTunnelArgs = {
            **ARGS,
            "vps": {
                "endpoint": known["address"],
                "ssh": {
                    "host": known["address"],
                    "host_key": known["key"],
                    # As a number of another resource or stack comes from the engine.
                    "port": cast("pulumi.Output[int]", machine.result.apply(lambda _: 2222.0)),
                },
            },
            "ssh_private_key": machine.result.apply(lambda _: SSH_KEY),
            "look_up": True,
        }
        tunnel = ReverseTunnel("home", vps)
        return {"at": tunnel.public_address, "forwards": tunnel.forwards}

    return deploy(program, state=NOTHING_YET)


def test_a_vps_of_the_same_program_hands_over_its_address_and_host_key() -> None:
    made = from_a_resource()
    assert made.outputs["at"] == "203.0.113.99"
    assert made.outputs["forwards"]["http"] == "tcp 203.0.113.99:80 -> homelab 172.16.0.4:8080"
    claim = made.command("vps-claim", "vps")
    assert claim.inputs["connection"]["host"] == "203.0.113.99"
    assert claim.inputs["connection"]["port"] == 2222
    # Checked and put into its plain form inside `apply`.
    assert claim.inputs["connection"]["hostKey"] == host_key(5)
    assert claim.inputs["connection"]["privateKey"] == PEM_KEY


def test_a_late_value_that_is_wrong_ends_the_program_with_the_same_message() -> None:
    """Pulumi shows such an error without a traceback, and says nothing else."""

    def program() -> dict[str, pulumi.Output[Any]]:
        machine = RandomPassword("machine", length=8)
        key = machine.result.apply(lambda _: "ssh-ed25519 nonsense")
        vps: VpsArgs = {**ARGS["vps"], "ssh": {"host": "203.0.113.10", "host_key": key}}
        return {"at": ReverseTunnel("home", {**ARGS, "vps": vps}).public_address}

    with pytest.raises(pulumi.RunError, match=r"vps\.ssh\.hostKey"):
        deploy(program)


def test_a_late_number_that_is_not_whole_is_refused() -> None:
    def program() -> dict[str, pulumi.Output[Any]]:
        port = RandomPassword("machine", length=8).result.apply(lambda _: 22.5)
        late = cast("pulumi.Output[int]", port)
        ssh: SshArgs = {"host": "203.0.113.10", "host_key": host_key(1), "port": late}
        return {"at": ReverseTunnel("home", {**ARGS, "vps": {"ssh": ssh}}).public_address}

    with pytest.raises(pulumi.RunError, match=r"vps\.ssh\.port: 22\.5 is not allowed"):
        deploy(program)


def test_whatever_pulumi_waits_for_may_be_an_input() -> None:
    async def address() -> str:
        return "203.0.113.98"

    def program() -> dict[str, pulumi.Output[Any]]:
        ssh: SshArgs = {"host": address(), "host_key": host_key(1)}
        return {"at": ReverseTunnel("home", {**ARGS, "vps": {"ssh": ssh}}).public_address}

    made = deploy(program)
    assert made.outputs["at"] == "203.0.113.98"
    assert made.command("vps-claim", "vps").inputs["connection"]["host"] == "203.0.113.98"


@pytest.mark.parametrize(
    ("host", "says"),
    [
        ("2001:db8::10", r"\n  vps\.endpoint: is missing, and ssh\.host, 2001:db8::10, is"),
        ("172.16.0.9", r"\n  vps\.ssh\.host: \"172.16.0.9\" is inside the tunnel's network"),
    ],
)
def test_a_late_host_that_peers_can_not_dial_is_refused_as_a_plain_one(
    host: str, says: str
) -> None:
    def program() -> dict[str, pulumi.Output[Any]]:
        late = RandomPassword("machine", length=8).result.apply(lambda _: host)
        ssh: SshArgs = {"host": late, "host_key": host_key(1)}
        return {"at": ReverseTunnel("home", {**ARGS, "vps": {"ssh": ssh}}).public_address}

    with pytest.raises(pulumi.RunError, match=says):
        deploy(program)


def test_the_refusal_is_one_that_pulumi_prints_and_one_that_a_program_may_catch() -> None:
    assert issubclass(ArgumentsError, pulumi.RunError)
    assert issubclass(ArgumentsError, SettingsError)
