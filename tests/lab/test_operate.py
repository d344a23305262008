"""The command line against real hosts: one stack, with a server that nobody logs in to.

That server is called cabin and stands where the example has attic; the operator reaches it by SSH,
as its owner would from the home network.
"""

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from lab.hosts.host import Host, Result
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.probes import LASTING, VPS, page, pings, tunnel_of_a_client
from tests.lab.snapshots import Snapshot, differences, logins, rules, snapshot
from tests.lab.test_guards import counted
from tests.settings.samples import public_key
from tests.support import eventually, harmed

PORT = 5354
FOLDER = "/var/lib/node_exporter"


@pytest.fixture(scope="module")
def stack(lab: Lab, deployment: Deployment) -> Iterator[Deployment]:
    """The example, with cabin in the place of attic, and a phone with a key of its own; up."""
    deployment.start_over()
    lab.host("vps").run(["mkdir", FOLDER])
    deployment.configure(
        vps={**deployment.settings("vps"), "metrics": FOLDER},
        servers={
            "homelab": {**deployment.settings("servers")["homelab"], "presharedKey": True},
            "cabin": {"address": "172.16.0.7", "presharedKey": True},
        },
        clients={
            "laptop": {"address": "172.16.0.10", "presharedKey": True},
            "phone": {"address": "172.16.0.11", "publicKey": public_key(9)},
        },
        forwards={
            **deployment.settings("forwards"),
            "page": {"port": PORT, "to": "cabin:8080"},
        },
    )
    deployment.up()
    yield deployment
    deployment.start_over()


def reverse_tunnel(stack: Deployment, *words: str, check: bool = True) -> Result:
    """Run the command line as the operator."""
    return stack.lab.operator.run(["reverse-tunnel", *words], check=check)


def test_a_client_joins_by_the_file_that_is_written_for_it(
    stack: Deployment, tmp_path: Path
) -> None:
    file, laptop = tmp_path / "laptop.conf", stack.lab.host("laptop")
    reverse_tunnel(stack, "client", "laptop", "--output", str(file))
    assert not pings(laptop, "172.16.0.4")
    with tunnel_of_a_client(laptop, file.read_text()):
        eventually(lambda: pings(laptop, "172.16.0.4"), 30, "the laptop does not reach homelab")


@pytest.fixture(scope="module")
def cabin(lab: Lab, stack: Deployment) -> Host:
    """The server that nobody logs in to."""
    del stack
    return lab.host("attic")


@pytest.fixture(scope="module")
def untouched(cabin: Host) -> Snapshot:
    """What cabin was like before."""
    return snapshot(cabin)


def pipe(stack: Deployment, cabin: Host, *words: str) -> str:
    """Pipe the script into a shell of cabin, as a user with sudo; what it said."""
    script = reverse_tunnel(stack, "server", "cabin", *words).stdout
    return cabin.run(["runuser", "-u", "hex", "--", "sh"], input=script).stderr


def interface_number(host: Host) -> str:
    """Of the tunnel's interface; another one after it has been made anew."""
    return host.read("/sys/class/net/wg0/ifindex")


def test_a_server_that_nobody_logs_in_to_is_set_up_by_one_script_twice_and_taken_down(
    stack: Deployment, cabin: Host, untouched: Snapshot
) -> None:
    client = stack.lab.host("client")
    assert page(client, f"{VPS}:{PORT}") is None

    assert "the tunnel is up" in pipe(stack, cabin)
    seen = eventually(lambda: page(client, f"{VPS}:{PORT}"), 30, "no page from the cabin")
    assert seen == f"attic:8080 sees you as {client.address}"
    assert cabin.run("stat -c %a /etc/wireguard/wg0.conf").stdout == "600\n"

    whole = sorted(rules(cabin))
    for loss in ("iptables -t mangle -F", "ip link del wg0"):
        cabin.run(loss)
        eventually(
            lambda: page(client, f"{VPS}:{PORT}") == seen and sorted(rules(cabin)) == whole,
            120,
            "what was lost does not come back",
        )
    number = interface_number(cabin)

    assert "all is in place already" in pipe(stack, cabin)
    assert interface_number(cabin) == number

    cabin.run("sed -i s/1420/1400/ /etc/wireguard/wg0.conf")
    assert "the tunnel is up" in pipe(stack, cabin)
    assert "1420" in cabin.read("/etc/wireguard/wg0.conf")

    assert cabin.run(["systemctl", "is-enabled", "wg-quick@wg0"]).stdout == "enabled\n"

    assert "the tunnel is gone" in pipe(stack, cabin, "--uninstall")
    assert differences(untouched, snapshot(cabin)) == []
    assert page(client, f"{VPS}:{PORT}") is None
    assert "nothing is here" in pipe(stack, cabin, "--uninstall")


