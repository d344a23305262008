"""The files of machines that nobody logs in to, of the keys that the engine makes for them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import pulumi

from components.key_pair import KeyPair
from components.unmanaged_server import server_config
from components.wireguard_file import Gateway, Machine, client_config
from settings import VPS, Client, Server, Settings


@dataclass(frozen=True)
class Files:
    """The WireGuard files of a stack, by name.

    Attributes:
        clients: those of the clients.
        servers: those of the servers without `ssh`.
    """

    clients: Mapping[str, pulumi.Output[str]]
    servers: Mapping[str, pulumi.Output[str]]


def make_files(
    settings: Settings,
    key_pairs: Mapping[str, KeyPair],
    preshared_keys: Mapping[str, pulumi.Output[str]],
    dialled: pulumi.Output[str],
) -> Files:
    """Makes them all.

    Args:
        settings: of the stack.
        key_pairs: by name, that of the VPS, too; of a machine that keeps its own, there is none.
        preshared_keys: of those who share one with the VPS, by name.
        dialled: where they find the VPS, `host:port`.
    """
    network = settings.network
    gateway = pulumi.Output.all(public_key=key_pairs[VPS].public_key, endpoint=dialled).apply(
        lambda known: Gateway(
            **known,
            address=settings.vps_address,
            network=network.cidr,
            keepalive=network.keepalive,
            ipv6=network.ipv6,
        )
    )

    def machine(name: str, peer: Server | Client) -> pulumi.Output[Machine]:
        pair = key_pairs.get(name)
        return pulumi.Output.all(
            private_key=pair.private_key if pair else None,
            preshared_key=preshared_keys.get(name),
        ).apply(
            lambda keys: Machine(
                name,
                peer.address,
                **keys,
                mtu=settings.mtu_of(name),
                egress=peer.egress,
                ipv6=settings.ipv6_of(name),
            )
        )

    def files(
        peers: Mapping[str, Server | Client], file: Callable[[Machine, Gateway], str]
    ) -> Mapping[str, pulumi.Output[str]]:
        return {
            name: pulumi.Output.all(machine(name, peer), gateway).apply(lambda both: file(*both))
            for name, peer in peers.items()
        }

    unmanaged = {name: server for name, server in settings.servers.items() if server.ssh is None}
    return Files(files(settings.clients, client_config), files(unmanaged, server_config))


def as_secret(files: Mapping[str, pulumi.Output[str]]) -> pulumi.Output[Mapping[str, str]]:
    """The files as one output, secret."""
    # `all` of nothing is a list.
    return pulumi.Output.secret(pulumi.Output.all(**files).apply(dict))
