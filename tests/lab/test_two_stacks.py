"""Two stacks on the same hosts: neither sees the other, and one that goes takes nothing along."""

from collections.abc import Iterator

import pytest

from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.flows import connection, echo_service
from tests.lab.probes import LASTING, SHORT, VPS, greeting, page
from tests.lab.snapshots import counters, rules
from tests.support import eventually

LONG = 60.0  # seconds
NAMES = ("vps", "homelab", "attic")


@pytest.fixture
def second(lab: Lab, deployment: Deployment) -> Iterator[Deployment]:
    """Another stack than the one that is up, for the same hosts; not up."""
    deployment.start_over()
    deployment.forwards(
        {"http": {"port": 80, "to": "homelab:8080"}, "talk": {"port": 5000, "to": "homelab"}}
    )
    deployment.up()
    other = Deployment(lab, "game")
    other.configure(
        network={"cidr": "10.8.0.0/24", "listenPort": 51821, "interface": "wg-game"},
        servers={
            name: {**server, "address": f"10.8.0.{number}"}
            for number, (name, server) in enumerate(other.settings("servers").items(), 2)
        },
        clients=None,
        forwards={
            "talk": {"port": 5001, "to": "homelab:5000"},
            "page": {"port": 81, "to": "attic:8080"},
        },
    )
    yield other
    other.pulumi("stack", "rm", "--yes", "--force")
    deployment.start_over()


def of_tunnel(host: Host, name: str) -> dict[str, object]:
    """All that a tunnel is on a host, but for what its traffic changes."""
    files = f"/etc/reverse-tunnel/{name}"
    ways = f"""
        ip route show table all dev {name}
        [ ! -e {files}/mark ] || ip rule | grep -w "$(cut -d' ' -f2 {files}/mark)"
    """
    started = f"systemctl show -P ActiveEnterTimestampMonotonic wg-quick@{name}"
    return {
        "rules": [rule for rule in rules(host) if f"RT-{name}-" in rule],
        "files": sorted(
            host.run(f"grep -r '' {files} /etc/wireguard/{name}.conf").stdout.splitlines()
        ),
        "ways": host.run(ways).stdout,
        "peers": sorted(host.run(f"wg show {name} allowed-ips").stdout.splitlines()),
        "started": host.run(started).stdout,
    }


def counted(host: Host, name: str) -> dict[str, object]:
    """What each of its forwards has seen."""
    return {rule: seen for rule, seen in counters(host).items() if f"rt:{name}:" in rule}


def test_neither_sees_the_other_also_when_one_goes(lab: Lab, second: Deployment) -> None:
    hosts, client = [lab.host(name) for name in NAMES], lab.host("client")
    vps, homelab = hosts[:2]

    def pages(patience: int = LASTING) -> list[str | None]:
        return [page(client, f"{VPS}:80", LASTING), page(client, f"{VPS}:81", patience)]

    seen = f"sees you as {client.address}"
    with echo_service(homelab, "5000"), connection(client, VPS, 5000) as talk:
        before = [of_tunnel(host, "wg0") for host in hosts]
        carried = counted(vps, "wg0")
        second.up()
        assert counted(vps, "wg0") == carried
        assert [of_tunnel(host, "wg0") for host in hosts] == before
        assert talk.is_alive()
        assert pages() == [f"homelab:8080 {seen}", f"attic:8080 {seen}"]
        assert greeting(client, VPS, 5001, LASTING) == client.address
        # Ports of the one are refused to the other, by name and before anything is made.
        wanted = {"web": {"port": 80, "to": "attic:8080"}, "chat": {"port": 5000, "to": "attic"}}
        mine = of_tunnel(vps, "wg-game")
        second.forwards({**wanted, "more": {"port": 82, "to": "attic:8080"}})
        for words in (["preview"], ["up", "--yes", "--skip-preview"]):
            refused = second.pulumi(*words, check=False)
            said = refused.stdout + refused.stderr
            for forward in ("web (tcp 80: the forward http", "chat (tcp 5000: the forward talk"):
                assert f"{forward} of the tunnel wg0 of the stack reverse-tunnel/lab" in said
        assert of_tunnel(vps, "wg-game") == mine
        second.forwards({"page": {"port": 81, "to": "attic:8080"}})
        second.up()
        assert [of_tunnel(host, "wg0") for host in hosts] == before
        vps.reboot()
        eventually(lambda: None not in pages(), LONG, "not both came back after a reboot")
    with echo_service(homelab, "5000"), connection(client, VPS, 5000) as talk:
        before, carried = [of_tunnel(host, "wg0") for host in hosts], counted(vps, "wg0")
        second.destroy()
        assert counted(vps, "wg0") == carried
        assert [of_tunnel(host, "wg0") for host in hosts] == before
        assert talk.is_alive()
        assert pages(SHORT) == [f"homelab:8080 {seen}", None]
    assert not any("RT-wg-game" in rule for host in hosts for rule in rules(host))
