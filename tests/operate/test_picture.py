"""The picture of a stack: nothing overlaps or is cut off, and nothing of a user's is mark-up."""

from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
import yaml

from operate.drawing import Drawing, shortened, text_width
from operate.layout import draw
from operate.stack import Stack
from tests.operate.project import Project, run
from tests.settings.samples import SSH_KEY, loaded

CHECKOUT = Path(__file__).parents[2]
SVG = "{http://www.w3.org/2000/svg}"
LONG = "the blog of the whole family, with pictures; ask Kim before you change anything here"


def forwards(number: int) -> Mapping[str, object]:
    """So many forwards of all kinds, with the longest words that there may be."""
    made: dict[str, object] = {}
    for n in range(number):
        forward: dict[str, object] = {"port": 2000 + n, "to": "attic" if n % 3 else "homelab:8080"}
        if n % 2:
            forward |= {"protocol": "tcp+udp", "comment": LONG if n % 4 == 1 else "博客" * 30}
        if n % 5 == 2:
            forward |= {
                "from": [f"198.51.100.{host}/32" for host in range(9)],
                "limit": {"newPerSecond": 10_000, "concurrent": 65_535},
            }
        if n % 7 == 3:
            forward |= {"to": "192.168.100.130:22022", "sourceAddress": "tunnel", "enabled": False}
        made[f"forward-with-a-name-{n}"] = forward
    return made


def drawing(number: int, changes: Mapping[str, object] | None = None) -> Drawing:
    behind = {"servers.homelab.networks": ["192.168.100.0/24"]}
    return draw(loaded({"forwards": forwards(number), **behind, **(changes or {})}))


DENY = {
    "vps.firewall": "defaultDeny",
    "vps.allow": {
        "mount": {"from": ["laptop", "phone"], "to": "homelab", "protocol": "tcp", "port": 445},
        "ssh": {"from": ["laptop"], "to": "vps", "protocol": "tcp", "port": 22},
    },
}


@pytest.mark.parametrize("changes", [{}, DENY])
@pytest.mark.parametrize("number", [0, 1, 2, 40])
def test_no_label_meets_another_or_leaves_the_picture(
    number: int, changes: Mapping[str, object]
) -> None:
    drawn = drawing(number, changes)
    width, height = drawn.size
    for label in drawn.labels:
        left, upper, right, lower = label.box
        assert 0 <= left < right <= width, label
        assert 0 <= upper < lower <= height, label
    for one, other in combinations(drawn.labels, 2):
        assert not overlap(one.box, other.box), (one, other)


@pytest.mark.parametrize("number", [1, 40])
def test_no_line_runs_through_a_label(number: int) -> None:
    drawn = drawing(number, DENY)
    for line in drawn.lines:
        (x1, y1), (x2, _) = line.start, line.end
        assert x1 < x2
        for label in drawn.labels:
            assert not overlap((x1, y1 - 1, x2, y1 + 1), label.box), (line, label)


@pytest.mark.parametrize("number", [1, 40])
def test_a_label_lies_in_a_box_or_outside_of_it(number: int) -> None:
    drawn = drawing(number)
    for box in drawn.boxes:
        edges = (box.x, box.y, box.x + box.width, box.y + box.height)
        for label in drawn.labels:
            left, upper, right, lower = label.box
            within = left > edges[0] and upper > edges[1] and right < edges[2] and lower < edges[3]
            assert within or not overlap(edges, label.box), (box, label)


def overlap(
    one: tuple[float, float, float, float], other: tuple[float, float, float, float]
) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


def parsed(svg: str) -> ET.Element:
    return ET.fromstring(svg)  # noqa: S314 - our own


def texts(svg: str) -> list[str]:
    return [str(element.text) for element in parsed(svg).iter(f"{SVG}text")]


