"""Facts: the valid part of what was written, for checks that compare one field with another.

A stack file with one wrong port still has twenty right ones, and a user wants to hear of all
mistakes at once. So a model is read field by field; fields that are wrong become problems, and
those that are right become facts, whether or not the model as a whole can be built.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias, get_args, get_origin

from pydantic.fields import FieldInfo

from settings.fields.check import Check
from settings.late import is_late
from settings.model import Model
from settings.near import perhaps
from settings.problem import Path, Problem, RefusedError, Rule, shown

Facts: TypeAlias = dict[str, Any]
"""Valid fields by their name in the model; models inside are facts, too. An entry whose value is
not yet known is there with its late value; a field that is wrong or missing is not there."""

Report: TypeAlias = Callable[[Problem], None]

EMPTY = Rule("a value, or no such line", "an empty line may be a forgotten one")


def entries(facts: Facts, *kinds: str) -> Iterator[tuple[Path, Facts]]:
    """Yield the path and the facts of each named entry of these kinds, such as `servers`."""
    for kind in kinds:
        for name, entry in facts.get(kind, {}).items():
            yield (kind, name), entry


def tunnel_ends(facts: Facts) -> Iterator[tuple[Path, Facts]]:
    """Yield each host of the tunnel, the VPS first."""
    yield ("vps",), facts.get("vps", {})
    yield from entries(facts, "servers", "clients")


def reached_by_ssh(facts: Facts) -> Iterator[tuple[Path, Facts]]:
    """Yield the `ssh` of the VPS and of each server that has one."""
    for path, host in ((("vps",), facts.get("vps", {})), *entries(facts, "servers")):
        if ssh := host.get("ssh"):
            yield (*path, "ssh"), ssh


def facts_of(model: Model) -> Facts:
    """Return all fields of a model that is already built, and so is valid."""
    return {name: _plain(getattr(model, name)) for name in type(model).model_fields}


def _plain(value: object) -> object:
    if isinstance(value, Model):
        return facts_of(value)
    if isinstance(value, dict):
        return {name: _plain(entry) for name, entry in value.items()}
    return value


def read(model: type[Model], written: object, path: Path, report: Report) -> Facts:
    """Return the valid fields of what was written for `model`; report the others."""
    keys = {field.alias or name: name for name, field in model.model_fields.items()}
    if not isinstance(written, Mapping):
        report(Problem(path, _mapping_rule(keys).refuse(written)))
        return {}
    for key in written:
        if key not in keys:
            report(Problem((*path, key), _unknown(key, list(keys), path)))
    facts: Facts = {}
    for key, name in keys.items():
        field = model.model_fields[name]
        for fact in _read_field(field, written, key, path, report):
            facts[name] = fact
    return facts


def _mapping_rule(keys: Mapping[str, str]) -> Rule:
    return Rule(f"a mapping of {', '.join(keys)}", "each of them is a setting of its own")


def _unknown(key: object, known: list[str], path: Path) -> RefusedError:
    rule = Rule(", ".join(known), "a misspelt setting would silently be left out")
    if not path and isinstance(key, str) and re.fullmatch(rf"({'|'.join(known)})[.\[].+", key):
        name = shown(key).strip('"')
        return rule.refuse_hidden(
            f"{shown(key)} is not a setting (use `pulumi config set --path '{name}' ...`, after "
            f"`pulumi config rm '{name}'`)"
        )
    return rule.refuse_hidden(f"{shown(key)} is not a setting{perhaps(key, known)}")


def _read_field(
    field: FieldInfo, written: Mapping[Any, Any], key: str, path: Path, report: Report
) -> Iterator[Any]:
    """Yield the field's value if it is valid; else nothing."""
    here = (*path, key)
    if key not in written:
        if field.is_required():
            report(Problem(here, _missing(field)))
        else:
            yield _plain(field.get_default(call_default_factory=True))
        return
    value = written[key]
    if value is None:
        report(Problem(here, _missing(field) if field.is_required() else EMPTY.refuse(value)))
        return
    if check := _check_of(field.metadata):
        if check.late and is_late(value):
            yield value  # checked by the model, inside `apply`
            return
        try:
            yield check.check(value)
        except RefusedError as refused:
            report(Problem(here, refused))
    elif entries := _entries_of(field):
        yield _read_entries(*entries, value, here, report)
    else:
        yield read(_model_of(field), value, here, report)


def _missing(field: FieldInfo) -> RefusedError:
    if check := _check_of(field.metadata):
        return check.rule.refuse_hidden("is missing")
    model = _model_of(field)
    rule = _mapping_rule({f.alias or name: name for name, f in model.model_fields.items()})
    needs = " and ".join(_needed(model))
    return rule.refuse_hidden(
        f"is missing; it takes at least {needs}, as in stacks/Pulumi.example.yaml"
    )


def _needed(model: type[Model]) -> Iterator[str]:
    """Yield the dotted names of what a model can't be without."""
    for name, field in model.model_fields.items():
        if field.is_required():
            key = field.alias or name
            if _check_of(field.metadata):
                yield key
            else:
                yield from (f"{key}.{inner}" for inner in _needed(_model_of(field)))


def _read_entries(
    name_check: Check, model: type[Model], written: object, path: Path, report: Report
) -> dict[str, Facts]:
    """Return the facts of each named entry; also of those with a refused name or field."""
    if not isinstance(written, Mapping):
        rule = Rule("a mapping of names to entries", "each entry is known by its name")
        report(Problem(path, rule.refuse(written)))
        return {}
    entries: dict[str, Facts] = {}
    for name, entry in written.items():
        try:
            name_check.check(name)
        except RefusedError as refused:
            report(Problem((*path, name), refused))
        facts = read(model, entry, (*path, name), report)
        if isinstance(name, str):
            entries[name] = facts
    return entries


def _check_of(metadata: Iterator[Any] | tuple[Any, ...] | list[Any]) -> Check | None:
    return next((item for item in metadata if isinstance(item, Check)), None)


def _entries_of(field: FieldInfo) -> tuple[Check, type[Model]] | None:
    if get_origin(field.annotation) is not dict:
        return None
    name, model = get_args(field.annotation)
    check = _check_of(name.__metadata__)
    return (check, model) if check else None


def _model_of(field: FieldInfo) -> type[Model]:
    kinds = (field.annotation, *get_args(field.annotation))
    return next(kind for kind in kinds if isinstance(kind, type) and issubclass(kind, Model))
