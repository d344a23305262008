"""What the documentation shows is right: examples load, links lead somewhere, no field is missing
in a table, defaults are those of the models, and what the page of troubles says has been tried."""

import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from operate.main import main
from settings import (
    Allow,
    Client,
    Forward,
    Limit,
    Network,
    Server,
    Settings,
    Ssh,
    Vps,
    forward_words,
    load,
)
from settings.model import Model
from tests.settings.samples import example, host_key
from tests.symptoms import SYMPTOMS

DOCS = Path(__file__).parents[2] / "docs" / "forwards.md"
README = Path(__file__).parents[2] / "README.md"
TEXT = DOCS.read_text(encoding="utf-8")

KINDS: dict[str, type[Model]] = {
    "forwards.NAME": Forward,
    "forwards.NAME.limit": Limit,
    "vps.allow.NAME": Allow,
}
WAYS: dict[str, type[Model]] = {"servers.NAME": Server, "clients.NAME": Client, "vps": Vps}


KINDS_BLOCK, IPV6_BLOCK = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
SHOWN = " ".join(TEXT.split())


def sections(block: str) -> dict[str, Any]:
    """What an example of the documentation says, by top-level key."""
    written = yaml.safe_load(block.replace("ssh-ed25519 AAAA...", host_key(2)))
    return {key.removeprefix("reverse-tunnel:"): value for key, value in written.items()}


def test_the_example_is_right_and_reads_as_shown() -> None:
    settings = load({**example(), "clients": {}, **sections(KINDS_BLOCK)}, agent=False)

    for name in ("https", "rooms", "nas"):
        words = forward_words(settings, name, "203.0.113.10")
        assert f" {name} {words} " in SHOWN


def test_the_example_of_ipv6_is_right_and_reads_as_shown() -> None:
    settings = load({**example(), **sections(IPV6_BLOCK)}, agent=False)

    assert f" https {forward_words(settings, 'https', 'vps.example.org')} " in SHOWN


@pytest.mark.parametrize("path", KINDS)
def test_every_field_of_a_forward_is_in_the_table(path: str) -> None:
    for name, field in KINDS[path].model_fields.items():
        place = f"`{path}.{field.alias or name}"
        assert place in TEXT, place


@pytest.mark.parametrize("path", WAYS)
def test_every_field_of_a_host_is_in_one_of_the_tables(path: str) -> None:
    both = TEXT + README.read_text(encoding="utf-8")
    for name, field in WAYS[path].model_fields.items():
        key = field.alias or name
        assert any(f"{start}.{key}" in both for start in (path, "*")), f"{path}.{key}"


MODELS: dict[str, type[Model]] = {
    **KINDS,
    **WAYS,
    "network": Network,
    "*.ssh": Ssh,
    "*": Server,  # what all hosts have
    "": Settings,
}


def defaults_told(text: str) -> Iterator[tuple[str, str]]:
    """The fields of the tables with a column of defaults, each with the text in that."""
    tables = re.findall(
        r"^\| (?:key|field) \| default \|.*\n\|-.*\n((?:\|.*\n)+)", text, re.MULTILINE
    )
    for row in "".join(tables).splitlines():
        named, default, *_ = (cell.strip() for cell in row.strip("|").split("|"))
        model = ""
        for path in re.findall(r"`(.*?)`", named):
            before, _, name = path.rpartition(".")
            model = before or model
            # Several fields, or rows that only lead to where each is told.
            if name != "*" and not (default == "" and "each field" in row):
                yield (f"{model}.{name}" if model else name), default


TOLD = [*defaults_told(README.read_text(encoding="utf-8")), *defaults_told(TEXT)]


def written(default: object) -> str:
    """A default as a stack file has it."""
    return str(default).lower() if isinstance(default, bool) else str(default)


@pytest.mark.parametrize(("path", "told"), TOLD, ids=[path for path, _ in TOLD])
def test_a_default_of_the_tables_is_that_of_the_model(path: str, told: str) -> None:
    before, _, name = path.rpartition(".")
    fields = {field.alias or key: field for key, field in MODELS[before].model_fields.items()}
    field = fields[name]
    default = None if field.is_required() else field.get_default(call_default_factory=True)
    assert (told == "required") <= field.is_required()
    # Of several fields each is named; and what is none, in words, is none of these.
    plain = told.replace("`", "")
    of_this = dict(re.findall(r"(\w+) ([\w.]+)", plain)).get(name, plain)
    if default is None or default in ((), {}):
        assert not re.fullmatch(r"\d+|true|false|client|tcp|own|install", of_this)
    else:
        assert of_this == written(default)


def test_the_tables_of_defaults_were_found() -> None:
    assert {"network.mtu", "*.ssh.port", "*.ssh.user", "lookUp", "forwards.NAME.enabled"} <= {
        path for path, _ in TOLD
    }


PAGES = [README, *sorted(DOCS.parent.rglob("*.md"))]


def prose(page: Path) -> str:
    """A page without its blocks of code."""
    text = page.read_text(encoding="utf-8")
    return re.sub(r"^```.*?^```$", "", text, flags=re.DOTALL | re.MULTILINE)


def anchors(page: Path) -> set[str]:
    """What a link can lead to on a page, as GitHub names its headings."""
    seen: Counter[str] = Counter()
    for heading in re.findall(r"^#+ (.*)$", prose(page), re.MULTILINE):
        words = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        seen[words] += 1
    return {f"{words}-{n}" if n else words for words, times in seen.items() for n in range(times)}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_every_link_leads_somewhere(page: Path) -> None:
    links = re.findall(r"\]\((?!\w+:)([^)\s]*)\)", prose(page))
    for link in links:
        place, _, anchor = link.partition("#")
        to = (page.parent / place).resolve() if place else page
        assert to.exists(), link
        assert not anchor or anchor in anchors(to), link


@pytest.mark.parametrize("command", main.commands)
def test_every_command_has_its_recipe(command: str) -> None:
    recipes = (DOCS.parent / "operations.md").read_text(encoding="utf-8")
    assert f"    reverse-tunnel {command} " in recipes, command


def test_every_symptom_is_provoked_by_a_test() -> None:
    """What a page says of a trouble that nobody has had is a guess."""
    tests = Path(__file__).parents[1]
    files = [*tests.glob("lab/test_*.py"), *tests.glob("host/test_*.py")]
    texts = [file.read_text(encoding="utf-8") for file in files]
    constants = dict(re.findall(r'^([A-Z_]+) = "(.*)"$', "\n".join(texts), re.MULTILINE))
    marked = re.findall(r'^@symptom\((?:"(.*)"|([A-Z_]+))\)$', "\n".join(texts), re.MULTILINE)
    provoked = {heading or constants[name] for heading, name in marked}
    assert SYMPTOMS.keys() - provoked == set()
