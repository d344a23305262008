"""Beside whatever else runs on a host: forwards work, theirs survives, and stays when we go.

ufw, firewalld and Docker are the real ones; what they do is done by their own commands.
"""

import re

import pytest

from lab.hosts.host import Host
from lab.images import systems
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.neighbours import CONTAINER_PORT, has_ours, start_docker, start_ufw, theirs
from tests.lab.probes import LASTING, VPS, greeting, page, tunnel_of_a_client, udp_greeting
from tests.support import eventually
from tests.symptoms import symptom

LONG = 60.0  # seconds

pytestmark = pytest.mark.usefixtures("fresh_afterwards")

# A command that a warning of ours says to run, up to the end of its line.
COMMAND = re.compile(r"Run there: (.*)")


@pytest.fixture
def crowd(lab: Lab, deployment: Deployment) -> Deployment:
    """The example, not up, on hosts that have ufw, firewalld and Docker; none of them runs yet."""
    lab.reset("attic", vps=systems.crowded(), homelab=systems.crowded())
    deployment.forget()
    return deployment


def commands(deployment: Deployment) -> list[str]:
    """What `preview` says to run on the VPS; it warns, and refuses nothing."""
    said = deployment.pulumi("preview")
    return list(dict.fromkeys(COMMAND.findall(said.stdout + said.stderr)))


def works(lab: Lab) -> None:
    """A visitor gets to what is forwarded, and is seen with its own address."""
    client = lab.host("client")
    seen = "homelab:8080 sees you as 198.51.100.10"
    eventually(lambda: page(client, f"{VPS}:80") == seen, LONG, "the forward does not work")


def is_theirs_again(host: Host, before: list[str]) -> None:
    """Their rules are as they were; a service may say that it is up a moment before they are."""
    eventually(lambda: theirs(host) == before, LONG, f"others' rules on {host.name} have changed")


def container_answers(client: Host) -> bool:
    """Whether the container on the VPS itself has its visitors still."""
    return greeting(client, VPS, CONTAINER_PORT, LASTING) == client.address


def test_ufw_and_docker_before_and_after_us(lab: Lab, crowd: Deployment) -> None:
    vps, client = lab.host("vps"), lab.host("client")
    crowd.up()
    start_ufw(vps)
    assert commands(crowd) == ["ufw allow 51820/udp"]
    vps.run(commands(crowd)[0])
    assert commands(crowd) == []
    vps.run("ufw allow log 51820/udp comment 'our WireGuard'")  # it changes the rule
    assert commands(crowd) == []
    start_docker(vps)
    before = theirs(vps)
    works(lab)
    assert page(client, f"{VPS}:81") is None
    assert container_answers(client)
    vps.run("ufw reload; systemctl restart docker")
    works(lab)
    is_theirs_again(vps, before)
    vps.reboot()
    works(lab)
    eventually(lambda: container_answers(client), LONG, "the container is not reached any more")
    is_theirs_again(vps, before)
    crowd.destroy()
    assert not has_ours(vps)
    is_theirs_again(vps, before)
    assert container_answers(client)
    # Now they were there before us.
    crowd.up()
    works(lab)
    is_theirs_again(vps, before)
    assert container_answers(client)
    crowd.destroy()
    is_theirs_again(vps, before)
    assert container_answers(client)


@symptom("It stopped when something else was started or reloaded")
@symptom("Forwards work, but peers don't reach each other by the VPS")
def test_firewalld_before_us_and_reloaded_after_us(lab: Lab, crowd: Deployment) -> None:
    """It flushes everybody's rules at each reload, and judges anew what ours have let pass."""
    vps, laptop = lab.host("vps"), lab.host("laptop")
    vps.run("systemctl enable --now firewalld")
    wanted = commands(crowd)
    assert [command.split()[2] for command in wanted] == ["--add-port=51820/udp", "--zone=trusted"]
    vps.run(wanted[0])
    crowd.up()
    works(lab)
    assert page(lab.host("client"), f"{VPS}:81") is None
    config = crowd.output("clientConfigs")["laptop"]
    with tunnel_of_a_client(laptop, config):
        assert page(laptop, "172.16.0.4:8080") is None
        vps.run(wanted[1])
        assert commands(crowd) == []
        before = theirs(vps)
        page_of_a_server = lambda: page(laptop, "172.16.0.4:8080")  # noqa: E731
        eventually(page_of_a_server, LONG, "peers don't reach each other")
    for change in ("firewall-cmd --reload", "systemctl restart firewalld"):
        vps.run(change)
        works(lab)
        is_theirs_again(vps, before)
    vps.reboot()
    works(lab)
    is_theirs_again(vps, before)
    crowd.destroy()
    assert not has_ours(vps)
    is_theirs_again(vps, before)


