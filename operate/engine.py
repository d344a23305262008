"""The Pulumi engine, asked for what it keeps: configuration and outputs, secrets included.

Secrets come on its standard output, which nobody else sees; none is ever given to it.
"""

import json
import subprocess
from collections.abc import Sequence
from typing import Any

from operate.failure import CommandError
from operate.progress import waiting


def ask_for_json(what: str, words: Sequence[str], stack: str | None) -> Any:  # noqa: ANN401 - any
    """What `pulumi WORDS --json` prints, decoded.

    Args:
        what: is asked for, in words for whoever waits.
        words: the command, such as `["stack", "output"]`.
        stack: its stack; None for the selected one.

    Raises:
        CommandError: there is no engine, or it refuses.
    """
    return json.loads(ask(what, [*words, "--json"], stack))


def ask(what: str, words: Sequence[str], stack: str | None) -> str:
    """What `pulumi WORDS` prints; the arguments are the same.

    Raises:
        CommandError: there is no engine, or it refuses.
    """
    chosen = [] if stack is None else ["--stack", stack]
    command = ["pulumi", *words, *chosen, "--non-interactive"]
    try:
        with waiting(f"asking pulumi for {what} of {stack or 'the selected stack'}"):
            done = subprocess.run(command, capture_output=True, encoding="utf-8", check=False)
    except FileNotFoundError:
        raise CommandError(
            "there is no `pulumi` on PATH. Install it, or use the one of this project:"
            ' eval "$(lab/engine/ensure --quiet)"'
        ) from None
    if done.returncode != 0:
        said = done.stderr.strip().removeprefix("error: ")
        raise CommandError(f"`{' '.join(command)}` failed: {said}")
    return done.stdout
