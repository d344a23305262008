"""The SDK's own messages for `pulumi up --debug`, which cost more than they tell."""

from importlib import import_module
from typing import Any

import pulumi

# Where it says four things of each resource. Their attribute `log` is the module `pulumi.log`.
_TALKATIVE = ("pulumi.runtime.resource", "pulumi.runtime.rpc_manager")


class _WithoutDebug:
    """`pulumi.log` as these modules see it."""

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - whatever the module has
        return getattr(pulumi.log, name)

    def debug(self, *_args: object, **_options: object) -> None:
        """Says nothing."""


def leave_out_sdk_messages() -> None:
    """Lets the SDK register resources without a word, from now on; may be called again.

    At the beginning of a program, of whose resources all register so. Each message is a call to the
    engine that the program waits for, whether `--debug` is given or not, and which the engine
    writes into its own log: with hundreds of forwards an eighth of a preview. What a program itself
    says by `pulumi.log.debug` is said as ever, and errors are raised whole.
    """
    for name in _TALKATIVE:
        setattr(import_module(name), "log", _WithoutDebug())  # noqa: B010 - not ours, and untyped
