"""Hints: said where a choice was left open that may be wrong, and silent once it is made."""

import pytest

from settings import hints, hints_at_secrets
from tests.settings.samples import ABSENT, loaded

LAN = {
    "servers.homelab.networks": ["192.168.1.0/24"],
    "forwards.nas": {"port": 2222, "to": "192.168.1.30:22"},
}


def test_a_host_behind_a_server_must_answer_through_it_or_see_the_tunnel() -> None:
    """Nobody but that host knows its default route; a visitor who hears nothing can't tell why."""
    (hint,) = hints(loaded(LAN))

    assert hint.startswith("forwards.nas: 192.168.1.30 is behind homelab ")
    assert "sourceAddress: tunnel" in hint
    assert "sourceAddress: client" in hint
    assert hint.isprintable()


def test_a_choice_that_is_made_is_not_asked_for() -> None:
    for choice in ("client", "tunnel"):
        assert not list(hints(loaded({**LAN, "forwards.nas.sourceAddress": choice})))


def test_a_host_that_is_forgotten_is_told_of_with_what_comes_next() -> None:
    (hint,) = hints(loaded({"servers.homelab.forget": True}))
    assert hint.startswith("servers.homelab.forget: ")
    assert "take its entry out" in hint
    (hint,) = hints(loaded({"vps.forget": True}))
    assert hint.startswith("vps.forget: ")
    assert "pulumi destroy" in hint


def test_a_private_endpoint_is_asked_for_where_it_is_not_written() -> None:
    """As of somebody who reaches the VPS by another network of his own."""
    (hint,) = hints(loaded({"vps.endpoint": ABSENT, "vps.ssh.host": ["10.8.0.1", "203.0.113.10"]}))
    assert hint.startswith("vps.endpoint: is missing, so peers dial")
    assert "10.8.0.1" in hint
    assert hint.isprintable()


@pytest.mark.parametrize(
    "changes",
    [
        {"vps.endpoint": "10.8.0.1", "vps.ssh.host": "10.8.0.1"},
        {"vps.endpoint": ABSENT, "vps.ssh.host": ["203.0.113.10", "10.8.0.1"]},
        {"vps.endpoint": ABSENT, "vps.ssh.host": "vps.example.org"},
    ],
)
def test_an_endpoint_that_is_written_or_public_is_meant(changes: dict[str, object]) -> None:
    assert not list(hints(loaded(changes)))


def test_servers_answer_through_the_tunnel_by_themselves() -> None:
    assert not list(hints(loaded()))


def test_what_is_kept_as_a_secret_in_the_stack_file_alone_is_named() -> None:
    """Whoever sets an endpoint or a comment with --secret believes that nobody reads it."""
    assert not list(hints_at_secrets({"sshPrivateKey"}))
    (hint,) = hints_at_secrets({"vps", "sshPrivateKey", "forwards"})
    assert hint.startswith("forwards, vps: ")
    assert "only sshPrivateKey" in hint
    assert "in the state in clear" in hint
    assert hint.isprintable()
