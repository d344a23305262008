"""Hosts that die: another machine takes their place, or they are let go; the living are cleaned."""

import json
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from components.remote import DIAL_RETRIES
from lab.hosts.host import Host
from lab.lab import Lab
from tests.lab.deployment import Deployment, Step, failures
from tests.lab.probes import LASTING, VPS, page
from tests.lab.recipes import recipe
from tests.lab.snapshots import Snapshot, differences, snapshot
from tests.support import eventually

NAMES = ("vps", "homelab", "attic")
NEW_VPS = "203.0.113.11"
NAME = "vps.example.org"  # of either, which servers dial
COMMAND = "command:remote:Command"
TENANCY = Step("replace", "random:index/randomId:RandomId", "vps-tenancy")
LONG = 60.0  # seconds
TRIES = 3 * DIAL_RETRIES
ADVICE = "put its entry back with `forget: true`, run `pulumi up`, and then take the entry out"

pytestmark = pytest.mark.usefixtures("fresh_afterwards")


@pytest.fixture
def stack(fresh: Deployment) -> Deployment:
    """The example, not up."""
    return fresh


def replace_vps(lab: Lab) -> Host:
    """The VPS is gone, and the provider has made another one, with another address and key."""
    vps = lab.host("vps")
    vps.reset(new_key_too=True)
    vps.run(
        f"ip -4 address flush dev ens6; ip address add {NEW_VPS}/24 dev ens6;"
        " ip route add default via 203.0.113.1"
    )
    return vps


@contextmanager
def dead(host: Host) -> Iterator[None]:
    """It is off, until the block ends."""
    host.stop()
    try:
        yield
    finally:
        host.start()


@contextmanager
def refused_for_a_while(vps: Host) -> Iterator[None]:
    """Homelab can't be asked from there, as by the kernel's WireGuard until it has dialled.

    For more tries than the command plugin makes.
    """
    rule = "OUTPUT -d 172.16.0.4 -p tcp --dport 22 -j REJECT --reject-with tcp-reset"
    count = "iptables -vxnL OUTPUT | awk '/172.16.0.4/ { print $1 }'"
    vps.run(f"iptables -I {rule}")

    def lift() -> None:
        eventually(lambda: int(vps.run(count).stdout) >= TRIES, 2 * LONG, "nobody goes on trying")
        vps.run(f"iptables -D {rule}")

    with ThreadPoolExecutor() as pool:
        lifted = pool.submit(lift)
        yield
        lifted.result()


def traces(before: Snapshot, host: Host) -> list[str]:
    """What is not as it was, but for what a start of the host changes."""
    return [line for line in differences(before, snapshot(host)) if " files: /run/" not in line]


def of_other_ops(steps: list[Step], *ops: str) -> list[Step]:
    return [step for step in steps if step.op not in ops]


def said_by(deployment: Deployment, *words: str) -> str:
    done = deployment.pulumi(*words, check=False)
    return done.stdout + done.stderr


def test_a_vps_that_is_gone_is_replaced_by_one_change_and_one_up(
    lab: Lab, stack: Deployment
) -> None:
    """Also if that `up` is broken off: what it had not come to is not replaced by the next one."""
    homelab, client = lab.host("homelab"), lab.host("client")
    before = snapshot(homelab)
    stack.up()
    # Drift that was mended is recorded, with the text by which that was done.
    helper = "/usr/local/lib/reverse-tunnel/wg0/reverse-tunnel"
    lab.host("vps").run(f"echo '# by hand' >>{helper}")
    stack.up()
    keys = stack.output("publicKeys")
    vps = replace_vps(lab)
    empty = snapshot(vps)
    stack.configure(vps={"ssh": {"host": NEW_VPS, "hostKey": vps.host_key}})

    # What is taken out in the same change would be deleted on the machine that is gone.
    forwards = stack.settings("forwards")
    stack.forwards({"http": forwards["http"]})
    assert "its forward https is no more" in said_by(stack, "up", "--yes", "--skip-preview")
    stack.forwards(forwards)

    preview = stack.pulumi("preview").stdout
    assert f"vps was root@{VPS}: " in preview
    assert "laptop (Endpoint): `reverse-tunnel client laptop`" in preview
    steps = stack.preview_steps()
    assert Step("update", COMMAND, "http") in steps
    assert of_other_ops(steps, "update") == [TENANCY]

    for name in ("vps-claim", "vps-helper"):
        stack.pulumi("up", "--yes", "--skip-preview", "--target", stack.urn(name))
        assert of_other_ops(stack.preview_steps(), "update") == [TENANCY]
    stack.up()
    assert page(client, f"{NEW_VPS}:80", LASTING) == f"homelab:8080 sees you as {client.address}"
    assert page(client, f"{NEW_VPS}:443", LASTING)
    assert page(client, f"{NEW_VPS}:81") is None
    assert stack.output("publicKeys") == keys
    assert stack.preview_steps() == []
    stack.destroy()
    assert traces(empty, vps) == []
    assert traces(before, homelab) == []


