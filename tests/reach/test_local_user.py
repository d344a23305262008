"""Whoever runs it may be a number alone, as in a container that is started with `-u 1234`."""

import asyncio
import os
import pwd

import pytest

from reach import run_as_root
from tests.components.sshd import Sshd, running


@pytest.mark.parametrize("known", [False, True])
def test_a_user_without_a_name_logs_in_as_any_other(
    monkeypatch: pytest.MonkeyPatch, *, known: bool
) -> None:
    """The library asks for that name, although it is told by which to log in."""

    def getpwuid(_number: int) -> tuple[str]:
        if not known:
            raise KeyError("getpwuid(): uid not found")
        return ("operator",)

    monkeypatch.setattr(pwd, "getpwuid", getpwuid)
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "")
    with running(Sshd(asked="true")) as sshd:
        ran = asyncio.run(run_as_root([sshd.login()], "true", 10))
    assert (ran.status, ran.login.user, sshd.logins) == (0, "root", 1)
    assert os.environ["LOGNAME"] == ("" if known else str(os.getuid()))
