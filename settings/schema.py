"""The JSON Schema of a stack file, by which editors complete and check it.

`python -m settings.schema` writes it to `stacks/schema.json`. It knows less than `settings.load`,
which compares fields with each other, and refuses no field that `load` takes.
"""

import ast
import inspect
import json
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

from settings.model import Model
from settings.namespace import PROJECT
from settings.stack import Settings

FILE = Path(__file__).parent.parent / "stacks" / "schema.json"

_NOTHING = {"type": "null"}
_SAID = ("description", "default")
_SWITCH_TEXTS = {"enum": ["true", "false"]}  # `pulumi config set` writes a top-level switch so


def schema() -> dict[str, Any]:
    """Return the schema of a file `stacks/Pulumi.<stack>.yaml`."""
    described = Settings.model_json_schema()
    for model in Model.__subclasses__():
        _describe(described if model is Settings else described["$defs"][model.__name__], model)
    settings = _tidied(described)
    keys = settings["properties"]
    keys["lookUp"] = {
        "description": keys["lookUp"].pop("description"),
        "default": keys["lookUp"].pop("default"),
        "anyOf": [keys["lookUp"], _SWITCH_TEXTS],
    }
    for key in keys.keys() - {*settings["required"]}:
        keys[key] = _or_nothing(keys[key])
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": f"A stack of {PROJECT}",
        "type": "object",
        # Pulumi has keys of its own beside `config`, and other projects' keys may stand in it.
        "properties": {
            "config": {
                "type": "object",
                "properties": {f"{PROJECT}:{key}": field for key, field in keys.items()},
                "patternProperties": {f"^{PROJECT}:(?!({'|'.join(keys)})$)": False},
                "required": [f"{PROJECT}:{key}" for key in settings["required"]],
            }
        },
        "$defs": settings["$defs"],
    }


def text() -> str:
    """Return the schema as it stands in `stacks/schema.json`."""
    return json.dumps(schema(), indent=2, ensure_ascii=False) + "\n"


def _describe(node: dict[str, Any], model: type[Model]) -> None:
    """Gives the properties of a model's schema the docstrings of its fields."""
    # pydantic would do it (`use_attribute_docstrings`), but by reading the sources of all models
    # whenever they are imported, which was a quarter of what a run's imports took.
    (definition,) = ast.parse(inspect.getsource(model)).body
    for field, below in pairwise(definition.body):  # type: ignore[attr-defined] # it is a class
        match field, below:
            case ast.AnnAssign(target=ast.Name(name)), ast.Expr(ast.Constant(str(docstring))):
                key = model.model_fields[name].alias
                described = {**node["properties"][key], "description": docstring}
                node["properties"][key] = dict(sorted(described.items()))


def _or_nothing(field: dict[str, Any]) -> dict[str, Any]:
    """Also takes what is left of a top-level key whose entries are all commented out."""
    if "type" in field:
        return {**field, "type": [field["type"], _NOTHING["type"]]}
    said: dict[str, Any] = {key: field[key] for key in _SAID if key in field}
    what = {key: value for key, value in field.items() if key not in said}
    return {**said, "anyOf": [*what.get("anyOf", [what]), _NOTHING]}


def _tidied(node: Any) -> Any:  # noqa: ANN401 - any part of a JSON document
    """Return pydantic's schema without what only repeats the key, and strict about names.

    The titles it derives from the field names are no words of ours, null means "none" and is not
    allowed in a file, and a named entry that matches no pattern is an error.
    """
    if isinstance(node, list):
        return [_tidied(item) for item in node]
    if not isinstance(node, dict):
        return node
    tidied = {
        key: _tidied(value)
        for key, value in node.items()
        if value is not None and not (key == "title" and isinstance(value, str))
    }
    match tidied:
        case {"anyOf": [dict(only), each]} if each == _NOTHING:
            del tidied["anyOf"]
            tidied |= only
    if "patternProperties" in tidied:
        tidied["additionalProperties"] = False
    if isinstance(description := tidied.get("description"), str):
        tidied["description"] = " ".join(description.split())
    return tidied


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")
    sys.stdout.write(f"{FILE}\n")
