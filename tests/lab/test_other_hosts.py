"""Hosts unlike the lab's usual ones: other releases, and a VPS without its public address."""

from collections.abc import Iterator

import pytest

from lab.hosts.host import Host
from lab.images import systems
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.flows import echo_service
from tests.lab.probes import LASTING, VPS, greeting, page, tunnel_of_a_client, udp_greeting
from tests.lab.snapshots import differences, snapshot
from tests.support import eventually

CARRIER = "192.0.2.2"  # what the internet sees of everybody at home
PRIVATE = "10.0.0.10"
NUMBERS = {"bullseye": "11", "trixie": "13"}
LONG = 60.0  # seconds

# A provider's router that translates one address into one, whoever asks.
TRANSLATE = (
    f"PREROUTING -d {VPS} -j DNAT --to-destination {PRIVATE}",
    f"POSTROUTING -s {PRIVATE} -j SNAT --to-source {VPS}",
)


pytestmark = pytest.mark.usefixtures("fresh_afterwards")


def strays(host: Host) -> list[str]:
    """What a host's programs print otherwise than the helper wrote it: it would always differ."""
    said = host.run("/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel 1 status").stdout.splitlines()
    words = {"differs", "missing", "stray"}
    return [line for line in said if words & {*line.split()} or line.startswith("wrong ")]


@pytest.mark.parametrize(("vps", "server"), [("trixie", "bullseye"), ("bullseye", "trixie")])
def test_older_and_newer_releases_of_debian_beside_the_image_s(
    lab: Lab, deployment: Deployment, vps: str, server: str
) -> None:
    homelab, client = lab.host("homelab"), lab.host("client")
    lab.reset("attic", vps=systems.release(vps), homelab=systems.release(server))
    deployment.forget()
    names = ("vps", "homelab", "attic")
    releases = [lab.host(name).read("/etc/debian_version").split(".")[0] for name in names]
    assert releases == [NUMBERS[vps], NUMBERS[server], "12"]
    before = [snapshot(lab.host(name)) for name in names]
    servers = deployment.settings("servers")
    servers["homelab"] |= {"networks": ["192.168.1.30/32"], "egress": "tunnel"}
    servers["attic"]["egress"] = "tunnel"
    guarded = {**deployment.settings("vps"), "firewall": "defaultDeny"}
    deployment.configure(servers=servers, vps=guarded)
    listed = {"from": ["198.51.100.0/24"], "limit": {"newPerSecond": 50, "concurrent": 9}}
    deployment.forwards(
        {
            "http": {"port": 80, "to": "homelab:8080", **listed},
            "mail": {"port": "25-26", "to": "attic:8080-8081", "sourceAddress": "tunnel"},
            "game": {"port": 5000, "to": "homelab", "protocol": "udp"},
            "nas": {"port": 2222, "to": "192.168.1.30:80", "sourceAddress": "tunnel"},
        }
    )
    deployment.up()

    def seen() -> list[str | None]:
        with echo_service(homelab, "5000"):
            return [
                page(client, f"{VPS}:80", LASTING),
                page(client, f"{VPS}:25", LASTING),
                udp_greeting(client, VPS, 5000, LASTING),
                page(client, f"{VPS}:2222", LASTING),
                page(client, f"{VPS}:81"),
            ]

    expected = [
        f"homelab:8080 sees you as {client.address}",
        "attic:8080 sees you as 172.16.0.1",
        client.address,
        f"nas:80 sees you as {homelab.address}",
        None,
    ]
    assert seen() == expected
    assert [strays(lab.host(name)) for name in names] == [[], [], []]
    assert deployment.preview_steps() == []
    for name in ("vps", "homelab"):
        lab.host(name).reboot()
    eventually(lambda: page(client, f"{VPS}:80"), LONG, "nothing came back after a reboot")
    eventually(lambda: page(client, f"{VPS}:25"), LONG, "attic has not heard of it")
    assert seen() == expected
    deployment.destroy()
    for name, was in zip(names, before, strict=True):
        left = differences(was, snapshot(lab.host(name)))
        # They have been started anew since.
        assert [line for line in left if " files: /run/" not in line] == []


@pytest.fixture
def translated(lab: Lab, fresh: Deployment) -> Iterator[Deployment]:
    """The VPS has a private address; the router before it translates the public one."""
    internet, vps = lab.host("internet"), lab.host("vps")
    vps.run(
        f"ip address flush dev ens6 scope global; ip address add {PRIVATE}/24 dev ens6;"
        " ip route add default via 10.0.0.1"
    )
    internet.run("ip address add 10.0.0.1/24 dev eth1")
    for rule in TRANSLATE:
        internet.run(f"iptables -t nat -A {rule}")
    yield fresh
    for rule in TRANSLATE:
        internet.run(f"iptables -t nat -D {rule}")
    internet.run("ip address del 10.0.0.1/24 dev eth1")


def test_a_vps_behind_one_to_one_nat(lab: Lab, translated: Deployment) -> None:
    """Rules know its interface, not its public address. At home it is reached by that, too."""
    client, laptop, vps = lab.host("client"), lab.host("laptop"), lab.host("vps")
    full = {"laptop": {"address": "172.16.0.10", "egress": "tunnel"}}
    servers = translated.settings("servers")
    servers["attic"]["egress"] = "tunnel"
    translated.configure(clients=full, servers=servers)
    translated.up()
    assert translated.output("publicAddress") == VPS
    assert VPS not in vps.run("ip address; iptables-save").stdout
    with echo_service(vps, "5001"):
        assert page(client, f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {client.address}"
        assert greeting(client, VPS, 5001, LASTING) == client.address
        assert page(client, f"{VPS}:81") is None
        for name in ("homelab", "nas"):
            assert (
                page(lab.host(name), f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {CARRIER}"
            )
        assert (
            page(lab.host("attic"), f"{client.address}:80", LASTING)
            == f"client:80 sees you as {VPS}"
        )
        # Out by the VPS, and back by the router before it.
        with tunnel_of_a_client(laptop, translated.output("clientConfigs")["laptop"]):
            assert page(laptop, f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {VPS}"
            assert page(laptop, f"{VPS}:81") is None
            # Not even IPv6 leaves beside the tunnel, which has none.
            assert " dev wg0 " in laptop.run("ip -6 route get 2001:db8:9::9").stdout
    translated.destroy()
    assert page(client, f"{VPS}:80") is None
