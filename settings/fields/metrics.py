"""Metrics for Prometheus, by way of node_exporter on the VPS."""

import re
from typing import Annotated

from settings.fields.check import Check
from settings.problem import Rule

_PATTERN = r"(/[A-Za-z0-9_-][A-Za-z0-9._-]*)+/?"

FOLDER = Rule(
    "the absolute path of a folder, such as /var/lib/prometheus/node-exporter: letters, digits and "
    ". _ - between the slashes",
    "node_exporter reads it (--collector.textfile.directory), and one file is written there",
)


def check_folder(value: object) -> str:
    """Return the path of a folder on the VPS, without the slash that completion leaves behind."""
    if not isinstance(value, str):
        raise FOLDER.refuse(value)
    if not re.fullmatch(_PATTERN, value):
        raise FOLDER.refuse(value, "is not such a path")
    return value.removesuffix("/")


MetricsField = Annotated[
    str | None,
    Check(check_folder, FOLDER, {"type": "string", "pattern": f"^{_PATTERN}$"}),
]
