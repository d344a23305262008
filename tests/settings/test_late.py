"""Values of other resources are checked when they are known, by the same checks."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from pydantic import SecretStr
from pydantic.alias_generators import to_snake

from settings import Settings, SettingsError, is_late
from tests.settings.samples import ABSENT, PEM_KEY, SSH_KEY, errors, host_key, loaded, public_key


class Unknown(Exception):  # noqa: N818 - it stands for a value
    """The value is not known yet, as in `pulumi preview`."""


@dataclass(frozen=True)
class Promise:
    """A late value, like an Output: what is applied to it happens when it is asked for."""

    get: Callable[[], Any]

    def apply(self, func: Callable[[Any], Any], /) -> "Promise":
        return Promise(lambda: func(self.get()))


def promise(value: object) -> Promise:
    """Return a promise of that value."""
    return Promise(lambda: value)


def never() -> Promise:
    """Return a promise that is not kept; asking for it would fail the test."""

    def get() -> object:
        raise Unknown

    return Promise(get)


def field(settings: Settings, path: str) -> Any:  # noqa: ANN401 - fields are of many kinds
    """Return the field at that dotted path."""
    place: Any = settings
    for key in path.split("."):
        if key == "host":
            (place,) = place.host
        else:
            place = place[key] if isinstance(place, dict) else getattr(place, to_snake(key))
    return place


LATE = {
    "vps.endpoint": "vps.example.org",
    "vps.ssh.host": "203.0.113.10",
    "vps.ssh.port": 2222,
    "vps.ssh.user": "root",
    "vps.ssh.hostKey": host_key(9),
    "servers.homelab.ssh.host": "192.168.1.20",
    "servers.cabin.publicKey": public_key(9),
    "clients.laptop.publicKey": public_key(9),
    "sshPrivateKey": SSH_KEY,
}
PLAIN = (
    "network.cidr",
    "network.listenPort",
    "network.interface",
    "vps.address",
    "vps.publicInterface",
    "vps.firewall",
    "servers.homelab.address",
    "servers.homelab.networks",
    "servers.homelab.egress",
    "servers.homelab.mtu",
    "clients.laptop.address",
    "forwards.http.port",
    "forwards.http.to",
    "forwards.http.protocol",
    "forwards.http.enabled",
    "forwards.http.from",
    "forwards.http.limit",
    "forwards.http.limit.concurrent",
    "forwards.http.sourceAddress",
    "forwards.http.comment",
    "lookUp",
)


@pytest.mark.parametrize("path", LATE)
def test_a_late_value_is_checked_once_it_is_known(path: str) -> None:
    loaded({path: never()})
    good = field(loaded({path: promise(LATE[path])}), path)
    bad = field(loaded({path: promise("; reboot")}), path)

    assert good.get() == field(loaded({path: LATE[path]}), path)
    with pytest.raises(SettingsError, match=rf"^.*\n  {path.rpartition('.')[2]}: .* Allowed: "):
        bad.get()


@pytest.mark.parametrize("path", PLAIN)
def test_what_decides_which_resources_exist_is_plain(path: str) -> None:
    (line,) = errors({path: never()})

    assert line.startswith(f"{path}: a value that is known only later is not allowed here: ")


def test_nor_may_entries_of_a_plain_list_be_late() -> None:
    for path in ("forwards.http.from", "servers.homelab.networks"):
        (line,) = errors({path: ["10.0.0.0/8", never()]})

        assert line.startswith(f"{path}: a value that is known only later is not allowed here: ")


def test_a_late_value_is_checked_only_once() -> None:
    """Each `apply` that fails would report the same mistake again."""
    calls = []

    class Counted:
        def apply(self, func: Callable[[Any], Any], /) -> "Counted":
            calls.append(func)
            return self

    loaded({"vps.ssh.hostKey": Counted()})

    assert len(calls) == 1

    settings = loaded({"vps.endpoint": Counted()})

    assert settings.endpoint is settings.endpoint
    assert len(calls) == 3, "by itself, and once beside the rest"


def test_a_late_host_of_several_is_checked_once_it_is_known() -> None:
    hosts = ["192.168.1.20", promise("homelab.example.org"), promise("; reboot"), never()]
    _, good, bad, _ = loaded({"servers.homelab.ssh.host": hosts}).managed_servers["homelab"].host

    assert isinstance(good, Promise)
    assert isinstance(bad, Promise)

    assert good.get() == "homelab.example.org"
    with pytest.raises(SettingsError, match=r"\n  host: .* Allowed: "):
        bad.get()


def test_comparisons_leave_late_values_alone() -> None:
    """Nobody knows yet whether 22 is the VPS's SSH port; of the default it is known."""
    forward = {"forwards.ssh": {"port": 22, "to": "homelab"}}

    loaded({**forward, "vps.ssh.port": never()})
    assert errors(forward)


