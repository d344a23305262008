"""All mistakes of a file are listed at once; one never hides another, nor invents one."""

import json
import sys
from types import FrameType
from typing import Any

import pytest

from settings import SettingsError, load
from tests.settings.samples import ABSENT, errors, example, host_key, loaded


def test_mistakes_in_every_section_come_in_one_message() -> None:
    """Mending a file must not take one `pulumi preview` for each mistake."""
    lines = errors(
        {
            "network": {"mtu": 1, "listenport": 3},
            "vps.ssh.hostKey": ABSENT,
            "servers.attic.address": "172.16.0.4",
            "clients.laptop": None,
            "forwards.http": {"port": 443, "to": "homelb"},
            "forwards.https.port": 70000,
            "forwards.ssh": {"port": 22, "to": "homelab"},
            "sshPrivateKey": ABSENT,
            "ports": 1,
        }
    )

    assert [line.split(": ")[0] for line in lines] == [
        "ports",
        "network.listenport",
        "network.mtu",
        "vps.ssh.hostKey",
        "clients.laptop",
        "forwards.https.port",
        "servers.attic.address",
        "forwards.ssh.port",
        "forwards.http.to",
        "sshPrivateKey",
    ]


def test_a_wrong_field_does_not_hide_a_conflict_of_its_neighbour() -> None:
    lines = errors({"forwards.http": {"port": 443, "to": 5}})

    assert [line.split(". ")[0] for line in lines] == [
        "forwards.http.to: 5 is not allowed",
        "forwards.https.port: 443 (tcp) is taken by forwards.http",
    ]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"network.cidr": "8.8.8.0/24"}, "network.cidr"),
        ({"servers.homelab.address": "nowhere"}, "servers.homelab.address"),
        ({"servers.homelab.ssh": 5}, "servers.homelab.ssh"),
        ({"vps.ssh": []}, "vps.ssh"),
        ({"vps": "vps"}, "vps"),
        ({"forwards": 7}, "forwards"),
    ],
)
def test_a_wrong_field_does_not_make_others_wrong(change: dict[str, object], path: str) -> None:
    """Forwards to a server with a wrong address are right, and so on: only causes are listed."""
    (line,) = errors(change)

    assert line.startswith(f"{path}: ")


def test_a_wrong_port_is_not_replaced_by_its_default_in_comparisons() -> None:
    lines = errors(
        {
            "network.listenPort": 0,
            "forwards.wg": {"protocol": "udp", "port": 51820, "to": "homelab"},
        }
    )

    assert [line.split(": ")[0] for line in lines] == ["network.listenPort"]


def test_two_conflicts_of_one_field_are_both_listed() -> None:
    lines = errors(
        {
            "forwards.wide": {"port": "20-85", "to": "attic"},
        }
    )

    assert [line.split(". ")[0] for line in lines] == [
        'forwards.wide.port: "20-85" includes 22, the VPS\'s own SSH port (vps.ssh.port)',
        "forwards.http.port: 80 (tcp) overlaps 20-85 of forwards.wide",
    ]


def test_the_values_may_be_the_json_texts_that_pulumi_hands_over() -> None:
    texts = {
        key: value if key == "sshPrivateKey" else json.dumps(value)
        for key, value in example().items()
    }

    assert load({**texts, "lookUp": "false"}, agent=False) == loaded({"lookUp": False})


@pytest.mark.parametrize("text", ["{", "[" * 100_000, "1" * 5000, "NaN", '"{}"', "null"])
def test_a_text_that_is_no_mapping_is_refused_like_any_value(text: str) -> None:
    """Python's JSON reader has errors of its own for too deep and too long a text."""
    (line,) = errors({"forwards": text})

    assert line.startswith("forwards: ")


def test_none_at_the_top_is_not_given() -> None:
    """So reads an empty key of a stack file, and so a program passes what it does not have."""
    assert load({**example(), "network": None, "forwards": None}, agent=False) == loaded(
        {"network": ABSENT, "forwards": ABSENT}
    )


def test_the_head_counts_and_every_problem_is_there_as_a_value() -> None:
    with pytest.raises(SettingsError) as two:
        loaded({"network.mtu": 1, "network.keepalive": -1})
    with pytest.raises(SettingsError) as one:
        loaded({"network.mtu": 1})

    assert str(two.value).startswith("The settings have 2 errors:\n")
    assert str(one.value).startswith("The settings have an error:\n")
    assert [problem.path for problem in two.value.problems] == [
        ("network", "mtu"),
        ("network", "keepalive"),
    ]


def test_strange_keys_are_shown_on_one_line() -> None:
    lines = errors({"forwards": {"a.b": {}, "c\nd": {}, 5: {}, "\ud800": {}, None: {}}})

    heads = [line.split(": ")[0] for line in lines if "is not a name" in line]
    assert heads == [
        r'forwards."a.b"',
        r'forwards."c\nd"',
        "forwards.5",
        r'forwards."\ud800"',
        "forwards.nothing",
    ]


def test_names_that_are_none_are_not_offered() -> None:
    """What is no name may be anything: not printable, or a key in the wrong place."""
    lines = errors({"servers": {"a\x1fb": {"address": "172.16.0.9"}}})

    assert lines[0].startswith(r'servers."a\u001fb": "a\u001fb" is not a name')
    assert all(line.isprintable() for line in lines)
    assert "Allowed: one of the servers: none yet" in lines[-1]


def test_ten_times_as_many_forwards_are_not_compared_each_with_each() -> None:
    """By the lines of Python that run: a hundred times as many would be fifty million pairs."""

    def lines(count: int) -> int:
        ports = range(10_000, 10_000 + count)
        forwards = {f"f{port}": {"port": port, "to": "homelab"} for port in ports}
        run = 0

        def trace(_frame: FrameType, event: str, _arg: object) -> Any:  # noqa: ANN401 - itself
            nonlocal run
            run += event == "line"
            return trace

        before = sys.gettrace()
        sys.settrace(trace)
        try:
            assert len(loaded({"forwards": forwards}).forwards) == count
        finally:
            sys.settrace(before)
        return run

    assert lines(1000) < 15 * lines(100)


def test_the_host_keys_of_two_machines_differ_only_in_themselves() -> None:
    """The comment behind a key is not part of it: the same key twice is the same machine."""
    (line,) = errors({"servers.attic.ssh.hostKey": f"{host_key(1)} another comment"})

    assert "is the key of vps" in line
