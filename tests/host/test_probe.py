"""The probe: facts about a host, read only, also where nearly everything is missing."""

from pathlib import Path

import pytest

from tests.host.machine import Machine
from tests.host.snapshot import snapshot
from tests.host.tunnel import Tunnel
from tests.host.userspace import take_debians, version_of
from tests.support import eventually

PROBE = (Path(__file__).parents[2] / "host" / "probe.sh").read_text()


# A bash that calls itself an older one.
OLD_BASH = r"""#!/usr/local/bin/bash
words=${{2//'${{BASH_VERSINFO[0]}}'/{}}}
eval "${{words//'${{BASH_VERSINFO[1]}}'/{}}}"
"""


def probe(machine: Machine, *words: str) -> dict[str, list[str]]:
    """The facts by their keys; every probe is complete, and says nothing on stderr."""
    result = machine.run(f"sh -s {' '.join(words)}", stdin=PROBE)
    assert result.stderr == ""
    facts: dict[str, list[str]] = {}
    for line in result.stdout.splitlines():
        key, _, value = line.partition("=")
        facts.setdefault(key, []).append(value)
    assert list(facts)[-1] == "end"
    return facts


def test_a_plain_host(machine: Machine) -> None:
    before = snapshot(machine)
    facts = probe(machine)
    assert facts["os-id"] == ["debian"]
    assert facts["missing"] == [""]
    version = machine.run("echo ${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]}").stdout.strip()
    assert facts["bash"] == [version]
    assert facts["apt"] == facts["tun"] == facts["systemd"] == ["yes"]
    assert int(facts["disk"][0]) > 0
    assert facts["default-interface"] == ["ens6"]
    assert facts["interfaces"] == ["ens6 lo"]
    assert facts["routes"] == ["203.0.113.0/24@ens6"]
    assert facts["udp-ports"] == [""]
    assert facts["listeners"] == [""]
    assert "tunnel" not in facts
    assert snapshot(machine) == before


def test_free_space_is_told_by_a_df_that_knows_what_posix_says_alone(machine: Machine) -> None:
    """As that of Ubuntu since 25.10, which is not GNU's."""
    (before,) = probe(machine)["disk"]
    machine.write(
        "/usr/local/bin/df",
        '#!/bin/sh\n[ "$1" = -Pk ] || [ "$1 $2" = "-P -k" ] || exit 1\nexec /usr/bin/df "$@"\n',
    )
    machine.run("chmod 755 /usr/local/bin/df")
    assert machine.run("df -Pm /", check=False).status != 0
    assert abs(int(probe(machine)["disk"][0]) - int(before)) < 1000  # others write meanwhile


def test_a_route_that_leads_nowhere_is_not_the_default_interface(machine: Machine) -> None:
    machine.run("ip route add blackhole default metric 4278198272")
    assert probe(machine)["default-interface"] == ["ens6"]
    machine.run("ip route del default dev ens6")
    assert probe(machine)["default-interface"] == [""]


def test_a_host_with_tunnels_and_others_services(vps: Tunnel) -> None:
    second = Tunnel(vps.machine, "wg-game", "reverse-tunnel/game")
    second.install()
    listener = vps.machine.start("exec nc -lu 53")
    facts = probe(vps.machine)
    while "53:nc" not in facts["udp-ports"][0]:
        facts = probe(vps.machine)
    listener.kill()
    listener.communicate()
    assert sorted(facts["udp-ports"][0].split()) == ["51820:wg0", "53:nc"]
    assert sorted(facts["tunnel"]) == [
        "wg-game reverse-tunnel/game - -",
        "wg0 reverse-tunnel/home 51820 172.16.0.1/24 ens6 ",
    ]
    assert "172.16.0.0/24@wg0" in facts["routes"][0].split()


def test_what_others_can_come_to_is_told_with_its_interface_and_program(machine: Machine) -> None:
    """Not what listens for the host alone, nor who waits for an answer."""
    machine.run("ip address add 172.17.0.1/16 dev lo")
    listeners = [
        machine.start(f"exec nc -l{flags} {where}")
        for flags, where in (
            ("", "443"),
            ("", "203.0.113.10 444"),
            ("6", "445"),
            ("u", "53"),
            ("u", "51000"),
            ("", "51001"),
            ("", "127.0.0.1 631"),
            ("6", "::1 632"),
            ("u", "127.0.0.1 633"),
            ("", "172.17.0.1 444"),
        )
    ]
    eventually(
        lambda: len(machine.run("ss -Hltun").stdout.splitlines()) == len(listeners),
        30.0,
        "somebody does not listen",
    )
    told = probe(machine)["listeners"]
    for listener in listeners:
        listener.kill()
        listener.communicate()
    assert sorted(told[0].split()) == [
        "tcp:443:*:nc",
        "tcp:444:ens6:nc",
        "tcp:444:lo:nc",
        "tcp:445:*:nc",
        "tcp:51001:*:nc",
        "udp:53:*:nc",
    ]


