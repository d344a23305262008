"""Symptoms of docs/troubleshooting.md, provoked: what the page says to look at shows the cause, and
what it says to do is the cure. Other files provoke those that are marked there."""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.flows import echo_service
from tests.lab.mtu import TLS_PORT, forget_paths, tls_greets, tls_service
from tests.lab.probes import LASTING, SHORT, VPS, greeting, page
from tests.lab.provider import provider_blocks
from tests.support import eventually, harmed
from tests.symptoms import advised, symptom

LONG = 60.0  # seconds, for what normally takes a few
NO_HANDSHAKE = "No handshake"
NO_ANSWER = "Handshake, but the port does not answer"
NO_LARGE = "Small pages work, large ones hang"
WRONG_ADDRESS = "The service sees 172.16.0.1 or the home router's address"
DOUBLED = "Rules stand twice"
LOCKED_OUT = "Locked out of the VPS"


def findings(deployment: Deployment) -> dict[str, str]:
    """What `reverse-tunnel status` says is wrong, by where; empty if all is well."""
    done = deployment.lab.operator.run(["reverse-tunnel", "status", "--json"], check=False)
    return {each["where"]: each["says"] for each in json.loads(done.stdout)["findings"]}


def wrong_at(deployment: Deployment, *places: str) -> dict[str, str]:
    """What it says as soon as that is about these places, and no other."""

    def said_of_them() -> list[dict[str, str]]:
        said = findings(deployment)
        assert said.keys() == set(places), said
        return [said]

    return eventually(said_of_them, LONG, "status says something else")[0]


def shown(host: Host, heading: str, command: str) -> str:
    """What a command of the page shows there."""
    return host.run(advised(heading, command), check=False).stdout


@symptom(NO_HANDSHAKE)
def test_no_handshake(lab: Lab, example: Deployment) -> None:
    vps, homelab = lab.host("vps"), lab.host("homelab")
    with provider_blocks(lab, 51820):
        for host in (homelab, vps):
            host.run("systemctl restart wg-quick@wg0")

        def sent_in_vain() -> bool:
            said = shown(homelab, NO_HANDSHAKE, "wg show wg0 transfer").split()
            return said[1] == "0" and int(said[2]) > 0

        eventually(sent_in_vain, LONG, "the server does not try")
        said = findings(example)["homelab"]
        assert advised(NO_HANDSHAKE, "has never shaken hands with the VPS") in said
        assert "the provider's firewall, in its panel, must let in 51820/udp" in said
        assert f"{VPS}:51820" in shown(homelab, NO_HANDSHAKE, "wg show wg0 endpoints")
        watch = advised(NO_HANDSHAKE, "tcpdump -Q in -ni ens6 udp port 51820")
        assert "0 packets captured" in vps.run(f"timeout 7 {watch}", check=False).stderr
    assert wrong_at(example) == {}
    vps.run("systemctl restart wg-quick@wg0")
    assert "1 packet captured" in vps.run(f"{watch} -c1").stderr
    assert wrong_at(example) == {}


class Silence(NamedTuple):
    """What keeps a visitor out: what is done where, and undone; what `status` says of it."""

    host: str
    harm: str
    cure: str
    says: str
    look: str
    shows: str  # a pattern


SERVER_DROPS = "iptables -{} INPUT -i wg0 -p tcp --dport 8080 -j DROP"
SILENCES = [
    Silence(
        "homelab",
        "systemctl stop lab-web-8080",
        "systemctl start lab-web-8080",
        "which refuses connections",
        "ss -ltn",
        r"(?s)^(?!.*:8080 ).*:8081 ",
    ),
    Silence(
        "homelab",
        SERVER_DROPS.format("I"),
        SERVER_DROPS.format("D"),
        "which does not answer",
        "iptables -nvL INPUT",
        "DROP",
    ),
]


