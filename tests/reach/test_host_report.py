"""The lines of a host's `status`, read; what is cut short or garbled is refused without a word."""

import re

import pytest

from reach.entries.host_report import parse_report

TEXT = """\
helper 1
owner reverse-tunnel/home
role vps
unit enabled
interface up userspace 0.0.20250522
peer homelab 192.0.2.2:51820 990 100 200
peer laptop - 0 0 0
chain RT-wg0-FWD ok
chain RT-wg0-DNAT unhung
forward https ok 2 10 1000 20 2000
opening nas differs
text interface - 0123456789abcdef
text forward https 123456789abcdef0
target 172.16.0.4 8081 answers
target 172.16.0.4 8082 untested
weather fine
end 1000
"""


def test_a_whole_report() -> None:
    report = parse_report(TEXT)
    assert (report.helper, report.owner, report.role) == (1, "reverse-tunnel/home", "vps")
    assert (report.enabled, report.wireguard) == (True, "userspace")
    assert report.wireguard_go == "0.0.20250522"
    assert report.peers["homelab"].endpoint == "192.0.2.2:51820"
    assert report.peers["homelab"].handshake == 10
    assert (report.peers["homelab"].received, report.peers["homelab"].sent) == (100, 200)
    assert (report.peers["laptop"].endpoint, report.peers["laptop"].handshake) == (None, None)
    assert report.chains == {"RT-wg0-DNAT": "unhung"}
    assert report.forwards["https"].connections == 2
    assert report.forwards["https"].answered_bytes == 2000
    assert report.openings == {"nas": "differs"}
    assert report.targets == {
        ("172.16.0.4", 8081): "answers",
        ("172.16.0.4", 8082): "not tested",
    }
    assert report.shares is None  # an older helper's
    assert report.fingerprints == {
        ("interface", ""): "0123456789abcdef",
        ("forward", "https"): "123456789abcdef0",
    }


@pytest.mark.parametrize("names", [[], ["laptop"], ["homelab", "laptop"]])
def test_whom_a_vps_has_preshared_keys_of(names: list[str]) -> None:
    text = TEXT.replace("unit", " ".join(["shares", *names]) + "\nunit")
    assert parse_report(text).shares == frozenset(names)


def test_connections_that_were_not_counted_are_unknown() -> None:
    text = TEXT.replace("forward https ok 2 10 1000 20 2000", "forward https ok - - - - -")
    found = parse_report(text).forwards["https"]
    assert (found.rules, found.connections, found.sent_bytes) == ("ok", None, None)


def test_one_whose_tunnel_is_down_and_one_that_is_not_set_up() -> None:
    down = parse_report("helper 1\nowner a/b\nrole vps\nunit enabled\ninterface down -\nend 1\n")
    assert (down.role, down.wireguard) == ("vps", None)
    assert down.fingerprints == {}  # an older helper's
    fresh = parse_report("helper 1\nowner -\nend 1\n")
    assert (fresh.role, fresh.owner, fresh.wireguard) == (None, None, None)


@pytest.mark.parametrize("line", ["interface up userspace", "interface up userspace -"])
def test_a_program_that_does_not_tell_its_version_and_an_older_helper(line: str) -> None:
    report = parse_report(TEXT.replace("interface up userspace 0.0.20250522", line))
    assert (report.wireguard, report.wireguard_go) == ("userspace", None)


def test_a_handshake_of_the_future_is_new() -> None:
    assert parse_report(TEXT.replace(" 990 ", " 1990 ")).peers["homelab"].handshake == 0


def test_as_much_as_a_host_can_count() -> None:
    report = parse_report(TEXT.replace("100 200", f"{2**64 - 1} 200"))
    assert report.peers["homelab"].received == 2**64 - 1


@pytest.mark.parametrize("number", ["9" * 400, str(2**64), "-1"])
@pytest.mark.parametrize("line", ["100 200", "ok 2 10", "20 2000", "end 1000", "8081 answers"])
def test_a_number_that_no_host_counts_to_is_refused(line: str, number: str) -> None:
    """Nobody could put it in words."""
    garbled = line.replace(re.findall(r"\d+", line)[0], number, 1)
    with pytest.raises(ValueError, match=r"^a line is garbled$"):
        parse_report(TEXT.replace(line, garbled))


@pytest.mark.parametrize(
    "text",
    [
        "",
        TEXT.replace("end 1000\n", ""),
        TEXT.replace("end 1000", "end soon"),
        TEXT.replace("helper 1\n", ""),
        TEXT.replace(" ok 2 ", " ok two "),
        TEXT.replace(" 10 1000", " 1000"),
        TEXT.replace("fine", "\x1b[2J"),
        TEXT.replace("fine", "<{%x%}>"),
        TEXT.replace("fine", "a" * 256),
        TEXT.replace("homelab", ""),
        TEXT.replace(" - 0123456789abcdef", ""),
        "Permission denied\n",
    ],
)
def test_whatever_else_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(ValueError, match=r"^(it was cut short|a line is garbled)$"):
        parse_report(text)