def test_a_program_whose_name_is_several_words_is_told_by_one(machine: Machine) -> None:
    listener = machine.start(
        "exec python3 -c 'import socket, sys; near = socket.socket(type=socket.SOCK_DGRAM);"
        ' near.bind(("", 1900)); open("/proc/self/comm", "w").write("Media \xe9 Server");'
        ' print("ready", flush=True); sys.stdin.read()\''
    )
    assert listener.stdout is not None
    assert listener.stdout.readline() == "ready\n"
    facts = probe(machine)
    assert facts["udp-ports"] == ["1900:Media____Server"]
    assert facts["listeners"] == ["udp:1900:*:Media____Server"]
    listener.communicate()


def test_the_public_ports_of_tunnels_are_told_but_for_those_of_paused_forwards(
    vps: Tunnel,
) -> None:
    machine = vps.machine
    vps.put("web", "tcp 80 -> 172.16.0.4:8080\nfrom 198.51.100.0/24")
    vps.put("game", "tcp+udp 27000-27003 -> 172.16.0.4:27000-27003")
    vps.put("resting", "tcp 81 -> 172.16.0.4:8080\npaused")
    line = "wg0 reverse-tunnel/home 51820 172.16.0.1/24 ens6 game:tcp+udp:27000-27003 web:tcp:80"
    assert probe(machine)["tunnel"] == [line]
    automatic = vps.vps_settings().replace("public-interface ens6", "public-interface auto")
    vps.call("interface", stdin=automatic)
    assert probe(machine)["tunnel"] == [line]
    # Files of somebody else's: what is told of them is shown on a terminal.
    machine.run(f"cd {vps.files}/forwards.d; : >empty; echo 'tcp 1 -> x' >'$(reboot)'")
    machine.run(f"cd {vps.files}/forwards.d; echo 'icmp 1 -> x' >a; echo 'tcp http -> x' >z")
    assert probe(machine)["tunnel"] == [line]


def test_a_servers_tunnel_has_no_public_ports(machine: Machine) -> None:
    server = Tunnel(machine)
    server.install()
    key = server.set_key()
    settings = server.server_settings("172.16.0.4/24", key, "203.0.113.10:51820")
    machine.write(f"{server.files}/settings", settings)
    machine.run(f"mkdir -p {server.files}/openings.d")
    machine.write(f"{server.files}/openings.d/nas", "tcp 192.168.1.30:22\n")
    assert probe(machine)["tunnel"] == ["wg0 reverse-tunnel/home - 172.16.0.4/24"]


def test_one_that_has_lost_its_files_is_still_its_stacks(machine: Machine) -> None:
    """And one of somebody else's that is up is nobody's of ours."""
    vps = Tunnel(machine)
    vps.install()
    vps.set_up_vps()
    machine.run(f"rm -r {vps.files} {vps.folder}; ip link add wg7 type veth peer wg8")
    # A copy of its file is none, nor one of somebody else's.
    machine.run("cd /etc/wireguard; cp wg0.conf 'wg0 (copy).conf'; echo [Interface] >wg7.conf")
    assert probe(machine)["tunnel"] == ["wg0 reverse-tunnel/home - -"]


def test_whether_the_folder_for_metrics_is_there_is_told_where_it_was_asked(
    machine: Machine,
) -> None:
    assert "metrics-folder" not in probe(machine)
    assert probe(machine, "/var/lib/none")["metrics-folder"] == ["no"]
    assert probe(machine, "/etc/os-release")["metrics-folder"] == ["no"]
    assert probe(machine, "/var/lib")["metrics-folder"] == ["yes"]