@symptom(NO_ANSWER)
@pytest.mark.parametrize("silence", SILENCES, ids=lambda silence: silence.says)
def test_a_handshake_but_a_target_that_does_not_answer(
    lab: Lab, example: Deployment, silence: Silence
) -> None:
    client, host = lab.host("client"), lab.host(silence.host)
    with harmed(host, silence.harm, silence.cure):
        assert page(client, f"{VPS}:80") is None
        said = wrong_at(example, "forward http")["forward http"]
        looked = shown(host, NO_ANSWER, silence.look)
    eventually(lambda: page(client, f"{VPS}:80"), LONG, "it does not answer again")
    assert advised(NO_ANSWER, silence.says) in said
    assert re.search(silence.shows, looked)
    assert wrong_at(example) == {}


@symptom(NO_ANSWER)
def test_a_handshake_but_a_provider_that_lets_no_visitor_in(lab: Lab, example: Deployment) -> None:
    vps, client = lab.host("vps"), lab.host("client")

    def counted() -> str:
        (line,) = (
            line
            for line in shown(vps, NO_ANSWER, "iptables -t nat -nvL RT-wg0-DNAT").splitlines()
            if "rt:wg0:http " in line
        )
        return line.split()[0]

    with provider_blocks(lab, 80, "tcp"):
        before = counted()
        assert page(client, f"{VPS}:80") is None
        assert counted() == before
        said = wrong_at(example, "forward http")["forward http"]
    assert advised(NO_ANSWER, "although its target answers the VPS") in said
    assert page(client, f"{VPS}:80", LASTING)
    assert counted() != before


@symptom(NO_ANSWER)
def test_a_handshake_but_somebody_has_changed_the_way_back(lab: Lab, example: Deployment) -> None:
    """Nothing else tells of it: the server answers, and by its own line."""
    homelab, client = lab.host("homelab"), lab.host("client")
    homelab.run("ip route flush table $(cut -d' ' -f2 /etc/reverse-tunnel/wg0/mark)")
    assert page(client, f"{VPS}:80") is None
    said = wrong_at(example, "homelab")["homelab"]
    assert advised(NO_ANSWER, "is not as the last `pulumi up` made it") in said
    assert "its tunnel: routes missing" in said
    example.up()
    assert page(client, f"{VPS}:80", LASTING)
    assert wrong_at(example) == {}


@contextmanager
def narrow_line(lab: Lab) -> Iterator[None]:
    """A line at home that carries 1,280 bytes and no fragments, and nobody says so."""
    too_large = "-p icmp --icmp-type fragmentation-needed -j DROP"
    ends, routers = (("internet", "eth0"), ("carrier", "wan")), ("internet", "carrier", "router")
    for name in routers:
        lab.host(name).run(f"iptables -I OUTPUT {too_large}; iptables -I FORWARD {too_large}")
    for name, interface in ends:
        hook = f"type filter hook ingress device {interface} priority 0;"
        lab.host(name).run(
            f"ip link set {interface} mtu 1280; nft add table netdev narrow;"
            f" nft add chain netdev narrow in '{{ {hook} }}';"
            " nft add rule netdev narrow in 'ip frag-off & 0x3fff != 0 drop'"
        )
    forget_paths(lab)
    try:
        yield
    finally:
        for name, interface in ends:
            lab.host(name).run(f"ip link set {interface} mtu 1500; nft delete table netdev narrow")
        for name in routers:
            lab.host(name).run(f"iptables -D OUTPUT {too_large}; iptables -D FORWARD {too_large}")


@symptom(NO_LARGE)
def test_small_packets_only(lab: Lab, example: Deployment) -> None:
    client, homelab = lab.host("client"), lab.host("homelab")
    ping = advised(NO_LARGE, "ping -M do -s 1372 VPS").replace("VPS", f"{VPS} -c1 -W2")
    tls = {"port": TLS_PORT, "to": f"homelab:{TLS_PORT}"}
    example.forwards({"http": {"port": 80, "to": "homelab:8080"}, "tls": tls})
    example.up()
    with tls_service(homelab):
        assert tls_greets(client, VPS)
        with narrow_line(lab):
            assert page(client, f"{VPS}:80", LASTING)
            assert not tls_greets(client, VPS, SHORT)
            assert homelab.run(ping, check=False).returncode
            assert homelab.run(ping.replace("1372", "1252"), check=False).returncode == 0
        servers = example.settings("servers")
        mtu = advised(NO_LARGE, "servers.homelab.mtu: 1220").partition(": ")[2]
        servers["homelab"]["mtu"] = int(mtu)
        example.configure(servers=servers)
        example.up()  # not on that line, on which an operator has troubles of his own
        with narrow_line(lab):
            assert tls_greets(client, VPS)