def test_the_script_leaves_somebody_elses_tunnel_of_that_name_alone(
    stack: Deployment, cabin: Host
) -> None:
    cabin.write("/etc/wireguard/wg0.conf", "[Interface]\n", 0o600)
    for words in ((), ("--uninstall",)):
        script = reverse_tunnel(stack, "server", "cabin", *words).stdout
        done = cabin.run(["sh"], input=script, check=False)
        assert done.returncode == 1
        assert "somebody else's: nothing was changed" in done.stderr
        assert cabin.read("/etc/wireguard/wg0.conf") == "[Interface]\n"
    cabin.run("rm /etc/wireguard/wg0.conf")


def test_the_script_leaves_a_managed_host_alone(stack: Deployment) -> None:
    homelab = stack.lab.host("homelab")
    number = interface_number(homelab)
    done = homelab.run(["sh"], input=reverse_tunnel(stack, "server", "cabin").stdout, check=False)
    assert done.returncode == 1
    assert "set up here by `pulumi up` already" in done.stderr
    assert interface_number(homelab) == number


def status(stack: Deployment, *, well: bool) -> Any:  # noqa: ANN401 - JSON
    """What `status --json` tells; its exit status says the same."""
    done = reverse_tunnel(stack, "status", "--json", check=False)
    assert done.stdout, done.stderr
    told = json.loads(done.stdout)
    assert (told["well"], done.returncode) == ((True, 0) if well else (False, 1)), told["findings"]
    return told


@contextmanager
def visitor(host: Host, port: int) -> Iterator[None]:
    """Somebody who has connected, and says nothing."""
    caller = host.popen(f"exec 3<>/dev/tcp/{VPS}/{port}; echo connected; read -r")
    try:
        assert caller.stdout
        assert caller.stdout.readline() == "connected\n"
        yield
    finally:
        caller.communicate("\n")


@pytest.fixture
def joined(stack: Deployment, cabin: Host, untouched: Snapshot) -> Iterator[Deployment]:
    """The stack with cabin in it."""
    del untouched  # which is looked at before
    pipe(stack, cabin)
    yield stack
    pipe(stack, cabin, "--uninstall")


def test_status_tells_how_hosts_and_forwards_are_doing(joined: Deployment) -> None:
    vps, client = joined.lab.host("vps"), joined.lab.host("client")
    eventually(lambda: page(client, f"{VPS}:{PORT}"), 30, "no page from the cabin")
    assert page(client, f"{VPS}:80", LASTING)
    before, firewall = logins(vps), rules(vps)
    with visitor(client, 80):
        told = status(joined, well=True)
    assert logins(vps) == before + 1
    assert rules(vps) == firewall

    kind = "kernel" if Path("/sys/module/wireguard").exists() else "userspace"
    for name in ("vps", "homelab"):
        assert (told["hosts"][name]["tunnel"], told["hosts"][name]["wireguard"]) == ("up", kind)
        if kind == "userspace":
            host = joined.lab.host(name)
            environment = "tr '\\0' '\\n' </proc/$(pgrep -x wireguard-go)/environ"
            limits = host.run(environment).stdout
            assert "GOMEMLIMIT=" in limits
            assert "GOMAXPROCS=" in limits
    peers = told["hosts"]["vps"]["peers"]
    assert peers.keys() == {"homelab", "cabin", "laptop", "phone"}
    assert peers["homelab"]["endpoint"].startswith("192.0.2.2:")
    assert 0 <= peers["homelab"]["handshakeAge"] < 180
    assert peers["phone"]["handshakeAge"] is None
    http = told["forwards"]["http"]
    assert http["leads"] == f"tcp {VPS}:80 -> homelab 172.16.0.4:8080"
    assert (http["rules"], http["target"], http["publicPort"]) == ("ok", "answers", "answers")
    assert http["connections"] > 0
    assert http["sentPackets"] > 0
    assert http["answeredBytes"] > 0
    # It has asked there itself.
    eventually(lambda: visitors_of(joined, "https") == 0, 30, "somebody stays connected")


def test_what_its_owner_tells_the_tunnels_unit_counts(joined: Deployment) -> None:
    """As docs/operations.md has it for one who wants more processors for WireGuard's program."""
    vps = joined.lab.host("vps")
    own = "/etc/systemd/system/wg-quick@wg0.service.d/zz-own.conf"
    vps.write(own, "[Service]\nEnvironment=GOMAXPROCS=7\n")
    shown = "systemctl daemon-reload; systemctl show --value --property=Environment wg-quick@wg0"
    assert "GOMAXPROCS=7" in vps.run(shown).stdout.split()
    assert "GOMAXPROCS=7" not in vps.run(f"rm {own}; {shown}").stdout.split()


