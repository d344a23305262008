"""Rules that somebody puts into iptables' tables by nft: iptables then shows nothing of them.

What is there must not be taken for nothing: it would be made a second time, or flushed.
"""

from collections.abc import Iterator

import pytest

from tests.host.guarded import Guarded, guarded, guards
from tests.host.machine import Machine
from tests.host.tunnel import REFUSED, Tunnel, rules_of
from tests.symptoms import symptom

PRE = "type filter hook prerouting priority 0;"
NATIVE = "tcp dport 8999 dnat to 10.2.2.2:80"
HTTP = "tcp 80 -> 172.16.0.4:8080"
HTTPS = "tcp 443 -> 172.16.0.4:8081"


def add_native(machine: Machine) -> None:
    """A rule that only nft can write."""
    machine.run(f"nft add rule ip nat PREROUTING {NATIVE}")
    assert rules_of(machine.run("iptables-save -t nat").stdout) == []


def remove_native(machine: Machine) -> None:
    machine.run(
        "nft delete rule ip nat PREROUTING handle"
        " $(nft -a list chain ip nat PREROUTING | sed -n 's/.*dport 8999 .*# handle //p')"
    )


@pytest.fixture
def native(machine: Machine) -> Tunnel:
    """A VPS with two forwards, to whose table of nat somebody has added such a rule."""
    if "nf_tables" not in machine.run("iptables --version").stdout:
        pytest.skip("iptables is not that of nftables here")
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.put("http", HTTP)
    tunnel.put("https", HTTPS)
    add_native(machine)
    return tunnel


@symptom("`pulumi up` says that iptables can't show what is in a table")
def test_a_change_is_not_made_blindly_and_says_what_to_do(native: Tunnel) -> None:
    before = native.machine.run("nft list ruleset").stdout
    for verb in ("put-forward more", "remove-forward http", "restore", "status"):
        done = native.call(verb, stdin="tcp 81 -> 172.16.0.4:8080\n", check=False)
        assert done.status == 1, verb
        assert "its table nat" in done.stderr
        assert "nft add table ip mine" in done.stderr
        assert native.machine.run("nft list ruleset").stdout == before
    # With the rule elsewhere the files come into force.
    remove_native(native.machine)
    native.call("restore")
    assert native.forwards() == [("https", HTTPS), ("more", "tcp 81 -> 172.16.0.4:8080")]


def test_at_boot_everything_comes_up_and_goes_down_once(native: Tunnel) -> None:
    for verb in ("down", "up"):
        native.call(verb)
    jumps = native.machine.run("nft list table ip nat").stdout.count("jump RT-wg0-VISIT")
    assert jumps == 1
    remove_native(native.machine)
    before = native.machine.run("iptables-save").stdout
    native.call("restore")
    assert rules_of(native.machine.run("iptables-save").stdout) == rules_of(before)
    assert native.forwards() == [("http", HTTP), ("https", HTTPS)]


def test_uninstall_leaves_what_is_not_ours_alone(native: Tunnel) -> None:
    native.call("uninstall")
    left = native.machine.run("nft list ruleset").stdout
    assert "RT-" not in left
    assert NATIVE in left


def test_tables_of_others_may_hold_what_they_like(native: Tunnel) -> None:
    """Where nothing of ours is."""
    remove_native(native.machine)
    native.machine.run("iptables -t raw -A PREROUTING -p tcp --dport 9 -j ACCEPT")
    native.machine.run(f"nft add table ip mine; nft add chain ip mine pre '{{ {PRE} }}'")
    native.machine.run("nft add rule ip mine pre ct state vmap '{ invalid : drop }'")
    native.machine.run("nft add rule ip raw PREROUTING ct state vmap '{ invalid : drop }'")
    assert "Table `raw' is incompatible" in native.machine.run("iptables-save").stdout
    native.put("more", "tcp 81 -> 172.16.0.4:8080")
    assert len(native.forwards()) == 3


@pytest.fixture(scope="module")
def house() -> Iterator[Guarded]:
    with guarded() as made:
        yield made


def test_no_firewall_is_tried_that_could_not_be_taken_back(house: Guarded) -> None:
    machine = house.vps.machine
    machine.run(
        "nft add chain ip mangle INPUT '{ type filter hook input priority mangle; }';"
        " nft add rule ip mangle INPUT ct state vmap '{ invalid : drop }'"
    )
    refused = house.login(house.verb("put-firewall"), stdin="default-deny\n", check=False)
    assert refused.status == REFUSED
    assert "its table mangle" in refused.stderr
    machine.run("nft flush chain ip mangle INPUT")
    house.vps.call("restore")
    assert guards(machine) == []
    # One that was on trial already is taken back.
    house.login(house.verb("put-firewall", wait=60), stdin="default-deny\n")
    assert guards(machine) != []
    machine.run("nft add rule ip mangle INPUT ct state vmap '{ invalid : drop }'")
    house.vps.call("remove-firewall")
    assert "jump RT-wg0-in" not in machine.run("nft list table ip mangle").stdout
