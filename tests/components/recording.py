"""Runs a program against mocks that record what it registers, as the engine would be told.

Mocks know no diff and no provider: what an update does, and in which order, the lab's tests show.
An assertion inside `apply` would pass even when it is false; so a test gets its values from here,
after the program has ended, and asserts on them then.
"""

import asyncio
import contextvars
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pulumi
from pulumi.runtime import mocks, rpc
from pulumi.runtime.proto import resource_pb2
from pulumi.runtime.settings import SETTINGS
from pulumi.runtime.stack import run_pulumi_func

SEED = "a seed of sixty-four letters, as the random provider makes them."
TENANCY = "0123456789abcdef"


@dataclass(frozen=True)
class Registration:
    """One resource as the engine is told of it.

    Secrets in `inputs` are unwrapped; `hooks` are those before an update.
    """

    type: str
    name: str
    parent: str
    inputs: Mapping[str, Any]
    secrets: frozenset[str]
    deleted_with: str
    depends_on: frozenset[str]
    secret_outputs: frozenset[str]
    retained: bool
    ignores: frozenset[str]
    replaced_by: frozenset[str]
    replaced_with: frozenset[str]
    deleted_first: bool
    hooks: tuple[str, ...]
    own_urn: str

    @property
    def end(self) -> str:
        """The end of its URN. Parts of one name differ in their type, their commands may not."""
        return f"{self.type}::{self.name}"


@dataclass
class Recording:
    """What a program registered and returned; `during_command` is called while one is made."""

    during_command: Callable[[str], None] = lambda _: None
    registrations: list[Registration] = field(default_factory=list)
    component_outputs: dict[str, dict[str, Any]] = field(default_factory=dict)
    outputs: dict[str, Any] = field(default_factory=dict)
    secret_outputs: set[str] = field(default_factory=set)
    unknown_outputs: set[str] = field(default_factory=set)
    log: list[str] = field(default_factory=list)

    def as_state(self) -> dict[str, Any]:
        """What the engine tells of it in a later run."""
        return {
            each.own_urn: {
                "type": each.type,
                "outputs": self.component_outputs.get(each.own_urn, each.inputs),
            }
            for each in self.registrations
        }

    def of_type(self, token: str) -> dict[str, Registration]:
        return {each.name: each for each in self.registrations if each.type == token}

    def command(self, name: str, parent: str) -> Registration:
        (found,) = [
            each
            for each in self.registrations
            if (each.type, each.name) == (COMMAND, name) and each.parent.endswith(f"::{parent}")
        ]
        return found

    def changes_since(self, before: "Recording") -> set[str]:
        """The ends of what is new, gone or different; the order of registration is chance."""
        new, old = self._by_urn(), before._by_urn()
        return {
            urn.rpartition("|")[2]
            for urn in new.keys() | old.keys()
            if new.get(urn) != old.get(urn)
        }

    def _by_urn(self) -> dict[str, Registration]:
        return {f"{each.parent}|{each.end}": each for each in self.registrations}

    @property
    def commands(self) -> list[Registration]:
        return [each for each in self.registrations if each.type == COMMAND]


COMMAND = "command:remote:Command"
READ_STATE = "pulumi:pulumi:readStackResourceOutputs"


class _Provider(mocks.Mocks):
    def __init__(self, state: Mapping[str, Any] | None, *, preview: bool, was_up: bool) -> None:
        self._state = state
        self._preview = preview
        self._was_up = was_up

    def call(self, args: mocks.MockCallArgs) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        assert args.token == READ_STATE, f"nothing here calls other functions: {args.token}"
        assert self._state is not None, "this program has no reason to ask for the state"
        return {"name": args.args["stackName"], "outputs": self._state}, []

    def new_resource(self, args: mocks.MockResourceArgs) -> tuple[str, dict[str, Any]]:
        if args.typ == "random:index/randomPassword:RandomPassword":
            # Nobody knows a seed before it is made. Each is another one.
            made = not self._state or any(urn.endswith(f"::{args.name}") for urn in self._state)
            is_there = self._was_up and made and not args.inputs.get("keepers")
            if self._preview and not is_there:
                return "", dict(args.inputs)
            return "none", {**args.inputs, "result": f"{args.name}:{SEED}"}
        if args.typ == "random:index/randomId:RandomId":
            return "none", {**args.inputs, "hex": TENANCY}
        return f"{args.name}-id", dict(args.inputs)


