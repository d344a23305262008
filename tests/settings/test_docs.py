"""What the documentation shows is right: examples load, no field is missing in a table, and what
the page of troubles says has been tried."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from operate.main import main
from settings import Allow, Client, Forward, Limit, Server, Vps, forward_words, load
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