def test_a_server_behind_the_tunnel_alone_is_told_of_the_new_vps_when_it_has_dialled_that(
    lab: Lab, stack: Deployment
) -> None:
    """It finds the new one by its name; only then can its own commands run."""
    vps, servers = stack.settings("vps"), stack.settings("servers")
    stack.configure(vps={**vps, "endpoint": NAME})
    stack.up()
    servers["homelab"]["ssh"]["host"] = {"through": "vps"}
    stack.configure(servers=servers)
    stack.up()
    new = replace_vps(lab)
    for name in NAMES[1:]:
        lab.host(name).run(f"sed -i 's/^{VPS}\\s/{NEW_VPS} /' /etc/hosts")
    stack.configure(vps={"endpoint": NAME, "ssh": {"host": NEW_VPS, "hostKey": new.host_key}})
    assert "`pulumi up` waits for it" in stack.pulumi("preview").stdout
    with refused_for_a_while(new):
        stack.up()
    assert page(lab.host("client"), f"{NEW_VPS}:80", LASTING)
    assert stack.preview_steps() == []


def test_so_it_is_by_what_is_new_on_it_where_the_vps_alone_has_lost_the_tunnel(
    lab: Lab, stack: Deployment
) -> None:
    """Put back with its key and address: the server's claim is as it was, and runs no command."""
    stack.up()
    servers = stack.settings("servers")
    servers["homelab"]["ssh"]["host"] = {"through": "vps"}
    stack.configure(servers=servers)
    stack.up()
    lab.reset("vps")
    servers["homelab"]["mtu"] = 1300
    stack.configure(servers=servers)
    steps = {step.name for step in stack.preview_steps()}
    assert "homelab-interface" in steps
    assert "homelab-claim" not in steps
    with refused_for_a_while(lab.host("vps")):
        stack.up()
    assert page(lab.host("client"), f"{VPS}:80", LASTING)
    assert stack.preview_steps() == []


def test_a_living_machine_is_cleaned_when_another_takes_its_place(
    lab: Lab, stack: Deployment
) -> None:
    """The negative of the one above: what still runs must not keep a tunnel that nobody knows."""
    homelab, attic, client = lab.host("homelab"), lab.host("attic"), lab.host("client")
    before = snapshot(homelab)
    servers = stack.settings("servers")
    ssh_of_attic = servers.pop("attic")["ssh"]
    stack.configure(servers=servers, forwards={"http": {"port": 80, "to": "homelab:8080"}})
    stack.up()
    assert traces(before, homelab)
    servers["homelab"]["ssh"] = ssh_of_attic
    stack.configure(servers=servers)
    steps = stack.preview_steps()
    assert Step("replace", COMMAND, "homelab-claim") in steps
    stack.up()
    # Until it was cleaned the old one had the same key, and may have been the last to speak.
    ours = f"attic:8080 sees you as {client.address}"
    eventually(lambda: page(client, f"{VPS}:80") == ours, LONG, "nobody gets to attic")
    assert traces(before, homelab) == []
    assert stack.preview_steps() == []
    # And back, this time from one that is off; the one that was cleaned is like any other.
    servers["homelab"]["ssh"] = {"host": homelab.address, "hostKey": homelab.host_key}
    stack.configure(servers=servers)
    with dead(attic):
        stack.up()
        assert page(client, f"{VPS}:80", LASTING) == f"homelab:8080 sees you as {client.address}"
        assert stack.preview_steps() == []


