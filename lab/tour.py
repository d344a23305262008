"""The demo: the whole job once, from nothing to two pages on the VPS's public address."""

import signal
import subprocess
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from lab.failure import LabError
from lab.hosts.host import Host
from lab.lab import Lab
from lab.preparation import prepare
from lab.progress import say
from lab.requirements import require_machine
from lab.stack import ensure_stack, stack_locked

# What the lab's stack forwards: the public port, and the one of the web server behind it.
_PAGES = ((80, 8080), (443, 8081))

_NEXT = """
The lab stays up until make demo-down. Three things to try:

  lab/run 'pulumi config set --path forwards.ssh.port 2222 &&
           pulumi config set --path forwards.ssh.to homelab:22 && pulumi up --yes'
  lab/reboot homelab && lab/run --on client curl --silent --retry 9 {page}
  lab/run 'pulumi destroy --yes' && lab/run --on vps 'iptables-save; ls /etc/wireguard'
"""


def demo(lab: Lab, _words: Sequence[str]) -> int:
    """Set everything up, run `pulumi up`, and visit the pages as a client on the internet.

    Raises:
        LabError: something is not as it should be; the lab is left as it is then, to look at.
    """
    require_machine()
    prepare()
    lab.up()
    say("the lab is up: vps, homelab and attic run their own systemd; all else is around them")
    ensure_stack(lab)
    with stack_locked(lab):  # the engine refuses to wait
        say("pulumi up")
        _show(lab.operator, ["pulumi", "up", "--yes", "--skip-preview", "--non-interactive"])
    client, homelab, vps = lab.host("client"), lab.host("homelab"), lab.host("vps")
    for public, behind in _PAGES:
        url = f"http://{vps.address}:{public}/"
        say(f"{client.address}, somewhere on the internet, asks for {url}")
        page = client.run(["curl", "--silent", "--show-error", "--max-time", "10", url]).stdout
        log = homelab.read(f"/var/log/lab-web-{behind}.log").splitlines()[-1]
        print(f"  the page:         {page.strip()}", flush=True)
        print(f"  the server's log: {log}", flush=True)
        if not log.startswith(f"{client.address} ") or client.address not in page:
            raise LabError(f"the server did not see the client's own address {client.address}")
    say("what Pulumi keeps")
    _show(lab.operator, ["pulumi", "stack"])
    print(_NEXT.format(page=f"http://{vps.address}/"))
    return 0


def _show(host: Host, command: list[str]) -> None:
    """Run a command with its output on the screen."""
    # In a group of its own, so that Ctrl-C reaches it once, by us.
    with (
        _told_once() as started,
        subprocess.Popen(
            [*host.prefix(), *command],
            env=host.environment(),
            cwd=host.working_folder,
            stdin=subprocess.DEVNULL,
            process_group=0,
        ) as shown,
    ):
        started(shown)
        status = shown.wait()
    if status:
        raise LabError(f"{' '.join(command)} failed; the lines above say why")


@contextmanager
def _told_once() -> Iterator[Callable[[subprocess.Popen[bytes]], None]]:
    """What would end this program tells a process that it has started to end, and ends it then.

    Told twice, or killed, an engine leaves the stack locked; so only a second wish kills it.
    """
    heard: list[int] = []
    untold: list[subprocess.Popen[bytes]] = []
    told: list[subprocess.Popen[bytes]] = []

    def tell() -> None:
        while untold:
            told.append(untold.pop())
            told[-1].send_signal(signal.SIGINT)

    def hear(number: int, _frame: object) -> None:
        heard.append(number)
        for each in told:
            each.kill()
        tell()

    def started(process: subprocess.Popen[bytes]) -> None:
        untold.append(process)
        if heard:  # meanwhile
            tell()

    before = {
        number: signal.signal(number, hear)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if signal.getsignal(number) is not signal.SIG_IGN
    }
    try:
        yield started
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        if heard:
            signal.raise_signal(heard[0])
