"""A forward with many visitors changes or goes: exactly theirs end, by few calls of conntrack.

Each call walks through all entries of the host; one for each visitor would take minutes, under the
lock. The entries here are made by hand: only their ends matter.
"""

import re
from ipaddress import ip_address

import pytest

from tests.host.tunnel import Tunnel

PUBLIC = "203.0.113.10"
TARGET = "172.16.0.4"
PUBLIC6 = "2001:db8:2::10"
NETWORK6 = "fd5c:91e2:7a3b::/64"
TARGET6 = "fd5c:91e2:7a3b::4"
HTTPS = f"tcp 443 -> {TARGET}:8081"
HTTP = f"tcp 80 -> {TARGET}:8080"
LISTED = "from 198.51.100.0/26,192.0.2.7/32"

# Notes every deletion.
COUNTING = """\
#!/bin/sh
case " $* " in *" -D "*) echo "$*" >>/run/deletions ;; esac
exec /usr/sbin/conntrack "$@"
"""
VISITORS = [f"198.51.100.{number}" for number in range(1, 151)]
OTHERS = [f"192.0.2.{number}" for number in range(1, 31)]


@pytest.fixture
def counted(vps: Tunnel) -> Tunnel:
    """A VPS that notes how often flows are ended."""
    vps.machine.write("/usr/local/sbin/conntrack", COUNTING)
    vps.machine.run("chmod 755 /usr/local/sbin/conntrack; : >/run/deletions")
    return vps


def visit(vps: Tunnel, visitors: list[str], port: int, tport: int, back: str = "") -> None:
    """A TCP connection of each visitor that was forwarded; `back`: whom the target sees instead."""
    public, target = (PUBLIC6, f"[{TARGET6}]") if ":" in visitors[0] else (PUBLIC, TARGET)
    translated = f"--dst-nat {target}:{tport}" + (f" --src-nat {back}" if back else "")
    vps.machine.run(
        f"port=40000; for ip in {' '.join(visitors)}; do port=$((port + 1));"
        " conntrack -I -p tcp --timeout 300 --state ESTABLISHED"
        f" --orig-src $ip --orig-dst {public} --orig-port-src $port --orig-port-dst {port}"
        f" --reply-src {public} --reply-dst $ip --reply-port-src {port} --reply-port-dst $port"
        f" {translated} || exit; done"
    )


def visiting(vps: Tunnel, port: int, family: int = 4) -> list[str]:
    """Who has a connection to a public port, in numerical order."""
    public = PUBLIC if family == 4 else PUBLIC6
    words = f"conntrack -L -f ipv{family} -p tcp --orig-port-dst {port}"
    found = re.findall(rf"src=(\S+) dst={public} ", vps.machine.run(words).stdout)
    return sorted(found, key=ip_address)


def deletions(vps: Tunnel) -> int:
    return len(vps.machine.read("/run/deletions").splitlines())


def test_a_removed_forward_takes_one_call_and_no_other_connection(counted: Tunnel) -> None:
    counted.put("https", HTTPS)
    counted.put("http", HTTP)
    visit(counted, VISITORS, 443, 8081)
    visit(counted, VISITORS, 80, 8080)
    counted.remove("https")
    assert visiting(counted, 443) == []
    assert visiting(counted, 80) == VISITORS
    assert deletions(counted) == 1


def test_a_list_of_those_who_may_ends_all_others_by_whole_networks(counted: Tunnel) -> None:
    counted.put("https", HTTPS)
    visit(counted, [*OTHERS, *VISITORS, "172.16.0.10"], 443, 8081)
    counted.put("https", f"{HTTPS}\n{LISTED}")
    assert visiting(counted, 443) == ["192.0.2.7", *VISITORS[:63]]
    assert deletions(counted) < 15
    # The same again ends nothing.
    counted.put("https", f"{HTTPS}\n{LISTED}")
    assert visiting(counted, 443) == ["192.0.2.7", *VISITORS[:63]]


def test_visitors_by_ipv6_end_by_whole_networks_alike(counted: Tunnel) -> None:
    settings = counted.machine.read(f"{counted.files}/settings")
    counted.call("interface", stdin=f"{settings}ipv6 {NETWORK6.replace('::', '::1')}\n")
    both = f"{HTTPS}\nipv6 {TARGET6}"
    counted.put("https", both)
    visitors = [f"2001:db8:1::{number:x}" for number in range(1, 61)]
    others = [f"2001:db8:{number:x}::1" for number in range(16, 46)]
    visit(counted, [*visitors, *others, "fd5c:91e2:7a3b::a"], 443, 8081)
    visit(counted, VISITORS[:9], 443, 8081)
    counted.put("https", f"{both}\nfrom 2001:db8:1::/122,198.51.100.0/29")
    assert visiting(counted, 443, 6) == visitors[:63]
    assert visiting(counted, 443) == VISITORS[:7]
    assert deletions(counted) < 20
    counted.put("https", f"{both}\nfrom 198.51.100.0/29")
    assert visiting(counted, 443, 6) == []
    assert visiting(counted, 443) == VISITORS[:7]


def test_who_is_seen_another_way_ends_exactly(counted: Tunnel) -> None:
    """The change of sourceAddress leaves alone those who have come by the new way already."""
    counted.put("https", HTTPS)
    visit(counted, VISITORS[:5], 443, 8081)
    visit(counted, OTHERS[:5], 443, 8081, back="172.16.0.1")
    counted.put("https", f"{HTTPS}\nsource-address tunnel")
    assert visiting(counted, 443) == OTHERS[:5]
    visit(counted, VISITORS[:5], 443, 8081)
    counted.put("https", HTTPS)
    assert visiting(counted, 443) == VISITORS[:5]


def test_a_tunnel_that_goes_takes_one_call_for_each_port(counted: Tunnel) -> None:
    counted.put("https", HTTPS)
    counted.put("http", HTTP)
    visit(counted, VISITORS, 443, 8081)
    visit(counted, OTHERS, 80, 8080)
    counted.call("uninstall reverse-tunnel/home")
    assert visiting(counted, 443) == visiting(counted, 80) == []
    assert deletions(counted) == 2
