"""A client device: a laptop, a phone."""

from settings.fields.egress import Egress, EgressField
from settings.fields.key_generation import KeyGeneration
from settings.fields.keys import PublicKeyField
from settings.fields.switch import Switch
from settings.model import Model
from settings.network import Address6Field, AddressField, OwnMtuField


class Client(Model):
    """A client device, which joins the tunnel from anywhere."""

    address: AddressField
    """Its address inside the tunnel."""

    ipv6: Address6Field = None
    """That of IPv6; default: the one in network.ipv6 with the same number."""

    public_key: PublicKeyField = None
    """The WireGuard public key of a device that made its own, so that its private key never leaves
    it; default: a key pair is made for it."""

    preshared_key: Switch = False
    """Whether the tunnel to it is also secured by a key that both ends share, against those who
    record it now and may break its other keys some day."""

    key_generation: KeyGeneration = 1
    """Another number gives it new keys."""

    egress: EgressField = Egress.OWN
    """Its way out: by its own line, or as the VPS (a full tunnel)."""

    mtu: OwnMtuField = None
    """Largest packet on its part of the tunnel, in bytes; default: the network's."""
