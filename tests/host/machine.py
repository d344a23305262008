"""Machines for the helper's tests: the lab's Debian tree in namespaces of its own, without an init.

Each has its own mounts (the tree under an overlay in memory), network and processes, so the real
paths, iptables, conntrack and WireGuard are used and nothing of the machine below is touched. They
start in a twentieth of a second. What they cannot show: systemd (`systemctl` and `systemd-run` are
stand-ins, see standin-systemctl) and SSH; the lab's tests have both.
"""

import os
import shlex
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from lab.images.image import debian_tree
from lab.images.wireguard_go import wireguard_go

_LONG = 300  # seconds; only a broken run needs them
_HERE = Path(__file__).parent
_HOST = _HERE.parents[1] / "host"

_START = r"""
set -eu
tree=$1 base=$2 wireguard=$3 here=$4
mount -t tmpfs -o mode=0755 machine "$base"
mkdir "$base/upper" "$base/work" "$base/root"
root=$base/root
mount -t overlay -o "lowerdir=$tree,upperdir=$base/upper,workdir=$base/work" overlay "$root"
mount -t proc proc "$root/proc"
mount -t sysfs sysfs "$root/sys"
mount -t tmpfs -o mode=0755 run "$root/run"
mount -t tmpfs -o mode=0755 dev "$root/dev"
mkdir "$root/dev/net"
for node in null zero full random urandom tty net/tun; do
  touch "$root/dev/$node"
  mount --bind "/dev/$node" "$root/dev/$node"
done
ln -s /proc/self/fd "$root/dev/fd"
ln -s /proc/self/fd/0 "$root/dev/stdin"
ln -s /proc/self/fd/1 "$root/dev/stdout"
ln -s /proc/self/fd/2 "$root/dev/stderr"
mkdir -p "$root/run/lock" "$root/run/systemd/system"
cp "$here/standin-systemctl" "$root/usr/local/sbin/systemctl"
cp "$here/standin-systemd-run" "$root/usr/bin/systemd-run"
mv "$root/usr/bin/wg-quick" "$root/usr/bin/wg-quick-itself"
cp "$here/wg-quick-that-waits" "$root/usr/bin/wg-quick"
[ -z "$wireguard" ] || cp "$wireguard" "$root/usr/bin/wireguard-go"
exec chroot "$root" sh -c 'cd / && ip link set lo up && echo ready && exec sleep infinity'
"""


@dataclass(frozen=True)
class Result:
    """What a command said, and its exit status."""

    status: int
    stdout: str
    stderr: str


class CommandFailedError(AssertionError):
    """A command that a test relied on failed."""


class Machine:
    """A running machine; a context manager that ends it."""

    def __init__(self) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="rt-host-")
        wireguard = wireguard_go()
        command = [
            "setpriv",
            "--pdeathsig",
            "KILL",
            "unshare",
            "--mount",
            "--net",
            "--pid",
            "--uts",
        ]
        command += [
            "--fork",
            "--kill-child",
            "--propagation",
            "private",
            "/bin/sh",
            "-c",
            _START,
            "-",
        ]
        command += [str(debian_tree()), self._folder.name, str(wireguard or ""), str(_HERE)]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self._process.stdout is not None
        if self._process.stdout.readline() != "ready\n":
            self.stop()
            raise CommandFailedError("a test machine did not start: see the lines above")
        task = Path(f"/proc/{self._process.pid}/task/{self._process.pid}/children")
        self.pid = int(task.read_text().split()[0])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """End every process in it; its namespaces and mounts go with them."""
        self._process.kill()
        self._process.wait()
        assert self._process.stdout is not None
        self._process.stdout.close()
        self._folder.cleanup()

    def command(self, command: str, env: dict[str, str] | None = None) -> list[str]:
        """The words by which the machine below runs a line of bash in here."""
        enter = ["nsenter", f"--target={self.pid}", "--mount", "--net", "--pid", "--uts", "--root"]
        words = [f"{name}={value}" for name, value in (env or {}).items()]
        path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        # Whoever started the tests may ignore signals, as nohup does.
        words = ["env", "-i", "--default-signal", path, "HOME=/root", *words]
        # nsenter forks: what it started shall end with it.
        words = ["setpriv", "--pdeathsig", "KILL", *words]
        return [*enter, "--wdns=/", *words, "bash", "-c", command]

    def run(
        self,
        command: str,
        *,
        stdin: str = "",
        env: dict[str, str] | None = None,
        check: bool = True,
    ) -> Result:
        """Run a line of bash.

        Raises:
            CommandFailedError: its exit status is not 0, unless `check` is False.
        """
        words = self.command(command, env)
        done = subprocess.run(
            words, input=stdin, capture_output=True, text=True, check=False, timeout=_LONG
        )
        if check and done.returncode != 0:
            raise CommandFailedError(f"{command}: status {done.returncode}: {done.stderr}")
        # Killed by a signal is told as bash tells it.
        status = done.returncode if done.returncode >= 0 else 128 - done.returncode
        return Result(status, done.stdout, done.stderr)

    def start(self, command: str, env: dict[str, str] | None = None) -> subprocess.Popen[str]:
        """Run a line of bash beside the test, which ends it."""
        pipe = subprocess.PIPE
        return subprocess.Popen(self.command(command, env), stdin=pipe, stdout=pipe, text=True)

    def write(self, path: str, text: str) -> None:
        """Write a file as root would, 0644 at most."""
        self.run(f"cat >{shlex.quote(path)}", stdin=text)

    def read(self, path: str) -> str:
        """A file's text."""
        return self.run(f"cat {shlex.quote(path)}").stdout

    def join(self, other: Self, here: str, there: str) -> None:
        """A cable between two machines; `here` and `there` are "interface address/length"."""
        mine, my_address = here.split()
        theirs, their_address = there.split()
        # From the namespace of one into that of the other, by a process of ours that sees both.
        words = [
            "nsenter",
            f"--target={self.pid}",
            "--net",
            "ip",
            "link",
            "add",
            mine,
            "type",
            "veth",
        ]
        subprocess.run([*words, "peer", theirs, "netns", str(other.pid)], check=True)
        self.run(f"ip addr add {my_address} dev {mine} && ip link set {mine} up")
        other.run(f"ip addr add {their_address} dev {theirs} && ip link set {theirs} up")


def helper_text() -> str:
    """The helper as it goes to a host."""
    return subprocess.run([_HOST / "build"], capture_output=True, text=True, check=True).stdout


os.environ.setdefault("LC_ALL", "C")
