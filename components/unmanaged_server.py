"""A server without `ssh`: what the helper does on others, its WireGuard file does by itself."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from components.wireguard_file import (
    ANYWHERE,
    ANYWHERE_IPV6,
    Gateway,
    Machine,
    wireguard_file,
)
from settings import Egress

# The split tunnel's firewall mark and routing table, as free as a fixed number can be: the bits of
# other programs that mark packets (Kubernetes, Tailscale, Docker's swarm) lie elsewhere, and so do
# the tables of `wg-quick` (from 51820 on), and bits and tables of tunnels that are managed (24 to
# 30, and 7024 to 7030), of which the same server may have one.
_MARK = "0x80000000/0x80000000"
_TABLE = 7031
_PLACE = 7031  # a priority before that of main's table
_LAST = 33024  # one behind all other rules
# Else systemd-networkd, whenever it is restarted, takes rules away that are not its own.
_KEPT = "protocol kernel"
_SET_CONNMARK = f"-j CONNMARK --set-xmark {_MARK}"
# Not what a router says to a container about a packet of its own.
_ANSWERS = f"-m conntrack --ctdir REPLY -m connmark --mark {_MARK}"

# What a visitor's connection needs to find its way back: it came in by the tunnel, so its replies
# leave by the tunnel, while the server's own traffic stays on its own line.
#
# What comes in may bear the mark as well, that of its connection: rules of a VPN's give it that.
_COMES_IN = f"fwmark {_MARK} iif %i lookup main"
_REPLY = f"fwmark {_MARK} lookup {_TABLE}"
_SPLIT_TUNNEL_UP = (
    f"{{ip}} route replace default dev %i table {_TABLE}",
    f"{{ip}} rule add {_COMES_IN} priority {_PLACE} {_KEPT}",
    f"{{ip}} rule add {_REPLY} priority {_PLACE} {_KEPT}",
)
_SPLIT_TUNNEL_DOWN = (f"{{ip}} rule del {_COMES_IN}", f"{{ip}} rule del {_REPLY}")

# Nothing is in its table before its own interface is: else it is another tunnel's, which keeps it.
_SPLIT_TUNNEL_FREE = (
    f'test -z "$({{ip}} route show default table {_TABLE} 2>/dev/null)"'
    " || (echo 'another tunnel of this kind is up' >&2; false)"
)

# What is taken away when the tunnel goes, and before it comes, too: an interface that was lost, as
# where WireGuard is a program that was killed, has left its rules, and none can be added twice.
# Somebody else may have taken them away, and then wg-quick shall go on.
_IF_THERE = "2>/dev/null || true"

# The kernel looks for a way before it asks the rules that mark a reply. Where the line has none of
# IPv6, which is so at most homes, it is the tunnel; but for replies alone.
_LAST_WAY = f"ip -6 rule %s iif lo lookup {_TABLE} priority {_LAST} {_KEPT}"
_REPLIES_ALONE = (
    "filter OUTPUT -o %i ! -d {network} -m conntrack --ctstate NEW"
    " -j REJECT --reject-with icmp6-no-route"
)

# Where all goes through the tunnel, the question for the time does not: with a clock that is behind
# no tunnel comes up. A time server's answers go to that port as well, but come from a low one.
_ASKS_FOR_TIME = "iif lo ipproto udp sport 1024-65534 dport 123 lookup main"
_FULL_TUNNEL_UP = (f"{{ip}} rule add {_ASKS_FOR_TIME} {_KEPT}",)
_FULL_TUNNEL_DOWN = (f"{{ip}} rule del {_ASKS_FOR_TIME}",)

# Each line is made up of how to add it (-A) and, turned round, how to take it away (-D).
_SPLIT_TUNNEL_RULES = (
    f"mangle PREROUTING -i %i ! -s {{network}} -m conntrack --ctstate NEW {_SET_CONNMARK}",
    f"mangle PREROUTING ! -i %i {_ANSWERS} -j MARK --set-xmark {_MARK}",
    f"mangle OUTPUT {_ANSWERS} -j MARK --set-xmark {_MARK}",
)
_SERVER_RULES = (
    # Clamping to the path's MTU cures black holes that a smaller MTU alone does not.
    "mangle PREROUTING -i %i -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {mss}",
    "mangle POSTROUTING -o %i -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    # A broken-into VPS must not be a way into the home network: only what is already DNATed on
    # this server (its containers) passes.
    "filter FORWARD -i %i -m conntrack ! --ctstate DNAT,ESTABLISHED,RELATED -j DROP",
)


def _iptables(action: str, rule: str) -> str:
    table, chain, match = rule.split(" ", 2)
    # First of all in FORWARD: behind another program's ACCEPT the guard would not be reached.
    action = "-I" if (action, table) == ("-A", "filter") else action
    return f"{{iptables}} -w -t {table} {action} {chain} {match}"


# A UDP service that listens on all addresses answers by that of the server's own line, so the
# answer would not be known as one to the visitor. Sent on to that very address, it is. A socket of
# the tunnel's own address (`-m socket`) needs none of this, and not every kernel can tell.
_LINE_ADDRESS = r'$({ip_get} | sed -n "s/.* src \([{digits}]*\).*/\1/p")'
_TO_LINE_ADDRESS = f"-m addrtype --dst-type LOCAL -j DNAT --to-destination {_LINE_ADDRESS}"
_UDP = "nat PREROUTING -i %i ! -s {network} -p udp -j RT-%i-UDP"
_UDP_CHAIN = (
    "{iptables} -w -t nat -N RT-%i-UDP",
    "{iptables} -w -t nat -A RT-%i-UDP -m socket -j RETURN || true",
    f"{{iptables}} -w -t nat -A RT-%i-UDP {_TO_LINE_ADDRESS} || true",
)
_UDP_CHAIN_DOWN = (
    "{iptables} -w -t nat -F RT-%i-UDP",
    "{iptables} -w -t nat -X RT-%i-UDP",
)


# The question is what makes WireGuard notice within seconds that the VPS, or the way to it, is
# another one by now; and when no answer comes, its name may lead elsewhere. A loop of systemd's,
# which ends with the tunnel: where there is no systemd, the tunnel comes up without it.
_WATCHER = "reverse-tunnel-%i-redial"
_ASK = "ping -nqc 1 -W {seconds} -I %i {vps} >/dev/null"
_WATCH = (
    f"systemd-run --quiet --no-block --collect --unit={_WATCHER}"
    " sh -c 'ask() {{ test -e /sys/class/net/%i || {anew}; {ask} || {ask_again} || {redial}; }};"
    " rules() {{ {rules}; }} >/dev/null 2>&1; until rules; do sleep 10; ask; done;"
    " while sleep 10; do rules || {anew}; {put_right}ask; done' 2>/dev/null || true"
)
# The interface is lost where WireGuard is a program that was killed, and rules are where somebody
# flushes a table; the unit counts as running all the same. Where iptables does not know its own
# rules again, as some versions do not, nothing is begun anew for them.
_ANEW = "systemctl try-restart --no-block wg-quick@%i"
# Docker, started later, lists its published ports behind ours, which must come last.
_IN_ORDER = (
    '{iptables} -w -t nat -S PREROUTING | sed "1,/ RT-%i-UDP/d" | grep -qv " -j RT-"'
    f" && {_iptables('-D', _UDP)} && {_iptables('-A', _UDP)}; "
)
# The line may have another address by now.
_TO_LINE = (
    f'{{iptables}} -w -t nat -S RT-%i-UDP | grep -qwFe "--to-destination {_LINE_ADDRESS}"'
    f" || ({'; '.join((_UDP_CHAIN_DOWN[0], *_UDP_CHAIN[1:]))}) 2>/dev/null; "
)
# A VPN of the server's own, come later, is asked first: without a place, ours come before.
_IN_FRONT = (
    f'{{ip_get}} mark {_MARK.partition("/")[0]} | grep -q " dev %i "'
    f" || ({'; '.join(_SPLIT_TUNNEL_DOWN)};"
    f" {{ip}} rule add {_REPLY} {_KEPT}; {{ip}} rule add {_COMES_IN} {_KEPT}) 2>/dev/null; "
)
_PUT_RIGHT = _IN_ORDER + _TO_LINE + _IN_FRONT
_REDIAL = "WG_ENDPOINT_RESOLUTION_RETRIES=1 wg set %i peer {key} endpoint {endpoint}"
_UNWATCH = f"systemctl stop {_WATCHER} {_IF_THERE}"


@dataclass(frozen=True, eq=False)
class _Family:
    """What differs between IPv4 and IPv6 in a server's file."""

    words: Mapping[str, str]
    headers: int  # bytes, of IP and TCP
    anywhere: str
    up: tuple[str, ...] = ()
    down: tuple[str, ...] = ()
    rules: tuple[str, ...] = ()
    guards: tuple[str, ...] = ()


