"""The lab is what it says: else everything that is tested on it means little."""

import socket
from collections.abc import Iterator
from pathlib import Path
from threading import Timer
from typing import Protocol

import pytest

from lab.hosts import topology
from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.probes import LASTING, page, pings
from tests.support import eventually

UDP_SOCKET = "/usr/local/lib/lab/udp_socket.py"
LONG = 30.0  # seconds, for what normally takes one or two


class Talker:
    """A UDP socket on a host, see lab/hosts/services/udp_socket.py."""

    def __init__(self, host: Host, port: int) -> None:
        self._process = host.popen(["python3", UDP_SOCKET, str(port)])
        assert self.heard() == "ready"

    def say(self, address: str, port: int, text: str) -> None:
        assert self._process.stdin
        self._process.stdin.write(f"{address} {port} {text}\n")
        self._process.stdin.flush()

    def heard(self) -> str:
        """The next packet; waits for it, but not without end."""
        assert self._process.stdout
        deadline = Timer(LONG, self._process.kill)
        deadline.start()
        line = self._process.stdout.readline()
        deadline.cancel()
        assert line, "nothing is heard"
        return line.strip()

    def end(self) -> None:
        self._process.kill()
        self._process.communicate()


class TalkerMaker(Protocol):
    def __call__(self, host: Host, port: int) -> Talker: ...


@pytest.fixture
def talker() -> Iterator[TalkerMaker]:
    made: list[Talker] = []

    def make(host: Host, port: int) -> Talker:
        made.append(Talker(host, port))
        return made[-1]

    yield make
    for one in made:
        one.end()


# ---- the network ----


def test_names_fit_into_the_kernel() -> None:
    for host in topology.NODES:
        for interface in host.interfaces:
            assert len(f"{host.name}.{interface.name}") <= 15


@pytest.mark.skipif(
    not Path("/proc/sys/net/bridge").exists(), reason="this machine filters no bridge either"
)
def test_a_switch_looks_at_no_packet(lab: Lab) -> None:
    """As it would where the machine's own bridges are filtered, at a tenth of all the work."""
    filters = "cat /proc/sys/net/bridge/bridge-nf-call-*"
    switch = f"nsenter --net={lab.state}/net/switch sh -c '{filters}'"
    lab._sandbox.run(f'[ "$({switch} | sort -u)" = 0 ]')


def test_a_visitor_reaches_the_vps_but_nothing_at_home(lab: Lab) -> None:
    client = lab.host("client")
    assert pings(client, "203.0.113.10", LASTING)
    for hidden in ("100.64.0.2", "192.168.1.20", "192.168.1.1"):
        assert not pings(client, hidden)


def test_the_carrier_lets_in_nothing_unasked_even_from_who_knows_the_way(lab: Lab) -> None:
    """Without this a wrong rule in the lab would look like a tunnel that works."""
    internet = lab.host("internet")
    internet.run(
        "ip route add 100.64.0.0/10 via 192.0.2.2; ip route add 192.168.1.0/24 via 192.0.2.2"
    )
    try:
        assert not pings(internet, "100.64.0.2")
        assert page(internet, "192.168.1.20:8080") is None
    finally:
        internet.run("ip route del 100.64.0.0/10; ip route del 192.168.1.0/24")
    assert page(lab.host("router"), "192.168.1.20:8080", LASTING) is not None


def test_everybody_at_home_reaches_the_internet_under_the_carriers_address(lab: Lab) -> None:
    for name in ("homelab", "attic", "nas", "operator"):
        assert page(lab.host(name), "198.51.100.10", LASTING) == "client:80 sees you as 192.0.2.2"
    assert (
        page(lab.host("laptop"), "198.51.100.10", LASTING) == "client:80 sees you as 198.51.100.20"
    )


def test_at_home_hosts_see_each_other_as_they_are(lab: Lab) -> None:
    assert (
        page(lab.host("nas"), "192.168.1.20:8081", LASTING)
        == "homelab:8081 sees you as 192.168.1.30"
    )
    assert page(lab.host("homelab"), "192.168.1.30", LASTING) == "nas:80 sees you as 192.168.1.20"
    assert page(lab.host("homelab"), "192.168.1.30:81") is None


