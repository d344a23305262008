"""What the tunnel's unit is told: to try again, and limits where WireGuard is a program."""

import pytest

from tests.host.machine import Machine
from tests.host.tunnel import REFUSED, Tunnel
from tests.host.userspace import has_wireguard

DROP_IN = "/etc/systemd/system/wg-quick@wg0.service.d/reverse-tunnel.conf"


def there_are_limits(machine: Machine) -> bool:
    return "Environment=" in machine.run(f"cat {DROP_IN}", check=False).stdout


def test_a_start_that_failed_is_tried_again_and_again(machine: Machine) -> None:
    """At boot a home router's name server may say that there is no such name."""
    Tunnel(machine).set_up_vps()
    lines = machine.read(DROP_IN).splitlines()
    assert {"StartLimitIntervalSec=0", "Restart=on-failure", "RestartSec=15"} <= {*lines}
    # See tests/lab/test_healing.py for what it does.
    assert any(line.startswith("ExecStartPre=-") for line in lines)
    assert lines.index("[Unit]") < lines.index("StartLimitIntervalSec=0")
    assert lines.index("[Service]") < lines.index("Restart=on-failure")


def test_what_the_script_for_a_server_without_ssh_has_told_it_stays(machine: Machine) -> None:
    """Its file is the same one; an install that is refused leaves all as it was."""
    told = "# Written by reverse-tunnel's script for a server without ssh; changes here are lost\n"
    machine.run(f"mkdir -p $(dirname {DROP_IN}); rm /usr/sbin/conntrack")
    machine.write(DROP_IN, told)
    assert Tunnel(machine).install("manual", check=False).status == REFUSED
    assert machine.read(DROP_IN) == told


@pytest.mark.parametrize(("version", "again"), [(243, False), (244, True)])
def test_an_older_systemd_is_not_told_what_it_would_refuse_the_unit_for(
    machine: Machine, version: int, *, again: bool
) -> None:
    standin = "/usr/local/sbin/systemctl"
    machine.run(f"sed -i 's/STANDIN_SYSTEMD-252/STANDIN_SYSTEMD-{version}/' {standin}")
    Tunnel(machine).set_up_vps()
    assert ("Restart=" in machine.read(DROP_IN)) == again


def without_the_kernels(machine: Machine) -> None:
    """What the kernel shows of its modules is none, and so it stays until `wireguard` is made."""
    machine.run("mount -t tmpfs none /sys/module")
    assert not has_wireguard(machine)


@pytest.mark.parametrize(("processors", "its"), [(1, 1), (2, 1), (3, 2), (8, 4)])
def test_half_of_the_hosts_processors_are_its_own(
    machine: Machine, processors: int, its: int
) -> None:
    without_the_kernels(machine)
    machine.write("/usr/local/bin/nproc", f"#!/bin/sh\necho {processors}\n")
    machine.run("chmod +x /usr/local/bin/nproc")
    Tunnel(machine).set_up_vps()
    assert f"\nEnvironment=GOMAXPROCS={its}\n" in machine.read(DROP_IN)


def test_a_sixth_of_the_hosts_memory_is_the_limit(machine: Machine) -> None:
    without_the_kernels(machine)
    Tunnel(machine).set_up_vps()
    total = int(machine.run("awk '/^MemTotal:/ { print $2 }' /proc/meminfo").stdout)
    assert f"Environment=GOMEMLIMIT={total // 6}KiB\n" in machine.read(DROP_IN)
    assert machine.run(f"stat -c %a {DROP_IN} $(dirname {DROP_IN})").stdout == "644\n755\n"


def test_where_the_kernel_has_wireguard_there_is_none_or_it_goes(machine: Machine) -> None:
    """As after an upgrade of the host."""
    without_the_kernels(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    assert there_are_limits(machine)
    machine.run("mkdir /sys/module/wireguard")
    tunnel.install()
    assert not there_are_limits(machine)
    tunnel.call("uninstall reverse-tunnel/home")
    assert machine.run(f"ls -d $(dirname {DROP_IN})", check=False).status != 0


def test_a_tunnel_from_before_gets_its_limit_with_a_newer_helper(machine: Machine) -> None:
    without_the_kernels(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    machine.run(f"rm -r $(dirname {DROP_IN})")
    tunnel.install()
    assert there_are_limits(machine)


def test_a_drop_in_of_somebody_elses_stays(machine: Machine) -> None:
    without_the_kernels(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    mine = DROP_IN.replace("reverse-tunnel.conf", "mine.conf")
    machine.write(mine, "[Service]\n")
    tunnel.call("uninstall reverse-tunnel/home")
    assert machine.run(f"test -e {DROP_IN}", check=False).status != 0
    assert machine.read(mine) == "[Service]\n"
