"""Waiting for a server that must first dial a new VPS."""

import asyncio
from collections.abc import Awaitable, Callable

import pulumi
import pytest

from components import host
from components.preflight import arrival, inspection
from components.preflight.arrival import ArrivalError, wait
from tests.components.inspected import run, state_of
from tests.components.preflight.test_through_vps import behind
from tests.components.recording import Registration
from tests.components.sshd import Sshd
from tests.support import eventually, run_without_threads

Callback = Callable[[pulumi.ResourceHookArgs], Awaitable[None]]


def test_who_is_there_is_not_waited_for(sshd: Sshd) -> None:
    asyncio.run(wait("homelab", sshd.login()))
    assert sshd.tried == 1


def test_who_is_there_is_seen_while_the_engine_registers_as_much_as_it_can_at_once(
    sshd: Sshd,
) -> None:
    run_without_threads(wait("homelab", sshd.login()))
    assert sshd.tried == 1


def test_who_comes_is_waited_for(sshd: Sshd) -> None:
    """It breaks connections off until then."""
    sshd.breaks_off = sshd.recovers = True
    asyncio.run(wait("homelab", sshd.login()))
    assert sshd.tried == 2


def test_who_never_comes_is_told_with_the_way_out(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "ARRIVES_WITHIN", 0.0)
    with pytest.raises(ArrivalError, match=r"^homelab \(root@127.*does the name in vps\.endpoint"):
        asyncio.run(wait("homelab", sshd.login(port=1)))


def test_who_has_come_and_is_too_busy_is_waited_for_and_told_as_that(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "TRY_SECONDS", 0.5)
    sshd.silent = True

    async def comes() -> None:
        waiting = asyncio.ensure_future(wait("homelab", sshd.login()))
        await asyncio.to_thread(eventually, lambda: sshd.tried > 1, 30.0, "it is tried once")
        sshd.silent = False
        await waiting

    asyncio.run(comes())
    sshd.silent = True
    monkeypatch.setattr(arrival, "ARRIVES_WITHIN", 0.0)
    with pytest.raises(ArrivalError, match=r"^homelab \(root@127.*overloaded\?$"):
        asyncio.run(wait("homelab", sshd.login()))


def test_who_lets_nobody_in_is_not_waited_for(sshd: Sshd) -> None:
    sshd.user = "hex"
    with pytest.raises(ArrivalError, match="the login as root is refused"):
        asyncio.run(wait("homelab", sshd.login(user="root")))


# ---- what waits ----


class Hook(pulumi.ResourceHook):
    """One that no engine has to call back, which mocks can't."""

    def __init__(self, name: str) -> None:  # as its base class, but for the registration
        self.name = name
        self._registered = asyncio.get_running_loop().create_future()
        self._registered.set_result(None)


def bound(name: str) -> pulumi.ResourceHookBinding:
    hooks = [Hook(name)]
    return pulumi.ResourceHookBinding(before_create=[*hooks], before_update=[*hooks])


def test_every_command_on_the_server_waits_for_it_before_all_else(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the VPS alone has lost its tunnel, any command on it may be the one that runs."""
    monkeypatch.setattr(inspection, "arrival", lambda server, _: bound(f"{server}-arrival"))
    monkeypatch.setattr(host, "delivery", lambda name, _: bound(f"{name}-delivery"))
    sshd.reaches = False
    values = behind(sshd)
    values["servers"]["homelab"]["networks"] = ["192.168.1.0/24"]
    values["forwards"] = {"nas": {"port": 445, "to": "192.168.1.30:445"}}
    made = run(values, state=state_of(values))
    waits = ["homelab-arrival"]
    assert {each.name: [*each.hooks] for each in made.commands if on_homelab(each)} == {
        "homelab-claim": waits,
        "homelab-helper": [*waits, "homelab-delivery"],
        "homelab-key": waits,
        "homelab-interface": waits,
        "nas@homelab": waits,
    }
    on_vps = [each.hooks for each in made.commands if not on_homelab(each)]
    assert {hook for hooks in on_vps for hook in hooks} == {"vps-delivery"}


def on_homelab(command: Registration) -> bool:
    return bool(command.inputs["connection"]["host"] == "172.16.0.4")


def test_they_wait_once(sshd: Sshd, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time would be a login there, and one at the VPS."""
    hooks: list[Callback] = []
    monkeypatch.setattr(pulumi, "ResourceHook", lambda _, callback: hooks.append(callback))
    arrival.arrival("homelab", sshd.login())
    (before,) = hooks
    args = pulumi.ResourceHookArgs("urn", "id", "homelab-key", "command:remote:Command")

    async def several() -> None:
        await asyncio.gather(before(args), before(args))
        await before(args)

    asyncio.run(several())
    assert sshd.tried == 1
