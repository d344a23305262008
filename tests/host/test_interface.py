"""The interface: set up once, then changed while it runs, never by taking it down."""

from collections.abc import Iterator
from contextlib import AbstractContextManager

import pytest

from tests.host.conftest import fresh_machine
from tests.host.machine import Machine
from tests.host.snapshot import snapshot
from tests.host.tunnel import REFUSED, Tunnel
from tests.host.waiting import LIB
from tests.settings.samples import public_key
from tests.support import eventually, harmed

HTTPS = "tcp 443 -> 172.16.0.4:8081"
KEY = "AGnF3KVd62Mhm57l4EUIuyI75bObTfb0ksK/0gcdnGg="  # snake oil
LONG = 30.0  # seconds
PUBLIC = "VYkIgiLz5pPVMGHd5Z2VpInCPVcgQ0xI1FWU95/7+yA="
LAPTOP = f"public-key {PUBLIC}\nallowed-ips 172.16.0.9/32\n"


def link_number(tunnel: Tunnel) -> str:
    """A link that was taken down and up has another."""
    return tunnel.machine.run(f"cat /sys/class/net/{tunnel.name}/ifindex").stdout


def test_a_change_is_made_on_the_running_interface(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    before = link_number(vps)
    vps.call("interface", stdin=vps.vps_settings("10.9.0.1/16", 443).replace("1420", "1380"))
    machine = vps.machine
    assert link_number(vps) == before
    assert "inet 10.9.0.1/16 " in machine.run("ip addr show wg0").stdout
    assert "172.16.0.1" not in machine.run("ip addr show wg0").stdout
    assert "mtu 1380" in machine.run("ip link show wg0").stdout
    assert machine.run("wg show wg0 listen-port").stdout == "443\n"
    assert "-d 10.9.0.0/16 ! -i wg0" in machine.run("iptables-save").stdout
    assert vps.forwards() == [("https", HTTPS)]
    machine.run("wg-quick down wg0; wg-quick up wg0")
    assert "inet 10.9.0.1/16 " in machine.run("ip addr show wg0").stdout


def test_systemd_reads_its_units_once_where_one_is_new_or_gone(machine: Machine) -> None:
    """All of the host's, which takes seconds on a small VPS."""
    vps = Tunnel(machine)

    def reloads() -> list[str]:
        return machine.run("cd /run/standin; cat reloads 2>&-; rm -f reloads").stdout.splitlines()

    vps.set_up_vps()
    assert reloads() == ["daemon-reload"]
    vps.call("interface", stdin=vps.vps_settings(port=443))
    assert reloads() == []
    vps.call(f"uninstall {vps.owner}")
    assert reloads() == ["daemon-reload"]


def test_a_note_that_cannot_be_written_keeps_no_tunnel_down(vps: Tunnel) -> None:
    """A disk with an error is mounted read-only, and what was noted is another host's by now."""
    machine = vps.machine
    vps.call("interface", stdin=vps.vps_settings().replace("ens6", "auto"))
    vps.put("https", HTTPS)
    before = machine.run("iptables-save | grep -e '^-A'").stdout
    machine.run(
        f"wg-quick down wg0; cd {vps.files}; echo no >socket-match; echo lo >public-interface;"
        " mount --bind /etc /etc; mount -o remount,ro,bind /etc; wg-quick up wg0"
    )
    assert machine.run("iptables-save | grep -e '^-A'").stdout == before
    assert machine.read("/proc/sys/net/ipv4/conf/ens6/forwarding") == "1\n"


def test_a_route_that_leads_nowhere_is_not_the_way_to_the_public_interface(vps: Tunnel) -> None:
    """As it may stand behind all others, and alone at boot, until the network is there."""
    machine = vps.machine
    vps.call("interface", stdin=vps.vps_settings().replace("ens6", "auto"))
    machine.run("ip route add unreachable default metric 4278198272; ip route del default dev ens6")
    machine.run("wg-quick down wg0; wg-quick up wg0")
    assert machine.read(f"{vps.files}/public-interface") == "ens6\n"
    assert "-i ens6 " in machine.run("iptables-save").stdout


def test_what_a_killed_run_has_left_there_keeps_no_tunnel_down_either(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    vps.machine.run(
        f"wg-quick down wg0; cd {vps.files}; echo half | tee .settings.new >forwards.d/.web.new;"
        " echo 'tcp 80 -> 172.16.0.4:80' >forwards.d/.https.was;"
        " mount --bind /etc /etc; mount -o remount,ro,bind /etc; wg-quick up wg0"
    )
    assert vps.forwards() == [("https", HTTPS)]


DAMAGES = {
    "empty": "",
    "zeros": "\0" * 64,
    "a line of zeros": "\0" * 64 + "\n",
    "garbage": "garbage\n",
}
PHONE = f"public-key {public_key(10)}\nallowed-ips 172.16.0.10/32\n"


@pytest.mark.parametrize("text", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize(
    "file", ["peers.d/laptop.conf", "former.d/laptop", "next.key", "endpoints"]
)
def test_a_damaged_file_keeps_no_vps_down(vps: Tunnel, file: str, text: str) -> None:
    """As a power cut leaves one: empty, or with zeros in the place of its text."""
    machine = vps.machine
    vps.call("put-peer laptop", stdin=LAPTOP)
    vps.call("put-peer phone", stdin=PHONE)
    vps.put("https", HTTPS)
    before = snapshot(machine)
    damage(vps, file, text)
    machine.run("wg-quick down wg0; wg-quick up wg0")
    assert vps.forwards() == [("https", HTTPS)]
    assert public_key(10) in machine.run("wg show wg0 allowed-ips").stdout
    vps.call("put-peer laptop", stdin=LAPTOP)
    machine.run(f"rm -f {vps.files}/next.key {vps.files}/endpoints")
    eventually(lambda: snapshot(machine) == before, LONG, "something is left of it")


@pytest.mark.parametrize("text", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("file", ["former.d/vps", "next.key"])
def test_a_damaged_file_keeps_no_server_down(machine: Machine, file: str, text: str) -> None:
    server = Tunnel(machine)
    server.install()
    server.set_key()
    lines = server.server_settings("172.16.0.4/24", public_key(1), "203.0.113.1:51820")
    server.call("interface", stdin=lines)
    damage(server, file, text)
    machine.run("wg-quick down wg0; wg-quick up wg0")
    assert server.wrong() == []
    assert public_key(1) in machine.run("wg show wg0 allowed-ips").stdout
    left = f"find {server.files}/{file} -size +0"
    eventually(lambda: not machine.run(left, check=False).stdout, LONG, "it is still there")


@pytest.mark.parametrize("text", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_private_key_keeps_no_tunnel_down_and_is_given_anew(
    vps: Tunnel, text: str
) -> None:
    """The interface's file has it as well, and must not lose it: without one nobody is served."""
    machine = vps.machine
    vps.call("key", stdin=KEY)
    vps.call("put-peer laptop", stdin=LAPTOP)
    before = snapshot(machine)
    damage(vps, "private.key", text)
    started = machine.run("wg-quick down wg0; wg-quick up wg0")
    assert "private key is damaged" in started.stderr
    assert vps.wrong() == ["key"]
    for verb, lines in (("interface", vps.vps_settings()), ("put-peer laptop", LAPTOP)):
        result = vps.call(verb, stdin=lines, check=False)
        assert result.status == REFUSED
        assert "this host has no private key yet: run 'pulumi up'" in result.stderr
    vps.install()
    vps.call("key", stdin=KEY)
    assert vps.wrong() == []
    assert snapshot(machine) == before


def damage(tunnel: Tunnel, file: str, text: str) -> None:
    """Write a file of the tunnel's that is not what the helper writes."""
    path = f"{tunnel.files}/{file}"
    tunnel.machine.run(f"umask 077; mkdir -p $(dirname {path}); cat >{path}", stdin=text)


def test_another_address_of_the_same_network_takes_effect(vps: Tunnel) -> None:
    """Deleting the first address of a network takes the others of it along."""
    vps.call("interface", stdin=vps.vps_settings("172.16.0.2/24"))
    assert "inet 172.16.0.2/24 " in vps.machine.run("ip addr show wg0").stdout
    assert "172.16.0.1/" not in vps.machine.run("ip addr show wg0").stdout


def test_a_new_key_takes_effect_without_losing_peers(vps: Tunnel) -> None:
    vps.call("put-peer laptop", stdin=f"public-key {PUBLIC}\nallowed-ips 172.16.0.9/32\n")
    before = link_number(vps)
    vps.call("key", stdin=KEY)
    wanted = vps.machine.run("wg pubkey", stdin=KEY).stdout
    assert vps.machine.run("wg show wg0 public-key").stdout == wanted
    assert vps.machine.run("wg show wg0 allowed-ips").stdout == f"{PUBLIC}\t172.16.0.9/32\n"
    assert link_number(vps) == before


@pytest.mark.parametrize("key", ["", "short", KEY + "x", KEY[:-2] + "B=", KEY + "\n" + KEY])
def test_a_key_that_is_none_is_refused_without_being_repeated(vps: Tunnel, key: str) -> None:
    """An empty key, taken by wg, would cut off every peer."""
    before = snapshot(vps.machine)
    result = vps.call("key", stdin=key, check=False)
    assert result.status == REFUSED
    assert "short" not in result.stderr
    assert KEY[:10] not in result.stdout + result.stderr
    assert snapshot(vps.machine) == before


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("mtu 1420", "mtu 99", "'mtu 99' is not valid (allowed: 576-65535)"),
        ("role vps", "role router", "allowed: vps, server"),
        ("mtu 1420", "", "setting 'mtu' is missing"),
        ("mtu 1420", "mtu 1420\nmtu 1420", "given twice"),
        ("mtu 1420", "mtu 1420\ncolour red", "'colour red' is not valid"),
        ("172.16.0.1/24", "172.16.0.1", "an IPv4 address with its network's prefix length"),
        ("172.16.0.1/24", "172.16.0.1/33", "an IPv4 address with its network's prefix length"),
        ("ens6", "ens7", "this host has no interface ens7 (it has: ens6 lo wg0)"),
        ("ens6", "ens6;reboot", "an interface's name, or auto"),
        ("mtu 1420", "mtu 1420\negress own", "allowed: tunnel"),
        ("mtu 1420", "mtu 1420\nnetwork 192.168.1.20/24", "an IPv4 network such as"),
        ("role vps", "role server", "setting 'peer-public-key' is missing"),
    ],
)
def test_settings_that_are_not_valid_are_refused_and_change_nothing(
    standing_vps: Tunnel, old: str, new: str, words: str
) -> None:
    before = snapshot(standing_vps.machine)
    lines = standing_vps.vps_settings().replace(old, new)
    result = standing_vps.call("interface", stdin=lines, check=False)
    assert result.status == REFUSED
    assert words in result.stderr
    assert snapshot(standing_vps.machine) == before


@pytest.mark.parametrize("role", ["vps", "server"])
def test_one_host_is_not_both_in_one_tunnel(machine: Machine, role: str) -> None:
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    settings = {
        "vps": tunnel.vps_settings(),
        "server": tunnel.server_settings("172.16.0.4/24", PUBLIC, "203.0.113.1:51820"),
    }
    tunnel.call("interface", stdin=settings.pop(role))
    before = snapshot(machine)
    (other,) = settings.values()
    result = tunnel.call("interface", stdin=other, check=False)
    assert result.status == REFUSED
    assert f"wg0 on this host is a {role}'s already: one host cannot be both" in result.stderr
    assert snapshot(machine) == before


@pytest.mark.parametrize(
    ("role", "verb", "lines", "words"),
    [
        ("server", "put-forward web", HTTPS, "forwards do not belong on a server"),
        ("server", "put-peer laptop", LAPTOP, "peers belong on the VPS, this is a server"),
        ("server", "put-preshared-key laptop", KEY, "peers belong on the VPS, this is a server"),
        ("server", "put-firewall", "default-deny", "the firewall belongs on the VPS"),
        ("vps", "put-opening nas", "udp 192.168.1.31:53", "openings do not belong on a vps"),
    ],
)
def test_what_belongs_on_the_other_end_is_refused(
    request: pytest.FixtureRequest, role: str, verb: str, lines: str, words: str
) -> None:
    tunnel: Tunnel = request.getfixturevalue(f"standing_{role}")
    before = snapshot(tunnel.machine)
    result = tunnel.call(verb, stdin=f"{lines}\n", check=False)
    assert result.status == REFUSED
    assert words in result.stderr
    assert snapshot(tunnel.machine) == before


@pytest.fixture(scope="module")
def standing_server() -> Iterator[Tunnel]:
    """A server that this module's tests share, for what leaves it as it is."""
    with fresh_machine() as host:
        tunnel = Tunnel(host)
        tunnel.install()
        tunnel.set_key()
        lines = tunnel.server_settings("172.16.0.4/24", PUBLIC, "203.0.113.1:51820")
        tunnel.call("interface", stdin=lines)
        yield tunnel


def test_what_needs_an_interface_is_refused_before_there_is_one(machine: Machine) -> None:
    """And what shall be removed is not there."""
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    before = snapshot(machine)
    for verb, lines in {
        "put-forward web": HTTPS,
        "put-opening nas": "udp 192.168.1.31:53",
        "put-peer laptop": LAPTOP,
        "put-preshared-key laptop": KEY,
        "put-firewall": "default-deny",
        "confirm-firewall": "default-deny",
        "put-metrics": "folder /var/lib",
        "wait-handshake": "",
        "up": "",
    }.items():
        result = tunnel.call(verb, stdin=f"{lines}\n", check=False)
        assert result.status == REFUSED, verb
        words = "the tunnel's interface is not set up on this host: run 'pulumi up'"
        assert words in result.stderr, verb
    for verb in ("forward web", "opening nas", "peer laptop", "preshared-key laptop", "firewall"):
        tunnel.call(f"remove-{verb}")
    assert snapshot(machine) == before


def test_the_public_interface_is_that_of_the_default_route(machine: Machine) -> None:
    """And what was found is used at a boot where the route comes later than the tunnel."""
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    tunnel.call("interface", stdin=tunnel.vps_settings().replace("ens6", "auto"))
    tunnel.put("https", HTTPS)
    assert tunnel.forwards() == [("https", HTTPS)]
    machine.run("ip route del default; wg-quick down wg0; wg-quick up wg0")
    assert "-i ens6" in machine.run("iptables-save -t nat").stdout


def test_without_a_default_route_the_public_interface_must_be_named(machine: Machine) -> None:
    machine.run("ip route del default")
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    lines = tunnel.vps_settings().replace("ens6", "auto")
    result = tunnel.call("interface", stdin=lines, check=False)
    assert result.status == REFUSED
    assert "set vps.publicInterface" in result.stderr


def failing_wg(machine: Machine, verb: str) -> AbstractContextManager[None]:
    """One that does this verb no more, and tells the file that it was given, for a while."""
    machine.write(
        "/root/wg",
        f"""#!/bin/sh
[ "$1" = {verb} ] || exec wg.whole "$@"
cat "$3" >&2
exit 1
""",
    )
    away = "mv /usr/bin/wg /usr/bin/wg.whole; install -m 755 /root/wg /usr/bin/wg; rm /root/wg"
    return harmed(machine, away, "mv /usr/bin/wg.whole /usr/bin/wg")


def test_an_interface_that_does_not_start_leaves_the_host_as_before(machine: Machine) -> None:
    """The first time; its message has what wg-quick said, the next run can succeed."""
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    before = snapshot(machine)
    with failing_wg(machine, "setconf"):
        result = tunnel.call("interface", stdin=tunnel.vps_settings(), check=False)
    assert result.status == 1
    assert "wg-quick@wg0.service did not start" in result.stderr
    assert snapshot(machine) == before
    tunnel.call("interface", stdin=tunnel.vps_settings())
    assert tunnel.told("chain RT-wg0-FWD") == ["ok"]


def test_no_key_is_told_in_the_words_of_a_program_that_fails(machine: Machine) -> None:
    """Those of wg, and of the unit's journal, may have its file with the private key."""
    # The machine has no journal; this is what wg-quick said.
    machine.write("/usr/local/bin/journalctl", "#!/bin/sh\nexec cat /var/log/standin-wg0.log\n")
    machine.run("chmod 755 /usr/local/bin/journalctl")
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.call("key", stdin=KEY)
    with failing_wg(machine, "setconf"):
        started = tunnel.call("interface", stdin=tunnel.vps_settings(), check=False)
    tunnel.call("interface", stdin=tunnel.vps_settings())
    with failing_wg(machine, "syncconf"):
        synced = tunnel.call("interface", stdin=tunnel.vps_settings(), check=False)
    for result, words in ((started, "did not start"), (synced, "wg syncconf failed")):
        assert result.status == 1
        assert words in result.stderr
        assert "PrivateKey = (key)" in result.stderr
        assert KEY[:10] not in result.stdout + result.stderr


def test_a_unit_that_cannot_be_enabled_leaves_the_host_as_before(machine: Machine) -> None:
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    before = snapshot(machine)
    systemctl = "/usr/local/sbin/systemctl"
    failing = f"""#!/bin/sh
[ "$1" = enable ] || exec {systemctl}.whole "$@"
echo "read-only" >&2
exit 1
"""
    machine.write("/root/systemctl", failing)
    away = f"mv {systemctl} {systemctl}.whole; install -m 755 /root/systemctl {systemctl}"
    with harmed(machine, f"{away}; rm /root/systemctl", f"mv {systemctl}.whole {systemctl}"):
        result = tunnel.call("interface", stdin=tunnel.vps_settings(), check=False)
    assert result.status == 1
    assert "could not enable wg-quick@wg0.service: read-only" in result.stderr
    assert snapshot(machine) == before


def test_an_endpoint_that_cannot_be_resolved_is_refused_before_anything(machine: Machine) -> None:
    """wg-quick would wait for the name server for ever."""
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    before = snapshot(machine)
    lines = tunnel.server_settings("172.16.0.4/24", PUBLIC, "vps.invalid:51820")
    result = tunnel.call("interface", stdin=lines, check=False)
    assert result.status == REFUSED
    assert "cannot resolve vps.invalid" in result.stderr
    assert snapshot(machine) == before


def test_a_deleted_link_comes_back_with_the_next_run(vps: Tunnel) -> None:
    """The unit still counts as running: starting it would do nothing."""
    vps.put("https", HTTPS)
    vps.machine.run("ip link del wg0")
    vps.call("interface", stdin=vps.vps_settings())
    assert "wg0" in vps.machine.run("wg show interfaces").stdout
    assert vps.forwards() == [("https", HTTPS)]


# In the place of systemctl: what `up` does in a start under way, as soon as it gets the lock.
MEANWHILE = """#!/bin/bash
if [[ $1 == enable ]]; then
  flock --no-fork {lib} sleep 60 >/dev/null 2>&1 &
  echo $! >/run/up
  while flock --nonblock {lib} true; do :; done
fi
exec /opt/systemctl "$@"
"""


@pytest.mark.parametrize("then", ["active", "activating"])
def test_a_start_under_way_is_begun_anew_only_if_nobody_works_at_it(vps: Tunnel, then: str) -> None:
    """With hundreds of forwards it may take long; one that waits for a name server never ends."""
    machine = vps.machine
    unit = "/run/standin/wg-quick@wg0"  # what the stand-in for systemctl says of it
    before = link_number(vps)
    machine.run(f"mv /usr/local/sbin/systemctl /opt; echo activating >{unit}")
    machine.write("/usr/local/sbin/systemctl", MEANWHILE.format(lib=LIB))
    machine.run("chmod 755 /usr/local/sbin/systemctl")
    run = machine.start(f"{vps.line('interface')} <<<'{vps.vps_settings()}'")
    waits = "pgrep -f 'flock --timeout'"
    eventually(lambda: machine.run(waits, check=False).stdout, LONG, "nobody waits for its end")
    assert link_number(vps) == before
    machine.run(f"echo {then} >{unit}; kill $(cat /run/up)")
    run.communicate()
    assert run.returncode == 0
    assert (link_number(vps) == before) == (then == "active")


def test_rules_come_and_go_with_the_tunnel_each_once(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    up = snapshot(vps.machine)
    for _ in range(2):
        vps.machine.run("wg-quick down wg0")
        assert "RT-" not in vps.machine.run("iptables-save").stdout
        vps.machine.run("wg-quick up wg0")
        assert snapshot(vps.machine) == up
    vps.call("up")
    vps.call("up")
    assert snapshot(vps.machine) == up


def test_a_forward_that_is_put_while_the_tunnel_is_down_comes_with_it(vps: Tunnel) -> None:
    vps.machine.run("wg-quick down wg0")
    vps.put("https", HTTPS)
    assert "RT-" not in vps.machine.run("iptables-save").stdout
    vps.machine.run("wg-quick up wg0")
    assert vps.forwards() == [("https", HTTPS)]


PEER = f"public-key {PUBLIC}\nallowed-ips 172.16.0.9/32\n"
FORWARDING = "cat /proc/sys/net/ipv4/conf/{ens6,wg0}/forwarding"


@pytest.mark.parametrize(
    ("verb", "stdin"), [("put-forward https", HTTPS), ("put-peer laptop", PEER)]
)
def test_a_public_interface_that_was_made_anew_forwards_again(
    vps: Tunnel, verb: str, stdin: str
) -> None:
    """It comes with its switch off. With the tunnel down nothing is forwarded by us."""
    machine = vps.machine
    away = "ip link set ens6 down; ip link set ens6 name ens6-old"
    address = "ip addr add 203.0.113.10/24 dev ens6 && ip link set ens6 up"
    machine.run(f"{away}; ip addr flush dev ens6-old")
    machine.run(f"ip link add ens6 type veth peer ens6-peer && {address}")
    assert machine.run(FORWARDING).stdout == "0\n1\n"
    vps.call(verb, stdin=stdin)
    assert machine.run(FORWARDING).stdout == "1\n1\n"
    machine.run("wg-quick down wg0")
    vps.call(verb, stdin=stdin)
    assert machine.run(FORWARDING, check=False).stdout == "0\n"


def test_a_start_that_fails_leaves_no_rules(vps: Tunnel) -> None:
    """Half of them would let packets through a tunnel that is not there."""
    vps.machine.run("wg-quick down wg0")
    clean = vps.machine.run("iptables-save | grep RT-", check=False).stdout
    vps.machine.run("printf '#!/bin/bash\\nexit 1\\n' >/usr/local/sbin/iptables-restore")
    vps.machine.run("chmod +x /usr/local/sbin/iptables-restore")
    assert vps.machine.run("wg-quick up wg0", check=False).status != 0
    assert vps.machine.run("iptables-save | grep RT-", check=False).stdout == clean == ""
    assert vps.machine.run("wg show interfaces").stdout.strip() == ""
    assert vps.machine.read("/proc/sys/net/ipv4/conf/ens6/forwarding") == "0\n"


# In the place of a program: called with these words, it ends all that belongs to its caller.
ENDING = """#!/bin/sh
case "$*" in {words}) (trap '' {signal}; kill -{signal} 0) ;; esac
exec {program} "$@"
"""
STARTED = "show*endpoints"  # the last that `up` asks `wg`, when the rules stand
TAKEN_DOWN = "stop*-watch*"  # the first of which it is taken down


@pytest.mark.parametrize("signal", ["TERM", "HUP", "INT"])
@pytest.mark.parametrize("again", ["nothing", TAKEN_DOWN], ids=["once", "twice"])
def test_a_start_that_is_broken_off_leaves_no_rules_either(
    vps: Tunnel, signal: str, again: str
) -> None:
    """By `systemctl stop`, say: then neither systemd calls `down` nor does wg-quick."""
    machine = vps.machine
    vps.call("down")
    before = snapshot(machine)
    machine.run("mv /usr/local/sbin/systemctl /opt/systemctl")
    for name, words, program in (
        ("wg", STARTED, "/usr/bin/wg"),
        ("systemctl", again, "/opt/systemctl"),
    ):
        text = ENDING.format(words=words, signal=signal, program=program)
        machine.write(f"/usr/local/sbin/{name}", text)
    machine.run("chmod 755 /usr/local/sbin/{wg,systemctl}")
    assert machine.run(f"exec setsid --wait {vps.line('up')}", check=False).status > 128
    machine.run("rm /usr/local/sbin/wg; mv /opt/systemctl /usr/local/sbin/systemctl")
    assert snapshot(machine) == before
    vps.call("up")
    assert snapshot(machine) != before


def test_a_new_port_is_noted_right_before_it_is_in_use(vps: Tunnel) -> None:
    """What is heard at the old one between the two would count as heard at the new one."""
    vps.call("put-peer laptop", stdin=LAPTOP)
    settings = vps.vps_settings(port=443)
    trace = vps.call("interface", stdin=settings, env={"SHELLOPTS": "xtrace"}).stderr
    before, _, after = trace.partition("/.changed.new ")
    between, in_use, _ = after.partition("wg syncconf")
    assert in_use
    assert "parse_peer" in before
    assert "parse_peer" not in between


JUNK = "colour red\n"


def spoil(tunnel: Tunnel) -> None:
    """As a newer helper leaves the settings, whose stack was then rolled back, or a person."""
    settings = tunnel.machine.read(f"{tunnel.files}/settings")
    tunnel.machine.write(f"{tunnel.files}/settings", settings + JUNK)


def test_settings_that_are_not_understood_are_no_obstacle_to_uninstall(machine: Machine) -> None:
    before = snapshot(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.put("https", HTTPS)
    spoil(tunnel)
    tunnel.call(f"uninstall {tunnel.owner}")
    assert snapshot(machine) == before


def test_settings_that_are_not_understood_are_written_anew(vps: Tunnel) -> None:
    """By the next run, on the running interface; until then nothing is changed by them."""
    vps.put("https", HTTPS)
    before, link = snapshot(vps.machine), link_number(vps)
    spoil(vps)
    spoiled = snapshot(vps.machine)
    for result in (
        vps.put("https", "tcp 80 -> 172.16.0.4:80", check=False),
        vps.remove("https", check=False),
        vps.call("remove-peer laptop", check=False),
    ):
        assert result.status == REFUSED
        assert "settings: setting 'colour red' is not valid" in result.stderr
        assert "run 'pulumi up'" in result.stderr
    vps.install()
    assert snapshot(vps.machine) == spoiled
    # Failing must not take the tunnel for one that was never there.
    vps.machine.run("mv /usr/bin/wg /usr/bin/wg-away; ln -s /bin/false /usr/bin/wg")
    assert vps.call("interface", stdin=vps.vps_settings(), check=False).status != 0
    vps.machine.run("mv /usr/bin/wg-away /usr/bin/wg")
    assert link_number(vps) == link
    spoil(vps)
    vps.call("interface", stdin=vps.vps_settings())
    assert snapshot(vps.machine) == before
    assert link_number(vps) == link


def test_settings_that_are_not_understood_let_the_tunnel_go_down(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    spoil(vps)
    vps.machine.run("wg-quick down wg0")
    assert "RT-" not in vps.machine.run("iptables-save").stdout
    assert vps.machine.run("wg show interfaces").stdout.strip() == ""
    assert vps.machine.read("/proc/sys/net/ipv4/conf/ens6/forwarding") == "0\n"
    assert vps.machine.run("wg-quick up wg0", check=False).status != 0
    vps.call("interface", stdin=vps.vps_settings())
    assert vps.forwards() == [("https", HTTPS)]
