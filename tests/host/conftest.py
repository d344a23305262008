"""Fixtures: machines, and a VPS with a tunnel that has neither peers nor forwards yet."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from tests.host.machine import Machine
from tests.host.tunnel import Tunnel

# In the place of the program, before it on the helper's path: each call is noted.
_COUNTING = """#!/bin/sh
case " $* " in *" --test "*) ;; *) echo exchange >>{calls} ;; esac
exec {program} "$@"
"""
_CALLS = "/var/log/exchanges"


@contextmanager
def fresh_machine() -> Iterator[Machine]:
    """A host with a public interface."""
    with Machine() as host, Machine() as outside:
        host.join(outside, "ens6 203.0.113.10/24", "eth0 203.0.113.1/24")
        host.run("ip route add default via 203.0.113.1")
        yield host


@pytest.fixture
def machine() -> Iterator[Machine]:
    """A fresh host, as it is before the first `up`."""
    with fresh_machine() as host:
        yield host


@pytest.fixture
def vps(machine: Machine) -> Tunnel:
    """A fresh VPS whose tunnel is up."""
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    return tunnel


@pytest.fixture(scope="module")
def standing_vps() -> Iterator[Tunnel]:
    """A VPS that a module's tests share, for what leaves it as it is."""
    with fresh_machine() as host:
        tunnel = Tunnel(host)
        tunnel.set_up_vps()
        yield tunnel


@pytest.fixture
def exchanges(vps: Tunnel) -> Callable[[], int]:
    """How often rules were given to the kernel since."""
    machine = vps.machine
    program = machine.run("command -v iptables-restore").stdout.strip()
    wrapper = _COUNTING.format(calls=_CALLS, program=program)
    machine.write("/usr/local/sbin/iptables-restore", wrapper)
    machine.run("chmod 755 /usr/local/sbin/iptables-restore")
    return lambda: machine.read(_CALLS).count("exchange")