def test_it_says_who_comes_in_where_and_what_that_leads_to() -> None:
    changes = {
        "forwards.http.from": ["198.51.100.0/24"],
        "forwards.http.comment": "the blog",
        "forwards.https.enabled": False,
        "forwards.game.limit": {"newPerSecond": 10},
        "servers.homelab.networks": ["192.168.1.0/24"],
        "clients.phone.egress": "tunnel",
    }
    said = texts(draw(loaded(changes)).svg())
    for words in (
        "vps.example.org",
        "WireGuard 51820/udp",
        "198.51.100.0/24",
        "http",
        "tcp 80",
        ":8080",
        "the blog",
        "tcp 443 (paused)",
        "udp 27000-27037",
        "everybody, at most 10 new connections a second each",
        "homelab 172.16.0.4",
        "server, before 192.168.1.0/24",
        "server, set up by its owner",
        "client device, goes out as the VPS",
        "Inside the tunnel: all peers reach each other, and the VPS.",
    ):
        assert words in said


def test_addresses_of_ipv6_are_shown_where_there_are_any() -> None:
    said = " ".join(texts(draw(loaded({"network.ipv6": "fd5c:91e2:7a3b::/64"})).svg()))
    assert "172.16.0.1 fd5c:91e2:7a3b::1 WireGuard" in said
    assert "homelab 172.16.0.4 fd5c:91e2:7a3b::4, server" in said


def test_it_says_who_may_reach_what_behind_a_firewall() -> None:
    said = texts(draw(loaded(DENY)).svg())
    assert "firewall: the rest is denied" in said
    assert "firewall: the rest is denied" not in texts(draw(loaded()).svg())
    assert "Inside the tunnel, peers reach nothing but:" in said
    assert "laptop, phone \N{RIGHTWARDS ARROW} homelab tcp 445" in said
    nothing = texts(draw(loaded({"vps.firewall": "defaultDeny"})).svg())
    assert "Inside the tunnel: peers reach neither each other nor the VPS." in nothing


def test_a_users_words_are_no_mark_up() -> None:
    comment = """</text><script>alert("&'")</script>"""
    svg = draw(loaded({"forwards.http.comment": comment})).svg()
    assert "<script" not in svg
    (shown,) = (text for text in texts(svg) if "alert" in text)
    assert comment.startswith(shown[:-1])


def test_a_long_comment_is_shortened_and_whole_under_the_pointer() -> None:
    svg = draw(loaded({"forwards.http.comment": LONG})).svg()
    tips = [str(tip.text) for tip in parsed(svg).findall(f".//{SVG}text/{SVG}title")]
    assert tips == [LONG]
    assert any(text.endswith("\N{HORIZONTAL ELLIPSIS}") for text in texts(svg))


def test_wide_letters_take_two_columns_and_marks_none() -> None:
    assert text_width("博客", 10) == text_width("blog", 10) == text_width("blo\u0301g", 10) == 24
    assert shortened("博客博客", 5) == "博客\N{HORIZONTAL ELLIPSIS}"
    assert shortened("blog", 4) == "blog"


def test_the_command_draws_the_stack_file_without_its_secret(project: Project) -> None:
    done = run("picture", "--stack", "home")
    assert done.exit_code == 0
    assert "homelab 172.16.0.4" in texts(done.stdout)
    assert SSH_KEY.splitlines()[1] not in done.stdout
    assert project.calls == []
    assert run("picture", "--stack", "home", "--output", "stack.svg").exit_code == 0
    assert Path("stack.svg").read_text() == done.stdout
    assert run("picture", "--stack", "home", "--output", "nowhere/stack.svg").exit_code == 1


def test_the_picture_in_the_readme_is_that_of_the_example(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawn anew by: reverse-tunnel picture --stack example --output docs/example.svg"""
    monkeypatch.chdir(CHECKOUT)
    drawn = draw(Stack("example").settings_without_key()).svg()
    assert (CHECKOUT / "docs/example.svg").read_text() == drawn
    assert "(docs/example.svg)" in (CHECKOUT / "README.md").read_text()
    assert yaml.safe_load((CHECKOUT / "stacks/Pulumi.example.yaml").read_text())
