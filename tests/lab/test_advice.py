"""What is wrong with hosts is said for all at once, with what to do; they stay as they were."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from lab.hosts.host import Host, Result
from lab.lab import Lab
from tests.lab.deployment import Deployment
from tests.lab.probes import LASTING, VPS, page
from tests.lab.snapshots import differences, snapshot
from tests.settings.samples import host_key
from tests.support import eventually
from tests.symptoms import symptom

HOSTS = ("vps", "homelab", "attic")
HEAD = "The hosts are not ready, and nothing was changed:"


@pytest.fixture(scope="module", autouse=True)
def _leave_healthy_hosts(lab: Lab, deployment: Deployment) -> Iterator[None]:
    yield
    lab.heal("homelab")
    deployment.start_over()


def stop_sshd(host: Host) -> None:
    host.run(["systemctl", "stop", "ssh.socket", "ssh.service"])


def forbid_login(host: Host) -> None:
    host.run(": >/root/.ssh/authorized_keys")


def ask_for_a_password(host: Host) -> None:
    host.write("/etc/sudoers.d/hex", "hex ALL=(ALL) ALL\n", 0o440)


def take_tun_away(host: Host) -> None:
    """And the kernel's own WireGuard, if this machine's has one."""
    host.run("umount /dev/net/tun && rm -f /dev/net/tun")
    host.run("[ ! -d /sys/module ] || mount -t tmpfs none /sys/module")


def fill_disk(host: Host, left: str) -> None:
    host.run(f"mount -t tmpfs -o size={left} none /usr/local/lib")


def become_plan_9(host: Host) -> None:
    host.run("rm /etc/os-release /usr/bin/apt-get /usr/sbin/conntrack")
    host.write("/etc/os-release", 'ID=plan9\nPRETTY_NAME="Plan 9 (fourth edition)"\n')


@contextmanager
def untouched(lab: Lab) -> Iterator[None]:
    """At the end all hosts must be what they were."""
    before = [snapshot(lab.host(name)) for name in HOSTS]
    yield
    after = [snapshot(lab.host(name)) for name in HOSTS]
    assert [differences(*each) for each in zip(before, after, strict=True)] == [[], [], []]


def said_of(host: str, done: Result) -> list[str]:
    """What a run says of a host, each problem once; it says nothing else of it."""
    lines = (done.stdout + done.stderr).splitlines()
    return list(
        dict.fromkeys(line.strip() for line in lines if line.strip().startswith(f"{host} ("))
    )


def refused(deployment: Deployment, *words: str) -> Result:
    """The run fails before anything is registered, with the look-up's message alone."""
    done = deployment.pulumi(*words, check=False)
    assert done.returncode != 0
    assert HEAD in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    types = {each["type"] for each in deployment.export()["deployment"].get("resources", [])}
    # The engine's own, by which it has been asked for the state.
    assert types <= {"pulumi:pulumi:Stack", "pulumi:providers:pulumi"}
    return done


def unreachable(said: str) -> bool:
    """A cut cable is one or the other, by how soon the operator's kernel gives up."""
    return 'can\'t be reached: "No route to host"' in said or "does not answer within 5 s" in said


@symptom("`pulumi up` says a host can't be reached")
def test_hosts_that_cannot_be_reached_or_logged_in_to_are_all_named_in_preview_and_up(
    lab: Lab, fresh: Deployment
) -> None:
    stop_sshd(lab.host("vps"))
    forbid_login(lab.host("homelab"))
    servers = fresh.settings("servers")
    servers["attic"]["ssh"]["hostKey"] = host_key(1)
    fresh.configure(servers=servers)

    with untouched(lab):
        runs = [
            refused(fresh, *words) for words in (("preview",), ("up", "--yes", "--skip-preview"))
        ]
    for done in runs:
        (vps,) = said_of("vps", done)
        assert "(root@203.0.113.10): the host refuses connections to that port" in vps
        assert "provider's panel" in vps
        assert "lookUp: false" in vps
        (homelab,) = said_of("homelab", done)
        assert "the login as root is refused" in homelab
        public_key = lab.ssh_key.with_name(lab.ssh_key.name + ".pub").read_text().split()[1]
        assert public_key in homelab
        (attic,) = said_of("attic", done)
        assert "(hex@192.168.1.21): the host shows another host key" in attic
        assert "ssh.hostKey" in attic


