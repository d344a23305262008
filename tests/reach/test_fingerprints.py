"""Which texts are compared by their fingerprints, and what of them."""

import pytest

from reach.entries.fingerprints import fingerprint_of, unlike
from reach.entries.host_report import HostReport
from reach.entries.part import Part
from tests.settings.samples import loaded
from tests.settings.test_late import promise

TOLD = HostReport(1, "reverse-tunnel/home", "server", fingerprints={("interface", ""): "0" * 16})


@pytest.mark.parametrize(
    ("endpoint", "found"),
    [("vps.example.org", {(Part.INTERFACE, "")}), (promise("vps.example.org"), set())],
)
def test_of_a_text_that_is_known_only_later_nothing_is_known(
    endpoint: object, found: set[tuple[Part, str]]
) -> None:
    settings = loaded({"vps.endpoint": endpoint})
    assert unlike(settings, "homelab", TOLD).keys() == found


def test_what_the_stack_file_has_no_more_has_no_other_words() -> None:
    told = HostReport(
        1, None, "vps", fingerprints={("forward", "old"): "0" * 16, ("hat", "x"): "0" * 16}
    )
    assert unlike(loaded(), "vps", told) == {}


def test_keys_and_owner_are_no_part_of_what_is_compared() -> None:
    lines = ["owner a/b", "role server", "peer-public-key x", "public-key", "mtu 1420"]
    assert fingerprint_of(lines) == fingerprint_of(["role server", "mtu 1420"])
    assert fingerprint_of(lines) != fingerprint_of(["role server", "mtu 1421"])
