"""A small SSH server on loopback that answers the look-up's probe, truly or as badly as wanted."""

import asyncio
import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import asyncssh

from components.preflight.lookup import TRY, script
from reach import Login, root_shell

HEALTHY = {
    "os-id": "debian",
    "os-name": "Debian GNU/Linux 12 (bookworm)",
    "systemd": "yes",
    "bash": "5.2",
    "apt": "yes",
    "missing": "",
    "ping": "yes",
    "tun": "yes",
    "wireguard-go": "",
    "disk": "4096",
    "default-interface": "ens6",
    "interfaces": "lo ens6",
    "udp-ports": "",
    "listeners": "",
    "routes": "203.0.113.0/24@ens6",
    "end": "yes",
}


def facts_text(*tunnels: str, **changes: str | None) -> str:
    """What the probe prints; a change of None takes the line away."""
    changed = {key.replace("_", "-"): value for key, value in changes.items()}
    lines: dict[str, str | None] = {**HEALTHY, **changed}
    lines["end"] = lines.pop("end")  # the last line
    texts = [f"{key}={value}" for key, value in lines.items() if value is not None]
    return "".join(f"{text}\n" for text in [*(f"tunnel={each}" for each in tunnels), *texts])


@dataclass
class Sshd:
    """The server, and what it shall do.

    `asked` is the script that it expects, or its end; `answers` is what that prints, with `status`,
    and `complains` on standard error; `endless` has it answer so again and again, until `ended`;
    `compresses` has it take nothing that is not compressed; `silent` never answers, `breaks_off`
    hangs up instead, once alone if it `recovers`; `drops` is how many connections it ends as soon
    as it has them, as sshd does with too many logins; `thinks` is how many seconds it takes before
    it looks at a key, `hangs_up` has it do that then; `pending` have not logged in yet, and `most`
    is of how many that ever was;
    `sessions` says whether it opens any, `patient` whether it looks at more than one key;
    `passes_on` says whether it takes connections on to elsewhere, `reaches` whether anybody is
    there, and `passed` where it has; `logins`, `probed` and `tried` count.
    """

    user: str = "root"
    asked: str = script("wg0")
    answers: str = f"{facts_text()}none\n"
    complains: str = ""
    endless: bool = False
    ended: bool = False
    compresses: bool = False
    status: int = 0
    silent: bool = False
    breaks_off: bool = False
    recovers: bool = False
    drops: int = 0
    sessions: bool = True
    patient: bool = True
    thinks: float = 0.0
    hangs_up: bool = False
    passes_on: bool = True
    reaches: bool = True
    passed: list[tuple[str, int]] = field(default_factory=list)
    logins: int = 0
    probed: int = 0
    tried: int = 0
    pending: set[asyncssh.SSHServerConnection] = field(default_factory=set)
    most: int = 0
    port: int = 0
    key: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )
    client_key: asyncssh.SSHKey = field(
        default_factory=lambda: asyncssh.generate_private_key("ssh-ed25519")
    )

    @property
    def host_key(self) -> str:
        """As a stack file has it."""
        return self.key.export_public_key().decode().strip()

    @property
    def private_key(self) -> str:
        """The one that may log in."""
        return self.client_key.export_private_key().decode()

    def login(self, **changes: Any) -> Login:  # noqa: ANN401 - fields are of several kinds
        """The one that is let in, or with these changes."""
        login = Login("127.0.0.1", self.port, self.user, self.host_key, self.private_key)
        return replace(login, **changes)

    def leave_out(self, *starts: str) -> None:
        """Answers without the lines that start so, by whole words."""
        words = [each.split() for each in starts]
        kept = [
            line
            for line in self.answers.splitlines()
            if not any(line.split()[: len(start)] == start for start in words)
        ]
        self.answers = "\n".join([*kept, ""])

    def take(self, conn: asyncssh.SSHServerConnection) -> None:
        """Takes a connection, or drops it."""
        self.pending.add(conn)
        self.most = max(self.most, len(self.pending))
        if self.drops:
            self.drops -= 1
            conn.abort()

    def pass_on(self, host: str, port: int) -> None:
        """Takes a connection on to there, or refuses as OpenSSH does."""
        self.passed.append((host, port))
        if not self.passes_on:
            raise asyncssh.ChannelOpenError(
                asyncssh.OPEN_ADMINISTRATIVELY_PROHIBITED, "open failed"
            )
        if not self.reaches:
            raise asyncssh.ChannelOpenError(asyncssh.OPEN_CONNECT_FAILED, "no route to host")

    async def answer(self, process: asyncssh.SSHServerProcess[str]) -> None:
        """Takes the script, and does not run it."""
        assert process.command == root_shell()
        asked = await process.stdin.read()
        if asked == TRY:
            self.tried += 1
        else:
            assert asked.endswith(self.asked)
            self.probed += 1
        if self.breaks_off:
            self.breaks_off = not self.recovers
            process.channel.get_connection().abort()
        if self.silent:
            await asyncio.Event().wait()
        if asked == TRY:
            process.exit(0)
            return
        process.stdout.write(self.answers)
        process.stderr.write(self.complains)
        try:
            while self.endless:
                process.stdout.write(self.answers)
                await process.stdout.drain()
        finally:
            self.ended = True
        process.exit(self.status)


