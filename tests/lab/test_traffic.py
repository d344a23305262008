"""Traffic: visitors reach what is forwarded and nothing else, and each goes its own way."""

from collections.abc import Iterator

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.flows import echo_service
from tests.lab.probes import LASTING, VPS, greeting, page, tunnel_of_a_client, udp_greeting
from tests.support import eventually

CARRIER = "192.0.2.2"  # what the internet sees of everybody at home
LONG = 30.0  # seconds, for what normally takes one or two


@pytest.fixture
def client(lab: Lab) -> Host:
    """A visitor somewhere on the internet."""
    return lab.host("client")


@pytest.fixture
def laptop(lab: Lab, example: Deployment) -> Iterator[Host]:
    """The client device, away from home, inside the tunnel."""
    laptop = lab.host("laptop")
    with tunnel_of_a_client(laptop, example.output("clientConfigs")["laptop"]):
        yield laptop


# ---- visitors ----


@pytest.mark.usefixtures("example")
def test_both_pages_are_at_the_public_address_and_see_the_visitors_own(client: Host) -> None:
    assert page(client, f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {client.address}"
    assert page(client, f"{VPS}:443", LASTING) == f"homelab:8081 sees you as {client.address}"


@pytest.mark.usefixtures("example")
def test_the_server_logs_the_visitors_own_address(lab: Lab, client: Host) -> None:
    """What fail2ban and every access log need; with masquerading it would be the VPS's."""
    log = "/var/log/lab-web-8080.log"
    homelab = lab.host("homelab")
    homelab.write(log, "")
    page(client, f"{VPS}:80/", LASTING)
    page(lab.host("neighbour"), f"{VPS}:80/", LASTING)
    seen = [line.split()[0] for line in homelab.read(log).splitlines()]
    assert seen == [client.address, lab.host("neighbour").address]


@pytest.mark.usefixtures("example")
def test_a_port_that_is_not_forwarded_does_not_answer(lab: Lab, client: Host) -> None:
    """8080 is the servers' own port: only the forward's public one leads to it."""
    assert page(lab.host("nas"), "192.168.1.20:8080", LASTING), "the service is not there at all"
    for port in (8080, 8081, 8443, 81):
        assert page(client, f"{VPS}:{port}") is None


@pytest.mark.usefixtures("example")
def test_much_comes_through_whole(client: Host) -> None:
    """Packets of full size in both directions: a wrong MTU shows here, not in a short page."""
    size = 3_000_000
    got = client.run(f"curl -s --max-time 60 'http://{VPS}:80/bytes?n={size}' | wc -c")
    assert int(got.stdout) == size


@pytest.mark.usefixtures("example")
def test_somebody_at_home_may_use_the_public_address_too(lab: Lab) -> None:
    for name in ("nas", "homelab"):
        assert page(lab.host(name), f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {CARRIER}"


# ---- inside the tunnel ----


def test_a_client_device_reaches_the_server_by_ssh(lab: Lab, laptop: Host) -> None:
    laptop.write("/root/key", lab.ssh_key.read_text(), 0o600)
    laptop.write("/root/known", f"172.16.0.4 {lab.host('homelab').host_key}\n")
    ssh = "ssh -i /root/key -o UserKnownHostsFile=/root/known -o BatchMode=yes -o ConnectTimeout=5"
    try:
        said = laptop.run(f"{ssh} root@172.16.0.4 'hostname; echo $SSH_CONNECTION'").stdout.split()
        assert said[0] == "homelab"
        assert said[1] == "172.16.0.10"
        laptop.run("wg-quick down wg0")
        assert laptop.run(f"{ssh} root@172.16.0.4 hostname", check=False).returncode != 0
    finally:
        laptop.run("rm -f /root/key /root/known")


def test_a_client_device_reaches_a_service_that_is_not_on_the_internet(
    lab: Lab, laptop: Host, client: Host
) -> None:
    """A share, say: every server's address in the tunnel is there, whatever is forwarded."""
    with echo_service(lab.host("homelab"), "445"):
        assert greeting(laptop, "172.16.0.4", 445, LASTING) == "172.16.0.10"
        assert udp_greeting(laptop, "172.16.0.4", 445, LASTING) == "172.16.0.10"
        assert page(laptop, "172.16.0.6:8080", LASTING) == "attic:8080 sees you as 172.16.0.10"
        for address in (VPS, "172.16.0.4"):
            assert greeting(client, address, 445) is None
            assert udp_greeting(client, address, 445) is None


def test_a_client_devices_other_traffic_stays_on_its_own_line(laptop: Host, client: Host) -> None:
    """It is no VPN for everything: the VPS's traffic may cost money."""
    assert (
        page(laptop, f"{client.address}:80", LASTING) == f"client:80 sees you as {laptop.address}"
    )


# ---- the servers' own line ----


@pytest.mark.usefixtures("example")
def test_the_servers_own_traffic_leaves_by_its_own_line(lab: Lab, client: Host) -> None:
    """Also to an address whose connections come in by the tunnel at the same moment."""
    for name in ("homelab", "attic"):
        own = page(lab.host(name), f"{client.address}:80", LASTING)
        assert own == f"client:80 sees you as {CARRIER}"
    assert page(client, f"{VPS}:80", LASTING)


@pytest.mark.usefixtures("example")
def test_the_servers_own_line_does_not_need_the_tunnel_but_visitors_do(
    lab: Lab, client: Host
) -> None:
    homelab = lab.host("homelab")
    homelab.run("systemctl stop wg-quick@wg0")
    try:
        assert page(homelab, f"{client.address}:80", LASTING) == f"client:80 sees you as {CARRIER}"
        assert page(client, f"{VPS}:80") is None
    finally:
        homelab.run("systemctl start wg-quick@wg0")
    eventually(lambda: page(client, f"{VPS}:80"), LONG, "the page does not come back")


# ---- other forwards, other servers ----


def test_udp_is_forwarded_to_another_port_and_tcp_is_not_with_it(
    lab: Lab, example: Deployment, client: Host
) -> None:
    """A UDP service that listens at every address would answer from that of its own line, which is
    no answer to its visitor; one that listens at the tunnel's address does right by itself.
    """
    attic = lab.host("attic")
    example.forwards(
        example.settings("forwards") | {"dns": {"protocol": "udp", "port": 53, "to": "attic:5353"}}
    )
    example.up()
    with echo_service(attic, "5353", "172.16.0.6"):
        assert udp_greeting(client, VPS, 53, LASTING) == client.address
    with echo_service(attic, "5353"):
        assert udp_greeting(client, VPS, 53, LASTING) == client.address
        assert greeting(lab.host("nas"), attic.address, 5353, LASTING)
        assert greeting(client, VPS, 53) is None
        assert udp_greeting(client, VPS, 5353) is None


def test_a_server_that_is_not_managed_works_by_its_file_alone(
    lab: Lab, example: Deployment, client: Host
) -> None:
    """The file carries the split tunnel itself: visitors' addresses, and the own line."""
    attic = lab.host("attic")
    servers = example.settings("servers")
    example.configure(
        servers=servers | {"attic": {"address": servers["attic"]["address"]}},
        forwards=example.settings("forwards") | {"extra": {"port": 8443, "to": "attic:8080"}},
    )
    example.up()
    assert attic.run("ls /etc/wireguard").stdout == "", "nothing of ours stays on it"
    assert page(client, f"{VPS}:8443") is None
    with tunnel_of_a_client(attic, example.output("serverConfigs")["attic"]):
        seen = eventually(lambda: page(client, f"{VPS}:8443"), LONG, "the file does not work")
        assert seen == f"attic:8080 sees you as {client.address}"
        assert page(attic, f"{client.address}:80", LASTING) == f"client:80 sees you as {CARRIER}"
