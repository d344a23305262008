"""`Check`: how a field of a model is checked, and how its JSON Schema reads."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler, ValidationInfo
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from settings.late import is_late
from settings.problem import Problem, RefusedError, Rule, SettingsError


@dataclass(frozen=True, slots=True)
class Check:
    """Annotates a field: `Annotated[str, Check(check_name, NAME, {"type": "string"})]`.

    `check` is a plain function from whatever was written to the field's value; it raises
    `RefusedError`. It takes its own results, too, so that a program may pass them in. `rule` says
    what is allowed when the field is missing. `late` fields may be known later.
    """

    check: Callable[[Any], Any]
    rule: Rule
    schema: Mapping[str, Any]
    late: bool = False

    def __get_pydantic_core_schema__(
        self, _source: object, _handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        return core_schema.with_info_plain_validator_function(self._validate)

    def __get_pydantic_json_schema__(
        self, _schema: CoreSchema, _handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)

    def _validate(self, value: object, info: ValidationInfo) -> object:
        if self.late and is_late(value):
            return value.apply(named(to_camel(info.field_name or "value"), self.check))
        return self.check(value)


def named(field: str, check: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """Return the check for use inside `apply`, where nobody is left to add the field's name."""

    def checked(value: object) -> object:
        try:
            return check(value)
        except RefusedError as refused:
            raise SettingsError([Problem((field,), refused)]) from None

    return checked