def test_the_userspace_wireguard_is_the_one_that_wg_quick_takes(machine: Machine) -> None:
    """Its own folder comes before those of PATH; without any, what apt would install is told."""
    machine.run("mount -t tmpfs none /sys/module")  # where the kernel shows a WireGuard of its own
    assert probe(machine)["wireguard-go"] == [version_of(machine)]
    machine.run("cp /usr/bin/wireguard-go /usr/local/bin/wireguard-go")
    take_debians(machine)
    (told,) = probe(machine)["wireguard-go"]
    assert told == version_of(machine, "/usr/bin/wireguard-go") != version_of(machine)
    machine.run("rm /usr/bin/wireguard-go")
    assert probe(machine)["wireguard-go"] == [version_of(machine)]
    machine.run("rm /usr/local/bin/wireguard-go; apt-get -q update")
    assert probe(machine)["wireguard-go"] == [told]
    machine.run("rm /usr/bin/apt-cache")
    assert probe(machine)["wireguard-go"] == [""]


def test_where_the_kernel_has_wireguard_no_program_of_userspace_is_told(machine: Machine) -> None:
    machine.run("mount -t tmpfs none /sys/module; mkdir /sys/module/wireguard")
    assert probe(machine)["wireguard-go"] == [""]


UFW_RULES = """\
### tuple ### allow tcp 22 0.0.0.0/0 any 0.0.0.0/0 OpenSSH - in
### tuple ### limit udp 51820 0.0.0.0/0 any 0.0.0.0/0 in_ens6
### tuple ### allow any 77 0.0.0.0/0 any 10.0.0.0/8 in
### tuple ### deny udp 99 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow tcp 80,443 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow any 60000:61000 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow udp 51821 0.0.0.0/0 any 0.0.0.0/0 in comment=576972654775617264
### tuple ### allow_log udp 51822 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### limit_log-all udp 51823 0.0.0.0/0 any 0.0.0.0/0 VPN - in_ens6 comment=696e
### tuple ### deny_log udp 98 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### route:allow_log udp 97 0.0.0.0/0 any 0.0.0.0/0 in
### tuple ### allow_log udp 96 0.0.0.0/0 any 0.0.0.0/0 out comment=696e
"""


def test_what_an_active_ufw_lets_in_is_read_from_its_notes(machine: Machine) -> None:
    """Those that ufw itself writes are read in the lab, as is what firewalld says."""
    machine.run("mkdir /etc/ufw; echo ENABLED=no >/etc/ufw/ufw.conf")
    machine.write("/etc/ufw/user.rules", UFW_RULES)
    assert "firewall" not in probe(machine)
    machine.run("echo ENABLED=yes >/etc/ufw/ufw.conf")
    opened = "22/tcp 51820/udp 80/tcp 443/tcp 60000:61000/any 51821/udp 51822/udp 51823/udp"
    assert probe(machine)["firewall"] == [f"ufw {opened}"]
    machine.run("echo 'DEFAULT_INPUT_POLICY=\"ACCEPT\"' >/etc/default/ufw")
    assert probe(machine)["firewall"] == [f"ufw any/any {opened}"]


def test_the_routes_that_a_tunnel_could_run_into(machine: Machine) -> None:
    machine.run("ip -6 address add fd5c:91e2::10/64 dev ens6 nodad")
    machine.run("ip -6 address add 2001:db8::10/64 dev ens6 nodad")
    machine.run("ip -6 route add fd5c:91e2:1::9 via fd5c:91e2::1 dev ens6")
    for route in (
        "10.0.0.0/8 via 203.0.113.1",
        "10.1.0.0/16 via 203.0.113.1 proto dhcp",
        "128.0.0.0/1 dev ens6",  # as wg-quick makes them
        "10.2.0.0/16 dev ens6 proto static",
        "10.3.0.0/16 dev ens6 proto dhcp",  # as dhcpcd has them instead of the kernel's
        "10.4.0.0/16 dev ens6 proto 171",  # behind another tunnel of this project
        "fd5c:91e2:2::/48 dev ens6",
        "fd5c:91e2:3::/64 dev ens6 proto ra",
    ):
        machine.run(f"ip route add {route}")
    assert sorted(probe(machine)["routes"][0].split()) == [
        "10.0.0.0/8@ens6:beyond",
        "10.1.0.0/16@ens6:beyond",
        "10.2.0.0/16@ens6:beyond",
        "10.3.0.0/16@ens6",
        "10.4.0.0/16@ens6",
        "128.0.0.0/1@ens6:beyond",
        "203.0.113.0/24@ens6",
        "fd5c:91e2:1::9/128@ens6:beyond",
        "fd5c:91e2:2::/48@ens6:beyond",
        "fd5c:91e2:3::/64@ens6",
        "fd5c:91e2::/64@ens6",
    ]