def test_a_living_machine_that_lets_nobody_in_is_let_go_by_a_word_alone(
    lab: Lab, stack: Deployment
) -> None:
    """It would fight its successor; so who changes the one for the other is asked."""
    homelab = lab.host("homelab")
    servers = stack.settings("servers")
    ssh_of_attic = servers.pop("attic")["ssh"]
    stack.configure(servers=servers, forwards={"http": {"port": 80, "to": "homelab:8080"}})
    stack.up()
    homelab.run("mv /root/.ssh /root/ssh")
    servers["homelab"] = {**servers["homelab"], "ssh": ssh_of_attic}
    stack.configure(servers=servers)
    refused = said_by(stack, "up", "--yes", "--skip-preview")
    assert "homelab was root@192.168.1.20, which may still run" in refused
    assert "servers.homelab.forget: true" in refused

    stack.configure(servers={"homelab": {**servers["homelab"], "forget": True}})
    stack.up()
    stack.configure(servers=servers)
    stack.up()
    assert stack.preview_steps() == []
    assert "interface: wg0" in lab.host("attic").run("wg show").stdout
    assert "interface: wg0" in homelab.run("wg show").stdout


def test_a_dead_server_is_forgotten_and_leaves_the_stack(lab: Lab, stack: Deployment) -> None:
    """Without a word of that an `up` does nothing by halves, and says what to do."""
    vps, homelab = lab.host("vps"), lab.host("homelab")
    before = snapshot(vps), snapshot(homelab)
    servers = stack.settings("servers")
    servers["attic"]["networks"] = ["192.168.1.30/32"]
    nas = {"port": 2222, "to": "192.168.1.30:80", "sourceAddress": "tunnel"}
    forwards = stack.settings("forwards")
    stack.configure(servers=servers, forwards={**forwards, "nas": nas})
    stack.up()
    attic = servers.pop("attic")
    with dead(lab.host("attic")):
        stack.configure(servers=servers, forwards=forwards)
        assert ADVICE in said_by(stack, "preview")
        state = stack.export()["deployment"]["resources"]
        assert ADVICE in said_by(stack, "up", "--yes", "--skip-preview")
        assert len(stack.export()["deployment"]["resources"]) == len(state)

        forgotten = {**servers, "attic": {**attic, "forget": True}}
        stack.configure(servers=forgotten, forwards={**forwards, "nas": nas})
        assert "servers.attic.forget: nothing is done on attic any more" in stack.up().stdout
        assert stack.preview_steps() == []
        stack.configure(servers=servers, forwards=forwards)
        stack.up()
        assert stack.preview_steps() == []
    known = vps.run("cat /etc/reverse-tunnel/wg0/peers.d/*").stdout
    assert "172.16.0.4/32" in known
    assert "172.16.0.6/32" not in known
    eventually(lambda: page(lab.host("client"), f"{VPS}:80"), LONG, "nobody gets to homelab")
    stack.destroy()
    assert [traces(*each) for each in zip(before, (vps, homelab), strict=True)] == [[], []]


def test_a_server_that_dies_in_its_first_up_is_forgotten_as_well(
    lab: Lab, stack: Deployment
) -> None:
    """What was not made of it would be made at each `up`, on a machine that is gone."""
    servers, attic = stack.settings("servers"), lab.host("attic")
    attic.run("mkdir -p /etc/reverse-tunnel/wg0/private.key/obstacle")
    assert stack.up(check=False).returncode != 0
    assert "::attic-helper" in str(stack.export())
    with dead(attic):
        stack.configure(servers={**servers, "attic": {**servers["attic"], "forget": True}})
        stack.up()
        assert stack.preview_steps() == []
        del servers["attic"]
        stack.configure(servers=servers)
        stack.up()
        assert "attic" not in str(stack.export())