_IPV4 = _Family(
    words={
        "ip": "ip",
        "iptables": "iptables",
        "ip_get": "ip -4 route get 1.1.1.1",
        "digits": "0-9.",
    },
    headers=40,
    anywhere=ANYWHERE,
    up=("sysctl -q -w net.ipv4.conf.%i.rp_filter=2",),
    # What Docker publishes to the server alone is translated before the kernel could see that
    # nobody outside may call there.
    guards=("mangle PREROUTING -i %i -d 127.0.0.0/8 -j DROP",),
)
_IPV6 = _Family(
    words={
        "ip": "ip -6",
        "iptables": "ip6tables",
        "ip_get": "ip -6 route get 2606:4700:4700::1111",
        "digits": "0-9a-f:",
    },
    headers=60,
    anywhere=ANYWHERE_IPV6,
    up=(_LAST_WAY % "add",),
    down=(_LAST_WAY % "del",),
    rules=(_REPLIES_ALONE,),
)


def server_config(machine: Machine, gateway: Gateway) -> str:
    """The file of a server that is not managed over SSH, for `wg-quick` on Linux.

    It carries the split tunnel itself: visitors keep their own address, so replies to any address
    must go back through the tunnel, and nothing else may. Where the tunnel is its way out, too,
    everything but the question for the time goes there, which `wg-quick` sees to. As long as it is
    up, it asks whether the VPS answers and whether its rules are there, unless it shall be silent.
    """
    split = machine.egress is Egress.OWN
    extra = ["Table = off"] if split else []
    if gateway.keepalive:
        # First of all: what finds no rules begins the tunnel anew.
        extra += [f"PreUp = {_UNWATCH}", f"PreDown = {_UNWATCH}"]
    checks, put_right = list[str](), ""
    # The one of IPv6 where the tunnel has a network of it.
    families = dict(zip((_IPV4, _IPV6), gateway.networks, strict=False))
    for family, network in families.items():
        words = {
            **family.words,
            "network": str(network),
            "mss": str(machine.mtu - family.headers),
        }
        extra += [line.format(**words) for line in _family_lines(family, split=split)]
        checks += [_iptables("-C", rule).format(**words) for rule in _rules(family, split=split)]
        put_right += _PUT_RIGHT.format(**words) if split else ""
    if gateway.keepalive:
        extra.append(f"PostUp = {_watch(gateway, ' && '.join(checks), put_right)}")
    anywhere = ", ".join(family.anywhere for family in families)
    return wireguard_file(machine, gateway, allowed_ips=anywhere, extra=extra)


