"""How a host is reached, and with which credentials."""

from dataclasses import replace

import pulumi
import pytest
from pulumi_command import remote
from pydantic import SecretStr

from components.remote import as_input, connection
from settings import Way
from tests.components.recording import deploy
from tests.settings.samples import host_key

WAY = Way("203.0.113.10", 22, "root", host_key(1))


def test_a_connection_without_a_key_leaves_the_agent_to_the_plugin() -> None:
    """Its socket has another path in every session; written down, each would be a change."""
    args = connection(WAY, None)
    assert args.private_key is None
    assert args.agent_socket_path is None


def test_a_connections_key_is_secret() -> None:
    def program() -> dict[str, pulumi.Output[str]]:
        plain = connection(WAY, SecretStr("the key"))
        late = connection(WAY, pulumi.Output.from_input("the key").apply(SecretStr))
        keys = {"plain": plain.private_key, "late": late.private_key}
        return {name: pulumi.Output.from_input(key or "") for name, key in keys.items()}

    made = deploy(program)
    assert made.outputs == {"plain": "the key", "late": "the key"}
    assert made.secret_outputs == {"plain", "late"}


@pytest.mark.parametrize("key", [None, SecretStr("the key")])
def test_a_way_through_another_host_has_that_one_as_its_proxy(key: SecretStr | None) -> None:
    """With a host key of its own: the plugin takes any where none is given."""
    through = replace(WAY, port=2222, user="admin")
    way = Way("172.16.0.4", 22, "hex", host_key(2), through)
    ends: dict[str, remote.ConnectionArgs | remote.ProxyConnectionArgs] = {}

    def program() -> dict[str, pulumi.Output[str]]:
        args = connection(way, key)
        assert isinstance(args.proxy, remote.ProxyConnectionArgs)
        ends.update(far=args, near=args.proxy)
        return {name: pulumi.Output.from_input(end.private_key or "") for name, end in ends.items()}

    made = deploy(program)
    assert made.outputs == dict.fromkeys(("far", "near"), "the key" if key else "")
    assert made.secret_outputs == ({"far", "near"} if key else set())
    for name, wanted in {"far": way, "near": through}.items():
        end = ends[name]
        found = (end.host, end.port, end.user, end.host_key)
        assert found == (wanted.host, wanted.port, wanted.user, wanted.host_key)


def test_a_late_value_that_pulumi_cannot_wait_for_is_refused() -> None:
    class Promise:
        def apply(self, func: object) -> object:
            return func

    with pytest.raises(TypeError, match="must be a pulumi"):
        as_input(Promise())
