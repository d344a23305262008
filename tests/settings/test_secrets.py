"""No message shows a secret, wherever in the file it was pasted."""

import itertools

import pytest

from settings import SettingsError, load
from tests.settings.samples import (
    LOCKED_SSH_KEY,
    PEM_KEY,
    SSH_KEY,
    changed,
    errors,
    example,
    loaded,
)

PLACES = (
    "sshPrivateKey",
    "sshKey",
    "network",
    "network.cidr",
    "network.privateKey",
    "vps.endpoint",
    "vps.ssh",
    "vps.ssh.privateKey",
    "vps.ssh.hostKey",
    "vps.ssh.user",
    "servers.homelab",
    "servers.homelab.address",
    "clients.phone.publicKey",
    "clients.phone.privateKey",
    "forwards.http.to",
    "forwards.http.port",
    "lookUp",
)


def bodies(key: str) -> list[str]:
    """Return the lines of a key that nobody may see."""
    return [line for line in key.splitlines() if line and not line.startswith("-----")]


@pytest.mark.parametrize(
    ("place", "key"), list(itertools.product(PLACES, (SSH_KEY, PEM_KEY, LOCKED_SSH_KEY)))
)
def test_a_private_key_is_not_shown_wherever_it_is(place: str, key: str) -> None:
    spoilt = key.replace(bodies(key)[-1], "x" + bodies(key)[-1])
    text = "\n".join(errors({place: spoilt}))

    assert text
    assert not [body for body in bodies(key) if body[:16] in text]


@pytest.mark.parametrize("section", ["network", "servers", "clients", "forwards"])
def test_a_private_key_is_not_shown_where_a_name_should_be(section: str) -> None:
    text = "\n".join(errors({section: {SSH_KEY: {"address": "172.16.0.9"}}}))

    assert text
    assert not [body for body in bodies(SSH_KEY) if body[:16] in text]


def test_a_private_key_is_not_shown_by_its_settings_either() -> None:
    settings = loaded()

    assert not [body for body in bodies(SSH_KEY) if body in f"{settings!r} {settings}"]
    assert settings.ssh_private_key is not None


def test_a_mistake_elsewhere_does_not_show_the_key() -> None:
    with pytest.raises(SettingsError) as error:
        loaded({"network.mtu": 1})

    assert error.value.__cause__ is None
    assert bodies(SSH_KEY)[0] not in str(error.value)
    assert changed({})["sshPrivateKey"] == SSH_KEY


@pytest.mark.parametrize(
    "place",
    [
        "clients.phone.presharedKey",
        "clients.phone.address",
        "servers.homelab.forget",
        "network.cidr",
        "network.privateKey",
        "vps.endpoint",
        "vps.ssh.hostKey",
        "forwards.http.to",
        "lookUp",
    ],
)
@pytest.mark.parametrize("line", ["{}", "PresharedKey = {}"])
def test_a_key_of_wireguards_is_not_shown_wherever_it_is(place: str, line: str) -> None:
    """Its own files and other tools have it where a switch is here."""
    key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="
    text = "\n".join(errors({place: line.format(key)}))
    assert place in text
    assert key[:8] not in text
    assert key[:8] not in "\n".join(errors({"servers": {key: {}}}))


def test_a_wireguard_private_key_that_lost_a_character_is_shown_by_its_start_alone() -> None:
    """It has the form of a public key, and may have been pasted as one."""
    key = "yAnz5TF+lXXJte14tji3zlMNq+hd2rYUIgJBgB3fBmk="[:-1]
    (line,) = errors({"clients.phone.publicKey": key})

    assert '"yAnz..." (43 characters)' in line
    assert key[4:] not in line


def test_a_key_that_is_in_the_stack_file_in_clear_is_refused() -> None:
    """People commit that file; the state's history would hold the key, too."""
    load(example(), agent=False, in_clear={"network"})
    with pytest.raises(
        SettingsError, match=r"sshPrivateKey: is in the stack file in clear"
    ) as said:
        load(example(), agent=False, in_clear={"sshPrivateKey"})
    assert "pulumi config set --secret sshPrivateKey" in str(said.value)
    assert SSH_KEY.splitlines()[1] not in str(said.value)
