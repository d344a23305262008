"""Comes back by itself: after a reboot, a stop or a kill, with each rule once, and visitors."""

import re
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.crashes import planned_crashes
from tests.lab.deployment import Deployment
from tests.lab.probes import LASTING, VPS, page
from tests.lab.snapshots import forward_rules, rules
from tests.support import eventually
from tests.symptoms import symptom

MANAGED = ("vps", "homelab", "attic")
# Seconds. It takes one or two; a server that has to notice by itself needs up to three minutes.
SOON = 40.0
LONG = 120.0  # seconds; former keys go after 60

# How the engine tells of a command that was killed, and its resource.
_KILLED = re.compile(r"\((\S+)\):\n +error: Process exited with status 137")

_KERNEL = """
ip rule
ip -4 route show table all | sort
grep -H '' /proc/sys/net/ipv4/conf/{all,ens6,eth0,wg0}/{forwarding,rp_filter} 2>/dev/null
wg show wg0 allowed-ips | sort
cat /sys/class/net/wg0/mtu
"""


def tunnel(host: Host) -> list[str]:
    """What a host does for the tunnel: the firewall in its order, routes, switches, peers.

    Forwards do not depend on each other: they stand sorted at the end.
    """
    lines = [*rules(host), *host.run(_KERNEL, check=False).stdout.splitlines()]
    forwards = sorted(line for line in lines if '"rt:wg0:' in line)
    return [line for line in lines if line not in forwards] + forwards


def every_tunnel(lab: Lab) -> dict[str, list[str]]:
    return {name: tunnel(lab.host(name)) for name in MANAGED}


def all_is(before: dict[str, list[str]], lab: Lab) -> None:
    """As it was, as soon as the watcher has looked."""
    eventually(lambda: every_tunnel(lab) == before, SOON, "it is not as it was")


def visit(lab: Lab, within: float = SOON) -> None:
    """A visitor gets through to homelab; and the VPS to attic, by its own peer."""
    client, vps = lab.host("client"), lab.host("vps")
    eventually(lambda: page(client, f"{VPS}:80"), within, "no visitor gets through")
    eventually(lambda: page(vps, "172.16.0.6:8080"), within, "attic does not answer")
    assert page(client, f"{VPS}:443", LASTING) == f"homelab:8081 sees you as {client.address}"


@symptom("After a power cut of the VPS nobody got through for minutes")
def test_the_tunnel_survives_reboots_and_power_cuts(lab: Lab, example: Deployment) -> None:
    """Each host twice. A VPS that has started again must speak first: the servers do not notice."""
    before = every_tunnel(lab)
    for name in ("vps", "homelab"):
        for orderly in (True, False):
            lab.host(name).reboot(orderly=orderly)
            visit(lab)
            all_is(before, lab)
    assert example.preview_steps() == []


def test_without_its_unit_the_tunnel_does_not_come_back(lab: Lab, example: Deployment) -> None:
    """It is the unit that brings it back, and nobody else."""
    homelab, before = lab.host("homelab"), every_tunnel(lab)
    homelab.run("systemctl disable wg-quick@wg0")
    homelab.reboot()
    assert not [rule for rule in rules(homelab) if "RT-" in rule]
    assert page(lab.host("client"), f"{VPS}:80") is None
    homelab.run("systemctl enable --now wg-quick@wg0")
    visit(lab)
    all_is(before, lab)
    assert example.preview_steps() == []


@pytest.mark.parametrize("name", ["vps", "homelab"])
def test_a_tunnel_whose_program_is_killed_comes_back(
    lab: Lab, example: Deployment, name: str
) -> None:
    """Where WireGuard is a program, the kernel may end it for want of memory."""
    host, before = lab.host(name), every_tunnel(lab)
    killed = "systemctl kill -s KILL wg-quick@wg0; ip link del wg0 2>/dev/null"
    gone = "! wg show wg0 2>/dev/null"
    host.run(f"{killed}; timeout 30 bash -c 'until {gone}; do :; done'")
    # A VPS that is killed notes no more where it heard its servers last: they have to notice.
    visit(lab, LONG)
    all_is(before, lab)
    assert example.preview_steps() == []


def test_a_tunnel_whose_start_failed_at_boot_is_started_again(
    lab: Lab, example: Deployment
) -> None:
    """As where a home router's name server says, so early, that there is no such name."""
    homelab, before = lab.host("homelab"), every_tunnel(lab)
    folder = "/etc/systemd/system/wg-quick@wg0.service.d"
    fails_once = "ExecStartPre=/bin/sh -c 'test -e /run/again || { touch /run/again; exit 1; }'"
    homelab.run(f"cat >{folder}/fails.conf", input=f"[Service]\n{fails_once}\n")
    try:
        homelab.reboot()
        visit(lab)
        all_is(before, lab)
        assert homelab.run("systemctl show -P NRestarts wg-quick@wg0").stdout == "1\n"
    finally:
        homelab.run(f"rm {folder}/fails.conf; systemctl daemon-reload")
    assert example.preview_steps() == []


@contextmanager
def no_names(host: Host) -> Iterator[None]:
    """A host that knows no name of the VPS, and whose name server does not answer."""
    files = "/etc/hosts /etc/resolv.conf"
    host.run(f"for file in {files}; do mv $file $file.away; done")
    host.run("grep -v vps /etc/hosts.away >/etc/hosts")
    host.write("/etc/resolv.conf", "nameserver 192.0.2.53\n")
    try:
        yield
    finally:
        host.run(f"for file in {files}; do mv $file.away $file; done")


