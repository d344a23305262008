"""Random configurations cause success or a `SettingsError`, never anything else.

Most are right ones with a few things changed, some are garbage throughout.
The benchmark (lab/benchmark/faults.py) tries 10,000 of them; see tests/conftest.py.
"""

import copy
import datetime as dt
import re
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from settings import (
    Ports,
    Settings,
    SettingsError,
    firewall_lines,
    forward_lines,
    forward_words,
    hints,
    load,
    opening_lines,
    peer_lines,
)
from tests.settings.samples import PEM_KEY, SSH_KEY, host_key, public_key
from tests.settings.test_schema import VALIDATOR, file_of

SAFE_TEXT = re.compile(r"[A-Za-z0-9_.:/+=-]+( [A-Za-z0-9+/=]+)?")
"""What may reach a shell or iptables: nothing in it has a meaning there."""

_ADDRESS = r"\d+\.\d+\.\d+\.\d+"
_ADDRESS6 = r"[0-9a-f:]+"
_NETWORK = rf"({_ADDRESS}|{_ADDRESS6})/\d+"
_NETWORKS = rf"{_NETWORK}(,{_NETWORK})*"
_PORTS = r"\d+(-\d+)?"
_PROTOCOL = r"(tcp|udp|tcp\+udp)"
_NAME = "[a-z][a-z0-9-]*"
FORWARD = re.compile(
    rf"{_PROTOCOL} {_PORTS} -> {_ADDRESS}:{_PORTS}"
    rf"(\nipv6 {_ADDRESS6})?(\npaused)?(\nfrom {_NETWORKS})?"
    r"(\nlimit-new \d+)?(\nlimit-concurrent \d+)?(\nsource-address tunnel)?"
)
OPENING = re.compile(rf"({_PROTOCOL} {_ADDRESS}:{_PORTS}(\npaused)?(\nsource-address tunnel)?)?")
PEER = re.compile(
    rf"allowed-ips {_NETWORKS}(\negress tunnel)?(\nmtu \d+)?(\npreshared)?(\nhand-over)?"
)
_EITHER = rf"({_ADDRESS}(,{_ADDRESS})* -> {_ADDRESS}|{_ADDRESS6}(,{_ADDRESS6})* -> \[{_ADDRESS6}\])"
FIREWALL = re.compile(rf"(default-deny(\nallow {_NAME} (any|{_PROTOCOL}) {_EITHER}(:{_PORTS})?)*)?")

names = st.sampled_from(
    [*("a", "web", "https", "home-lab", "x1", "z-", "a--b", "tcp", "udp", "to", "all", "servers")]
    + [letter * 31 for letter in "abcdefgh"]
)


@st.composite
def ranges(draw: st.DrawFn, count: int) -> list[int | str]:
    """Draw disjoint ports and ranges, beside 22 and 51820."""
    bounds = st.integers(1024, 51819)
    edges = sorted(draw(st.lists(bounds, min_size=2 * count, max_size=2 * count, unique=True)))
    pairs = list(zip(edges[::2], edges[1::2], strict=True))
    spellings = st.sampled_from([int, str, None])
    return [
        f"{first}-{last}" if spelling is None else spelling(first)
        for (first, last), spelling in ((pair, draw(spellings)) for pair in pairs)
    ]


def targets(port: int | str, places: list[str]) -> st.SearchStrategy[str]:
    """Draw one of the places, with or without as many ports as outside."""
    first, _, last = str(port).partition("-")
    more = int(last or first) - int(first)
    inside = st.integers(1, 65535 - more).map(
        lambda start: f":{start}-{start + more}" if more else f":{start}"
    )
    return st.builds(str.__add__, st.sampled_from(places), st.just("") | inside)


