"""A host of the container kind, whose switches nobody in it may set: what needs one is said."""

import pytest

from tests.host.dual import INSIDE6
from tests.host.machine import Machine
from tests.host.snapshot import snapshot
from tests.host.tunnel import Tunnel
from tests.settings.samples import public_key
from tests.support import harmed

READ_ONLY = (
    "mount --bind /proc/sys /proc/sys && mount -o remount,ro,bind /proc/sys",
    "umount /proc/sys",
)
MISSING = ("mount -t tmpfs none /proc/sys/net/netfilter", "umount /proc/sys/net/netfilter")
ACCOUNTING = "/proc/sys/net/netfilter/nf_conntrack_acct"
PORTS = "/proc/sys/net/ipv4/ip_local_port_range"
FORWARDING = "/proc/sys/net/ipv4/conf/ens6/forwarding"
FORWARDING6 = "/proc/sys/net/ipv6/conf/all/forwarding"
ACCEPT_RA = "/proc/sys/net/ipv6/conf/ens6/accept_ra"


def words(switch: str, value: int) -> str:
    """What is said of a switch that can't be set."""
    return f"could not set {switch} to {value}: on a VPS of the container kind, ask its provider"


def test_a_tunnel_that_nothing_would_be_passed_on_to_does_not_start(machine: Machine) -> None:
    with harmed(machine, *READ_ONLY):
        tunnel = Tunnel(machine)
        tunnel.install()
        tunnel.set_key()
        before = snapshot(machine)
        done = tunnel.call("interface", stdin=tunnel.vps_settings(), check=False)
        assert done.status == 1
        assert words(FORWARDING, 1) in machine.read("/var/log/standin-wg0.log")
        assert snapshot(machine) == before


def test_a_switch_that_cannot_be_set_is_named(vps: Tunnel) -> None:
    vps.machine.run(f"echo 0 >{FORWARDING}")
    with harmed(vps.machine, *READ_ONLY):
        done = vps.call("restore", check=False)
    assert done.status == 1
    assert words(FORWARDING, 1) in done.stderr


@pytest.mark.parametrize(
    ("accept_ra", "named"),
    [(0, words(FORWARDING6, 1)), (1, words(ACCEPT_RA, 2))],
    ids=["forwarding", "accept_ra"],
)
def test_a_switch_of_ipv6_that_cannot_be_set_is_named_and_nothing_is_left(
    vps: Tunnel, accept_ra: int, named: str
) -> None:
    vps.machine.run(f"echo {accept_ra} >{ACCEPT_RA}")
    with harmed(vps.machine, *READ_ONLY):
        before = snapshot(vps.machine)
        settings = f"{vps.vps_settings()}ipv6 {INSIDE6}/64\n"
        done = vps.call("interface", stdin=settings, check=False)
        assert done.status == 1
        assert named in done.stderr
        assert vps.call("interface", stdin=vps.vps_settings()).stderr == ""
        assert snapshot(vps.machine) == before


def test_where_no_ports_to_ask_by_are_shown_they_are_the_usual_ones(machine: Machine) -> None:
    server = Tunnel(machine)
    server.install()
    server.set_key()
    lines = server.server_settings("172.16.0.4/24", public_key(1), "203.0.113.1:51820")
    server.call("interface", stdin=lines)
    chain = "iptables-save -t mangle | grep -e '-A RT-wg0-UNASKED'"
    before = machine.run(chain).stdout
    assert "--dport 32768:60999" in before
    # A file that is there and cannot be opened.
    machine.run("python3 -c 'import socket; socket.socket(socket.AF_UNIX).bind(\"/run/none\")'")
    with harmed(machine, f"mount --bind /run/none {PORTS}", f"umount {PORTS}"):
        assert server.call("restore").stderr == ""
    assert machine.run(chain).stdout == before


@pytest.mark.parametrize("harm", [READ_ONLY, MISSING], ids=["read-only", "missing"])
def test_without_accounting_only_the_counts_are_missing(vps: Tunnel, harm: tuple[str, str]) -> None:
    vps.put("web", "tcp 80 -> 172.16.0.4:8080")
    vps.machine.run(f"echo 0 >{ACCOUNTING}")
    with harmed(vps.machine, *harm):
        assert vps.call("restore").stderr == ""
        assert vps.told("forward web") == ["ok", "0", "-", "-", "-", "-"]
        assert vps.wrong() == []
