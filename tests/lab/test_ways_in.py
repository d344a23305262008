"""Ways in: at home, through the VPS and the tunnel, by another port, user or credential.

None of it changes what is on a host, or drops what passes through.
"""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from lab.hosts.host import Host
from lab.images.image import debian_tree
from lab.images.tree import tool
from lab.lab import Lab
from tests.lab.deployment import Deployment, failures
from tests.lab.flows import download
from tests.lab.probes import LASTING, VPS, page
from tests.lab.snapshots import Snapshot, differences, rules, snapshot
from tests.settings.samples import host_key
from tests.support import eventually, harmed
from tests.symptoms import symptom

SERVERS = ("homelab", "attic")
MANAGED = ("vps", *SERVERS)
THROUGH = {"through": "vps"}
LONG = 60.0  # seconds
AT_HOME = "INPUT -i eth0 -p tcp --dport 22 -j REJECT --reject-with tcp-reset"
IN_TUNNEL = "172.16.0.4/32 dev lo"
# Of the command plugin, as docs/operations.md has it.
NO_AGENT = (
    "ssh: handshake failed: ssh: unable to authenticate, attempted methods [none],"
    " no supported methods remain"
)


pytestmark = pytest.mark.usefixtures("fresh_afterwards")


def reach(deployment: Deployment, name: str, **ssh: Any) -> None:  # noqa: ANN401 - as in YAML
    """Change how a host is reached; None takes a key away."""

    def changed(host: dict[str, Any]) -> dict[str, Any]:
        merged = {**host["ssh"], **ssh}
        return {**host, "ssh": {key: value for key, value in merged.items() if value is not None}}

    if name == "vps":
        deployment.configure(vps=changed(deployment.settings("vps")))
    else:
        servers = deployment.settings("servers")
        deployment.configure(servers={**servers, name: changed(servers[name])})


@contextmanager
def away(lab: Lab) -> Iterator[None]:
    """Nobody gets in to the servers by their addresses at home."""
    homelab, attic = (
        harmed(lab.host(name), f"iptables -I {AT_HOME}", f"iptables -D {AT_HOME}")
        for name in SERVERS
    )
    with homelab, attic:
        yield


def rules_of_all(lab: Lab) -> dict[str, list[str]]:
    return {name: rules(lab.host(name)) for name in MANAGED}


def is_free(host: Host) -> bool:
    """Of the tunnel, and of the helper by which it comes back."""
    places = "test -e /sys/class/net/wg0 -o -e /usr/local/lib/reverse-tunnel"
    return host.run(places, check=False).returncode != 0


def test_servers_are_looked_after_from_home_and_from_elsewhere(lab: Lab, fresh: Deployment) -> None:
    """One stack file for both. From elsewhere everything works as it does at home."""
    stack = fresh
    untouched = {name: snapshot(lab.host(name)) for name in MANAGED}
    stack.up()
    for name in SERVERS:
        reach(stack, name, host=[lab.host(name).address, THROUGH])
    assert stack.preview_steps() == []

    with away(lab), download(lab.host("client"), VPS, 80) as flow:
        before = rules_of_all(lab)
        said = stack.pulumi("preview", "--json").stdout
        assert "homelab is reached by root@172.16.0.4 through root@203.0.113.10" in said
        steps = [step for step in json.loads(said)["steps"] if step["op"] != "same"]
        assert {step["op"] for step in steps} == {"update"}
        names = {step["urn"].rpartition("::")[2] for step in steps}
        assert {name.partition("-")[0] for name in names} == set(SERVERS)
        stack.up()
        assert rules_of_all(lab) == before
        assert flow.end().alive
        assert "PRIVATE KEY" not in said + json.dumps(stack.export())
        status = lab.operator.run(["reverse-tunnel", "status", "--passive", "--json"], check=False)
        hosts = json.loads(status.stdout)["hosts"]
        assert {name for name, host in hosts.items() if host["tunnel"] == "up"} == {*MANAGED}

        stack.configure(network={"mtu": 1400}, forwards={"new": {"port": 81, "to": "attic:8080"}})
        stack.up()
        assert [lab.host(name).read("/sys/class/net/wg0/mtu") for name in MANAGED] == ["1400\n"] * 3
        assert page(lab.host("client"), f"{VPS}:81", LASTING)
        assert stack.preview_steps() == []

        stack.configure(network={"mtu": 1400, "listenPort": 51999})
        refused = stack.pulumi("preview", check=False)
        assert refused.returncode
        assert "breaks when the VPS leaves port 51820 for 51999" in refused.stdout

        # The servers first, by the tunnel, which goes with them.
        stack.destroy()
    for name, before_all in untouched.items():
        eventually(partial(is_same, lab.host(name), before_all), LONG, f"{name} is not as before")


