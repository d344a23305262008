"""Leaves nothing: a destroy makes the hosts what they were, whatever became of the `up` before."""

import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.crashes import planned_crashes
from tests.lab.deployment import Deployment
from tests.lab.probes import LASTING, VPS, page
from tests.lab.snapshots import Snapshot, differences, forward_rules, snapshot
from tests.support import eventually
from tests.symptoms import symptom

MANAGED = ("vps", "homelab", "attic")
LONG = 90.0  # seconds, for what normally takes a few

# A host that is used for something else, too.
_LIVED_IN = """
iptables -A FORWARD -s 198.51.100.99 -j DROP
iptables -t nat -A PREROUTING -p tcp --dport 2222 -j REDIRECT --to-port 22
ip rule add fwmark 0x5 lookup 99
"""


class Hosts:
    """The managed hosts, and what they were before the first `up`."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._before: dict[str, Snapshot] = {}
        self._are_as_before = False

    def begin(self) -> None:
        """They are reset, unless the last test has shown that nothing is left on them."""
        if not self._are_as_before:
            self._lab.reset(*MANAGED)
            for name in MANAGED:
                self._lab.host(name).run(_LIVED_IN)
            self._before = self._snapshots()
        self._are_as_before = False

    def traces(self, name: str) -> list[str]:
        """What is different on a host now, a line each."""
        return differences(self._before[name], snapshot(self._lab.host(name)))

    def assert_as_before(self) -> None:
        now = self._snapshots()
        traces = {name: differences(self._before[name], now[name]) for name in MANAGED}
        assert not any(traces.values()), traces
        self._are_as_before = True

    def _snapshots(self) -> dict[str, Snapshot]:
        hosts = [self._lab.host(name) for name in MANAGED]
        with ThreadPoolExecutor() as pool:
            return dict(zip(MANAGED, pool.map(snapshot, hosts), strict=True))


@pytest.fixture(scope="module")
def shared_hosts(lab: Lab, deployment: Deployment) -> Iterator[Hosts]:
    yield Hosts(lab)
    deployment.start_over()


@pytest.fixture
def hosts(shared_hosts: Hosts) -> Hosts:
    """The hosts before the first `up`."""
    shared_hosts.begin()
    return shared_hosts


@pytest.fixture
def stack(deployment: Deployment) -> Deployment:
    """A new stack, configured as the example, and not up."""
    deployment.forget()
    return deployment


def test_a_destroy_takes_back_whatever_up_has_done(
    lab: Lab, hosts: Hosts, stack: Deployment
) -> None:
    """Whether the comparison sees anything is shown while the tunnel is up."""
    stack.up()
    assert page(lab.host("client"), f"{VPS}:80", LASTING)
    for name in MANAGED:
        parts = {line.split()[1] for line in hosts.traces(name)}
        assert parts == {"files:", "rules:", "routes:", "sysctls:", "units:"}
    stack.destroy()
    hosts.assert_as_before()
    assert page(lab.host("client"), f"{VPS}:80") is None


def test_a_user_that_is_left_would_be_found(lab: Lab, hosts: Hosts) -> None:
    """The one part of the comparison in which a tunnel that is up shows nothing."""
    attic = lab.host("attic")
    attic.run("useradd --no-create-home ghost")
    assert any(line.startswith("+ users: ghost:") for line in hosts.traces("attic"))


def test_a_destroy_takes_back_an_up_that_failed_half_way(
    lab: Lab, hosts: Hosts, stack: Deployment
) -> None:
    """One server's tunnel does not start; what the VPS has got by then is in no resource."""
    homelab = lab.host("homelab")
    folder = "/etc/systemd/system/wg-quick@wg0.service.d"
    homelab.write(f"{folder}/broken.conf", "[Service]\nExecStartPre=/bin/false\n")
    homelab.run("systemctl daemon-reload")
    failed = stack.up(check=False)
    assert failed.returncode
    assert "wg-quick@wg0.service did not start" in failed.stdout
    homelab.run(f"rm -r {folder}; systemctl daemon-reload")
    assert hosts.traces("vps")
    assert hosts.traces("homelab")
    stack.destroy()
    hosts.assert_as_before()


def test_a_destroy_takes_back_a_forward_that_is_in_no_state(
    lab: Lab, hosts: Hosts, stack: Deployment
) -> None:
    """Its create did its work and failed then; its entry was removed from the stack file."""
    vps = lab.host("vps")
    stack.up()
    forwards = stack.settings("forwards")
    stack.forwards(forwards | {"orphan": {"port": 7000, "to": "homelab:8080"}})
    stack.configure(lookUp=False)  # else the helper that dies is seen, and put right
    with planned_crashes(vps, {"put-forward orphan": "retired-flows"}):
        assert stack.up(check=False).returncode
    stack.forwards(forwards)
    assert "orphan" in {rule.name for rule in forward_rules(vps)}
    urns = [one["urn"] for one in stack.export()["deployment"]["resources"]]
    assert not [urn for urn in urns if urn.endswith("Command::orphan")]
    stack.destroy()
    hosts.assert_as_before()


@contextmanager
def renamed(stack: Deployment, name: str) -> Iterator[None]:
    """The stack has another name in this block."""
    before = stack.stack
    rename(stack, name)
    try:
        yield
    finally:
        rename(stack, before)


def rename(stack: Deployment, name: str) -> None:
    stack.pulumi("stack", "rename", name)
    stack.stack = name


