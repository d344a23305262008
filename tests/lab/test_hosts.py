"""Hosts of the lab boot, reboot and are made anew as real ones are, and let the right people in."""

import signal
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from lab.hosts.host import CommandError, Host, HostError, Result
from lab.images.wireguard_go import wireguard_go
from lab.lab import Lab
from tests.lab.probes import LASTING, pings
from tests.support import eventually

LONG = 30.0  # seconds, for what normally takes one or two
RULE = "-A INPUT -p tcp -m tcp --dport 4242 -j DROP"

# The stack that is shared knows nothing of all this.
pytestmark = pytest.mark.usefixtures("fresh_afterwards")


@pytest.fixture
def ssh_client(lab: Lab) -> Iterator[Host]:
    """A host at home with the operator's key."""
    nas = lab.host("nas")
    nas.write("/root/key", lab.ssh_key.read_text(), 0o600)
    yield nas
    nas.run("rm -rf /root/key /root/known")


def ssh(client: Host, target: Host, user: str, command: str, host_key: str = "") -> Result:
    """Log in with the operator's key, expecting the target's host key, or the one given."""
    client.write("/root/known", f"{target.address} {host_key or target.host_key}\n")
    options = ["StrictHostKeyChecking=yes", "UserKnownHostsFile=/root/known", "BatchMode=yes"]
    words = [word for option in options for word in ("-o", option)]
    login = f"{user}@{target.address}"
    return client.run(["ssh", "-i", "/root/key", *words, login, command], check=False)


# ---- commands ----


def test_a_failing_command_is_an_error_that_shows_its_output_but_not_its_input(lab: Lab) -> None:
    with pytest.raises(
        CommandError, match="on nas: 'cat >/dev/null; echo no >&2; exit 3'"
    ) as error:
        lab.host("nas").run("cat >/dev/null; echo no >&2; exit 3", input="secret")
    assert error.value.result == Result("", "no\n", 3)
    assert "secret" not in str(error.value)
    assert lab.host("nas").run("exit 3", check=False).returncode == 3


def test_words_are_passed_as_they_are_and_a_line_is_for_bash(lab: Lab) -> None:
    nas = lab.host("nas")
    assert nas.run(["echo", "$HOME; *"]).stdout == "$HOME; *\n"
    assert nas.run("echo $HOME").stdout == "/root\n"


def test_a_file_is_written_with_its_folders_and_its_mode(lab: Lab) -> None:
    nas = lab.host("nas")
    nas.write("/srv/a/b", "text\n", 0o640)
    assert nas.read("/srv/a/b") == "text\n"
    assert nas.run("stat -c '%a %U' /srv/a/b").stdout == "640 root\n"


def test_an_unknown_host_is_refused_with_the_known_ones(lab: Lab) -> None:
    with pytest.raises(HostError, match=r"no host is called 'fridge'; there are .*homelab"):
        lab.host("fridge")


def test_a_command_ends_with_whoever_started_it(lab: Lab) -> None:
    nas = lab.host("nas")
    process = nas.popen(["sh", "-c", "echo $$; exec sleep 600"])
    assert process.stdout
    pid = process.stdout.readline().strip()
    assert nas.run(["kill", "-0", pid], check=False).returncode == 0
    process.kill()
    process.communicate()

    def is_gone() -> bool:
        return nas.run(["kill", "-0", pid], check=False).returncode != 0

    eventually(is_gone, LONG, "the command lives on")


# ---- logins ----


def test_root_logs_in_with_the_key_where_it_may(lab: Lab, ssh_client: Host) -> None:
    for name in ("vps", "homelab"):
        assert ssh(ssh_client, lab.host(name), "root", "hostname; id -u").stdout == f"{name}\n0\n"
    refused = ssh(ssh_client, lab.host("attic"), "root", "true")
    assert refused.returncode == 255
    assert "Permission denied" in refused.stderr


def test_the_user_of_attic_has_sudo_without_a_password(lab: Lab, ssh_client: Host) -> None:
    attic = lab.host("attic")
    assert ssh(ssh_client, attic, "hex", "id -un; sudo -n id -un").stdout == "hex\nroot\n"
    assert ssh(ssh_client, attic, "hex", "touch /etc/mine").returncode != 0


def test_a_host_is_known_by_its_key(lab: Lab, ssh_client: Host) -> None:
    vps, homelab = lab.host("vps"), lab.host("homelab")
    assert vps.host_key != homelab.host_key
    taken_for_another = ssh(ssh_client, vps, "root", "true", host_key=homelab.host_key)
    assert taken_for_another.returncode == 255
    assert "HOST IDENTIFICATION HAS CHANGED" in taken_for_another.stderr


# ---- reboots and fresh hosts ----


def test_hosts_boot_without_a_failed_unit(lab: Lab) -> None:
    for name in ("vps", "homelab", "attic"):
        assert lab.host(name).run("systemctl is-system-running").stdout == "running\n"


def test_systemd_runs_no_generators_since_no_host_has_what_they_are_for(lab: Lab) -> None:
    vps = lab.host("vps")
    generators = vps.run("ls /usr/lib/systemd/system-generators").stdout.split()
    assert "systemd-getty-generator" in generators
    masked = vps.run("cd /etc/systemd/system-generators; readlink *").stdout.split()
    assert masked == ["/dev/null"] * len(generators)
    vps.run("systemctl daemon-reload")
    assert vps.run("ls -A /run/systemd/generator*", check=False).stdout == ""


