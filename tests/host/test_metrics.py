"""Metrics on the VPS: a file that Prometheus' own parser reads, a timer; nothing left of both."""

from collections.abc import Iterator

import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.host.machine import Machine
from tests.host.tunnel import REFUSED, Tunnel
from tests.host.world import CLIENT, SERVER, VPS, Call, World, world

FOLDER = "/var/lib/node_exporter"
FILE = f"{FOLDER}/reverse-tunnel-wg0.prom"
UNIT = "reverse-tunnel-wg0-metrics"


def put(tunnel: Tunnel, folder: str = FOLDER) -> None:
    tunnel.machine.run(f"mkdir -p {folder}")
    tunnel.call("put-metrics", stdin=f"folder {folder}\n")


def samples(machine: Machine) -> dict[tuple[str, str], float]:
    """By name and the labels' values, but for the tunnel's name, which all have."""
    found = {}
    for family in text_string_to_metric_families(machine.read(FILE)):
        assert family.documentation
        for sample in family.samples:
            labels = dict(sample.labels)
            assert labels.pop("tunnel") == "wg0"
            found[sample.name.removeprefix("reverse_tunnel_"), " ".join(labels.values())] = (
                sample.value
            )
    return found


@pytest.fixture(scope="module")
def ends() -> Iterator[World]:
    with world() as built:
        built.serve(8081)
        put(built.vps)
        yield built


def test_they_tell_what_the_tunnel_does(ends: World) -> None:
    ends.vps.put("web", f"udp 80 -> {SERVER}:8081")
    ends.vps.put("resting", f"tcp 81 -> {SERVER}:8081\npaused")
    open_one = Call(ends.client, "udp", VPS, 80)
    assert open_one.ask() == CLIENT
    ends.vps.call("write-metrics")
    told = samples(ends.vps.machine)
    assert told["up", ""] == 1
    assert told["forward_rules_ok", "web"] == told["forward_rules_ok", "resting"] == 1
    assert told["forward_connections_total", "web"] == told["forward_connections", "web"] == 1
    assert told["forward_connections", "resting"] == 0
    to, back = (told["forward_open_packets", f"web {way}"] for way in ("to", "back"))
    assert 1 <= back <= to <= 2  # where the answer is late, it is asked once more
    for way in ("to", "back"):
        assert told["forward_open_bytes", f"web {way}"] > 28  # its headers
        assert told["forward_open_packets", f"resting {way}"] == 0
        assert told["peer_bytes_total", f"homelab {'from' if way == 'back' else way}"] > 0
    assert told["peer_last_handshake_timestamp_seconds", "homelab"] > 1_000_000_000
    open_one.end()

    ends.vps.machine.run("iptables -t nat -F RT-wg0-DNAT")
    ends.vps.call("write-metrics")
    assert samples(ends.vps.machine)["forward_rules_ok", "web"] == 0


def test_a_tunnel_that_is_down_is_told(vps: Tunnel) -> None:
    put(vps)
    assert samples(vps.machine)["up", ""] == 1
    vps.machine.run("systemctl stop wg-quick@wg0")
    vps.call("write-metrics")
    assert samples(vps.machine) == {("up", ""): 0}


def test_everybody_can_read_them_and_nothing_else_lies_there(vps: Tunnel) -> None:
    """node_exporter is not root, and reads whatever ends in .prom."""
    put(vps)
    put(vps)
    assert vps.machine.run(f"stat -c %a {FILE}").stdout == "644\n"
    assert vps.machine.run(f"ls -A {FOLDER}").stdout.split() == [FILE.rpartition("/")[2]]
    units = vps.machine.run(f"stat -c '%a %n' /etc/systemd/system/{UNIT}.*").stdout.split("\n")
    assert [line.split()[0] for line in units if line] == ["644", "644"]
    assert vps.machine.run(f"systemctl is-active {UNIT}.timer", check=False).status == 0


def left(machine: Machine) -> str:
    return machine.run(
        f"ls -A {FOLDER} /var/lib/other /etc/systemd/system/reverse-tunnel-* /run/standin/rev*"
        " 2>/dev/null | grep -v -e : -e -watch || true"
    ).stdout.strip()


