"""A forward with many visitors changes or goes: exactly theirs end, by few calls of conntrack.

Each call walks through all entries of the host; one for each visitor would take minutes, under the
lock. The entries here are made by hand: only their ends matter.
"""

import re
from ipaddress import IPv4Address, ip_address, ip_network

import pytest

from tests.host.tunnel import Tunnel
from tests.symptoms import symptom

PUBLIC = "203.0.113.10"
TARGET = "172.16.0.4"
PUBLIC6 = "2001:db8:2::10"
NETWORK6 = "fd5c:91e2:7a3b::/64"
TARGET6 = "fd5c:91e2:7a3b::4"
HTTPS = f"tcp 443 -> {TARGET}:8081"
MOVED = f"tcp 443 -> {TARGET}:8082"
HTTP = f"tcp 80 -> {TARGET}:8080"
LISTED = "from 198.51.100.0/26,192.0.2.7/32"

# Notes every deletion.
COUNTING = """\
#!/bin/sh
case " $* " in *" -D "*) echo "$*" >>/run/deletions ;; esac
exec /usr/sbin/conntrack "$@"
"""
# Lists what a flood of SYNs from made-up addresses leaves, and notes every deletion; it ends none.
FLOODED = """\
#!/bin/sh
case " $* " in
  *" -D "*) echo "$*" >>/run/deletions ;;
  *" ipv4 "*) cat /run/flows ;;
esac
"""
FLOW = (
    f"tcp      6 100 SYN_SENT src={{visitor}} dst={PUBLIC} sport={{sport}} dport=443 [UNREPLIED]"
    f" src={TARGET} dst={{visitor}} sport=8081 dport={{sport}} mark=0 use=1\n"
)
VISITORS = [f"198.51.100.{number}" for number in range(1, 151)]
OTHERS = [f"192.0.2.{number}" for number in range(1, 31)]


def put_before(vps: Tunnel, program: str) -> None:
    """Before conntrack itself on the helper's path."""
    vps.machine.write("/usr/local/sbin/conntrack", program)
    vps.machine.run("chmod 755 /usr/local/sbin/conntrack")


@pytest.fixture
def counted(vps: Tunnel) -> Tunnel:
    """A VPS that notes how often flows are ended."""
    vps.machine.run(": >/run/deletions")
    put_before(vps, COUNTING)
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


def flood(vps: Tunnel, visitors: list[IPv4Address]) -> None:
    """An entry of each visitor at port 443, in conntrack's own writing."""
    flows = [
        FLOW.format(visitor=visitor, sport=20000 + number % 40000)
        for number, visitor in enumerate(visitors)
    ]
    vps.machine.write("/run/flows", "".join(flows))
    vps.machine.run(": >/run/deletions")


def flooding(count: int) -> list[IPv4Address]:
    """Addresses from all over, with those of whom some are listed, and a peer's."""
    known = [IPv4Address(address) for address in (*VISITORS, "172.16.0.10")]
    return [*(IPv4Address(0x0B000000 + number * 0x2F3D1) for number in range(count)), *known]


@pytest.fixture
def flooded(vps: Tunnel) -> Tunnel:
    """A VPS with a forward of port 443, whose conntrack lists a flood."""
    vps.put("https", HTTPS)
    put_before(vps, FLOODED)
    return vps


def test_a_flood_is_ended_but_for_those_who_may(flooded: Tunnel) -> None:
    visitors = flooding(20000)
    flood(flooded, visitors)
    flooded.put("https", f"{HTTPS}\n{LISTED}")
    told = flooded.machine.read("/run/deletions")
    ended = [ip_network(network) for network in re.findall(r"--orig-src (\S+)", told)]
    kept = [each for each in visitors if not any(each in network for network in ended)]
    assert [str(visitor) for visitor in kept] == VISITORS[:63]
    assert len(ended) < 50


@pytest.mark.parametrize(
    ("changed", "calls"), [(f"{HTTPS}\nlimit-new 10", 0), (MOVED, 1), (f"{HTTPS}\npaused", 1)]
)
def test_a_flood_that_goes_on_or_ends_as_a_whole(flooded: Tunnel, changed: str, calls: int) -> None:
    flood(flooded, flooding(20000))
    flooded.put("https", changed)
    assert deletions(flooded) == calls


@pytest.mark.parametrize("changed", [MOVED, f"{HTTPS}\nlimit-new 10", f"{HTTPS}\n{LISTED}"])
def test_bash_does_no_more_for_a_flood(flooded: Tunnel, changed: str) -> None:
    """A minute or more for some ten thousand visitors, while all others wait for the lock."""
    done = []
    for count in (200, 2000):
        flood(flooded, flooding(count))
        flooded.put("https", HTTPS)
        traced = f"bash -x {flooded.folder}/reverse-tunnel 1 put-forward https 2>/run/trace"
        flooded.machine.run(traced, stdin=f"{changed}\n")
        done.append(int(flooded.machine.run("grep -c '^+' /run/trace").stdout))
    # There may be some more networks to end.
    assert done[1] < done[0] + 200


# ---- where conntrack fails ----

GONE = "mv /usr/sbin/conntrack /usr/sbin/conntrack-itself"
REFUSED = """\
#!/bin/sh
echo 'conntrack v1.4.7 (conntrack-tools): Operation failed: Operation not supported' >&2
exit 1
"""
# The first entry to be deleted has ended by itself since the kernel told of it.
RACE = """\
#!/bin/sh
case " $* " in *" -D "*)
  if [ ! -e /run/raced ]; then
    : >/run/raced
    echo "conntrack v1.4.7 (conntrack-tools): Operation failed: such conntrack doesn't exist" >&2
    exit 1
  fi
  ;;
esac
exec /usr/sbin/conntrack "$@"
"""
WAY_OUT = (
    "public-key 3fr5UMjTmHwgKyTKYqhVMbHiOoGe9rNCyVPYlZ8jyHk=\n"
    "allowed-ips 172.16.0.9/32\negress tunnel\n"
)


@symptom("A command says that conntrack failed")
@pytest.mark.parametrize("refuses", [False, True], ids=["gone", "refuses"])
def test_flows_that_cannot_be_ended_are_told_of_once_a_run(vps: Tunnel, *, refuses: bool) -> None:
    """Else a removed forward would go on for who uses it, and all would seem well."""
    vps.put("web", "tcp+udp 80 -> 172.16.0.4:8080")
    vps.call("put-peer laptop", stdin=WAY_OUT)
    if refuses:
        put_before(vps, REFUSED)
    else:
        vps.machine.run(GONE)
    why = "Operation not supported" if refuses else "command not found"
    for verb in ("remove-forward web", "remove-peer laptop"):
        said = vps.call(verb).stderr
        assert said.count("\n") == 1
        assert f"conntrack failed ({why}): install it" in said
    assert vps.forwards() == []
    assert vps.wrong() == ([] if refuses else ["conntrack"])


def test_where_there_are_no_flows_to_end_nothing_is_told(vps: Tunnel) -> None:
    vps.put("web", "tcp+udp 80 -> 172.16.0.4:8080")
    vps.call("put-peer laptop", stdin=WAY_OUT)
    assert vps.call("remove-forward web").stderr == ""
    assert vps.call("remove-peer laptop").stderr == ""
    assert vps.wrong() == []


def test_one_that_ends_by_itself_meanwhile_keeps_no_other(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    visit(vps, VISITORS[:5], 443, 8081)
    put_before(vps, RACE)
    assert vps.remove("https").stderr == ""
    assert visiting(vps, 443) == []
