"""Commands on a host: the one place that builds connections and commands with their options.

A connection with a misspelt field would show its private key in clear at preview, and a command
without these options could print a secret; so nothing else in the project makes a
`remote.Command`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum
from typing import Any, TypeVar, cast

import pulumi
from pulumi_command import remote
from pydantic import SecretStr

from components.command_text import CommandTexts
from components.late import LateValue
from components.turns import Turns
from reach import Login, claimant
from settings import Late, Way, is_late

T = TypeVar("T")

DIAL_RETRIES = 3
"""Retries after the first attempt; the look-up has already said why a host can't be reached."""


class Fate(Enum):
    """What has become of the machine that a host's commands have run on."""

    LIVES = "lives"
    """It is there. Another one in its place gets everything made anew, and it is cleaned."""

    REPLACED = "replaced"
    """It is gone, and another one is in its place. There everything recorded runs once more; as a
    replacement it would wait for ever for the deletes on the one that is gone."""

    FORGOTTEN = "forgotten"
    """It is gone for good. What is recorded stays as it is, and its deletes are let go."""


# All that our commands are given.
_INPUTS = (
    *("connection", "create", "update", "delete", "stdin", "triggers"),
    *("logging", "addPreviousOutputInEnv"),
)


def connection(way: Way, private_key: Late[SecretStr] | None) -> remote.ConnectionArgs:
    """How the command plugin reaches a host by a way.

    Without a private key the plugin asks the SSH agent by itself. The agent's socket is not
    written down: its path differs in every session, and each would look like a change.
    """
    args = _fill(remote.ConnectionArgs(host=as_input(way.host)), way, private_key)
    if way.through is not None:
        jump = remote.ProxyConnectionArgs(host=as_input(way.through.host))
        args.proxy = _fill(jump, way.through, private_key)
    return args


def login_of(connection: Mapping[str, Any]) -> Login:
    """The login that a connection is, as the engine tells it of a command."""
    proxy = connection.get("proxy")
    return Login(
        host=connection["host"],
        port=int(connection["port"]),
        user=connection["user"],
        host_key=connection["hostKey"],
        private_key=connection.get("privateKey"),
        through=None if proxy is None else login_of(proxy),
    )


_Args = TypeVar("_Args", remote.ConnectionArgs, remote.ProxyConnectionArgs)


def _fill(args: _Args, way: Way, private_key: Late[SecretStr] | None) -> _Args:
    args.port = as_input(way.port)
    args.user = as_input(way.user)
    args.host_key = as_input(way.host_key)
    args.dial_error_limit = DIAL_RETRIES
    if private_key is not None:
        key = pulumi.Output.from_input(as_input(private_key))
        args.private_key = pulumi.Output.secret(key.apply(SecretStr.get_secret_value))
    return args


def as_input(value: Late[T]) -> pulumi.Input[T]:
    """The same value, for Pulumi.

    Raises:
        TypeError: it is late, but not an Output, so Pulumi could not wait for it.
    """
    if isinstance(value, LateValue):
        return value.output
    if is_late(value) and not isinstance(value, pulumi.Output):
        raise TypeError(f"a value that is known later must be a pulumi.Output, not {type(value)}")
    return cast("pulumi.Input[T]", value)


def as_text(lines: Iterable[str]) -> str:
    """Lines, for a command's standard input."""
    return "".join(f"{line}\n" for line in lines)


