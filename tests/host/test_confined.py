"""A `wg` that AppArmor confines, as in Ubuntu since 25.04: what it may read. And what is said where
SELinux may have confined the tunnel's unit, as in Fedora and RHEL.

Stand-ins for both, which the machines of the tests have not.
"""

import pytest

from operate.unmanaged import install_script
from settings import Packages
from tests.host.machine import Machine
from tests.host.test_unit import DROP_IN
from tests.host.tunnel import Tunnel
from tests.settings.samples import public_key
from tests.symptoms import advised, symptom

# Of files those in its own folder alone; another one that it has from its caller is taken from it.
WG = """#!/bin/bash
for word in "$@"; do
  if [[ -f $word && $word != /etc/wireguard/* ]]; then
    echo "fopen: Permission denied" >&2
    exit 1
  fi
done
[[ ! -f /dev/stdin ]] || exec </dev/null
exec /usr/bin/wg-itself "$@"
"""


@pytest.fixture
def confined(machine: Machine) -> Machine:
    machine.run("mv /usr/bin/wg /usr/bin/wg-itself")
    machine.write("/usr/bin/wg", WG)
    machine.run("chmod 755 /usr/bin/wg")
    machine.run("echo x >/run/secret")
    assert machine.run("wg pubkey </run/secret", check=False).status != 0
    return machine


def test_a_vps_is_set_up_with_it_and_changes_its_keys(confined: Machine) -> None:
    vps = Tunnel(confined)
    vps.set_up_vps()
    peer = f"public-key {public_key(1)}\nallowed-ips 172.16.0.4/32\n"
    vps.call("put-peer homelab", stdin=peer)
    shared = confined.run("wg genpsk").stdout
    vps.call("put-preshared-key homelab", stdin=shared)
    assert confined.run("wg show wg0 preshared-keys").stdout.split()[1] == shared.strip()
    vps.call("remove-preshared-key homelab")
    assert confined.run("wg show wg0 preshared-keys").stdout.split()[1] == "(none)"
    before = confined.run("wg show wg0 public-key").stdout
    vps.set_key()
    assert confined.run("wg show wg0 public-key").stdout != before
    confined.run("wg-quick down wg0; wg-quick up wg0")
    assert vps.wrong() == []


def test_so_is_a_server_whose_key_was_changed_while_it_was_down(confined: Machine) -> None:
    server = Tunnel(confined)
    server.install()
    key, shared = confined.run("wg genkey").stdout, confined.run("wg genpsk").stdout
    server.call("key", stdin=f"{key}preshared-key {shared}")
    lines = server.server_settings("172.16.0.4/24", public_key(1), "203.0.113.1:51820")
    server.call("interface", stdin=lines)
    assert server.wrong() == []
    conf = confined.read("/etc/wireguard/wg0.conf")
    confined.run("wg-quick down wg0")
    server.call("key", stdin=f"{confined.run('wg genkey').stdout}preshared-key {shared}")
    confined.write("/etc/wireguard/wg0.conf", conf)
    confined.run("wg-quick up wg0")
    assert server.wrong() == []


def test_the_unit_is_not_confined_to_what_wg_quick_itself_needs(confined: Machine) -> None:
    """Its PostUp is the helper, which the profile would not let it run."""
    Tunnel(confined).set_up_vps()
    lines = confined.read(DROP_IN).splitlines()
    assert lines.index("[Service]") < lines.index("AppArmorProfile=-unconfined")


NOT_STARTED = "`up` says that `wg-quick@wg0.service` did not start"
ENFORCING = "mount -t tmpfs none /sys/fs; mkdir /sys/fs/selinux; echo {} >/sys/fs/selinux/enforce"
LETS_THROUGH = "semanage permissive -a wireguard_t"


def not_started(machine: Machine) -> str:
    """What is said of a tunnel whose unit does not start."""
    machine.write(
        "/usr/bin/wg-quick", "#!/bin/sh\necho '/etc/wireguard: Permission denied' >&2\nfalse\n"
    )
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    done = tunnel.call("interface", stdin=tunnel.vps_settings(), check=False)
    assert "wg-quick@wg0.service did not start" in done.stderr
    assert done.status == 1
    return done.stderr


@symptom(NOT_STARTED)
def test_where_selinux_is_in_force_what_shows_it_and_what_lets_it_through_are_said(
    machine: Machine,
) -> None:
    machine.run(ENFORCING.format(1))
    said = not_started(machine)
    for command in ("ausearch -m avc -ts recent", LETS_THROUGH):
        assert advised(NOT_STARTED, command) in said


@pytest.mark.parametrize("state", ["none", "permissive"])
def test_where_it_is_not_nothing_is_said_of_it(machine: Machine, state: str) -> None:
    if state == "permissive":
        machine.run(ENFORCING.format(0))
    assert "SELinux" not in not_started(machine)


@pytest.mark.parametrize(("enforcing", "said"), [(1, True), (0, False), (None, False)])
def test_so_says_the_script_for_a_server_without_ssh(
    machine: Machine, enforcing: int | None, *, said: bool
) -> None:
    if enforcing is not None:
        machine.run(ENFORCING.format(enforcing))
    script = install_script("wg0", "[Interface]\nPrivateKey = none\n", Packages.MANUAL)
    done = machine.run("sh", stdin=script, check=False)
    assert "it does not start" in done.stderr
    assert (LETS_THROUGH in done.stderr) == said
