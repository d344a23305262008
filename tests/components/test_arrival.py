"""Waiting for a server that must first dial a new VPS."""

import asyncio

import pytest

from components import arrival
from components.arrival import ArrivalError, wait
from tests.components.sshd import Sshd
from tests.support import eventually


def test_who_is_there_is_not_waited_for(sshd: Sshd) -> None:
    asyncio.run(wait("homelab", sshd.login()))
    assert sshd.tried == 1


def test_who_comes_is_waited_for(sshd: Sshd) -> None:
    """It breaks connections off until then."""
    sshd.breaks_off = True

    async def comes() -> None:
        waiting = asyncio.ensure_future(wait("homelab", sshd.login()))
        await asyncio.to_thread(eventually, lambda: sshd.tried, 10.0, "nobody tries")
        sshd.breaks_off = False
        await waiting

    asyncio.run(comes())
    assert sshd.tried > 1


def test_who_never_comes_is_told_with_the_way_out(
    sshd: Sshd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(arrival, "ARRIVES_WITHIN", 0.0)
    with pytest.raises(ArrivalError, match=r"^homelab \(root@127.*does the name in vps\.endpoint"):
        asyncio.run(wait("homelab", sshd.login(port=1)))


def test_who_lets_nobody_in_is_not_waited_for(sshd: Sshd) -> None:
    sshd.user = "hex"
    with pytest.raises(ArrivalError, match="the login as root is refused"):
        asyncio.run(wait("homelab", sshd.login(user="root")))
