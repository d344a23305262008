"""A stack file, or the project's, read as the engine reads it."""

import re
from pathlib import Path
from typing import Any

import yaml

from operate.failure import CommandError

_TAG = "tag:yaml.org,2002:"


class _Loader(yaml.SafeLoader):
    """YAML 1.1 but for what Go's reader takes for text: `no`, `on`, `12:30`, a date."""

    yaml_implicit_resolvers = {  # noqa: RUF012 - as its base class has it
        first: [(tag, plain) for tag, plain in resolvers if tag[len(_TAG) :] in {"null", "merge"}]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }

    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:  # noqa: ANN401 - as its base class has it
        # Here, since later what `<<` brings is among them; that may be there twice.
        node: yaml.MappingNode = super().compose_mapping_node(anchor)
        lines: dict[str, int] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            line = key.start_mark.line + 1
            if key.value in lines:
                says = f"line {line}: {key.value} is there already, line {lines[key.value]}"
                raise ValueError(f"{says}: keep one of them, with what both have")
            lines[key.value] = line
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:  # noqa: ANN401, FBT001, FBT002 - as its base class has it
        # All of it at once, so that what contains itself is refused, as Go's reader does.
        del deep
        return super().construct_object(node, deep=True)


for _kind, _plain, _first in (
    ("bool", r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (
        "int",
        r"[-+]?(?!0[box]_*$)(0b[01_]+|0x[0-9a-fA-F_]+|0o?[0-7_]+|0|[1-9][0-9_]*)",
        "-+0123456789",
    ),
    (
        "float",
        r"[-+]?([0-9][0-9_]*(\.[0-9_]*)?|\.[0-9]+)([eE][-+]?[0-9]+)?",  # also 08, which is no octal
        "-+0123456789.",
    ),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(f"^({_plain})$"), list(_first))


def read_file(path: Path) -> Any:  # noqa: ANN401 - whatever it is
    """What the file holds.

    Raises:
        FileNotFoundError: there is none.
        CommandError: it can't be read.
    """
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)  # noqa: S506 - a safe one
        return _as_handed_on(content)
    except FileNotFoundError:
        raise
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        raise CommandError(f"{path} can't be read: {error}") from None


def _as_handed_on(value: Any) -> Any:  # noqa: ANN401 - whatever it is
    """The same as the engine hands it on: a key `true` is a text, and `1e3` as whole as 1000."""
    match value:
        case dict():
            return {
                # Other keys that are no texts are no names, as they are or as texts.
                str(key).lower() if isinstance(key, bool) else key: _as_handed_on(each)
                for key, each in value.items()
            }
        case list():
            return [_as_handed_on(each) for each in value]
        case float() if value.is_integer():
            return int(value)
        case _:
            return value