def test_a_server_with_ufw_lets_in_what_its_owner_lets_in(lab: Lab, crowd: Deployment) -> None:
    """Visitors come by the tunnel, with their own addresses; to ufw they are anybody."""
    homelab, client = lab.host("homelab"), lab.host("client")
    start_ufw(homelab)
    crowd.up()
    assert page(client, f"{VPS}:80") is None
    homelab.run("ufw allow 8080/tcp")
    works(lab)
    before = theirs(homelab)
    homelab.run("ufw reload")
    works(lab)
    homelab.reboot()
    works(lab)
    crowd.destroy()
    assert not has_ours(homelab)
    is_theirs_again(homelab, before)


def test_containers_of_a_server_keep_their_visitors_when_docker_is_restarted(
    lab: Lab, crowd: Deployment
) -> None:
    """By UDP, too, where a rule of ours must be the last, and Docker's comes after it."""
    homelab, client = lab.host("homelab"), lab.host("client")
    to = {"port": 5000, "to": f"homelab:{CONTAINER_PORT}", "protocol": "tcp+udp"}
    crowd.forwards({"http": {"port": 80, "to": "homelab:8080"}, "container": to})
    crowd.up()

    def seen() -> list[str | None]:
        return [greeting(client, VPS, 5000), udp_greeting(client, VPS, 5000)]

    assert seen() == [None, None]
    start_docker(homelab)
    before = theirs(homelab)
    for _ in range(2):
        eventually(
            lambda: seen() == [client.address] * 2, LONG, "the container does not see its visitors"
        )
        homelab.run("systemctl restart docker")
    homelab.reboot()
    eventually(lambda: seen() == [client.address] * 2, LONG, "nor after a reboot")
    is_theirs_again(homelab, before)
    crowd.destroy()
    assert not has_ours(homelab)
    is_theirs_again(homelab, before)
    assert greeting(lab.host("nas"), homelab.address, CONTAINER_PORT, LASTING) == "192.168.1.30"


# Somebody's own nftables: it lets in what this host serves, and passes nothing on.
RULESET = """
table inet own {
  chain guard { type filter hook input priority 0; policy drop;
    iif "lo" accept
    ct state established,related accept
    meta l4proto { icmp, ipv6-icmp } accept
    tcp dport 22 accept
  }
  chain through { type filter hook forward priority 0; policy drop;
    ct state invalid drop
  }
}
"""


def test_nftables_that_drop_what_they_do_not_know(lab: Lab, crowd: Deployment) -> None:
    """In nftables each chain judges for itself: what ours accept, theirs drops."""
    vps, client = lab.host("vps"), lab.host("client")
    vps.write("/etc/nftables.conf", f"flush ruleset\n{RULESET}")
    vps.run("systemctl enable --now nftables")
    wanted = commands(crowd)
    assert [command.split()[3:6] for command in wanted] == [
        ["inet", "own", "guard"],
        ["inet", "own", "through"],
    ]
    vps.run(wanted[0])
    crowd.up()
    assert page(client, f"{VPS}:80") is None
    vps.run(wanted[1])
    works(lab)
    assert commands(crowd) == []
    before = vps.run("nft list table inet own").stdout
    crowd.destroy()
    assert not has_ours(vps)
    assert vps.run("nft list table inet own").stdout == before


def test_a_vps_whose_iptables_is_the_legacy_one(lab: Lab, crowd: Deployment) -> None:
    vps, client = lab.host("vps"), lab.host("client")
    for tool in ("iptables", "ip6tables"):
        vps.run(f"update-alternatives --set {tool} /usr/sbin/{tool}-legacy")
    vps.run(
        "iptables -A INPUT -s 198.51.100.66 -j DROP; iptables -t nat -A POSTROUTING -s 10.9.9.9"
    )
    before = theirs(vps)
    crowd.up()
    works(lab)
    assert page(client, f"{VPS}:81") is None
    assert "RT-" in vps.run("iptables-legacy-save").stdout
    assert "RT-" not in vps.run("iptables-nft-save 2>/dev/null").stdout
    is_theirs_again(vps, before)
    crowd.destroy()
    assert not has_ours(vps)
    is_theirs_again(vps, before)