def kinds(*, ipv6: bool) -> st.SearchStrategy[dict[str, Any]]:
    """Draw what a forward may have beside its port and its target."""
    sources = ["203.0.113.7", "10.0.0.0/8", "198.51.100.0/25"]
    if ipv6:
        sources += ["2001:db8::/32", "2001:DB8:0::7"]
    return st.fixed_dictionaries(
        {"protocol": st.sampled_from(["tcp", "udp", "tcp+udp"])},
        optional={
            "enabled": st.booleans(),
            "from": st.lists(st.sampled_from(sources), min_size=1),
            "limit": st.fixed_dictionaries(
                {"newPerSecond": st.integers(1, 10_000)},
                optional={"concurrent": st.integers(1, 65_535)},
            ),
            "sourceAddress": st.sampled_from(["client", "tunnel"]),
            "comment": st.text(
                st.characters(exclude_categories=("C", "Z")), min_size=1, max_size=120
            ),
        },
    )


@st.composite
def forwards(
    draw: st.DrawFn, servers: list[str], hosts_behind: dict[str, str], *, ipv6: bool
) -> dict[str, Any]:
    """Draw some forwards to the servers, and to hosts behind them by each one's sourceAddress."""
    drawn: dict[str, Any] = {}
    ports = draw(ranges(draw(st.integers(0, 4))))
    forward_names = st.lists(names, min_size=len(ports), max_size=len(ports), unique=True)
    for name, port in zip(draw(forward_names), ports, strict=True):
        to = draw(targets(port, [*servers, *hosts_behind]))
        place = to.partition(":")[0]
        kind = draw(kinds(ipv6=ipv6 and place in servers))
        if place in hosts_behind:
            kind["sourceAddress"] = hosts_behind[place]
        drawn[name] = {"port": port, "to": to, **kind}
    return drawn


def allowances(peers: list[str]) -> st.SearchStrategy[dict[str, Any]]:
    """Draw what peers may reach in spite of the firewall."""
    any_protocol = st.fixed_dictionaries({"to": st.just("vps")})
    with_port = st.fixed_dictionaries(
        {
            "to": st.just("vps"),
            "protocol": st.sampled_from(["tcp", "udp", "tcp+udp"]),
            "port": st.sampled_from([53, "445", "8000-8010"]),
        }
    )
    allow = st.builds(
        lambda sources, rest: {"from": sources, **rest},
        st.lists(st.sampled_from(peers), min_size=1, max_size=3),
        any_protocol | with_port,
    )
    return st.dictionaries(names, allow, max_size=2)