def test_ipv6_reaches_the_vps_by_advertisement_and_ends_before_home(lab: Lab) -> None:
    client, vps = lab.host("client"), lab.host("vps")
    words = "ip -6 -o address show dev ens6 scope global dynamic -tentative"
    said = eventually(lambda: vps.run(words).stdout, LONG, "nothing is advertised to the VPS")
    assert pings(client, said.split()[3].partition("/")[0], LASTING)
    assert " via fe80:" in vps.run("ip -6 route show default proto ra").stdout
    for name in ("carrier", "router", "homelab", "attic", "nas", "operator"):
        host = lab.host(name)
        assert host.run("ip -6 route show default; ip -6 -o address show scope global").stdout == ""
        assert not pings(host, "2001:db8:1::10")


def test_a_web_server_logs_its_visitors(lab: Lab) -> None:
    page(lab.host("nas"), "192.168.1.21:8080", LASTING)
    log = lab.host("attic").read("/var/log/lab-web-8080.log").splitlines()
    assert any(line.startswith("192.168.1.30 ") for line in log)


def test_an_idle_udp_mapping_dies_at_the_end_of_its_life(lab: Lab, talker: TalkerMaker) -> None:
    """The trouble that keepalive is for: without it nobody can speak to the home any more."""
    home, away, carrier = (lab.host(name) for name in ("homelab", "client", "carrier"))
    inside, outside = talker(home, 4000), talker(away, 5000)

    def reach_out(text: str) -> tuple[str, int]:
        inside.say(away.address, 5000, text)
        address, port, heard = outside.heard().split(" ")
        assert (address, heard) == ("192.0.2.2", text)
        return address, int(port)

    old = reach_out("one")
    outside.say(*old, "alive")
    assert inside.heard() == f"{away.address} 5000 alive"

    lab.set_mapping_life(1)
    try:
        reach_out("two")  # the new life counts from the next packet on

        def forgotten() -> bool:
            listed = carrier.run("conntrack -L -p udp --dport 5000").stdout
            return not listed.strip()

        eventually(forgotten, LONG, "the carrier still has the mapping")
    finally:
        lab.set_mapping_life(topology.DEFAULT_MAPPING_LIFE)
        # An earlier test's tunnel may have lost its way in, too, until it speaks again.
        for name in ("homelab", "attic"):
            lab.host(name).run("ping -c 1 -w 60 172.16.0.1", check=False)
    outside.say(*old, "dead")
    # What it says to itself comes after that one was sent.
    outside.say("127.0.0.1", 5000, "sent")
    assert outside.heard() == "127.0.0.1 5000 sent"
    # What comes after it would come behind it: so the dead one is not merely late.
    outside.say(*reach_out("three"), "alive again")
    assert inside.heard() == f"{away.address} 5000 alive again"


def test_a_cut_cable_cuts_and_a_mended_one_mends(lab: Lab) -> None:
    homelab = lab.host("homelab")
    assert page(homelab, "198.51.100.10", LASTING)
    lab.cut("carrier")
    try:
        assert page(homelab, "198.51.100.10") is None
        assert page(homelab, "192.168.1.30", LASTING)
    finally:
        lab.heal("carrier")
    eventually(lambda: page(homelab, "198.51.100.10"), LONG, "the line stays dead")


def test_the_neighbour_is_on_the_wire_of_the_vps(lab: Lab) -> None:
    """It can route what it likes through the VPS: whether that passes is the VPS's business."""
    neighbour = lab.host("neighbour")
    assert pings(neighbour, "203.0.113.10", LASTING)
    seen = neighbour.run("ip neigh show 203.0.113.10").stdout
    assert lab.host("vps").run("cat /sys/class/net/ens6/address").stdout.strip() in seen


def test_the_operator_reaches_the_lab_and_nothing_of_this_machine(lab: Lab) -> None:
    operator = lab.host("operator")
    assert page(operator, "192.168.1.20:8080", LASTING) == "homelab:8080 sees you as 192.168.1.50"
    links = operator.run("tail -n +3 /proc/net/dev | cut -d: -f1").stdout.split()
    assert sorted(links) == ["eth0", "lo"]
    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        with socket.create_connection(listener.getsockname()):
            pass
        assert page(operator, address) is None