def test_a_late_private_key_becomes_a_secret() -> None:
    key = loaded({"sshPrivateKey": promise(SSH_KEY)}).ssh_private_key

    assert is_late(key)
    assert isinstance(key, Promise)
    assert key.get() == SecretStr(PEM_KEY)


def test_the_endpoint_is_that_of_ssh_unless_it_is_given() -> None:
    late = {"vps.ssh.host": promise("203.0.113.10")}
    endpoint = loaded({**late, "vps.endpoint": ABSENT}).endpoint

    assert loaded(late).endpoint == "vps.example.org"
    assert isinstance(endpoint, Promise)
    assert endpoint.get() == "203.0.113.10"


INSIDE = "is inside the tunnel's network 172.16.0.0/24"
IS_MISSING = "vps.endpoint: is missing, and ssh.host,"
UNFIT: dict[str, tuple[dict[str, object], str, list[str]]] = {
    "of its own, inside": (
        {},
        "vps.endpoint",
        ["172.16.0.1", f'vps.endpoint: "172.16.0.1" {INSIDE}'],
    ),
    "of its own, in a LAN": (
        {"servers.homelab.networks": ["10.0.0.0/8"]},
        "vps.endpoint",
        ["10.1.2.3", 'servers.homelab.networks: "10.0.0.0/8" holds 10.1.2.3'],
    ),
    "of ssh, IPv6": (
        {"vps.endpoint": ABSENT},
        "vps.ssh.host",
        ["2001:db8::10", f"{IS_MISSING} 2001:db8::10, is an IPv6 address"],
    ),
    "of ssh, loopback": (
        {"vps.endpoint": ABSENT},
        "vps.ssh.host",
        ["127.0.0.1", f"{IS_MISSING} 127.0.0.1, cannot be dialled"],
    ),
    "of ssh, inside": (
        {"vps.endpoint": ABSENT},
        "vps.ssh.host",
        ["172.16.0.9", f'vps.ssh.host: "172.16.0.9" {INSIDE}'],
    ),
}


@pytest.mark.parametrize("case", UNFIT)
def test_a_late_endpoint_is_compared_with_the_rest_as_a_plain_one_is(case: str) -> None:
    beside, path, (value, says) = UNFIT[case]
    (line,) = errors({**beside, path: value})
    endpoint = loaded({**beside, path: promise(value)}).endpoint

    assert line.startswith(says)
    assert isinstance(endpoint, Promise)
    with pytest.raises(SettingsError) as refused:
        endpoint.get()
    assert str(refused.value) == f"The settings have an error:\n  {line}"


def test_beside_an_endpoint_a_late_host_may_be_one_that_peers_can_not_dial() -> None:
    settings = loaded({"vps.ssh.host": promise("2001:db8::10")})

    assert field(settings, "vps.ssh.host").get() == "2001:db8::10"
    assert settings.endpoint == "vps.example.org"


def test_settings_cannot_be_changed() -> None:
    settings = loaded()

    with pytest.raises(ValueError, match="frozen"):
        settings.network.mtu = 1280  # type: ignore[misc]