def is_same(host: Host, before: Snapshot) -> bool:
    found = differences(before, snapshot(host))
    assert not found, found
    return True


def test_by_the_tunnel_no_server_loses_its_address_before_it_hears_of_it(
    lab: Lab, fresh: Deployment
) -> None:
    """To its own new name, or to whoever comes after it. At home a rename is like any other."""
    stack, homelab, attic = fresh, lab.host("homelab"), lab.host("attic")
    stack.up()
    for name in SERVERS:
        reach(stack, name, host=[THROUGH, lab.host(name).address])
    stack.up()
    servers = stack.settings("servers")
    servers = {"house": servers["homelab"], "attic": servers["attic"]}
    stack.configure(servers=servers, forwards={"http": {"port": 80, "to": "house:8080"}})
    refused = stack.up(check=False)
    assert refused.returncode
    assert "gives the address of homelab, its name so far, to house" in refused.stdout
    assert page(lab.host("client"), f"{VPS}:80", LASTING)
    reach(stack, "house", host=[homelab.address, THROUGH])
    stack.up()
    assert stack.preview_steps() == []
    assert page(lab.host("client"), f"{VPS}:80", LASTING)

    servers = stack.settings("servers")
    cam = {"address": servers.pop("attic")["address"]}
    stack.configure(servers=servers, clients={"cam": cam})
    refused = stack.up(check=False)
    assert refused.returncode
    assert "where cam gets its address before" in refused.stdout
    stack.configure(clients={"cam": {"address": "172.16.0.66"}})
    stack.up()
    eventually(partial(is_free, attic), LONG, "the tunnel is left on attic")
    stack.configure(clients={"cam": cam})
    stack.up()
    assert stack.preview_steps() == []


@symptom("`pulumi up` says that none of a host's ways leads there")
def test_without_a_tunnel_the_way_through_it_is_told_apart(lab: Lab, fresh: Deployment) -> None:
    """There is none before the first `up`. Nor can the VPS answer in a server's place."""
    vps = lab.host("vps")
    reach(fresh, "homelab", host=THROUGH)
    refused = fresh.up(check=False)
    assert refused.returncode
    assert "asked from root@203.0.113.10" in refused.stdout
    assert "Before the first `pulumi up` there is none yet" in refused.stdout
    assert is_free(vps)

    with harmed(vps, f"ip address add {IN_TUNNEL}", f"ip address del {IN_TUNNEL}"):
        refused = fresh.up(check=False)
    assert refused.returncode
    assert "homelab (root@172.16.0.4 through root@203.0.113.10): the host shows another" in (
        refused.stdout
    )
    assert is_free(vps)


@contextmanager
def agent(lab: Lab, key: str, passphrase: str, folder: Path) -> Iterator[None]:
    """The operator has an SSH agent with a key that a passphrase locks."""
    file, socket = folder / "key", folder / "agent"
    file.write_text(key)
    file.chmod(0o600)
    tree = debian_tree()
    locked = ["-q", "-p", "-P", "", "-N", passphrase, "-f", str(file)]
    subprocess.run([*tool(tree, "ssh-keygen"), *locked], check=True)
    asks = folder / "asks"
    asks.write_text(f"#!/bin/sh\necho {passphrase}\n")
    asks.chmod(0o700)
    running = subprocess.Popen(
        [*tool(tree, "ssh-agent"), "-D", "-a", str(socket)], stdout=subprocess.DEVNULL
    )
    try:
        eventually(socket.exists, LONG, "the agent does not start")
        environment = {
            "SSH_AUTH_SOCK": str(socket),
            "SSH_ASKPASS": str(asks),
            "SSH_ASKPASS_REQUIRE": "force",
        }
        add = [*tool(tree, "ssh-add"), "-q", str(file)]
        subprocess.run(add, env=environment, check=True, stdin=subprocess.DEVNULL)
        lab.operator.environment()["SSH_AUTH_SOCK"] = str(socket)
        yield
    finally:
        lab.operator.environment().pop("SSH_AUTH_SOCK", None)
        running.kill()
        running.wait()


