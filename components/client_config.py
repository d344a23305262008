"""The WireGuard files of machines that nobody logs in to: clients, and servers without `ssh`."""

from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network

from settings import Egress

# The split tunnel's firewall mark and routing table, as free as a fixed number can be: the bits of
# other programs that mark packets (Kubernetes, Tailscale, Docker's swarm) lie elsewhere.
_MARK = "0x1000000/0x1000000"
_TABLE = 51820
_SET_CONNMARK = f"-j CONNMARK --set-xmark {_MARK}"

# What a visitor's connection needs to find its way back: it came in by the tunnel, so its replies
# leave by the tunnel, while the server's own traffic stays on its own line.
_SPLIT_TUNNEL_UP = (
    f"ip route replace default dev %i table {_TABLE}",
    f"ip rule add fwmark {_MARK} lookup {_TABLE}",
    "sysctl -q -w net.ipv4.conf.%i.rp_filter=2",
)
_SPLIT_TUNNEL_DOWN = (f"ip rule del fwmark {_MARK} lookup {_TABLE}",)

# Each line is made up of how to add it (-A) and, turned round, how to take it away (-D).
_SPLIT_TUNNEL_RULES = (
    f"mangle PREROUTING -i %i ! -s {{network}} -m conntrack --ctstate NEW {_SET_CONNMARK}",
    f"mangle PREROUTING ! -i %i -m connmark --mark {_MARK} -j MARK --set-xmark {_MARK}",
    f"mangle OUTPUT -m connmark --mark {_MARK} -j MARK --set-xmark {_MARK}",
)
_SERVER_RULES = (
    # Clamping to the path's MTU cures black holes that a smaller MTU alone does not.
    "mangle PREROUTING -i %i -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --set-mss {mss}",
    "mangle POSTROUTING -o %i -p tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu",
    # A broken-into VPS must not be a way into the home network: only what is already DNATed on
    # this server (its containers) passes.
    "filter FORWARD -i %i -m conntrack ! --ctstate DNAT,ESTABLISHED,RELATED -j DROP",
)
_IP_AND_TCP_HEADERS = 40  # bytes
_ANYWHERE = "0.0.0.0/0"

# A UDP service that listens on all addresses answers by that of the server's own line, so the
# answer would not be known as one to the visitor. Sent on to that very address, it is. A socket of
# the tunnel's own address (`-m socket`) needs none of this, and not every kernel can tell.
_LINE_ADDRESS = r"$(ip -4 route get 1.1.1.1 | sed -n 's/.* src \([0-9.]*\).*/\1/p')"
_TO_LINE_ADDRESS = f"-m addrtype --dst-type LOCAL -j DNAT --to-destination {_LINE_ADDRESS}"
_UDP_UP = (
    "iptables -w -t nat -N RT-%i-UDP",
    "iptables -w -t nat -A RT-%i-UDP -m socket -j RETURN || true",
    f"iptables -w -t nat -A RT-%i-UDP {_TO_LINE_ADDRESS} || true",
    "iptables -w -t nat -A PREROUTING -i %i ! -s {network} -p udp -j RT-%i-UDP",
)
_UDP_DOWN = (
    "iptables -w -t nat -D PREROUTING -i %i ! -s {network} -p udp -j RT-%i-UDP",
    "iptables -w -t nat -F RT-%i-UDP",
    "iptables -w -t nat -X RT-%i-UDP",
)


@dataclass(frozen=True)
class Machine:
    """What the file of one machine says.

    Attributes:
        name: the user's name for it.
        address: its address in the tunnel.
        private_key: base64; None where the machine keeps its own, which gives a line to fill in.
        mtu: of its tunnel, in bytes.
        egress: its way out.
    """

    name: str
    address: IPv4Address
    private_key: str | None
    mtu: int
    egress: Egress = Egress.OWN


@dataclass(frozen=True)
class Gateway:
    """What every machine must know of the VPS and the network.

    Attributes:
        public_key: of the VPS, base64.
        endpoint: `host:port` that peers dial.
        network: the tunnel's network.
        keepalive: seconds between packets that keep a NAT's mapping open; 0 sends none.
    """

    public_key: str
    endpoint: str
    network: IPv4Network
    keepalive: int


def client_config(machine: Machine, gateway: Gateway) -> str:
    """The file of a client: what it routes into the tunnel is the tunnel's network, or all."""
    allowed_ips = _ANYWHERE if machine.egress is Egress.TUNNEL else str(gateway.network)
    return _file(machine, gateway, extra=[], allowed_ips=allowed_ips)


def server_config(machine: Machine, gateway: Gateway) -> str:
    """The file of a server that is not managed over SSH, for `wg-quick` on Linux.

    It carries the split tunnel itself: visitors keep their own address, so replies to any address
    must go back through the tunnel, and nothing else may. Where the tunnel is its way out, too,
    everything goes there, which `wg-quick` sees to.
    """
    split = machine.egress is Egress.OWN
    rules = (*_SPLIT_TUNNEL_RULES, *_SERVER_RULES) if split else _SERVER_RULES
    extra = [
        *(f"PostUp = {_iptables('-A', rule)}" for rule in rules),
        *(f"PreDown = {_iptables('-D', rule)}" for rule in reversed(rules)),
    ]
    if split:
        up = (f"PostUp = {line}" for line in (*_SPLIT_TUNNEL_UP, *_UDP_UP))
        down = (f"PreDown = {line}" for line in (*_UDP_DOWN, *_SPLIT_TUNNEL_DOWN))
        extra = ["Table = off", *up, *extra, *down]
    mss = machine.mtu - _IP_AND_TCP_HEADERS
    extra = [line.format(network=gateway.network, mss=mss) for line in extra]
    return _file(machine, gateway, extra=extra, allowed_ips=_ANYWHERE)


def _iptables(action: str, rule: str) -> str:
    table, chain, match = rule.split(" ", 2)
    # First of all in FORWARD: behind another program's ACCEPT the guard would not be reached.
    action = "-I" if (action, table) == ("-A", "filter") else action
    return f"iptables -w -t {table} {action} {chain} {match}"


def _file(machine: Machine, gateway: Gateway, *, extra: list[str], allowed_ips: str) -> str:
    key = machine.private_key or f"PUT-THE-PRIVATE-KEY-OF-{machine.name}-HERE"
    lines = [
        f"# {machine.name}",
        "[Interface]",
        f"PrivateKey = {key}",
        f"Address = {machine.address}/{gateway.network.prefixlen}",
        f"MTU = {machine.mtu}",
        *extra,
        "",
        "[Peer]",
        f"PublicKey = {gateway.public_key}",
        f"Endpoint = {gateway.endpoint}",
        f"AllowedIPs = {allowed_ips}",
        f"PersistentKeepalive = {gateway.keepalive}",
    ]
    return "\n".join(lines) + "\n"