def test_a_host_is_up_although_one_of_its_units_fails(lab: Lab) -> None:
    """The tests look at what a broken tunnel does to a host that boots."""
    vps = lab.host("vps")
    unit = "[Service]\nType=oneshot\nExecStart=false\n[Install]\nWantedBy=multi-user.target\n"
    vps.write("/etc/systemd/system/broken.service", unit)
    vps.run("systemctl enable --quiet broken")
    vps.reboot()
    try:
        assert vps.run("systemctl is-system-running", check=False).stdout == "degraded\n"
    finally:
        vps.run("systemctl disable --quiet broken; systemctl reset-failed")


def test_a_reboot_keeps_files_and_loses_what_the_kernel_knew(lab: Lab) -> None:
    """Rules and addresses outlive a container in its namespace; on a real host they do not."""
    vps = lab.host("vps")
    vps.run(f"iptables {RULE}; ip addr add 192.0.2.99/32 dev lo; touch /srv/kept /run/lost")
    vps.run(["systemd-run", "--quiet", "--unit=lost", "sleep", "infinity"])
    assert RULE in vps.run("iptables-save").stdout
    assert "192.0.2.99" in vps.run("ip addr").stdout
    assert vps.run("systemctl is-active lost").stdout == "active\n"

    vps.reboot()

    assert RULE not in vps.run("iptables-save").stdout
    assert "192.0.2.99" not in vps.run("ip addr").stdout
    assert vps.run("systemctl is-active lost", check=False).returncode != 0
    assert vps.run("ls /srv/kept /run/lost", check=False).stdout == "/srv/kept\n"
    assert pings(lab.host("client"), vps.address, LASTING)


@pytest.mark.parametrize("orderly", [True, False])
def test_a_reboot_runs_what_the_host_does_at_its_end_unless_its_power_is_cut(
    lab: Lab,
    *,
    orderly: bool,
) -> None:
    vps = lab.host("vps")
    vps.run("rm -f /srv/goodbye")
    goodbye = ["--property=ExecStop=touch /srv/goodbye", "--remain-after-exit", "true"]
    vps.run(["systemd-run", "--quiet", "--unit=goodbye", *goodbye])
    vps.reboot(orderly=orderly)
    assert (vps.run("ls /srv/goodbye", check=False).returncode == 0) is orderly


def test_a_fresh_host_is_the_same_machine_without_what_was_written(lab: Lab) -> None:
    attic = lab.host("attic")
    key = attic.host_key
    attic.run("touch /srv/written; rm /usr/bin/wg; echo mine >>/etc/hosts")
    lab.reset("attic")
    assert attic.run("ls /srv/written", check=False).returncode != 0
    assert attic.run("wg --version").returncode == 0
    assert "mine" not in attic.read("/etc/hosts")
    assert attic.read("/etc/ssh/ssh_host_ed25519_key.pub").startswith(key)
    assert attic.host_key == key


def test_a_rebuilt_host_is_another_machine_at_the_same_address(lab: Lab, ssh_client: Host) -> None:
    attic = lab.host("attic")
    old = attic.host_key
    attic.reset(new_key_too=True)
    assert attic.host_key != old
    assert ssh(ssh_client, attic, "hex", "hostname").stdout == "attic\n"
    assert ssh(ssh_client, attic, "hex", "hostname", host_key=old).returncode == 255


def test_a_missing_package_is_really_installed_and_an_unknown_one_is_not(lab: Lab) -> None:
    """The set-up of a host is tested with apt itself, although the lab has no way out."""
    attic = lab.host("attic")
    attic.run("DEBIAN_FRONTEND=noninteractive apt-get purge -qq conntrack")
    assert attic.run("command -v conntrack", check=False).returncode != 0
    attic.run("apt-get update -qq && apt-get install -qq conntrack")
    assert attic.run("command -v conntrack").returncode == 0
    assert attic.run("apt-get install -qq cowsay", check=False).returncode != 0


def test_hosts_run_a_current_wireguard_go(lab: Lab) -> None:
    """Debian's own is four times slower; the kernel's is used by wg-quick where there is one.

    wg-quick looks into its own folder before it looks where PATH says.
    """
    program = wireguard_go()
    assert program is not None
    current = sha256(program.read_bytes()).hexdigest()
    for name in ("vps", "homelab", "attic", "laptop"):
        taken = 'PATH="$(dirname "$(command -v wg-quick)"):$PATH"; command -v wireguard-go'
        assert lab.host(name).run(f'sha256sum "$({taken})"').stdout.split()[0] == current, name


def test_the_tree_of_the_image_is_never_written(lab: Lab) -> None:
    """All hosts stand on it: what one wrote there, another would see."""
    lab.host("nas").run("echo changed >/etc/debian_version")
    assert "changed" not in Path(lab.state / "tree/etc/debian_version").read_text()
    assert "changed" not in lab.host("client").read("/etc/debian_version")


def test_what_the_operator_runs_hears_an_interrupt_even_where_nobody_else_does(lab: Lab) -> None:
    """As in the background of a shell: the engine would wait for who does not hear it."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        told = lab.operator.run("grep SigIgn: /proc/self/status").stdout
    finally:
        signal.signal(signal.SIGINT, before)
    assert int(told.split()[1], 16) & 1 << (signal.SIGINT - 1) == 0
