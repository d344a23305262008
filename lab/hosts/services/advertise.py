"""Router advertisements, one a second: advertise.py INTERFACE PREFIX LIFETIME.

They tell the hosts at that interface that their address is made of PREFIX, a /64, and that this
router leads on; they forget it LIFETIME seconds after the last one.
"""

import socket
import struct
import sys
import time
from contextlib import suppress

_ALL_NODES = "ff02::1"
_ROUTER_ADVERTISEMENT = 134
_HOPS = 255  # fewer would mean that it came from elsewhere
_PREFIX_INFORMATION, _EIGHTS = 3, 4  # the option, and its length
_ON_LINK_AND_AUTONOMOUS = 0xC0
_ADDRESS_LIFE = 86400  # seconds
_EVERY = 1.0  # seconds


def advertisement(prefix: str, lifetime: int) -> bytes:
    """The message; the kernel fills in its checksum. See RFC 4861, 4.2 and 4.6.2."""
    address, length = prefix.split("/")
    router = struct.pack("!BBHBBHII", _ROUTER_ADVERTISEMENT, 0, 0, 64, 0, lifetime, 0, 0)
    return router + struct.pack(
        "!BBBBIII16s",
        _PREFIX_INFORMATION,
        _EIGHTS,
        int(length),
        _ON_LINK_AND_AUTONOMOUS,
        _ADDRESS_LIFE,
        _ADDRESS_LIFE,
        0,
        socket.inet_pton(socket.AF_INET6, address),
    )


def main() -> None:
    """Advertise for ever."""
    interface, prefix, lifetime = sys.argv[1], sys.argv[2], int(sys.argv[3])
    sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
    sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, _HOPS)
    to = (_ALL_NODES, 0, 0, socket.if_nametoindex(interface))
    while True:
        with suppress(OSError):  # the interface has no link-local address yet
            sender.sendto(advertisement(prefix, lifetime), to)
        time.sleep(_EVERY)


if __name__ == "__main__":
    main()