def test_a_stack_that_was_renamed_is_destroyed_by_its_new_name(
    lab: Lab, hosts: Hosts, stack: Deployment
) -> None:
    """What is said to the hosts then has the name by which they know whose tunnel they have."""
    stack.up()
    with renamed(stack, "house"):
        refused = stack.up(check=False)
        assert refused.returncode
        assert "`pulumi stack rename lab`" in refused.stdout
        assert page(lab.host("client"), f"{VPS}:80", LASTING)
    assert stack.preview_steps() == []
    with renamed(stack, "house"):
        stack.destroy()
        hosts.assert_as_before()
        # Now it may have them by its new name.
        stack.up()
        owners = {lab.host(name).read("/etc/reverse-tunnel/wg0/owner") for name in MANAGED}
        assert owners == {"reverse-tunnel/house\n"}
        stack.destroy()
    hosts.assert_as_before()


def exists(host: Host, path: str) -> bool:
    """Whether a file is there; asked without a program on the host, so that it is seen at once."""
    return Path(f"/proc/{host._leader()}/root{path}").exists()


def is_in_state(lab: Lab, name: str) -> bool:
    """Whether the engine has written down that a resource of this name is being made."""
    files = (lab.state / "pulumi/.pulumi/stacks").rglob("*.json")
    return any(f"::{name}" in file.read_text() for file in files)


MOMENTS: dict[str, Callable[[Lab], bool]] = {
    "while claims are made": lambda lab: is_in_state(lab, "vps-claim"),
    "while helpers are installed": lambda lab: exists(
        lab.host("homelab"), "/usr/local/lib/reverse-tunnel/wg0"
    ),
    "while interfaces come up": lambda lab: exists(lab.host("vps"), "/etc/wireguard/wg0.conf"),
    "while forwards are made": lambda lab: exists(
        lab.host("vps"), "/etc/reverse-tunnel/wg0/forwards.d/http"
    ),
}


_FOLDER = "/usr/local/lib/reverse-tunnel"


@contextmanager
def nothing_ends(host: Host) -> Iterator[None]:
    """No call of the helper on this host comes to an end meanwhile: its lock is held.

    So an `up` can't be faster than whoever watches it. Afterwards its last calls end.
    """
    holder = host.popen(
        f"mkdir -p {_FOLDER}; exec flock --no-fork {_FOLDER} sh -c 'echo held; exec sleep infinity'"
    )
    assert holder.stdout
    assert holder.stdout.readline() == "held\n"
    try:
        yield
    finally:
        holder.kill()
        holder.communicate()
        calls = ["pgrep", "--full", f"{_FOLDER}/wg0/"]
        eventually(lambda: host.run(calls, check=False).returncode, LONG, "calls do not end")
        # A call that ended may have taken it along.
        host.run(f"! test -d {_FOLDER} || rmdir --ignore-fail-on-non-empty {_FOLDER}")


def kill_an_up(stack: Deployment, moment: Callable[[Lab], bool], *switches: str) -> None:
    """Run an `up`, and kill -9 everything the operator runs at that moment.

    Its environment has the switches, too. What runs on the hosts is left to itself.
    """
    operator = stack.lab.operator
    # The moments are all on other hosts.
    with nothing_ends(stack.lab.host("attic")):
        killed = operator.popen(["env", *switches, *stack.words("up", "--yes", "--skip-preview")])
        try:
            eventually(lambda: moment(stack.lab), LONG, "the moment does not come")
        finally:
            (operator._commands / "cgroup.kill").write_text("1")
            said = killed.communicate()
    assert killed.returncode == -signal.SIGKILL, said


@pytest.mark.parametrize("moment", MOMENTS.values(), ids=MOMENTS.keys())
def test_a_destroy_takes_back_an_up_that_was_killed(
    hosts: Hosts, stack: Deployment, moment: Callable[[Lab], bool]
) -> None:
    """Even what is in no state, since the engine had no time to write down that it was made."""
    kill_an_up(stack, moment)
    stack.pulumi("cancel", "--yes")
    stack.destroy()
    hosts.assert_as_before()


# What large stacks may be made with, see docs/operations.md.
WITHOUT_CHECKPOINTS = ("PULUMI_EXPERIMENTAL=true", "PULUMI_SKIP_CHECKPOINTS=true")


@symptom("`pulumi up` was killed")
@pytest.mark.parametrize(
    "switches", [(), WITHOUT_CHECKPOINTS], ids=["as ever", "without checkpoints"]
)
def test_an_up_finishes_one_that_was_killed(
    lab: Lab, hosts: Hosts, stack: Deployment, switches: tuple[str, ...]
) -> None:
    """Everything is made once more, and is there once; a refresh forgets what was pending."""
    kill_an_up(stack, MOMENTS["while forwards are made"], *switches)
    recorded = stack.export()["deployment"].get("resources", [])
    assert bool(recorded) == (not switches)
    locked = stack.up(check=False)
    assert "delete the lock file with `pulumi cancel`" in locked.stderr
    stack.pulumi("cancel", "--yes")
    stack.up()
    assert page(lab.host("client"), f"{VPS}:443", LASTING)
    assert [rule.name for rule in forward_rules(lab.host("vps"))] == ["http", "https"]
    stack.pulumi("refresh", "--yes", "--clear-pending-creates")
    assert not stack.export()["deployment"].get("pending_operations")
    assert stack.preview_steps() == []
    stack.destroy()
    hosts.assert_as_before()