@pytest.mark.parametrize("look_up", [True, False], ids=["looked at", "not looked at"])
def test_a_destroy_lets_a_forgotten_vps_go_and_cleans_the_servers(
    lab: Lab, stack: Deployment, *, look_up: bool
) -> None:
    servers = [lab.host(name) for name in NAMES[1:]]
    before = [snapshot(host) for host in servers]
    stack.configure(lookUp=look_up)
    stack.up()
    with dead(lab.host("vps")):
        if look_up:
            refused = said_by(stack, "up", "--yes", "--skip-preview")
            assert "If it is gone for good, see docs/operations.md, a host that dies." in refused
        stack.configure(vps={**stack.settings("vps"), "forget": True})
        stack.up()
        assert "::vps-claim" in str(stack.export())
        stack.destroy()
    assert [traces(*each) for each in zip(before, servers, strict=True)] == [[], []]


def test_a_dead_server_whose_entry_is_out_already_is_put_back_and_leaves(
    lab: Lab, stack: Deployment
) -> None:
    """Where nobody looked: `up` itself finds that out, at the claim, and each one after it."""
    vps, homelab = lab.host("vps"), lab.host("homelab")
    before = snapshot(vps), snapshot(homelab)
    stack.configure(lookUp=False)
    stack.up()
    servers = stack.settings("servers")
    attic = servers.pop("attic")
    with dead(lab.host("attic")):
        stack.configure(servers=servers)
        for _ in range(2):
            assert failures(stack.up(check=False)).keys() == {"attic-claim"}
        stack.configure(servers={**servers, "attic": {**attic, "forget": True}})
        stack.up()
        stack.configure(servers=servers)
        stack.up()
        assert stack.preview_steps() == []
    assert "172.16.0.6/32" not in vps.run("cat /etc/reverse-tunnel/wg0/peers.d/*").stdout
    stack.destroy()
    assert [traces(*each) for each in zip(before, (vps, homelab), strict=True)] == [[], []]


def test_a_delete_that_fails_for_ever_is_taken_out_of_the_state(
    lab: Lab, stack: Deployment
) -> None:
    """The old machine of a server was off, and nobody looked, when another took its place."""
    homelab, attic = lab.host("homelab"), lab.host("attic")
    before = snapshot(attic)
    servers = stack.settings("servers")
    ssh_of_attic = servers.pop("attic")["ssh"]
    http = {"http": {"port": 80, "to": "homelab:8080"}}
    stack.configure(lookUp=False, servers=servers, forwards=http)
    stack.up()
    servers["homelab"]["ssh"] = ssh_of_attic
    stack.configure(servers=servers)
    with dead(homelab):
        for _ in range(2):
            failed = failures(stack.up(check=False))
            assert failed.keys() == {"homelab-claim"}
        export, put_back = recipe("A delete that fails for ever")
        lab.operator.run(export)
        file = lab.project / "state.json"
        assert take_deletes_out(file, {*failed}) == 1
        lab.operator.run(put_back)
        file.unlink()
        stack.up()
        assert stack.preview_steps() == []
        ours = f"attic:8080 sees you as {lab.host('client').address}"
        eventually(
            lambda: page(lab.host("client"), f"{VPS}:80") == ours, LONG, "nobody gets to attic"
        )
        stack.destroy()
    assert traces(before, attic) == []


def take_deletes_out(file: Path, names: set[str]) -> int:
    """As somebody does it by an editor, who sees no connection, since it is encrypted; how many."""
    state = json.loads(file.read_text())
    resources: list[dict[str, Any]] = state["deployment"]["resources"]
    kept = [
        each
        for each in resources
        if not (each.get("delete") and each["urn"].rpartition("::")[2] in names)
    ]
    state["deployment"]["resources"] = kept
    file.write_text(json.dumps(state))
    return len(resources) - len(kept)
