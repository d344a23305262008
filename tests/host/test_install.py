"""Installing on hosts of every kind, and leaving them as they were."""

import re

import pytest

from tests.host.guarded import INSIDE, LAPTOP, guarded
from tests.host.locked import let_go_of_lists_after_first_update
from tests.host.machine import Machine, helper_text
from tests.host.snapshot import snapshot
from tests.host.transient import killed, killed_at_first
from tests.host.tunnel import REFUSED, Tunnel
from tests.host.waiting import LONG
from tests.host.world import VPS
from tests.settings.samples import public_key
from tests.support import eventually

HTTPS = "tcp 443 -> 172.16.0.4:8081"


def test_a_tunnel_leaves_no_trace(machine: Machine) -> None:
    """Files, rules, routes, switches, interfaces, units: all as before. The packages stay."""
    before = snapshot(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.put("https", HTTPS)
    assert snapshot(machine) != before
    tunnel.call("uninstall reverse-tunnel/home")
    assert snapshot(machine) == before


def test_a_server_leaves_no_trace(machine: Machine) -> None:
    before = snapshot(machine)
    tunnel = Tunnel(machine)
    tunnel.install()
    key = tunnel.set_key()
    lines = tunnel.server_settings("172.16.0.4/24", key, "203.0.113.1:51820")
    tunnel.call("interface", stdin=lines)
    assert machine.run("ip rule show | grep -c fwmark").stdout == "2\n"
    tunnel.call("uninstall reverse-tunnel/home")
    assert snapshot(machine) == before


@pytest.mark.parametrize("lost", ["etc", "etc and helper"])
def test_one_that_is_up_and_has_lost_its_files_is_set_up_again_and_leaves_no_trace(
    machine: Machine, lost: str
) -> None:
    before = snapshot(machine)
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    lines = tunnel.server_settings("172.16.0.4/24", public_key(1), "203.0.113.1:51820")
    tunnel.call("interface", stdin=lines)
    private = machine.read(f"{tunnel.files}/private.key")
    whole = snapshot(machine)
    machine.run(f"rm -r {tunnel.files}")
    if lost != "etc":
        machine.run(f"rm -r {tunnel.folder}")
    tunnel.install()
    tunnel.call("key", stdin=private)
    tunnel.call("interface", stdin=lines)
    assert tunnel.wrong() == []
    assert snapshot(machine) == whole
    tunnel.call("uninstall reverse-tunnel/home")
    assert snapshot(machine) == before


def test_what_is_written_is_waited_for_and_no_other_disk(machine: Machine) -> None:
    """Without -d the `sync` of uutils waits for all disks, and one of them may be dead."""
    machine.write(
        "/usr/local/bin/sync", '#!/bin/sh\n[ "$1" = -d ] && exec /usr/bin/sync "$@"\nexit 1\n'
    )
    machine.run("chmod 755 /usr/local/bin/sync")
    vps = Tunnel(machine)
    vps.set_up_vps()
    vps.put("https", HTTPS)
    assert vps.forwards() == [("https", HTTPS)]


def test_visitors_flows_end_with_the_tunnel_and_no_others(vps: Tunnel) -> None:
    """They would linger on as if their forwards were there."""
    visitor = "conntrack -I -s 198.51.100.7 -d 203.0.113.10 -p udp --sport 4000 --timeout 600"
    vps.machine.run(
        f"{visitor} --dport 443 --dst-nat 172.16.0.4:81;"
        f"{visitor} --dport 80 --dst-nat 172.17.0.2:81;"
        "conntrack -I -s 172.16.0.1 -d 172.16.0.4 -p udp --sport 4000 --dport 53 --timeout 600"
    )
    assert vps.machine.run("conntrack -C").stdout == "3\n"
    vps.call("uninstall reverse-tunnel/home")
    left = vps.machine.run("conntrack -L").stdout
    assert left.count("src=") == 4
    assert "172.17.0.2" in left
    assert "172.16.0.1" in left


CLAIMANT = "homelab:0123456789abcdef"


@pytest.mark.parametrize("recorded", ["homelab:ffffffffffffffff", "home:0123456789abcdef", ""])
def test_what_another_claimant_has_by_now_stays(vps: Tunnel, recorded: str) -> None:
    """On a rename the new host is made before the old one is deleted, on the same machine."""
    vps.put("https", HTTPS)
    vps.install(claimant=CLAIMANT)
    before = snapshot(vps.machine)
    done = vps.call(f"uninstall {vps.owner} {recorded}")
    assert "nothing was removed" in done.stderr
    assert snapshot(vps.machine) == before
    vps.call(f"uninstall {vps.owner} {CLAIMANT}")
    assert vps.machine.run("ls -d /usr/local/lib/reverse-tunnel", check=False).status != 0


FIRST, SECOND, THIRD = "0123456789abcdef", "fedcba9876543210", "02468ace13579bdf"


@pytest.mark.parametrize("recorded", [FIRST, THIRD, ""], ids=["its own", "unheard of", "none"])
def test_what_was_left_and_come_back_to_is_not_left_by_a_tenancy_of_before(
    vps: Tunnel, recorded: str
) -> None:
    """Its delete may be still to come. That of a later one may come before its helper does."""
    for tenancy in (FIRST, SECOND, FIRST, FIRST):
        vps.install(claimant=f"{CLAIMANT} {tenancy}")
    before = snapshot(vps.machine)
    done = vps.call(f"uninstall {vps.owner} {CLAIMANT} {SECOND}")
    assert "nothing was removed" in done.stderr
    assert snapshot(vps.machine) == before
    vps.call(f"uninstall {vps.owner} {CLAIMANT} {recorded}")
    assert vps.machine.run("ls -d /usr/local/lib/reverse-tunnel", check=False).status != 0


# Stops the unit, and then lets somebody come to the host, once.
_COMING = """#!/bin/bash
/usr/local/sbin/systemctl-itself "$@" || exit
[[ " $* " == *" stop wg-quick@"* ]] && mv -T /root/new {folder}/incoming || exit 0
bash {folder}/incoming 1 install {owner} install {tenant}
"""


def test_who_comes_back_while_a_host_is_being_left_finds_the_tunnel_as_it_was(vps: Tunnel) -> None:
    """The login that is told that all is well ends first, so the next `up` may come any time."""
    machine, systemctl = vps.machine, "/usr/local/sbin/systemctl"
    vps.put("https", HTTPS)
    vps.install(claimant=f"{CLAIMANT} {SECOND}")
    vps.install(claimant=f"{CLAIMANT} {FIRST}")
    before = snapshot(machine)
    machine.write("/root/new", helper_text())
    tenant = f"{CLAIMANT} {SECOND}"
    machine.run(f"mv {systemctl} {systemctl}-itself")
    machine.write(systemctl, _COMING.format(folder=vps.folder, owner=vps.owner, tenant=tenant))
    machine.run(f"chmod 755 {systemctl}")
    done = vps.call(f"uninstall {vps.owner} {CLAIMANT} {FIRST}")
    assert "nothing was removed" in done.stderr
    machine.run(f"mv {systemctl}-itself {systemctl}")
    vps.install(claimant=f"{CLAIMANT} {FIRST}")
    assert snapshot(machine) == before


def test_a_host_of_before_there_were_tenancies_is_released_by_one(vps: Tunnel) -> None:
    vps.install(claimant=CLAIMANT)
    vps.call(f"uninstall {vps.owner} {CLAIMANT} {FIRST}")
    assert vps.machine.run("ls -d /usr/local/lib/reverse-tunnel", check=False).status != 0


def test_a_host_of_before_there_were_claimants_is_released_by_old_and_new(machine: Machine) -> None:
    for words in ("", CLAIMANT):
        before = snapshot(machine)
        tunnel = Tunnel(machine)
        tunnel.set_up_vps()
        tunnel.call(f"uninstall {tunnel.owner} {words}")
        assert snapshot(machine) == before


def test_uninstalling_succeeds_whatever_is_left(vps: Tunnel) -> None:
    """A host that somebody tidied by hand, or that is half gone."""
    machine = vps.machine
    machine.run("systemctl stop wg-quick@wg0; rm -r /etc/reverse-tunnel; ip link del wg0 || true")
    vps.call("uninstall reverse-tunnel/home")
    assert machine.run("ls -d /usr/local/lib/reverse-tunnel", check=False).status != 0
    assert "RT-" not in machine.run("iptables-save").stdout


# What notes the units that are started, and starts none.
_NOTING = """#!/bin/bash
for word in "$@"; do [[ $word != --unit=* ]] || echo "${word#*=}" >>/run/units; done
"""


def test_a_tunnel_whose_wg_quick_file_somebody_has_removed_goes_all_the_same(
    machine: Machine,
) -> None:
    before = snapshot(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.put("web", "tcp 80 -> 172.16.0.4:8080")
    machine.run("rm /etc/wireguard/wg0.conf")
    tunnel.call("uninstall")
    assert snapshot(machine) == before


def test_somebody_elses_interface_and_file_of_that_name_stay(machine: Machine) -> None:
    """They came when there was a claim, and no tunnel yet."""
    tunnel = Tunnel(machine)
    tunnel.install()
    machine.run("mkdir -p /etc/wireguard; ip link add wg0 type veth peer name wg0-else")
    machine.write("/etc/wireguard/wg0.conf", "[Interface]\n")
    tunnel.call("uninstall")
    assert machine.run(f"test -e {tunnel.folder}", check=False).status == 1
    assert machine.run("ip link show wg0 && cat /etc/wireguard/wg0.conf").status == 0


def test_who_logs_in_by_the_tunnel_hears_that_all_is_well_before_it_goes() -> None:
    """To whatever address: the tunnel may be a client's way out. Other logins see the end."""
    inside6, laptop6 = "fd5c:91e2:7a3b::1", "fd5c:91e2:7a3b::a"
    with guarded() as house:
        vps, laptop = house.vps, Tunnel(house.laptop)
        vps.call("interface", stdin=f"{vps.vps_settings()}ipv6 {inside6}/64\n")
        key = laptop.machine.run("wg show wg0 public-key").stdout.strip()
        addresses = f"{LAPTOP}/32,{laptop6}/128"
        vps.call("put-peer laptop", stdin=f"public-key {key}\nallowed-ips {addresses}\n")
        settings = laptop.machine.read(f"{laptop.files}/settings")
        settings += f"ipv6 {laptop6}/64\negress tunnel\n"
        laptop.call("interface", stdin=settings)
        vps.machine.write("/usr/local/sbin/systemd-run", _NOTING)
        vps.machine.run("chmod +x /usr/local/sbin/systemd-run")
        for to, by in ((INSIDE, LAPTOP), (VPS, LAPTOP), (inside6, laptop6)):
            words = f"echo $SSH_CONNECTION; {house.verb('uninstall')}"
            said = house.login(words, to=f"root@{to}", by=house.laptop).stdout
            assert said.startswith(f"{by} ")
            noted = vps.machine.run("cat /run/units; rm /run/units").stdout
            assert noted == "reverse-tunnel-wg0-uninstall.service\n"
        assert vps.machine.run(f"test -e {vps.files}; ip link show wg0").status == 0
        house.login(house.verb("uninstall"))
        left = vps.machine.run(f"ls -d /run/units {vps.files}; ip link show wg0", check=False)
        assert left.stdout == ""


def test_what_goes_later_goes_although_it_is_killed() -> None:
    """Nobody else would come: who has heard that all is well keeps no note of the tunnel."""
    with guarded() as house, killed_at_first(house.vps.machine, "*-uninstall.service"):
        machine = house.vps.machine
        house.login(house.verb("uninstall"), to=f"root@{INSIDE}", by=house.laptop)
        left = f"ls -d {house.vps.files} {house.vps.folder}"
        eventually(lambda: not machine.run(left, check=False).stdout, LONG, "it does not go")
        assert killed(machine) == "reverse-tunnel-wg0-uninstall.service\n"


def test_secrets_are_roots_alone(vps: Tunnel) -> None:
    found = vps.machine.run(
        f"stat -c '%a %U %n' /etc/reverse-tunnel {vps.files} {vps.files}/private.key"
        f" /etc/wireguard/wg0.conf {vps.folder} {vps.folder}/reverse-tunnel"
    ).stdout.split("\n")
    assert [line.split(" ")[0] for line in found if line] == ["700", "700", "600", "600"] + [
        "700"
    ] * 2
    loose = vps.machine.run(f"find {vps.files} {vps.folder} -perm /077").stdout
    assert loose == ""


def test_the_key_is_never_an_argument_nor_printed(vps: Tunnel) -> None:
    """Anybody on the host may read the arguments of every process."""
    private = vps.machine.read(f"{vps.files}/private.key").strip()
    vps.machine.run(
        "for p in wg wg-quick iptables-restore sed; do real=$(command -v $p);"
        ' printf \'#!/bin/bash\\necho "$0 $*" >>/tmp/said\\nexec %s "$@"\\n\' $real'
        " >/usr/local/sbin/$p; chmod +x /usr/local/sbin/$p; done"
    )
    said = [vps.call("key", stdin=private), vps.call("interface", stdin=vps.vps_settings())]
    said.append(vps.call("status"))
    said.append(vps.call("key", stdin=f"{private}\n{private}\n", check=False))
    assert [result.status for result in said] == [0, 0, 0, REFUSED]
    told = [vps.machine.read("/tmp/said"), *(each.stdout + each.stderr for each in said)]
    assert all(told[:1])
    assert not [each for each in told if private[:10] in each]


def test_only_what_is_missing_is_installed(machine: Machine) -> None:
    machine.run("dpkg --purge --force-depends conntrack wireguard-tools 2>&1")
    machine.run("mkdir -p /var/log/apt /var/cache/apt/archives/partial")
    tunnel = Tunnel(machine)
    tunnel.install()
    assert machine.run("command -v conntrack wg").stdout.count("\n") == 2
    tunnel.call("uninstall reverse-tunnel/home")
    assert machine.run("command -v conntrack wg").stdout.count("\n") == 2


# Notes what it is to install, and has it lie in its place at once.
APT = """#!/bin/sh
for word; do [ "$word" != iputils-ping ] || cp /bin/true /usr/bin/ping; done
for word; do [ "$word" != conntrack ] || cp /bin/true /usr/sbin/conntrack; done
echo "$*" >>/run/called
"""


def asked_of_apt(machine: Machine, words: str, *lacking: str) -> list[str]:
    """The packages that an install asks for, where the host lacks these programs."""
    machine.write("/usr/local/bin/apt-get", APT)
    machine.run(f"chmod 755 /usr/local/bin/apt-get; : >/run/called; rm {' '.join(lacking)}")
    Tunnel(machine).install(claimant=f"{CLAIMANT} {FIRST} {words}")
    called = machine.read("/run/called").split()
    return [word for word in called if word in {"conntrack", "iputils-ping"}]


CONNTRACK, PING = "/usr/sbin/conntrack", "/bin/ping"


def test_ping_comes_along_where_the_host_is_to_ask_the_vps(machine: Machine) -> None:
    assert asked_of_apt(machine, "ping", CONNTRACK, PING) == ["conntrack", "iputils-ping"]


@pytest.mark.parametrize(
    ("words", "lacking", "asked"),
    [
        ("", [CONNTRACK, PING], ["conntrack"]),  # a VPS
        ("ping", [CONNTRACK], ["conntrack"]),
        ("ping", [PING], []),  # the look-up says so
    ],
)
def test_no_ping_is_installed_for_nobody_twice_or_alone(
    machine: Machine, words: str, lacking: list[str], asked: list[str]
) -> None:
    assert asked_of_apt(machine, words, *lacking) == asked


def test_while_another_apt_renews_its_lists_it_is_waited_for(machine: Machine) -> None:
    """As the daily one does; apt itself does not wait for the lock of the lists."""
    machine.run("dpkg --purge --force-depends conntrack 2>&1")
    let_go_of_lists_after_first_update(machine)
    Tunnel(machine).install()
    assert machine.run("command -v conntrack").status == 0


def test_a_repository_that_is_out_of_order_is_no_matter_where_others_are_not(
    machine: Machine,
) -> None:
    machine.run("dpkg --purge --force-depends conntrack 2>&1")
    machine.run("echo 'deb file:/var/lib/none ./' >>/etc/apt/sources.list")
    tunnel = Tunnel(machine)
    tunnel.install()
    assert machine.run("command -v conntrack").status == 0
    # Where it is the one that matters, it is named.
    machine.run("dpkg --purge --force-depends conntrack 2>&1; rm -r /var/lib/apt/lists/*")
    machine.run("sed -i /lab-packages/d /etc/apt/sources.list")
    said = tunnel.install(check=False).stderr
    assert "apt-get could not install conntrack: E: Unable to locate package conntrack" in said
    assert "E: The repository 'file:/var/lib/none ./ Release' does not have a Release" in said


def test_packages_that_cannot_be_installed_are_named(machine: Machine) -> None:
    """And nothing is left: neither the copy of the helper nor a folder."""
    machine.run("dpkg --purge --force-depends conntrack 2>&1; : >/etc/apt/sources.list")
    before = snapshot(machine)
    result = Tunnel(machine).install(check=False)
    assert result.status == 1
    assert "apt-get could not install conntrack" in result.stderr
    assert "packages: manual" in result.stderr
    assert [line for line in snapshot(machine) if "var/lib" not in line] == [
        line for line in before if "var/lib" not in line
    ]


def test_an_apt_that_installs_nothing_and_says_nothing_is_not_believed(machine: Machine) -> None:
    machine.write("/usr/local/bin/apt-get", "#!/bin/sh\n")
    machine.run("chmod 755 /usr/local/bin/apt-get; rm /usr/sbin/conntrack")
    before = snapshot(machine)
    result = Tunnel(machine).install(check=False)
    assert result.status == 1
    assert "after apt-get, still missing: conntrack" in result.stderr
    assert snapshot(machine) == before


@pytest.mark.parametrize(
    ("preparation", "packages", "words"),
    [
        ("rm /usr/sbin/conntrack", "manual", "missing on this host: conntrack; install them by"),
        (
            """rm /usr/sbin/conntrack /usr/bin/apt-get
            echo 'PRETTY_NAME="Alpine 3"' >/etc/os-release""",
            "install",
            "this system (Alpine 3) has no apt-get: install conntrack by hand (Debian's names",
        ),
        ("rmdir /run/systemd/system", "install", "does not run systemd"),
        (
            "umount /dev/net/tun; rm /dev/net/tun; mount -t tmpfs none /sys/module",
            "install",
            "neither the kernel's WireGuard nor /dev/net/tun can be used",
        ),
        (
            "mount -t tmpfs -o size=512k small /usr/local/lib",
            "install",
            "too little room on the disk of /usr/local/lib/reverse-tunnel",
        ),
    ],
)
def test_a_host_that_cannot_carry_a_tunnel_is_refused_and_left_as_it_was(
    machine: Machine, preparation: str, packages: str, words: str
) -> None:
    machine.run(preparation)
    before = snapshot(machine)
    result = Tunnel(machine).install(packages, check=False)
    assert result.status == REFUSED
    assert words in result.stderr
    assert snapshot(machine) == before


def test_a_full_disk_is_said_and_nothing_is_changed(vps: Tunnel) -> None:
    """At any write: the file that was there before stays whole."""
    machine = vps.machine
    vps.put("https", HTTPS)
    machine.run(
        f"cp -a {vps.files} /tmp/files; mount -t tmpfs -o size=64k,mode=0700 full {vps.files};"
        f" cp -a /tmp/files/. {vps.files}/; cat /dev/zero >{vps.files}/filler 2>/dev/null || true"
    )
    before = snapshot(machine)
    for result in (
        vps.put("more", "tcp 80 -> 172.16.0.4:80", check=False),
        vps.put("https", "tcp 444 -> 172.16.0.4:80", check=False),
        vps.call("key", stdin=machine.run("wg genkey").stdout, check=False),
        vps.call("interface", stdin=vps.vps_settings("10.1.0.1/24"), check=False),
    ):
        assert result.status == 1
        assert "the disk is full" in result.stderr
        assert "make room" in result.stderr
    assert snapshot(machine) == before
    machine.run(f"rm {vps.files}/filler")
    vps.put("more", "tcp 80 -> 172.16.0.4:80")
    assert len(vps.forwards()) == 2


def test_a_copy_that_was_cut_short_does_nothing_and_says_so(machine: Machine) -> None:
    """A connection may break at any byte, also between two functions."""
    text = helper_text()
    ends = [text.index("\nfail() {"), len(text) // 2, text.index("\nmain() {"), len(text) - 12]
    for end in ends:
        result = Tunnel(machine).install(text=text[:end], check=False)
        assert result.status != 0
        assert result.stderr
        assert machine.run("ls -d /etc/reverse-tunnel", check=False).status != 0


def test_a_newer_protocol_is_refused_and_an_unknown_verb_too(vps: Tunnel) -> None:
    newer = vps.machine.run(f"{vps.folder}/reverse-tunnel 2 put-forward x", check=False)
    assert newer.status == REFUSED
    assert "protocol '2' is not known to this helper" in newer.stderr
    assert vps.call("dance", check=False).status == REFUSED


def test_a_newer_helper_replaces_the_old_and_touches_no_forward(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    before = vps.machine.run("iptables-save -c; wg show wg0 dump").stdout.splitlines()
    newer = helper_text().replace("HELPER_VERSION=1", "HELPER_VERSION=2", 1)
    vps.install(text=newer)
    after = vps.machine.run("iptables-save -c; wg show wg0 dump").stdout.splitlines()
    assert [x for x in after if x[:1] != "#"] == [x for x in before if x[:1] != "#"]
    assert vps.told("helper") == ["2"]


def test_where_the_private_key_is_missing_the_next_verb_can_give_it(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    key = vps.machine.read(f"{vps.files}/private.key")
    vps.machine.run(f"rm {vps.files}/private.key")
    vps.install(text=helper_text().replace("HELPER_VERSION=1", "HELPER_VERSION=2", 1))
    vps.call("key", stdin=key)
    vps.call("interface", stdin=vps.vps_settings())
    assert vps.machine.read(f"{vps.files}/private.key") == key
    assert vps.forwards() == [("https", HTTPS)]


def test_what_a_newer_helper_sees_another_way_is_brought_about_at_once(vps: Tunnel) -> None:
    """Else it would wait for the next reboot to surprise somebody."""
    newer = helper_text().replace("-i $IFACE -o $IFACE -j ACCEPT", "-i $IFACE -o $IFACE -j DROP")
    assert newer != helper_text()
    vps.install(text=newer)
    rules = vps.machine.run("iptables-save -t filter").stdout
    assert re.search("^-A RT-wg0-FWD .*-i wg0 -o wg0 -j DROP$", rules, re.MULTILINE)
