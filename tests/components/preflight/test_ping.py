"""Who is told that a server has no ping, and who is not."""

from dataclasses import replace

import pytest

from components.preflight.host_facts import parse_facts
from components.preflight.ping import warn_of_no_ping
from settings import Packages
from tests.components.preflight.test_advice import SERVER, VPS
from tests.components.sshd import facts_text

ASKS = replace(SERVER, asks=True)


def test_a_server_that_cannot_ask_the_vps_is_warned_of() -> None:
    (warning,) = warn_of_no_ping(parse_facts(facts_text(ping="no")), ASKS)
    assert "(iputils-ping)" in warning
    (warning,) = warn_of_no_ping(parse_facts(facts_text(ping="no", apt="no")), ASKS)
    assert "(mostly iputils)" in warning


@pytest.mark.parametrize("changes", [{"apt": "no"}, {}])
def test_so_is_one_where_others_install_what_is_missing(changes: dict[str, str]) -> None:
    manual = replace(ASKS, packages=Packages.MANUAL)
    facts = parse_facts(facts_text(ping="no", missing="conntrack", **changes))
    assert [*warn_of_no_ping(facts, manual)]


def test_nothing_is_said_where_it_is_or_comes_along_or_nobody_asks() -> None:
    lacks = facts_text(ping="no")
    assert not [*warn_of_no_ping(parse_facts(facts_text()), ASKS)]
    assert not [*warn_of_no_ping(parse_facts(facts_text(ping="no", missing="conntrack")), ASKS)]
    for silent in (VPS, SERVER):
        assert not [*warn_of_no_ping(parse_facts(lacks), silent)]