@st.composite
def configurations(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a configuration that is right in every respect."""
    cidr = IPv4Network(draw(st.sampled_from(["172.16.0.0/24", "10.0.0.0/8", "192.168.77.0/27"])))
    peers = draw(st.lists(names, min_size=1, max_size=4, unique=True))
    hosts = st.integers(2, cidr.num_addresses - 2)
    places = draw(st.lists(hosts, min_size=len(peers), max_size=len(peers), unique=True))
    addresses = [str(cidr[place]) for place in places]
    cut = draw(st.integers(1, len(peers)))
    servers: dict[str, Any] = {}
    clients: dict[str, Any] = {}
    hosts_behind: dict[str, str] = {}  # and each one's sourceAddress
    ipv6 = draw(st.sampled_from([None, None, "fd5c:91e2:7a3b::/64", "FD00:0:0:1::/64"]))
    least = 576 if ipv6 is None else 1280
    mtu = draw(st.integers(least, 1440))
    for index, (name, address) in enumerate(zip(peers, addresses, strict=True)):
        peer: dict[str, Any] = {"address": address}
        if draw(st.booleans()):
            peer.update(
                egress=draw(st.sampled_from(["own", "tunnel"])), mtu=draw(st.integers(least, mtu))
            )
        if ipv6 and draw(st.booleans()):
            # Higher than any number that an IPv4 address has.
            peer["ipv6"] = str(IPv6Network(ipv6)[2**32 + index])
        if index < cut:
            servers[name] = peer
        else:
            clients[name] = peer
        kind = draw(st.sampled_from(["plain", "own key", "ssh"]))
        if kind == "own key":
            peer["publicKey"] = public_key(index + 1)
        elif kind == "ssh" and index < cut:
            peer["ssh"] = {"host": f"198.51.100.{index}", "hostKey": host_key(index + 10)}
            if draw(st.booleans()):
                peer["networks"] = [f"192.168.{index}.0/24", f"172.20.{index}.1/32"]
                hosts_behind |= {
                    f"192.168.{index}.30": draw(st.sampled_from(["client", "tunnel"])),
                    f"172.20.{index}.1": "client",
                }
    vps: dict[str, Any] = {"ssh": {"host": "203.0.113.10", "hostKey": host_key(1)}}
    if draw(st.booleans()):
        vps |= {"firewall": "defaultDeny", "allow": draw(allowances(peers))}
    return {
        "network": {"cidr": str(cidr), "mtu": mtu, **({} if ipv6 is None else {"ipv6": ipv6})},
        "vps": vps,
        "servers": servers,
        "clients": clients,
        "forwards": draw(forwards(sorted(servers), hosts_behind, ipv6=ipv6 is not None)),
        "sshPrivateKey": SSH_KEY,
        "lookUp": draw(st.booleans()),
    }


any_text = st.text(st.characters(exclude_categories=())) | st.sampled_from(
    [
        *(
            "$(reboot)",
            "; reboot",
            "a\nb",
            "-j ACCEPT",
            "%s",
            "\x00",
            "\u202e",
            "\ud800",
            "..",
            "~",
        ),
        *("0x50", "1e3", "-1", "080", "80-", "-80", "65536", "homelab:", "172.16.0.4/32", "::1"),
        *(SSH_KEY, host_key(1), public_key(1), "[" * 2000, '{"secure": "v1:abc"}', "null"),
    ]
)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.integers(-5, 70_000),
    st.sampled_from([10**1000, -(10**30), 2**63]),
    st.floats(),
    any_text,
    st.binary(max_size=3),
    st.dates(dt.date(2000, 1, 1)),
)
keys = any_text | st.integers() | st.booleans() | st.none() | st.floats()
garbage = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
    max_leaves=4,
)
TOP = ["network", "vps", "servers", "clients", "forwards", "sshPrivateKey", "lookUp", "x"]


def places(values: dict[Any, Any]) -> Iterator[tuple[dict[Any, Any], Any]]:
    """Yield each mapping and key in the nested values."""
    for key, value in values.items():
        yield values, key
        if isinstance(value, dict):
            yield from places(value)


@st.composite
def spoilt(draw: st.DrawFn) -> dict[str, Any]:
    """Draw a right configuration with one to four things in it changed, moved, added or gone."""
    values = copy.deepcopy(draw(configurations()))
    for _ in range(draw(st.integers(1, 4))):
        everywhere = list(places(values))
        if not everywhere:
            break
        mapping, key = draw(st.sampled_from(everywhere))
        other_mapping, other_key = draw(st.sampled_from(everywhere))
        how = draw(st.sampled_from(["replace", "copy", "add", "rename", "remove"]))
        if how == "replace":
            mapping[key] = draw(garbage)
        elif how == "copy":
            mapping[key] = copy.deepcopy(other_mapping[other_key])
        elif how == "add":
            mapping[draw(keys)] = draw(garbage)
        elif how == "rename":
            mapping[draw(any_text)] = mapping.pop(key)
        else:
            del mapping[key]
    return {str(key): value for key, value in values.items()}


raw = st.dictionaries(st.sampled_from(TOP), garbage)


# A fifth is enough to know that much.
@profile(max_examples=profile().max_examples // 5)
@given(configurations())
def test_whatever_is_right_is_taken(values: dict[str, Any]) -> None:
    """Else the properties below would hold for a `load` that refuses everything."""
    check_settings(load(values, agent=False))
    VALIDATOR.validate(file_of(values))


@given(st.one_of(spoilt(), spoilt(), raw), st.booleans())
def test_whatever_is_written_is_refused_or_right(values: dict[str, Any], agent: bool) -> None:  # noqa: FBT001 - drawn
    check_outcome(values, agent=agent)


def check_outcome(values: dict[str, Any], *, agent: bool) -> None:
    """Check that the values are refused in readable words, or lead to sound settings."""
    before = repr_of(values)
    try:
        settings = load(values, agent=agent)
    except SettingsError as error:
        check_message(error)
    else:
        check_settings(settings)
    assert repr_of(values) == before, "what was handed over is not changed"


def repr_of(values: object) -> str:
    """Return a text that differs when the values do; numbers too long to print by their size."""
    if isinstance(values, dict):
        return f"{{{','.join(repr_of(k) + ':' + repr_of(v) for k, v in values.items())}}}"
    if isinstance(values, list):
        return f"[{','.join(map(repr_of, values))}]"
    return hex(values) if isinstance(values, int) else repr(values)


def check_message(error: SettingsError) -> None:
    """Check that each problem is one readable line, and that no secret is in it."""
    head, *lines = str(error).split("\n")
    assert head.startswith("The settings have ")
    assert len(lines) == len(error.problems) >= 1
    for line in lines:
        assert line.isprintable()
        assert re.match(r"  \S.*: .*\. Allowed: .+\. Why: .+\.$", line)
        assert "pydantic" not in line
    text = str(error).encode("utf-8")
    lines = [line for key in (SSH_KEY, PEM_KEY) for line in key.splitlines()[1:-1]]
    assert not any(line.encode() in text for line in lines)


def check_settings(settings: Settings) -> None:
    """Check what all code behind the settings relies on."""
    cidr = settings.network.cidr
    addresses = [settings.vps_address, *(peer.address for peer in settings.peers.values())]
    assert len(set(addresses)) == len(addresses)
    assert all(address in cidr for address in addresses)
    assert not {cidr.network_address, cidr.broadcast_address} & set(addresses)
    check_ipv6(settings)
    ssh, wireguard = int(str(settings.vps.ssh.port)), settings.network.listen_port
    own = [("tcp", Ports(ssh, ssh)), ("udp", Ports(wireguard, wireguard))]
    forwards = settings.forwards.items()
    claims = sorted(
        [
            *own,
            *((str(part), each.port) for _, each in forwards for part in each.protocol.parts),
        ]
    )
    for (protocol, ports), (next_protocol, next_ports) in pairwise(claims):
        assert protocol != next_protocol or ports.last < next_ports.first
    for name, forward in forwards:
        assert FORWARD.fullmatch("\n".join(forward_lines(settings, name)))
        assert OPENING.fullmatch("\n".join(opening_lines(settings, name)))
        words = forward_words(settings, name, "203.0.113.10")
        assert words.isprintable()
        there = settings.destination(name)
        assert len(there.ports) == len(forward.port)
        server = settings.servers[there.server]
        if there.behind:
            assert server.ssh is not None
            assert any(there.address in network for network in server.networks)
            assert there.address not in cidr
        else:
            assert there.address == server.address
    for name in settings.peers:
        assert PEER.fullmatch("\n".join(peer_lines(settings, name)))
        assert settings.mtu_of(name) <= settings.network.mtu
    networks = sorted(n for server in settings.servers.values() for n in server.networks)
    assert not any(one.overlaps(other) for one, other in pairwise(networks))
    assert all(hint.isprintable() for hint in hints(settings))
    assert FIREWALL.fullmatch("\n".join(firewall_lines(settings)))
    dump = settings.model_dump(mode="python", exclude={"ssh_private_key"})
    for forward_dump in dump["forwards"].values():
        del forward_dump["comment"]  # words for people, which reach no host
    for text in texts(dump):
        assert SAFE_TEXT.fullmatch(text), text


def check_ipv6(settings: Settings) -> None:
    """Check that all hosts have an address of IPv6 of their own, or none has."""
    network = settings.network.ipv6
    addresses = [settings.ipv6_of(name) for name in ("vps", *settings.peers)]
    if network is None:
        assert set(addresses) == {None}
    else:
        assert len(set(addresses)) == len(addresses)
        assert all(each in network and each != network.network_address for each in addresses)
        assert all(settings.mtu_of(name) >= 1280 for name in settings.peers)


def texts(node: object) -> Iterator[str]:
    """Yield every text in the dumped settings, names included."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from texts(key)
            yield from texts(value)
    elif isinstance(node, tuple):
        for entry in node:
            yield from texts(entry)
    elif isinstance(node, str | IPv4Address | IPv4Network | IPv6Address | IPv6Network):
        yield str(node)