def test_a_start_that_waits_for_a_name_server_is_begun_anew(lab: Lab, example: Deployment) -> None:
    """It would wait without end, with the interface half made, and go on by the file as it was."""
    homelab, before = lab.host("homelab"), every_tunnel(lab)
    vps = example.settings("vps")
    example.configure(vps={**vps, "endpoint": "vps.example.org"})  # by /etc/hosts
    example.up()
    with no_names(homelab):
        homelab.run("systemctl restart --no-block wg-quick@wg0")
        hangs = "systemctl is-active wg-quick@wg0 | grep -qx activating && pgrep -x wg"
        waits = f"{hangs} && wg show wg0"
        eventually(
            lambda: homelab.run(waits, check=False).returncode == 0, SOON, "it does not wait"
        )
        example.configure(vps=vps)
        example.up()
        visit(lab)
        assert homelab.run("systemctl is-active wg-quick@wg0").stdout == "active\n"
    all_is(before, lab)
    assert example.preview_steps() == []


def test_rules_come_and_go_with_the_tunnel(lab: Lab, example: Deployment) -> None:
    """Stopped and started by hand: nothing of it is left, then each rule is there once."""
    before = every_tunnel(lab)
    for name in ("vps", "homelab"):
        host = lab.host(name)
        host.run("wg-quick down wg0")
        left = tunnel(host)
        assert not [line for line in left if "RT-" in line or "wg0" in line or "lookup 70" in line]
        assert page(lab.host("client"), f"{VPS}:80") is None
        host.run("wg-quick up wg0")
        visit(lab)
        all_is(before, lab)
    assert example.preview_steps() == []


def test_an_up_finishes_what_a_killed_one_began(lab: Lab, example: Deployment) -> None:
    """The helper is killed in the middle of many calls, on several hosts; then `up` is run again.

    Each step of each verb is killed in tests/host; here it is the stack that mends it.
    """
    vps, homelab, attic = (lab.host(name) for name in MANAGED)
    https = example.settings("forwards")["https"]
    example.forwards({"https": https | {"port": 8443}, "new": {"port": 7000, "to": "attic:8080"}})
    example.configure(network={"mtu": 1400}, clients={"tablet": {"address": "172.16.0.20"}})
    example.configure(lookUp=False)  # else the helper that dies is seen, and put right
    plans = {
        vps: {
            "interface": "synced-wireguard",
            "put-forward https": "wrote-forward",
            "put-forward new": "computed-rules",
            "remove-forward http": "synced-rules",
            "put-peer tablet": "wrote-peer",
            "remove-peer laptop": "unlisted-peer",
        },
        homelab: {"interface": "wrote-settings"},
        attic: {"interface": "computed-rules"},
    }
    up_until_it_succeeds(example, plans)
    found = [(rule.name, rule.port) for rule in forward_rules(vps)]
    assert found == [("https", "8443"), ("new", "7000")]
    assert [host.read("/sys/class/net/wg0/mtu") for host in plans] == ["1400\n"] * 3
    client = lab.host("client")
    eventually(lambda: page(client, f"{VPS}:8443"), SOON, "the changed forward leads nowhere")
    eventually(lambda: page(client, f"{VPS}:7000"), SOON, "the new forward leads nowhere")
    assert [page(client, f"{VPS}:{port}") for port in (80, 443)] == [None, None]
    assert example.preview_steps() == []


def up_until_it_succeeds(deployment: Deployment, plans: dict[Host, dict[str, str]]) -> None:
    """Run `up` again and again, while helpers die by plan; each plan has its run."""
    planned = sum(len(calls) for calls in plans.values())
    killed: list[str] = []
    with ExitStack() as stack:
        for host, calls in plans.items():
            stack.enter_context(planned_crashes(host, calls))
        for _ in range(planned + 1):
            done = deployment.up(check=False)
            if done.returncode == 0:
                break
            killed += _KILLED.findall(done.stdout)
        assert done.returncode == 0, done.stdout
    assert len(killed) == planned


def test_the_end_of_up_means_that_visitors_get_through_after_a_change_of_port_or_key(
    lab: Lab, example: Deployment
) -> None:
    """Sessions from before the change would still look alive on the VPS, and lead nowhere."""
    with new_handshakes(example, "homelab", "attic"):
        example.configure(network={"listenPort": 51999})
        example.up()
    visit(lab)
    with new_handshakes(example, "homelab", "attic"):
        replace_key(example, "vps")
    visit(lab)
    with new_handshakes(example, "homelab"):
        replace_key(example, "homelab")
    visit(lab)
    # Else they would go by themselves, in the middle of another test that compares hosts.
    eventually(lambda: not former_keys(lab), LONG, "former keys are left")


def former_keys(lab: Lab) -> list[str]:
    """The hosts that still know a key of before."""
    there = "test -e /etc/reverse-tunnel/wg0/former.d"
    return [name for name in MANAGED if lab.host(name).run(there, check=False).returncode == 0]


def replace_key(deployment: Deployment, name: str) -> None:
    resources = deployment.export()["deployment"]["resources"]
    (seed,) = (one["urn"] for one in resources if one["urn"].endswith(f"::{name}-seed"))
    deployment.pulumi("up", "--yes", "--skip-preview", "--replace", seed)


@contextmanager
def new_handshakes(deployment: Deployment, *servers: str) -> Iterator[None]:
    """Checks that at its end the VPS has heard each of these servers since its begin."""
    vps = deployment.lab.host("vps")
    begun = int(vps.run("date +%s").stdout)
    yield
    lines = vps.run("wg show wg0 latest-handshakes").stdout.splitlines()
    heard = {key: int(time) for key, time in map(str.split, lines)}
    keys = deployment.output("publicKeys")
    assert all(heard[keys[name]] >= begun for name in servers)
