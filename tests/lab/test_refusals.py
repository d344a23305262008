"""A stack file that is wrong, on the real engine: it is refused before anything happens anywhere.

Each rule with its right neighbour is in tests/settings. Here the tunnel is up, so that there is
something to lose: neither the state nor a host may be different afterwards.
"""

import hashlib
import json

from tests.lab.deployment import Deployment, Values
from tests.lab.snapshots import differences, logins, snapshot

HOSTS = ("vps", "homelab", "attic")

# What is wrong: the field as the message names it, and what it says of the value.
MISTAKES = {
    "network.keepalife": '"keepalife" is not a setting (perhaps keepalive)',
    "vps.publicInterface": '"ens6; touch /owned" is not allowed',
    "vps.ssh.hostKey": '"ssh-ed25519 AAAA" is not complete',
    "servers.homelab.address": '"172.16.1.4" is not in the network',
    "servers.attic.address": '"172.16.0.1" is taken by vps',
    "servers.attic.ssh.user": '"hex$(touch /owned)" is not allowed',
    "servers.cabin.address": '"172.16.0.0" is the address of the network',
    'servers."$(touch /owned)"': '"$(touch /owned)" is not a name',
    "clients.phone.publicKey": "(17 characters) is not a public key",
    "clients.tablet.address": '"172.16.0.10" is taken by clients.laptop',
    "forwards.far.port": "70000 is not allowed",
    "forwards.twin.port": "80 (tcp) is taken by forwards.http",
    "forwards.inside.port": "150 (tcp) overlaps 100-200 of forwards.range",
    "forwards.shell.port": "22 is the VPS's own SSH port",
    "forwards.tunnel.port": "51820 is the VPS's own WireGuard port",
    "forwards.lost.to": '"nowhere:80" names no server',
    'forwards."--jump ACCEPT"': '"--jump ACCEPT" is not a name',
    "sshPrivateKey": "is missing, and no SSH agent is running",
}


def spoil(deployment: Deployment) -> None:
    """Put all of these mistakes into the stack file."""
    vps, servers = deployment.settings("vps"), deployment.settings("servers")
    vps["publicInterface"] = "ens6; touch /owned"
    vps["ssh"]["hostKey"] = "ssh-ed25519 AAAA"
    servers["homelab"]["address"] = "172.16.1.4"
    servers["attic"]["address"] = "172.16.0.1"
    servers["attic"]["ssh"]["user"] = "hex$(touch /owned)"
    servers["cabin"] = {"address": "172.16.0.0"}
    servers["$(touch /owned)"] = {"address": "172.16.0.9"}

    def web(port: object) -> Values:
        return {"port": port, "to": "homelab:8080"}

    deployment.configure(
        network={"keepalife": 25},
        vps=vps,
        servers=servers,
        clients={
            "laptop": {"address": "172.16.0.10"},
            "phone": {"address": "172.16.0.11", "publicKey": "ten green bottles"},
            "tablet": {"address": "172.16.0.10"},
        },
        forwards={
            "http": web(80),
            "far": web(70000),
            "twin": web(80),
            "range": {"port": "100-200", "to": "homelab"},
            "inside": web(150),
            "shell": web(22),
            "tunnel": {"protocol": "udp", "port": 51820, "to": "homelab"},
            "lost": {"port": 8443, "to": "nowhere:80"},
            "--jump ACCEPT": web(8444),
        },
        sshPrivateKey=None,
    )


class Untouched:
    """What must be the same afterwards: the state, the hosts, and how often somebody logged in."""

    def __init__(self, deployment: Deployment) -> None:
        self._deployment = deployment
        self._hosts = [deployment.lab.host(name) for name in HOSTS]
        self._resources = self._recorded()
        self._seen = [snapshot(host) for host in self._hosts]
        self._logins = [*map(logins, self._hosts)]

    def check(self) -> None:
        assert [*map(logins, self._hosts)] == self._logins
        assert self._recorded() == self._resources
        for host, before in zip(self._hosts, self._seen, strict=True):
            assert differences(before, snapshot(host)) == []

    def _recorded(self) -> list[tuple[str, str]]:
        """Each resource of the state, by its URN, with a digest: what differs is shown in a log."""
        # In clear: the ciphertext is another one after each run.
        said = self._deployment.pulumi("stack", "export", "--show-secrets").stdout
        resources = json.loads(said)["deployment"]["resources"]
        # The engine has a provider of its own for who asks for the state, and then another order.
        ours = [each for each in resources if each["type"] != "pulumi:providers:pulumi"]
        return sorted((each["urn"], digest(each)) for each in ours)


def digest(resource: Values) -> str:
    return hashlib.sha256(json.dumps(resource, sort_keys=True).encode()).hexdigest()


def refused(deployment: Deployment) -> list[str]:
    """The lines of the one message by which a preview refuses the stack file."""
    done = deployment.pulumi("preview", "--json", check=False)
    assert done.returncode != 0
    said = json.loads(done.stdout)
    (message,) = (entry["message"] for entry in said["diagnostics"])
    assert [step["op"] for step in said["steps"]] == ["same"]  # the stack itself
    head, *lines = message.rstrip("\n").split("\n")
    assert head.startswith("error: The settings have "), message
    return [line.removeprefix("  ") for line in lines]


def test_everything_wrong_with_a_file_is_said_at_once_before_anything_is_looked_at(
    example: Deployment,
) -> None:
    """Nobody connects to a host, either: a wrong host key could be the address of another one."""
    untouched = Untouched(example)
    spoil(example)

    lines = refused(example)
    assert {line.split(": ")[0] for line in lines} == MISTAKES.keys()
    assert len(lines) == len(MISTAKES)
    for line in lines:
        field, said = line.split(": ", 1)
        assert said.startswith(MISTAKES[field]) or MISTAKES[field] in said.split(". Allowed: ")[0]
        assert ". Allowed: " in said
        assert ". Why: " in said

    up = example.pulumi("up", "--yes", "--skip-preview", check=False)
    assert up.returncode != 0
    said = up.stdout + up.stderr
    assert all(line in said for line in lines)
    assert "Traceback" not in said
    untouched.check()


def test_a_network_that_hides_the_lan_of_a_server_is_refused(example: Deployment) -> None:
    """Its server would no longer be reached. Apart, since no other address could be right."""
    hosts = [example.lab.host(name) for name in HOSTS]
    before = [*map(logins, hosts)]
    addresses = {"homelab": "192.168.1.4", "attic": "192.168.1.6"}
    servers = example.settings("servers")
    for name, address in addresses.items():
        servers[name]["address"] = address
    example.configure(
        network={"cidr": "192.168.1.0/24"},
        servers=servers,
        clients={"laptop": {"address": "192.168.1.10"}},
    )
    lines = refused(example)
    assert [line.split(" Allowed: ")[0] for line in lines] == [
        f'servers.{name}.ssh.host: "{address}" is inside the tunnel\'s network 192.168.1.0/24.'
        for name, address in (("attic", "192.168.1.21"), ("homelab", "192.168.1.20"))
    ]
    assert [*map(logins, hosts)] == before


def test_the_same_file_without_mistakes_is_taken(example: Deployment) -> None:
    """Else a preview that always fails would pass; and it logs in, which is what is counted."""
    hosts = [example.lab.host(name) for name in HOSTS]
    before = [*map(logins, hosts)]
    assert example.preview_steps() == []
    assert [*map(logins, hosts)] == [count + 1 for count in before]
