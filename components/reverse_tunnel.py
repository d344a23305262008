"""The whole tunnel: VPS, servers, clients and forwards. The front door of this package."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

import pulumi
from pulumi_command import remote

from components.args import ReverseTunnelArgs, to_settings
from components.files import as_secret, make_files
from components.firewall import put_firewall
from components.handed_out import warn_of_new_files
from components.handshake import wait_for_handshakes
from components.host import Host
from components.key_pair import KeyPair
from components.metrics import put_metrics
from components.peer import Peer
from components.port_forward import Opening, PortForward
from components.preflight.inspection import inspect_hosts
from components.preshared_key import PresharedKey
from components.remote import Fate, Remote, as_input
from components.sdk import without_stack_traces
from reach.entries.drift import LOST
from reach.entries.part import Part
from reach.entries.recorded import TUNNEL
from settings import (
    VPS,
    Settings,
    Ssh,
    firewall_lines,
    forward_lines,
    forward_words,
    hints,
    interface_lines,
    metrics_lines,
    opening_lines,
    peer_lines,
)


class ReverseTunnel(pulumi.ComponentResource):
    """Servers behind carrier-grade NAT, reachable at the public ports of a VPS.

    The hosts are looked at before anything is registered, unless the settings say otherwise or
    their connection is not known yet. A program may have one of these per stack: its parts carry
    the user's names as they are.

    Attributes:
        public_address: what visitors use: a host name or IP address.
        public_keys: WireGuard's, base64, by name of the server or client, and of `vps`.
        forwards: each forward in words, by name.
        client_configs: the WireGuard files of the clients, by name; secret.
        server_configs: those of the servers without `ssh`; secret.
    """

    public_address: pulumi.Output[str]
    public_keys: pulumi.Output[Mapping[str, str]]
    forwards: pulumi.Output[Mapping[str, str]]
    client_configs: pulumi.Output[Mapping[str, str]]
    server_configs: pulumi.Output[Mapping[str, str]]

    def __init__(
        self,
        name: str,
        args: Settings | ReverseTunnelArgs,
        opts: pulumi.ResourceOptions | None = None,
    ) -> None:
        """Looks at the hosts, then registers everything.

        Args:
            name: of the component; the tunnel's name on the hosts is `network.interface`.
            args: settings that were loaded from a stack file, or the same as arguments.
            opts: of the component.

        Raises:
            ArgumentsError: the arguments are wrong. Those that come from other resources are
                checked when they are known, each by itself, and the endpoint with all others; a
                `pulumi.RunError` then ends the program.
            LookUpError: a host can't become part of the tunnel.
        """
        settings = args if isinstance(args, Settings) else to_settings(args)
        owner = f"{pulumi.get_project()}/{pulumi.get_stack()}"
        for hint in hints(settings):
            pulumi.log.warn(hint)
        inspection = inspect_hosts(settings, owner)
        with without_stack_traces():
            super().__init__(TUNNEL, name, None, opts)
            self._settings = settings
            self._owner = owner
            self._inspection = inspection
            self._children = pulumi.ResourceOptions(parent=self)
            self._register_parts()

        self.public_keys = pulumi.Output.all(**self._keys)
        self.forwards = self.public_address.apply(self._forward_words)
        files = make_files(settings, self._key_pairs, self._preshared_keys, self._dialled)
        warn_of_new_files(
            self,
            files,
            addresses={name: peer.address for name, peer in settings.peers.items()},
            endpoint=self.public_address,
            known=inspection.peers,
        )
        self.client_configs = as_secret(files.clients)
        self.server_configs = as_secret(files.servers)
        self.register_outputs(
            {
                "publicAddress": self.public_address,
                "publicKeys": self.public_keys,
                "forwards": self.forwards,
                "clientConfigs": self.client_configs,
                "serverConfigs": self.server_configs,
                **self._forgotten(),
            }
        )

    def _forgotten(self) -> dict[str, list[str]]:
        """For the record: the engine tells outputs, not what becomes of a resource's delete."""
        names = self._settings.forgotten
        return {"forgotten": list(names)} if names else {}

    def _register_parts(self) -> None:
        settings = self._settings
        self.public_address = pulumi.Output.from_input(as_input(settings.endpoint))
        self._key_pairs = self._make_key_pairs()
        self._preshared_keys = {
            name: PresharedKey(name, self._children, generation=settings.generation_of(name)).key
            for name, peer in settings.peers.items()
            if peer.preshared_key
        }
        self._keys = {
            **{name: pair.public_key for name, pair in self._key_pairs.items()},
            **self._own_public_keys(),
        }
        self._on_vps = self._reach(VPS)
        self._vps = self._make_vps()
        self._vps_is_set_up = [self._vps.interface, *self._guard_vps(), *self._measure_vps()]
        self._on_servers = {name: self._reach(name) for name in settings.managed_servers}
        self._peers = self._make_peers()
        self._servers = self._make_servers()
        self._make_forwards()
        self._wait_for_handshakes()

    def _reach(self, name: str) -> Remote:
        settings, fate = self._settings, Fate.LIVES
        if settings.is_forgotten(name):
            fate = Fate.FORGOTTEN
        elif name in self._inspection.gone:
            fate = Fate.REPLACED
        interface, key = settings.network.interface, settings.ssh_private_key
        settled = name in self._inspection.settled
        return Remote.of(interface, self._inspection.ways[name], key, fate, settled=settled)

    def _make_key_pairs(self) -> dict[str, KeyPair]:
        peers = self._settings.peers.items()
        names = [VPS, *(name for name, peer in peers if peer.public_key is None)]
        return {
            name: KeyPair(name, self._children, generation=self._settings.generation_of(name))
            for name in names
        }

    def _own_public_keys(self) -> dict[str, pulumi.Output[str]]:
        """The public keys of peers that keep their private ones to themselves."""
        return {
            name: pulumi.Output.from_input(as_input(peer.public_key))
            for name, peer in self._settings.peers.items()
            if peer.public_key is not None
        }

    @property
    def _dialled(self) -> pulumi.Output[str]:
        """Where peers find the VPS: `host:port`."""
        return pulumi.Output.format(
            "{0}:{1}", self.public_address, self._settings.network.listen_port
        )

    def _interface_lines(self, name: str) -> list[pulumi.Input[str]]:
        """The settings of a host's interface, with what only the engine knows."""
        others: dict[str, pulumi.Input[str]] = {
            "owner": self._owner,
            "peer-public-key": self._keys[VPS],
            "peer-endpoint": self._dialled,
        }
        return [
            pulumi.Output.concat(line, " ", others[line]) if line in others else line
            for line in interface_lines(self._settings, name)
        ]

    def _make_vps(self) -> Host:
        return Host(
            VPS,
            host=self._on_vps,
            owner=self._owner,
            packages=self._settings.vps.packages,
            private_key=self._key_pairs[VPS].private_key,
            key_staged=bool(self._waited_for),
            lines=self._interface_lines(VPS),
            drift=self._inspection.drift,
            removal=self._inspection.removals.get(VPS),
            half_made=VPS in self._inspection.half_made,
            opts=self._children,
        )

    def _make_servers(self) -> dict[str, Host]:
        return {
            name: Host(
                name,
                host=host,
                owner=self._owner,
                packages=self._settings.servers[name].packages,
                asks=self._settings.network.keepalive > 0,
                private_key=self._key_pairs[name].private_key,
                preshared_key=self._preshared_keys.get(name),
                # The VPS must know another key before the server has it; of its first one it
                # may hear later.
                key_after=[] if name in self._inspection.blank else [self._peers[name].last],
                lines=self._interface_lines(name),
                drift=self._inspection.drift,
                depends_on=self._on_the_way_to(name),
                arrival=self._inspection.arrivals.get(name),
                removal=self._inspection.removals.get(name),
                half_made=name in self._inspection.half_made,
                opts=self._children,
            )
            for name, host in self._on_servers.items()
        }

    def _on_the_way_to(self, server: str) -> Sequence[remote.Command]:
        """What a server is reached through, and which must not go before the server has gone."""
        if self._inspection.ways[server].through is None:
            return []
        return [self._vps.claim, self._peers[server].last]

    def _make_peers(self) -> dict[str, Peer]:
        return {
            name: Peer(
                name,
                vps=self._vps,
                host=self._on_vps,
                public_key=self._keys[name],
                preshared_key=self._preshared_keys.get(name),
                lines=peer_lines(self._settings, name),
                drift=self._inspection.drift.of(VPS, Part.PEER, name),
                key_drift=self._inspection.drift.of(VPS, Part.PRESHARED_KEY, name),
                opts=self._children,
            )
            for name in self._settings.peers
        }

    def _guard_vps(self) -> Iterator[remote.Command]:
        if lines := firewall_lines(self._settings):
            yield put_firewall(
                vps=self._vps,
                host=self._on_vps,
                lines=lines,
                drift=self._inspection.drift.of(VPS, Part.FIREWALL),
            )

    def _measure_vps(self) -> Iterator[remote.Command]:
        if lines := metrics_lines(self._settings):
            yield put_metrics(
                vps=self._vps,
                host=self._on_vps,
                lines=lines,
                drift=self._inspection.drift.of(VPS, Part.METRICS),
            )

    def _make_forwards(self) -> None:
        for name in self._settings.forwards:
            PortForward(
                name,
                vps=self._vps,
                host=self._on_vps,
                lines=forward_lines(self._settings, name),
                opening=self._opening(name),
                drift=self._inspection.drift.of(VPS, Part.FORWARD, name),
                opts=self._children,
            )

    def _opening(self, forward: str) -> Opening | None:
        """What a forward needs on a server; only what is behind a server needs anything there."""
        lines = opening_lines(self._settings, forward)
        if not lines:
            return None
        name = self._settings.destination(forward).server
        return Opening(
            name,
            self._servers[name],
            self._peers[name],
            self._on_servers[name],
            lines,
            drift=self._inspection.drift.of(name, Part.OPENING, forward),
        )

    @property
    def _waited_for(self) -> dict[str, Ssh]:
        """The servers whose handshakes are waited for: those that are there, in their order."""
        settings = self._settings
        if settings.is_forgotten(VPS):
            return {}
        servers = sorted(settings.managed_servers.items())
        return {name: ssh for name, ssh in servers if not settings.is_forgotten(name)}

    def _wait_for_handshakes(self) -> None:
        waited_for = self._waited_for
        if not waited_for:
            return
        wait_for_handshakes(
            host=self._on_vps,
            public_key=self._keys[VPS],
            peers={name: self._keys[name] for name in waited_for},
            silent=self._settings.network.keepalive == 0,
            endpoint=self._dialled,
            identities=[as_input(ssh.host_key) for ssh in waited_for.values()],
            drift=LOST if self._has_lost_an_end(waited_for) else None,
            parent=self,
            depends_on=[
                *self._vps_is_set_up,
                *(self._servers[name].interface for name in waited_for),
                *(self._peers[name].last for name in waited_for),
            ],
        )

    def _has_lost_an_end(self, servers: Iterable[str]) -> bool:
        """Whether the VPS or one of these has lost what the two know each other by."""
        drift = self._inspection.drift
        ends = [(VPS, Part.KEYS, "")]
        for name in servers:
            ends += [(name, Part.KEYS, ""), (VPS, Part.PEER, name)]
        return any(LOST in (drift.of(*end) or "") for end in ends)

    def _forward_words(self, public_address: str) -> dict[str, str]:
        return {
            name: forward_words(self._settings, name, public_address)
            for name in self._settings.forwards
        }