@pytest.mark.parametrize("verb", ["remove-metrics", "uninstall"])
def test_taken_away_nothing_is_left(vps: Tunnel, verb: str) -> None:
    put(vps)
    assert left(vps.machine)
    vps.call(verb)
    assert left(vps.machine) == ""
    if verb == "remove-metrics":
        vps.call(verb)
        vps.call("write-metrics")
        assert left(vps.machine) == ""


def test_another_folder_takes_the_file_from_the_old_one(vps: Tunnel) -> None:
    put(vps)
    put(vps, "/var/lib/other")
    assert vps.machine.run(f"ls -A {FOLDER}").stdout == ""
    assert vps.machine.run("ls -A /var/lib/other").stdout.split() == ["reverse-tunnel-wg0.prom"]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("folder /nowhere", "there is no folder /nowhere"),
        ("folder relative", "one line is needed"),
        ("folder /var/../etc", "one line is needed"),
        ("folder /var/lib;reboot", "one line is needed"),
        ("", "one line is needed"),
    ],
)
def test_what_is_no_folder_is_refused(vps: Tunnel, line: str, words: str) -> None:
    done = vps.call("put-metrics", stdin=f"{line}\n", check=False)
    assert done.status == REFUSED
    assert words in done.stderr
    assert left(vps.machine) == ""


def test_a_server_has_none(ends: World) -> None:
    ends.server.machine.run(f"mkdir -p {FOLDER}")
    done = ends.server.call("put-metrics", stdin=f"folder {FOLDER}\n", check=False)
    assert done.status == REFUSED
    assert "metrics belong on the VPS" in done.stderr


@pytest.mark.parametrize("harm", ["disable", "stop"])
def test_a_timer_that_does_not_run_is_told_and_started_by_its_own_verb(
    vps: Tunnel, harm: str
) -> None:
    put(vps)
    assert "metrics" in vps.status()
    assert "metrics" not in vps.wrong()
    vps.machine.run(f"systemctl {harm} {UNIT}.timer")
    assert "metrics" in vps.wrong()
    put(vps)
    assert "metrics" not in vps.wrong()


def test_many_at_once_do_not_get_into_each_others_way(vps: Tunnel) -> None:
    """The timer may be due while an up renews them."""
    put(vps)
    one = f"{vps.folder}/reverse-tunnel 1 write-metrics || echo failed"
    done = vps.machine.run(f"for n in $(seq 9); do ({one}) & done; wait")
    assert (done.stdout, done.stderr) == ("", "")
    assert samples(vps.machine)["up", ""] == 1
    assert vps.machine.run(f"ls -A {FOLDER}").stdout.split() == [FILE.rpartition("/")[2]]


def test_of_a_run_that_failed_or_was_killed_nothing_stays(vps: Tunnel) -> None:
    """There is one every minute."""
    machine = vps.machine
    machine.run(f"mkdir -p {FOLDER} && mount -t tmpfs -o size=8k none {FOLDER}")
    put(vps)
    machine.run(f"cat /dev/zero >{FOLDER}/filler 2>/dev/null || true")
    assert vps.call("write-metrics", check=False).status != 0
    assert sorted(machine.run(f"ls -A {FOLDER}").stdout.split()) == [
        "filler",
        FILE.rpartition("/")[2],
    ]
    machine.run(f"rm {FOLDER}/filler; echo half >{FOLDER}/.reverse-tunnel-wg0.prom.999999")
    vps.call("write-metrics")
    assert machine.run(f"ls -A {FOLDER}").stdout.split() == [FILE.rpartition("/")[2]]


def test_the_folders_owner_cannot_lead_root_elsewhere(ends: World) -> None:
    """It may be node_exporter's own user's, who puts a link where the file is being written."""
    machine = ends.vps.machine
    machine.run("echo old >/root/secret; chmod 600 /root/secret")
    swap = f"for file in {FOLDER}/.*.prom.*; do ln -sf /root/secret $file; done"
    machine.run(f"printf '#!/bin/sh\\n{swap}\\nexec /usr/bin/wg \"$@\"\\n' >/usr/local/sbin/wg")
    machine.run("chmod 755 /usr/local/sbin/wg")
    ends.vps.call("write-metrics", check=False)
    machine.run("rm /usr/local/sbin/wg")
    assert machine.run("stat -c %a /root/secret; cat /root/secret").stdout == "600\nold\n"
    ends.vps.call("write-metrics")
    assert machine.run(f"stat -c '%F %a' {FILE}").stdout == "regular file 644\n"