class _Server(asyncssh.SSHServer):
    def __init__(self, sshd: Sshd) -> None:
        self._sshd = sshd

    def connection_made(self, conn: asyncssh.SSHServerConnection) -> None:
        self._connection = conn
        self._sshd.take(conn)

    def connection_lost(self, exc: Exception | None) -> None:
        del exc
        self._sshd.pending.discard(self._connection)

    async def begin_auth(self, username: str) -> bool:
        sshd = self._sshd
        sshd.logins += 1
        await asyncio.sleep(sshd.thinks)
        if sshd.hangs_up:
            self._connection.abort()
        if username == sshd.user and sshd.patient:
            users = sshd.client_key.export_public_key().decode()
            self._connection.set_authorized_keys(asyncssh.import_authorized_keys(users))
        return True

    def auth_completed(self) -> None:
        self._sshd.pending.discard(self._connection)

    def public_key_auth_supported(self) -> bool:
        return True

    def connection_requested(
        self, dest_host: str, dest_port: int, orig_host: str, orig_port: int
    ) -> bool:
        del orig_host, orig_port
        self._sshd.pass_on(dest_host, dest_port)
        return True

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        del username, key  # asked only about a key that is not the client's
        if not self._sshd.patient:
            raise asyncssh.ProtocolError("Too many authentication failures")
        return False


async def _end_all() -> None:
    """Ends what the loop is busy with, whoever was to be silent for ever, too."""
    tasks = asyncio.all_tasks() - {asyncio.current_task()}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


@contextlib.contextmanager
def running(sshd: Sshd) -> Iterator[Sshd]:
    """Runs the server in a thread of its own, on a port that the kernel chooses."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever, name="sshd")
    thread.start()

    async def start() -> asyncssh.SSHAcceptor:
        return await asyncssh.listen(
            "127.0.0.1",
            0,
            server_factory=partial(_Server, sshd),
            server_host_keys=[sshd.key],
            process_factory=sshd.answer if sshd.sessions else None,
            compression_algs=["zlib@openssh.com"] if sshd.compresses else ["none"],
            errors="surrogateescape",  # so that an answer may have any byte
        )

    try:
        acceptor = asyncio.run_coroutine_threadsafe(start(), loop).result()
        sshd.port = acceptor.get_port()
        yield sshd
        loop.call_soon_threadsafe(acceptor.close)
        asyncio.run_coroutine_threadsafe(_end_all(), loop).result()
    finally:
        loop.call_soon_threadsafe(loop.stop)
        thread.join()
        loop.close()
