"""The two backends of iptables, and rules that can't be removed: nothing is left behind unseen."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from tests.host.guarded import Guarded, guarded
from tests.host.machine import Machine
from tests.host.snapshot import snapshot
from tests.host.tunnel import Tunnel, forwards_in
from tests.support import harmed

HTTP = "tcp 80 -> 172.16.0.4:8080"
HTTPS = "tcp 443 -> 172.16.0.4:8081"
NOTES = "/run/reverse-tunnel/wg0.ip*tables"


def choose(machine: Machine, backend: str) -> None:
    """Let the plain names mean this one, as many a guide for Docker says."""
    for tool in ("iptables", "ip6tables"):
        machine.run(f"update-alternatives --set {tool} /usr/sbin/{tool}-{backend}")


def ours(machine: Machine, backend: str) -> list[str]:
    """What this backend has of the tunnel's."""
    saved = machine.run(f"iptables-{backend}-save; ip6tables-{backend}-save").stdout
    return [line for line in saved.splitlines() if "RT-wg0-" in line]


@pytest.fixture
def served(machine: Machine) -> Tunnel:
    """A VPS with two forwards, by the backend that Debian has chosen."""
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.put("http", HTTP)
    tunnel.put("https", HTTPS)
    assert ours(machine, "nft")
    assert ours(machine, "legacy") == []
    return tunnel


def test_rules_stay_with_the_backend_that_has_them(served: Tunnel) -> None:
    machine = served.machine
    before = ours(machine, "nft")
    choose(machine, "legacy")
    served.call("restore")
    assert ours(machine, "nft") == before
    served.remove("http")
    served.put("more", "tcp 81 -> 172.16.0.4:8080")
    saved = machine.run("iptables-nft-save -t nat").stdout
    assert [name for name, _ in forwards_in(saved, "wg0")] == ["https", "more"]
    assert served.wrong() == []
    assert all(line.split()[2] == "ok" for line in served.status() if line[:8] == "forward ")
    assert ours(machine, "legacy") == []
    served.call("uninstall")
    assert ours(machine, "nft") == []
    assert ours(machine, "legacy") == []


def test_a_tunnel_that_starts_anew_takes_the_one_of_now(served: Tunnel) -> None:
    machine = served.machine
    choose(machine, "legacy")
    for verb in ("down", "up"):
        served.call(verb)
    assert ours(machine, "nft") == []
    assert forwards_in(machine.run("iptables-legacy-save -t nat").stdout, "wg0")
    served.call("uninstall")
    assert ours(machine, "legacy") == []


def test_which_one_has_them_is_noted_as_long_as_it_has(machine: Machine) -> None:
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    assert machine.run(f"cat {NOTES}", check=False).stdout == ""
    tunnel.set_up_vps()
    assert machine.run(f"cat {NOTES}").stdout.split() == ["nft"]
    # As it is where a helper of before has put the rules.
    machine.run(f"rm {NOTES}")
    tunnel.call("restore")
    assert machine.run(f"cat {NOTES}").stdout.split() == ["nft"]
    tunnel.call("down")
    assert machine.run(f"cat {NOTES}", check=False).stdout == ""


@pytest.fixture
def guarded_vps() -> Iterator[Guarded]:
    """A VPS with a firewall that is kept."""
    with guarded() as house:
        house.guard("default-deny\n")
        yield house


def test_the_firewall_too_stays_with_its_backend(guarded_vps: Guarded) -> None:
    machine = guarded_vps.vps.machine
    choose(machine, "legacy")
    for verb in ("down", "up"):
        guarded_vps.vps.call(verb)
    assert [line for line in ours(machine, "nft") if "RT-wg0-in" in line]
    assert ours(machine, "legacy") == []
    assert guarded_vps.vps.wrong() == []
    guarded_vps.vps.call("uninstall")
    assert ours(machine, "nft") == []
    assert ours(machine, "legacy") == []
    assert machine.run("ls /run/reverse-tunnel", check=False).stdout == ""


def test_a_chain_into_which_somebody_leads_is_said_and_all_else_is_gone(machine: Machine) -> None:
    before = snapshot(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.put("https", HTTPS)
    mine = "OUTPUT -d 203.0.113.10 -j RT-wg0-DNAT"
    machine.run(f"iptables -t nat -A {mine}")
    for _ in range(2):
        done = tunnel.call("uninstall", check=False)
        assert done.status == 1
        assert "RT-wg0-DNAT ('iptables -t nat -S')" in done.stderr
        saved = machine.run("iptables-save; ip6tables-save").stdout.splitlines()
        left = [line for line in saved if "RT-" in line]
        assert [line.partition(" [")[0] for line in left] == [
            ":RT-wg0-DNAT -",
            f"-A {mine}".replace(".10 ", ".10/32 "),
        ]
    machine.run(f"iptables -t nat -D {mine}")
    tunnel.call("uninstall")
    assert snapshot(machine) == before


def test_but_who_has_been_told_that_all_is_well_leaves_nothing_but_that_chain(vps: Tunnel) -> None:
    """By the tunnel itself it is taken away later: nobody would hear of it, nor come again."""
    vps.machine.run("iptables -t nat -A OUTPUT -d 203.0.113.10 -j RT-wg0-DNAT")
    vps.machine.run("systemctl enable reverse-tunnel-wg0-uninstall")
    vps.call("uninstall")
    assert vps.machine.run(f"ls -d {vps.files} {vps.folder} {NOTES}", check=False).stdout == ""


def test_such_a_chain_is_filled_again_when_the_tunnel_starts(served: Tunnel) -> None:
    served.machine.run("iptables -t nat -A OUTPUT -d 203.0.113.10 -j RT-wg0-DNAT")
    before = served.machine.run("iptables-save").stdout
    for verb in ("down", "up"):
        served.call(verb)
    assert served.forwards() == [("http", HTTP), ("https", HTTPS)]
    assert served.machine.run("iptables-save").stdout.count("RT-wg0-") == before.count("RT-wg0-")


def gone(machine: Machine, programs: str) -> AbstractContextManager[None]:
    """Some programs are not installed any more, for a while."""
    away = f"mkdir /gone; mv /usr/sbin/{programs} /gone/"
    return harmed(machine, away, "mv /gone/* /usr/sbin/; rmdir /gone")


@pytest.mark.parametrize("programs", ["ip*tables*", "ip*tables-nft*"], ids=["both", "its own"])
def test_rules_in_force_whose_backend_is_gone_are_not_forgotten(
    served: Tunnel, programs: str
) -> None:
    """Nor where the other one is there, which finds nothing."""
    machine = served.machine
    choose(machine, "legacy")
    with gone(machine, programs):
        done = served.call("uninstall", check=False)
        assert done.status == 1
        assert "there is no iptables-nft any more: install it, or restart this host" in done.stderr
    assert ours(machine, "nft")
    served.call("uninstall")
    assert ours(machine, "nft") == []


def test_but_after_a_restart_there_is_nothing_to_remove(served: Tunnel) -> None:
    served.call("down")
    with gone(served.machine, "ip*tables*"):
        served.call("uninstall")
    assert ours(served.machine, "nft") == []
