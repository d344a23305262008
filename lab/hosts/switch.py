"""The cables and switches of the lab: a network namespace per host, joined by bridges."""

import shlex
from pathlib import Path

from lab.hosts import topology
from lab.hosts.sandbox import Sandbox
from lab.images.tree import tool

_SWITCH = "switch"  # the namespace of the bridges


class Switch:
    """The bridges that the hosts are plugged into, one per segment."""

    def __init__(self, sandbox: Sandbox, tree: Path, state: Path) -> None:
        self._sandbox = sandbox
        self._ip = shlex.join(tool(tree, "ip"))
        self._folder = state / "net"

    def namespace(self, host: str) -> Path:
        """The file that stands for the network namespace of a host."""
        return self._folder / host

    def build(self) -> None:
        """Make all segments."""
        self._folder.mkdir(exist_ok=True)
        lines = [
            line
            for segment in topology.SEGMENTS
            for line in (f"link add {segment} type bridge", f"link set {segment} up")
        ]
        # Where the machine has had its own bridges filtered, so would these be: by no rule at all,
        # at a tenth of the work that a packet is on its way. A switch looks at no packet.
        unfiltered = f"""
            nsenter --net={self.namespace(_SWITCH)} sh -c '
              for file in /proc/sys/net/bridge/bridge-nf-call-*; do
                [ ! -e $file ] || echo 0 >$file
              done'
        """
        self._sandbox.run(self._make(_SWITCH) + self._batch(_SWITCH, lines) + unfiltered)

    def plug(self, host: topology.Node) -> None:
        """Make the host's network namespace with its interfaces, addresses and routes."""
        switch = self.namespace(_SWITCH)
        inside = ["link set lo up"]
        ports = []
        for port in host.interfaces:
            far = _port(host, port)
            mac = port.mac(host.name)
            link = f"link add {port.name} address {mac} type veth peer {far} netns {switch}"
            inside += [link, f"addr add {port.address} dev {port.name}", f"link set {port.name} up"]
            if port.ipv6:
                inside.append(f"addr add {port.ipv6} dev {port.name} nodad")
            ports.append(f"link set {far} master {port.segment} up")
        if host.gateway:
            inside.append(f"route add default via {host.gateway}")
        if host.gateway6:
            inside.append(f"route add default via {host.gateway6}")
        routes_ipv6 = host.forwards and any(port.ipv6 for port in host.interfaces)
        # A new namespace takes over these from the machine, whatever they are there.
        sysctls = f"""
            nsenter --net={self.namespace(host.name)} sh -c '
              echo {int(host.forwards)} >/proc/sys/net/ipv4/ip_forward
              echo {int(routes_ipv6)} >/proc/sys/net/ipv6/conf/all/forwarding
              for file in /proc/sys/net/ipv4/conf/*/rp_filter; do echo 0 >$file; done'
        """
        self._sandbox.run(
            self._make(host.name)
            + self._batch(host.name, inside)
            + sysctls
            + self._batch(_SWITCH, ports)
        )

    def unplug(self, host: topology.Node) -> None:
        """Delete the host's network namespace and its links."""
        namespace = self.namespace(host.name)
        if not namespace.exists():  # a reboot was interrupted
            return
        ports = [f"link del {_port(host, port)}" for port in host.interfaces]
        self._sandbox.run(self._batch(_SWITCH, ports) + f"umount {namespace}\n")
        namespace.unlink()

    def set_link(self, host: topology.Node, *, up: bool, interface: str | None = None) -> None:
        """Cut or mend the cable of an interface, by default of the one towards the internet."""
        names = [port.name for port in host.interfaces]
        port = host.interfaces[names.index(interface) if interface else 0]
        line = f"link set {_port(host, port)} {'up' if up else 'down'}"
        self._sandbox.run(self._batch(_SWITCH, [line]))

    def _make(self, name: str) -> str:
        path = self.namespace(name)
        # The check makes sure that nothing is ever done to the machine's own network.
        return f"""
            : >{path}
            unshare --net={path} true
            [ $(stat -Lc %i {path}) != $(stat -Lc %i /proc/1/ns/net) ]
        """

    def _batch(self, name: str, lines: list[str]) -> str:
        text = "\n".join(lines)
        enter = f"nsenter --net={self.namespace(name)}"
        return f"\n{enter} {self._ip} -batch - <<'END'\n{text}\nEND\n"


def _port(host: topology.Node, interface: topology.Interface) -> str:
    """The far end of a host's cable; 15 characters at most, as the kernel wants it."""
    return f"{host.name}.{interface.name}"