@symptom(WRONG_ADDRESS)
def test_the_wrong_client_address(lab: Lab, example: Deployment) -> None:
    vps, client = lab.host("vps"), lab.host("client")
    theirs = "iptables -t nat -{} POSTROUTING -o wg0 -j MASQUERADE"
    assert "MASQUERADE" not in shown(vps, WRONG_ADDRESS, "iptables -t nat -nvL POSTROUTING")
    with harmed(vps, theirs.format("A"), theirs.format("D")):
        assert page(client, f"{VPS}:80", LASTING) == "homelab:8080 sees you as 172.16.0.1"
        assert wrong_at(example) == {}
        assert "MASQUERADE" in shown(vps, WRONG_ADDRESS, "iptables -t nat -nvL POSTROUTING")
    assert page(client, f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {client.address}"


@symptom(DOUBLED)
def test_rules_doubled(lab: Lab, example: Deployment) -> None:
    vps = lab.host("vps")
    count = "iptables-save | grep -c -- '-A PREROUTING -j RT-wg0-VISIT'"

    def jumps() -> int:
        return int(shown(vps, DOUBLED, count))

    assert jumps() == 1
    vps.run(
        f"iptables-save -t nat >/root/rules; {advised(DOUBLED, 'iptables-restore')} -n /root/rules"
    )
    assert jumps() == 2
    drift = lab.operator.run(advised(DOUBLED, "reverse-tunnel drift"), check=False).stdout
    assert "vps: its tunnel: rules missing or changed" in drift
    example.up()
    assert jumps() == 1
    assert wrong_at(example) == {}
    # A copy without ours brings none back.
    vps.run("mkdir -p /etc/iptables")
    shown(vps, DOUBLED, "iptables-save | grep -v RT- >/etc/iptables/rules.v4")
    vps.run("iptables-restore -n /etc/iptables/rules.v4; rm -r /etc/iptables /root/rules")
    assert jumps() == 1


@contextmanager
def sshd_moved(vps: Host, port: int) -> Iterator[None]:
    """To another port, while the tunnel and all that watches is down."""
    file = "/etc/ssh/sshd_config.d/port.conf"
    vps.run("systemctl stop wg-quick@wg0")
    vps.write(file, f"Port {port}\n")
    vps.run("systemctl restart ssh")
    try:
        yield
    finally:
        vps.run(f"rm {file}; systemctl restart ssh")


@symptom(LOCKED_OUT)
def test_locked_out(lab: Lab, example: Deployment) -> None:
    """What is run on the VPS here is run on its console."""
    vps, client = lab.host("vps"), lab.host("client")
    ssh = example.settings("vps")["ssh"]
    example.configure(vps={"ssh": ssh, "firewall": "defaultDeny"})
    example.up()
    with sshd_moved(vps, 2222), echo_service(vps, "9000"):
        assert greeting(client, VPS, 2222) is None
        shown(vps, LOCKED_OUT, "systemctl restart wg-quick@wg0")
        assert greeting(client, VPS, 2222, LASTING)
        assert greeting(client, VPS, 9000) is None
        vps.run("systemctl stop wg-quick@wg0")
        command = "/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel 1 remove-firewall"
        shown(vps, LOCKED_OUT, command)
        assert greeting(client, VPS, 9000, LASTING)
        example.configure(vps={"ssh": {**ssh, "port": 2222}, "firewall": "defaultDeny"})
        assert "vps: its firewall: taken back" in example.up().stdout
        assert greeting(client, VPS, 9000) is None
        assert greeting(client, VPS, 2222, LASTING)
        assert example.preview_steps() == []
        # Away again by the port that is recorded, before that is no more.
        example.configure(vps={"ssh": {**ssh, "port": 2222}})
        example.up()
    example.configure_as_example()
    example.up()