class _Monitor(mocks.MockMonitor):
    def __init__(self, recording: Recording, provider: _Provider, state: Mapping[str, Any]) -> None:
        super().__init__(provider)
        self._recording = recording
        self._state = state

    def RegisterResource(  # noqa: N802 - the engine's name
        self, request: resource_pb2.RegisterResourceRequest
    ) -> object:
        if request.type == "pulumi:pulumi:Stack":
            return self._registered(request)
        if request.type == COMMAND:
            self._recording.during_command(request.name)
        raw = rpc.deserialize_properties(request.object)
        answer = self._registered(request)
        self._recording.registrations.append(
            Registration(
                type=request.type,
                name=request.name,
                parent=request.parent,
                inputs={key: rpc.unwrap_rpc_secret(value) for key, value in raw.items()},
                secrets=frozenset(key for key, value in raw.items() if rpc.is_rpc_secret(value)),
                deleted_with=request.deletedWith,
                depends_on=frozenset(request.dependencies),
                secret_outputs=frozenset(request.additionalSecretOutputs),
                retained=request.retainOnDelete,
                ignores=frozenset(request.ignoreChanges),
                replaced_by=frozenset(request.replaceOnChanges),
                replaced_with=frozenset(request.replace_with),
                deleted_first=request.deleteBeforeReplace,
                hooks=tuple(request.hooks.before_update),
                own_urn=answer.urn,
            )
        )
        return answer

    def _registered(
        self,
        request: resource_pb2.RegisterResourceRequest,
    ) -> Any:  # noqa: ANN401 - the answer's class is made up in there
        answer = super().RegisterResource(request)  # type: ignore[no-untyped-call] # theirs
        # A component keeps what it told before, until it tells something else.
        if not request.custom and answer.urn in self._state:
            told = self._state[answer.urn]["outputs"]
            self.resources[answer.urn] = self.ResourceRegistration(answer.urn, "", told)
        return answer

    def RegisterResourceOutputs(  # noqa: N802 - the engine's name
        self, request: resource_pb2.RegisterResourceOutputsRequest
    ) -> object:
        self._recording.component_outputs[request.urn] = rpc.deserialize_properties(request.outputs)
        return super().RegisterResourceOutputs(request)  # type: ignore[no-untyped-call] # theirs


class _Log(logging.Handler):
    def __init__(self, recording: Recording) -> None:
        super().__init__()
        self._recording = recording

    def emit(self, record: logging.LogRecord) -> None:
        self._recording.log.append(f"{record.levelname}: {record.getMessage()}")


def deploy(
    program: Callable[[], Mapping[str, pulumi.Output[Any]]],
    *,
    preview: bool = False,
    was_up: bool = False,
    recording: Recording | None = None,
    state: Mapping[str, Any] | None = None,
) -> Recording:
    """Runs `program` to its end; what it returns is in the recording's `outputs`, resolved.

    A test whose program fails gives its own recording, to see what had been registered by then.
    `state` is what the engine tells of an earlier run; None: it must not be asked. `was_up`: that
    run has made the first keys, which a preview knows therefore: those in the state, or all.
    """
    provider = _Provider(state, preview=preview, was_up=was_up)
    # The runtime keeps its state in context variables; a context of its own keeps runs apart.
    return contextvars.copy_context().run(
        lambda: _deploy(program, recording or Recording(), provider, state, preview=preview)
    )


def _deploy(
    program: Callable[[], Mapping[str, pulumi.Output[Any]]],
    recording: Recording,
    provider: _Provider,
    state: Mapping[str, Any] | None,
    *,
    preview: bool,
) -> Recording:
    logger = logging.Logger("pulumi")  # noqa: LOG001 - one of this run's own
    logger.addHandler(_Log(recording))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    of_threads: list[asyncio.AbstractEventLoop] = []

    def begin() -> None:
        """Gives a thread the loop that the mocks want there, which nobody else would close."""
        of_threads.append(asyncio.new_event_loop())
        asyncio.set_event_loop(of_threads[-1])

    # As the language host with a large `--parallel`.
    executor = ThreadPoolExecutor(max_workers=64, initializer=begin)
    loop.set_default_executor(executor)

    async def collect(returned: Mapping[str, pulumi.Output[Any]]) -> None:
        for name, output in returned.items():
            if await output.is_known():
                recording.outputs[name] = await output.future()
            else:
                recording.unknown_outputs.add(name)
            if await output.is_secret():
                recording.secret_outputs.add(name)

    async def run() -> None:
        returned: dict[str, pulumi.Output[Any]] = {}
        await run_pulumi_func(lambda: returned.update(program()))
        await collect(returned)

    try:
        mocks.set_mocks(
            provider,
            project="reverse-tunnel",
            stack="home",
            preview=preview,
            logger=logger,
            monitor=_Monitor(recording, provider, state or {}),
        )
        loop.run_until_complete(run())
    finally:
        # What a failed program left waiting would else be waited for by the next one.
        SETTINGS.outputs.clear()
        executor.shutdown()
        for each in (*of_threads, loop):
            each.close()
        asyncio.set_event_loop(None)
    return recording