def listen_at(host: Host, port: int) -> None:
    host.write("/etc/ssh/sshd_config.d/port.conf", f"Port {port}\n")
    host.run("systemctl restart ssh")


def add_user(host: Host, name: str) -> None:
    """One whose sudo asks for nothing, in the place of root, who may not log in any more."""
    host.run(f"useradd --create-home {name} && mv /root/.ssh ~{name}/ && chown -R {name}: ~{name}")
    host.write(f"/etc/sudoers.d/{name}", f"{name} ALL=(ALL) NOPASSWD: ALL\n", 0o440)


def test_another_port_user_or_credential_drops_nothing_and_a_destroy_works_right_after(
    lab: Lab, fresh: Deployment, tmp_path: Path
) -> None:
    """Of the VPS the port; of homelab the user; of attic the way, by that port. Then an agent with
    a locked key in place of the key."""
    stack, vps = fresh, lab.host("vps")
    stack.up()
    with download(lab.host("client"), VPS, 80) as flow:
        before = rules_of_all(lab)
        listen_at(vps, 2222)
        add_user(lab.host("homelab"), "ops")
        reach(stack, "vps", port=2222)
        reach(stack, "homelab", user="ops")
        reach(stack, "attic", host=THROUGH)
        assert {step.op for step in stack.preview_steps()} == {"update"}
        stack.up()
        assert rules_of_all(lab) == before

        stack.pulumi("config", "rm", "sshPrivateKey")
        with agent(lab, lab.ssh_key.read_text(), "snakeoil", tmp_path):
            stack.up()
            assert rules_of_all(lab) == before
            assert stack.preview_steps() == []
            assert flow.end().alive

            # Another host key is another machine, and no way to this one.
            reach(stack, "vps", hostKey=host_key(9))
            stack.configure(lookUp=False)
            replaced = {step.name for step in stack.preview_steps() if "replace" in step.op}
            assert replaced >= {"vps-claim", "vps-interface", "http"}

            stack.destroy()
    for name in MANAGED:
        eventually(partial(is_free, lab.host(name)), LONG, f"the tunnel is left on {name}")


def test_a_destroy_without_the_agent_cleans_nothing_and_one_with_it_does_the_rest(
    lab: Lab, fresh: Deployment, tmp_path: Path
) -> None:
    """As after a new login. No program runs in a destroy that could tell of it before."""
    stack, key = fresh, lab.ssh_key.read_text()
    folders = tmp_path / "before", tmp_path / "again"
    untouched = {name: snapshot(lab.host(name)) for name in MANAGED}
    stack.pulumi("config", "rm", "sshPrivateKey")
    for folder in folders:
        folder.mkdir()
    with agent(lab, key, "snakeoil", folders[0]):
        stack.up()
    before = rules_of_all(lab)
    for words in (("preview",), ("up", "--yes", "--skip-preview")):
        refused = stack.pulumi(*words, check=False)
        assert refused.returncode
        assert "no SSH agent is running (SSH_AUTH_SOCK is not set)" in refused.stdout
    failed = stack.destroy(check=False)
    assert failures(failed) == {
        f"{name}-claim": f"after 3 failed attempts: {NO_AGENT}" for name in MANAGED
    }
    assert rules_of_all(lab) == before
    assert page(lab.host("client"), f"{VPS}:80", LASTING)
    with agent(lab, key, "snakeoil", folders[1]):
        stack.destroy()
    assert is_untouched(lab, untouched)


def test_a_destroy_with_an_agent_that_is_gone_works_without_it(
    lab: Lab, fresh: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though the key is given, as in a terminal that has outlived its login."""
    untouched = {name: snapshot(lab.host(name)) for name in MANAGED}
    fresh.up()
    before = rules_of_all(lab)
    with monkeypatch.context() as gone:
        gone.setitem(lab.operator.environment(), "SSH_AUTH_SOCK", "/nowhere/agent")
        failed = fresh.destroy(check=False)
    assert failures(failed) == {
        f"{name}-claim": "dial unix /nowhere/agent: connect: no such file or directory"
        for name in MANAGED
    }
    assert rules_of_all(lab) == before
    fresh.destroy()
    assert is_untouched(lab, untouched)


def is_untouched(lab: Lab, before: dict[str, Snapshot]) -> bool:
    """Nothing is left on any host."""
    return all(is_same(lab.host(name), one) for name, one in before.items())
