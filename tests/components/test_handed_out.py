"""Who has a file is told of, before new keys make it worthless."""

from collections.abc import Mapping
from typing import Any

import pytest

from tests.components.inspected import LAPTOP, drifting, heard, run, stack
from tests.components.sshd import Sshd

HEAD = "WARNING: New keys: "
ABOUT_LAPTOP = "\n  laptop: `reverse-tunnel client laptop`"
ABOUT_CABIN = (
    "\n  cabin: `reverse-tunnel server cabin`, by another way than the tunnel, which leads there no"
    " more by then"
)


def warned(values: Mapping[str, object], *, preview: bool = True, was_up: bool = True) -> list[str]:
    made = run(values, preview=preview, was_up=was_up)
    return [line for line in heard(made, "WARNING") if "file" in line]


def raised(values: Mapping[str, Any], key: str, *below: str) -> dict[str, Any]:
    """The same with a `keyGeneration` below these keys."""
    entry = values.get(key, {})
    return {**values, key: raised(entry, *below) if below else {**entry, "keyGeneration": 2}}


@pytest.mark.parametrize(
    ("place", "told"),
    [
        (("clients", "laptop"), ABOUT_LAPTOP),
        (("servers", "cabin"), ABOUT_CABIN),
        (("vps",), ABOUT_LAPTOP + ABOUT_CABIN),
        (("network",), ABOUT_LAPTOP + ABOUT_CABIN),
    ],
)
def test_a_preview_names_those_whose_file_is_about_to_change(
    sshd: Sshd, place: tuple[str, ...], told: str
) -> None:
    (warning,) = warned(raised(drifting(sshd), *place))
    assert warning.startswith(HEAD)
    assert warning.endswith(f":{told}")


def test_it_does_not_where_keys_stay(sshd: Sshd) -> None:
    assert not warned(drifting(sshd))


def test_what_the_vps_does_not_know_yet_has_had_no_file(sshd: Sshd) -> None:
    """The phone is new."""
    phone = {"phone": {"address": "172.16.0.11"}}
    (warning,) = warned(
        {**raised(drifting(sshd), "network"), "clients": {**phone, "laptop": LAPTOP}}
    )
    assert warning.endswith(f":{ABOUT_LAPTOP}{ABOUT_CABIN}")


def test_a_first_up_makes_nothing_worthless(sshd: Sshd) -> None:
    values = {**stack(sshd), "clients": {"laptop": LAPTOP}}
    assert not warned(values, was_up=False)


def test_a_stack_whose_state_was_lost_makes_all_keys_anew(sshd: Sshd) -> None:
    """The VPS still knows them by the ones of before."""
    (warning,) = warned(drifting(sshd), was_up=False)
    assert warning.endswith(f":{ABOUT_LAPTOP}{ABOUT_CABIN}")


def test_an_up_does_not_say_it_again(sshd: Sshd) -> None:
    assert not warned(raised(drifting(sshd), "network"), preview=False)
