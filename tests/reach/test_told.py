"""A host's words, as they may be shown: plain text as it is, and nothing that steers a terminal."""

import pytest

from reach.told import UNREADABLE, few, is_plain, number, plain, printable

STEERING = [
    "\x1b[1A\x1b[2Kall is well",
    "\x1b]52;c;Y3VybCBldmlsfHNo\x07",
    "\x9b2J",
    "1\r2",
    "1\x08 2",
    "\x00",
    "\u202edlrow",
    "\u2028",
    "\ud800",
]


@pytest.mark.parametrize("line", ["", "a b", "\tGröße: 10 €", "日本 (Q&A), 100%", "{{%x%}} <{x}>"])
def test_plain_text_stays_as_it_is(line: str) -> None:
    assert printable(line) == line


@pytest.mark.parametrize("line", STEERING)
def test_what_steers_a_terminal_is_replaced(line: str) -> None:
    assert printable(line).isprintable()
    assert len(printable(line)) == len(line)


def test_what_pulumi_would_take_for_a_colour_is_broken_up() -> None:
    """Pulumi crashes where it does not know it, as by `<{%x%}>`."""
    assert printable("a <{%x%}> b <{<{%") == "a < {%x%}> b <{< {%"


def test_a_long_line_is_cut() -> None:
    assert printable("a" * 1000) == "a" * 1000
    assert printable("a" * 1001) == "a" * 999 + "…"
    assert printable("a" * 9, 8) == "a" * 7 + "…"


@pytest.mark.parametrize(
    "word", ["enp0s31f6", "eth0.100", "libc6:amd64", "systemd-resolve", "[fd00::1]:53", "a" * 255]
)
def test_a_name_or_an_address_is_plain(word: str) -> None:
    assert is_plain(word)
    assert plain(word) == word


@pytest.mark.parametrize(
    "word", [*STEERING, "a b", "a\n", "a;b", "$(a)", "a`", "a|b", "ä", "<{%x%}>", "a" * 256]
)
def test_what_is_no_name_is_unreadable(word: str) -> None:
    assert not is_plain(word)
    assert plain(word) == UNREADABLE


def test_no_name_at_all_stays_none() -> None:
    assert plain("") == ""
    assert not is_plain("")


def test_of_very_many_names_the_first_are_told() -> None:
    names = [f"n{number}" for number in range(1000)]
    assert few([]) == ""
    assert few(names[:2]) == "n0, n1"
    assert few(names[:50]).endswith("n48, n49")
    assert few(names[:51]).endswith("n48, n49 and 1 more")
    assert few(names).endswith("n48, n49 and 950 more")


@pytest.mark.parametrize("word", ["0", "7", "007", str(2**64 - 1)])
def test_a_number(word: str) -> None:
    assert number(word) == int(word)


@pytest.mark.parametrize(
    "word", ["", "-", "-1", "+1", "1_0", "1.5", " 1", "1\n", "٣", str(2**64), "9" * 400, "9" * 5000]
)
def test_what_is_no_number_of_a_hosts(word: str) -> None:
    with pytest.raises(ValueError, match="no number"):
        number(word)
