"""Forwards by the hundred, in the file of a lab's stack."""

from collections.abc import Mapping

import yaml

from lab.lab import Lab
from lab.stack import stack_file


def set_forwards(lab: Lab, forwards: Mapping[str, object]) -> None:
    """Let the lab's stack have these forwards, as its file has them, from the next `up` on."""
    file = stack_file(lab)
    stack = yaml.safe_load(file.read_text())
    stack["config"]["reverse-tunnel:forwards"] = dict(forwards)
    file.write_text(yaml.safe_dump(stack))