def visitors_of(deployment: Deployment, forward: str) -> int:
    """How many are connected, told by a look that connects to nobody."""
    done = reverse_tunnel(deployment, "status", "--json", "--passive", check=False)
    told = json.loads(done.stdout)
    return int(told["forwards"][forward]["connections"])


def test_a_passive_status_connects_to_nobody(stack: Deployment) -> None:
    """Neither from here to a public port, nor from the VPS to a target; it tells the rest."""
    vps = stack.lab.host("vps")
    port_of = {name: each["port"] for name, each in stack.settings("forwards").items()}
    public = f"PREROUTING -i ens6 -p tcp --syn -m multiport --dports {PORT},80,443"
    assert {*port_of.values()} == {PORT, 80, 443}
    with counted(vps, public) as visits, counted(vps, "OUTPUT -o wg0 -p tcp --syn") as questions:
        done = reverse_tunnel(stack, "status", "--json", "--passive", check=False)
        assert (visits(), questions()) == (0, 0)
        told = json.loads(done.stdout)
        assert told["hosts"]["vps"]["tunnel"] == "up"
        for each in told["forwards"].values():
            assert (each["rules"], each["target"]) == ("ok", "not tested")
            assert each["publicPort"] == "not tested"
        done = reverse_tunnel(stack, "status", "--json", check=False)
        assert visits() >= len(port_of)
        assert questions() >= len(port_of)
        http = json.loads(done.stdout)["forwards"]["http"]
        assert (http["target"], http["publicPort"]) == ("answers", "answers")


def test_status_says_what_is_wrong_and_what_to_do(stack: Deployment) -> None:
    homelab, vps = stack.lab.host("homelab"), stack.lab.host("vps")
    shut = (
        "iptables -t raw -{} PREROUTING -i ens6 -p tcp --dport 443 -j DROP"  # as a provider would
    )
    with (
        harmed(homelab, "systemctl stop lab-web-8080", "systemctl start lab-web-8080"),
        harmed(vps, shut.format("I"), shut.format("D")),
    ):
        found = {each["where"]: each["says"] for each in status(stack, well=False)["findings"]}
    # Of cabin, which has just left, the VPS may not know yet.
    assert found.keys() - {"cabin", "forward page"} == {"forward http", "forward https"}
    assert "172.16.0.4:8080 (homelab), which refuses connections" in found["forward http"]
    assert f"does not answer at {VPS}:443 when asked from here" in found["forward https"]


def test_status_of_a_host_that_cannot_be_asked_tells_the_rest(stack: Deployment) -> None:
    homelab = stack.lab.host("homelab")
    with harmed(homelab, "systemctl stop ssh", "systemctl start ssh"):
        told = status(stack, well=False)
    assert told["hosts"]["homelab"] == {"tunnel": "unknown"}
    assert told["forwards"]["http"]["target"] == "answers"
    assert "can't be asked: the host refuses connections" in told["findings"][0]["says"]


def test_status_for_people_fits_a_terminal(stack: Deployment) -> None:
    words = "TERM=dumb reverse-tunnel status --passive 2>/dev/null"
    terminal = ["script", "--quiet", "--command", words, "/dev/null"]
    text = stack.lab.operator.run(terminal, check=False).stdout
    # What is copied, or searched for, is whole.
    assert {"homelab:8080", "tcp 80", "172.16.0.10"} <= set(re.split(r" {2,}", text))
    assert max(map(len, text.splitlines())) <= 80


def test_metrics_are_renewed_by_a_timer_and_go_with_the_setting(stack: Deployment) -> None:
    vps = stack.lab.host("vps")
    file, timer = f"{FOLDER}/reverse-tunnel-wg0.prom", "reverse-tunnel-wg0-metrics.timer"
    assert vps.run(["systemctl", "is-enabled", timer]).stdout == "enabled\n"
    vps.run(["rm", file])
    vps.run(["systemctl", "restart", timer])
    told = eventually(lambda: vps.run(["cat", file], check=False).stdout, 30, "the timer is idle")
    assert 'reverse_tunnel_up{tunnel="wg0"} 1' in told.splitlines()

    settings = stack.settings("vps")
    del settings["metrics"]
    stack.configure(vps=settings)
    stack.up()
    assert vps.run(["ls", "-A", FOLDER]).stdout == ""
    assert vps.run("systemctl list-unit-files | grep metrics", check=False).stdout == ""
