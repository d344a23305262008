"""Who is told that a faster WireGuard is to be had, and who is not."""

import pytest

from components.preflight.host_facts import parse_facts
from components.preflight.userspace import hint_at_userspace
from tests.components.sshd import facts_text


@pytest.mark.parametrize("version", ["0.0.20220316", "0.0.20230222"])
def test_a_slow_userspace_wireguard_is_told_with_its_version(version: str) -> None:
    (hint,) = hint_at_userspace(parse_facts(facts_text(wireguard_go=version)))
    assert f"runs wireguard-go {version}" in hint
    assert "docs/operations.md" in hint


def test_one_that_is_about_to_be_installed_is_told_before() -> None:
    facts = parse_facts(facts_text(wireguard_go="0.0.20220316", missing="wireguard-go"))
    (hint,) = hint_at_userspace(facts)
    assert "will run wireguard-go 0.0.20220316" in hint


@pytest.mark.parametrize("version", ["", "0.0.20230223", "0.0.20250522", "1.0", "...", "0.0.x"])
def test_nothing_is_said_of_the_kernels_of_a_fast_one_or_of_one_that_does_not_tell(
    version: str,
) -> None:
    assert not [*hint_at_userspace(parse_facts(facts_text(wireguard_go=version)))]