def test_a_preview_goes_on_without_a_host_that_is_off_but_an_up_does_not(
    lab: Lab, fresh: Deployment
) -> None:
    """It may be on again by then; a person who only looks should not have to wait for that."""
    lab.cut("homelab")
    preview = fresh.pulumi("preview")
    assert "Hosts that can't be asked now, without which `pulumi up` won't begin:" in preview.stdout
    (homelab,) = said_of("homelab", preview)
    assert unreachable(homelab)
    assert said_of("vps", preview) == []
    assert "to create" in preview.stdout

    (homelab,) = said_of("homelab", refused(fresh, "up", "--yes", "--skip-preview"))
    assert unreachable(homelab)


def test_hosts_that_cannot_carry_a_tunnel_are_all_named(lab: Lab, fresh: Deployment) -> None:
    fill_disk(lab.host("vps"), "4m")
    take_tun_away(lab.host("vps"))
    become_plan_9(lab.host("homelab"))
    ask_for_a_password(lab.host("attic"))

    with untouched(lab):
        done = refused(fresh, "preview")
    tun, disk = said_of("vps", done)
    assert "has no TUN device" in tun
    assert "provider's panel" in tun
    assert "has 4 MB of disk space left" in disk
    assert "apt-get clean" in disk
    (homelab,) = said_of("homelab", done)
    assert "runs Plan 9 (fourth edition), where packages can't be installed" in homelab
    assert "conntrack" in homelab
    assert "packages: manual" in homelab
    (attic,) = said_of("attic", done)
    assert "sudo asks hex for a password" in attic
    assert "hex ALL=(ALL) NOPASSWD: ALL" in attic


def test_an_agent_that_is_gone_is_told_before_each_command_fails_of_it(
    lab: Lab, fresh: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the plugin, though the key is given. Nobody needs to be asked to know it."""
    monkeypatch.setitem(lab.operator.environment(), "SSH_AUTH_SOCK", "/nowhere/agent")
    fresh.configure(lookUp=False)
    with untouched(lab):
        for words in (("preview",), ("up", "--yes", "--skip-preview")):
            done = refused(fresh, *words)
            assert "here: no SSH agent is at /nowhere/agent (SSH_AUTH_SOCK)." in done.stdout


def test_what_only_shows_on_the_way_leaves_the_host_as_it_was_and_the_next_up_converges(
    lab: Lab, fresh: Deployment
) -> None:
    """The look-up is off, so that what it would have said happens on the way, too."""
    vps, homelab, attic = (lab.host(name) for name in HOSTS)
    fill_disk(vps, "512k")
    fill_disk(attic, "16k")
    homelab.run("dpkg --purge conntrack && mv /etc/apt /etc/apt.away && mkdir /etc/apt")
    fresh.configure(lookUp=False)

    with untouched(lab):
        up = fresh.pulumi("up", "--yes", "--skip-preview", "--continue-on-error", check=False)
    assert up.returncode != 0
    said = up.stdout + up.stderr
    assert "too little room on the disk of /usr/local/lib" in said
    assert "apt-get could not install conntrack" in said
    assert "packages: manual" in said
    assert "could not be written to /usr/local/lib/reverse-tunnel/wg0" in said

    for host in (vps, attic):
        host.run(["umount", "/usr/local/lib"])
    homelab.run("rmdir /etc/apt && mv /etc/apt.away /etc/apt")
    fresh.configure(lookUp=None)
    fresh.up()
    assert fresh.preview_steps() == []
    assert (
        page(lab.host("client"), f"{VPS}:80", LASTING) == "homelab:8080 sees you as 198.51.100.10"
    )


def test_a_service_of_the_vps_that_a_forward_hides_is_told_before_it_does(
    lab: Lab, fresh: Deployment
) -> None:
    vps, client = lab.host("vps"), lab.host("client")
    vps.run("systemd-run --quiet --unit=own-web python3 -m http.server 443")
    eventually(lambda: page(client, f"{VPS}:443"), 30.0, "the VPS's own service does not answer")
    (warning,) = said_of("vps", fresh.pulumi("preview"))
    assert "listens itself at ports of these forwards: https (tcp 443: python3)." in warning
    (warning,) = said_of("vps", fresh.up())
    assert "https (tcp 443: python3)" in warning
    assert page(client, f"{VPS}:443", LASTING) == "homelab:8081 sees you as 198.51.100.10"
    assert said_of("vps", fresh.pulumi("preview")) == []
    vps.run("systemctl stop own-web")


def test_healthy_hosts_are_not_mentioned(fresh: Deployment) -> None:
    """Else the tests above would see what is always there."""
    preview = fresh.pulumi("preview")
    assert [said_of(host, preview) for host in HOSTS] == [[], [], []]
