"""A server at home."""

from typing import Annotated

from settings.fields.check import Check
from settings.fields.egress import Egress, EgressField
from settings.fields.key_generation import KeyGeneration
from settings.fields.keys import PublicKeyField
from settings.fields.packages import Packages, PackagesField
from settings.fields.switch import Switch
from settings.model import Model
from settings.network import Address6Field, AddressField, OwnMtuField
from settings.networks import BEHIND, Networks, check_behind, networks_schema
from settings.ssh import Ssh


class Server(Model):
    """A server at home, behind the carrier's NAT."""

    address: AddressField
    """Its address inside the tunnel."""

    ipv6: Address6Field = None
    """That of IPv6; default: the one in network.ipv6 with the same number."""

    public_key: PublicKeyField = None
    """The WireGuard public key of a server without ssh that made its own; default: a key pair is
    made for it."""

    networks: Annotated[Networks, Check(check_behind, BEHIND, networks_schema())] = ()
    """What lies behind it: its LAN, networks of containers. Forwards may lead to hosts there."""

    preshared_key: Switch = False
    """Whether the tunnel to it is also secured by a key that both ends share, against those who
    record it now and may break its other keys some day."""

    key_generation: KeyGeneration = 1
    """Another number gives it new keys."""

    egress: EgressField = Egress.OWN
    """Its way out: by its own line, or as the VPS."""

    mtu: OwnMtuField = None
    """Largest packet on its part of the tunnel, in bytes; default: the network's."""

    packages: PackagesField = Packages.INSTALL
    """Who installs the packages that it needs."""

    ssh: Ssh | None = None
    """How it is reached. Without it the server is not managed: `reverse-tunnel server NAME` prints
    the script that sets it up."""

    forget: Switch = False
    """Whether the machine is gone for good: nothing is done there any more, not even when its entry
    is removed, or at a destroy."""
