"""A `wg` that AppArmor confines, as in Ubuntu since 25.04: what it may read.

A stand-in for AppArmor itself, which the machines of the tests have not.
"""

import pytest

from tests.host.machine import Machine
from tests.host.test_unit import DROP_IN
from tests.host.tunnel import Tunnel
from tests.settings.samples import public_key

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