@dataclass(frozen=True)
class Remote:
    """A host with a tunnel, as commands reach it.

    Attributes:
        texts: the commands' texts.
        connection: how it is reached.
        identity: what makes it that tunnel on that machine; if it changes, everything there is
            made anew.
        turns: of its commands.
        fate: what has become of that machine.
        settled: whether this very machine is known to be that host already. Then a replacement of
            what it has is one that the user has asked for (`--replace`), and the old goes first:
            deleted afterwards, as where another machine takes its place, it would take away what
            has been made instead.
    """

    texts: CommandTexts
    connection: remote.ConnectionArgs
    identity: tuple[pulumi.Input[str], ...]
    turns: Turns = field(default_factory=Turns)
    fate: Fate = Fate.LIVES
    settled: bool = False

    @classmethod
    def of(
        cls,
        interface: str,
        way: Way,
        private_key: Late[SecretStr] | None,
        fate: Fate = Fate.LIVES,
        *,
        settled: bool = False,
    ) -> "Remote":
        """The tunnel `interface` on the host that a way leads to."""
        return cls(
            CommandTexts(interface),
            connection(way, private_key),
            (as_input(way.host_key), interface),
            fate=fate,
            settled=settled,
        )

    def as_tenant(
        self, name: str, tenancy: pulumi.Output[str], text: Callable[[Sequence[str]], str]
    ) -> pulumi.Output[str]:
        """A text that names the tenant: the claimant, this host as `name`; and its tenancy."""
        both = pulumi.Output.all(self.identity[0], tenancy)
        return both.apply(lambda known: text((claimant(name, known[0]), known[1])))

    def command(  # noqa: PLR0913 - the parts of a command, each of which has its own meaning
        self,
        name: str,
        *,
        parent: pulumi.Resource,
        create: pulumi.Input[str],
        update: pulumi.Input[str] | None = None,
        drift: str | None = None,
        delete: pulumi.Input[str] | None = None,
        stdin: pulumi.Input[str] | None = None,
        secret: bool = False,
        depends_on: Sequence[remote.Command] = (),
        deleted_with: pulumi.Resource | None = None,
        part_of: pulumi.Resource | None = None,
        hooks: pulumi.ResourceHookBinding | None = None,
        urgent: bool = False,
    ) -> remote.Command:
        """Registers a command on this host.

        Args:
            name: of the resource.
            parent: the component it belongs to.
            create: the text that is run first.
            update: the text for every later change; None: the plugin runs `create`, which all our
                verbs allow, and it need not stand in the state a second time.
            drift: what is wrong with it on the host, in words of ours, for it is part of a text;
                the command then runs again, and `preview --diff` shows why. It replaces `update`.
            delete: the text that undoes it, run from recorded state; None: nothing to undo.
            stdin: what it is about; secrets only here.
            secret: whether one is there. Then its output, too, which should hold none, is kept as
                one: for each forward that would be two more that the engine encrypts at each step.
            depends_on: the commands that must be through first; not the components that they
                belong to, which are known at once and would be waited for with a turn taken.
            deleted_with: the resource whose own delete undoes this one, too.
            part_of: the one whose replacement takes this one along.
            hooks: what else is done when it runs.
            urgent: whether it comes before others that wait for their turn on this host.
        """
        if drift:
            # First, because a diff shows the beginning of a long text. With the time, since the
            # same drift a second time must differ from what was recorded.
            seen = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
            update = pulumi.Output.concat(f"# drift, seen {seen}: {drift}\n", create)
        after = [each.urn for each in depends_on]
        after += [each for each in (create, stdin) if isinstance(each, pulumi.Output)]
        command = remote.Command(
            name,
            connection=self.connection,
            create=create,
            update=update,
            delete=delete,
            stdin=stdin,
            triggers=list(self.identity),
            # A failing command's output is printed whatever is said here; the helper prints none.
            logging=remote.Logging.NONE,
            # Off: sshd refuses it, with a warning each time. It is the input that waits for its
            # turn because it is no secret, and known in every preview.
            add_previous_output_in_env=self.turns.wait(
                False,  # noqa: FBT003
                after=after,
                urgent=urgent,
            ),
            opts=pulumi.ResourceOptions(
                parent=parent,
                ignore_changes=self._ignored(update),
                depends_on=list(depends_on),
                deleted_with=deleted_with,
                # Not the claim: what is deleted with it would be deleted one by one before.
                delete_before_replace=(self.settled and deleted_with is not None) or None,
                replace_with=[part_of] if part_of else None,
                additional_secret_outputs=["stdout", "stderr"] if secret else None,
                retain_on_delete=self.fate is Fate.FORGOTTEN or None,
                transformations=[_in_place] if self.fate is Fate.REPLACED else None,
                hooks=hooks,
            ),
        )
        self.turns.end_with(command)
        return command

    def _ignored(self, update: pulumi.Input[str] | None) -> list[str]:
        if self.fate is Fate.FORGOTTEN:
            return list(_INPUTS)
        # What was recorded when something had drifted stays, and is no change.
        return [] if update else ["update"]


def _in_place(
    resource: pulumi.ResourceTransformationArgs,
) -> pulumi.ResourceTransformationResult:
    """Takes out that other triggers replace a command, which its class says of each."""
    resource.opts.replace_on_changes = None
    return pulumi.ResourceTransformationResult(resource.props, resource.opts)