def _watch(gateway: Gateway, rules: str, put_right: str) -> str:
    """A line of sh that starts to ask the VPS; it must have no sign that wg-quick reads, as #.

    Args:
        gateway: which is asked.
        rules: asks whether the rules of the tunnel are there.
        put_right: what others have moved.
    """
    return _WATCH.format(
        anew=_ANEW,
        put_right=put_right,
        rules=rules,
        ask=_ASK.format(seconds=2, vps=gateway.address),
        ask_again=_ASK.format(seconds=8, vps=gateway.address),
        redial=_REDIAL.format(key=gateway.public_key, endpoint=gateway.endpoint),
    )


def _rules(family: _Family, *, split: bool) -> Sequence[str]:
    """Those in chains that are built in, from the first to the last."""
    if not split:
        return (*_SERVER_RULES, *family.guards)
    return (*_SPLIT_TUNNEL_RULES, *_SERVER_RULES, *family.guards, *family.rules, _UDP)


def _family_lines(family: _Family, *, split: bool) -> Iterator[str]:
    rules = _rules(family, split=split)
    firewall = [_iptables("-A", rule) for rule in rules]
    down = [_iptables("-D", rule) for rule in reversed(rules)]
    if split:
        yield f"PreUp = {_SPLIT_TUNNEL_FREE}"
        firewall = [*_UDP_CHAIN, *firewall]
        up = (*_SPLIT_TUNNEL_UP, *family.up)
        down += (*_UDP_CHAIN_DOWN, *family.down, *_SPLIT_TUNNEL_DOWN)
    else:
        up = _FULL_TUNNEL_UP
        down += _FULL_TUNNEL_DOWN
    yield from (f"PreUp = {line} {_IF_THERE}" for line in down)
    # Before anything can come: of a flow these rules are asked about the first packet alone.
    yield from (f"PreUp = {line}" for line in firewall)
    yield from (f"PostUp = {line}" for line in up)
    yield from (f"PreDown = {line} {_IF_THERE}" for line in down)