@pytest.mark.parametrize("version", ["4.4", ""])
def test_the_bash_that_would_run_the_helper_is_told(machine: Machine, version: str) -> None:
    """And no other one that comes first in PATH."""
    machine.run("cp /bin/bash /usr/local/bin/bash; rm /bin/bash")
    if version:
        machine.write("/bin/bash", OLD_BASH.format(*version.split(".")))
        machine.run("chmod 755 /bin/bash")
    assert probe(machine)["bash"] == [version]


def test_a_host_without_anything(machine: Machine) -> None:
    """A system of another family has neither the packages nor apt, and maybe no iproute2."""
    machine.run(
        "echo 'ID=alpine' >/etc/os-release; rmdir /run/systemd/system; umount /dev/net/tun;"
        "rm /dev/net/tun /usr/bin/wg /sbin/iptables-save /sbin/conntrack /usr/bin/apt-get"
        " /usr/bin/wireguard-go /bin/ss /sbin/ip /bin/ip || true;"
        "mount -t tmpfs none /sys/module"  # where the kernel shows a WireGuard of its own
    )
    facts = probe(machine)
    missing = "wireguard-tools iptables iproute2 conntrack wireguard-go"
    assert facts["missing"] == [missing]
    assert facts["os-id"] == ["alpine"]
    assert facts["apt"] == facts["tun"] == facts["systemd"] == ["no"]
    assert facts["default-interface"] == ["ens6"]


def test_chains_of_nftables_that_drop_are_told_but_for_those_of_iptables(machine: Machine) -> None:
    machine.run("iptables -P FORWARD DROP; iptables -P INPUT ACCEPT")
    machine.run(
        "nft -f -",
        stdin="""
table inet firewalld {
  chain a { type filter hook forward priority 10; policy drop;
  }
}
table inet f {
  chain through { type filter hook forward priority 0; policy drop;
    iifname "eth0" tcp dport { 22, 8000-8010 } accept
    ct status dnat accept
  }
  chain in { type filter hook input priority 0; policy drop;
    udp dport 51820 accept
  }
  chain out { type filter hook output priority 0; policy drop;
    accept
  }
  chain open { type filter hook input priority 5; policy accept;
  }
  chain plain {
    drop
  }
}
""",
    )
    assert sorted(probe(machine)["dropping"]) == [
        "forward inet f through eth0 22 8000-8010 dnat",
        "input inet f in 51820",
    ]


def words_of(machine: Machine, rule: str) -> set[str]:
    """What is told of a chain that drops all but this."""
    chain = "type filter hook forward priority 0; policy drop;"
    machine.run("nft -f -", stdin=f"table inet f {{ chain a {{ {chain}\n{rule}\n}}\n}}\n")
    (told,) = probe(machine)["dropping"]
    machine.run("nft delete table inet f")
    return set(told.removeprefix("forward inet f a").split())


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ('iifname { "eth1", "wg0" } accept', {"eth1", "wg0"}),
        (
            'tcp dport 22 iif "lo" oifname { "wg*", "6in4-he" } accept',
            {"22", "lo", "wg*", "6in4-he"},
        ),
        ('oif { "lo", "ens6" } udp dport { 53, 80-90 } accept', {"lo", "ens6", "53", "80-90"}),
        ('iifname vmap { "eth1" : drop, "wg0" : accept }', {"eth1", "wg0"}),
        ('iifname . oifname { "wg0" . "eth1" } accept', {"eth1", "wg0"}),
        ('iifname . tcp dport { "wg0" . 22 } accept', {"wg0", "22"}),
        # What is not by that interface, and what names none.
        ('iifname != "wg0" accept', set()),
        ('oifname != { "eth1", "wg0" } accept', set()),
        ('iifname "eth1" accept comment "wg0 dnat 51820"', {"eth1"}),
        ('ct state invalid log prefix "51820 dnat" accept', set()),
        ('iifname "$(reboot)" accept', set()),
    ],
)
def test_each_interface_by_which_a_dropping_chain_lets_something_pass_is_told(
    machine: Machine, rule: str, words: set[str]
) -> None:
    assert words_of(machine, rule) == words
