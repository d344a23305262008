"""Forwards on a VPS: one changes, and only its rules change.

Real iptables; no traffic (test_traffic.py), no crashes (test_crashes.py).
"""

import re
from collections.abc import Callable

import pytest

from tests.host.machine import Machine
from tests.host.tunnel import REFUSED, Tunnel, rules_of

HTTPS = "tcp 443 -> 172.16.0.4:8081"

# What others have on a VPS: in every chain that we hang our own into, with counters.
FOREIGN_RULES = """\
*filter
:DOCKER-USER - [0:0]
:ufw-before-forward - [0:0]
[7:420] -A INPUT -p tcp -m tcp --dport 22 -j ACCEPT
[5:300] -A FORWARD -j DOCKER-USER
[3:180] -A FORWARD -m comment --comment "somebody's, with \\"quotes\\"" -j ufw-before-forward
[3:180] -A DOCKER-USER -j RETURN
COMMIT
*mangle
[1:60] -A PREROUTING -s 198.51.100.99/32 -j MARK --set-xmark 0x1/0xffffffff
[1:60] -A FORWARD -o eth9 -p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS --clamp-mss-to-pmtu
COMMIT
*nat
:DOCKER - [0:0]
[2:120] -A PREROUTING -m addrtype --dst-type LOCAL -j DOCKER
[2:120] -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE
[9:540] -A DOCKER ! -i docker0 -p tcp -m tcp --dport 8888 -j DNAT --to-destination 172.17.0.2:80
COMMIT
"""

# The same of IPv6
FOREIGN_RULES6 = (
    FOREIGN_RULES.replace("198.51.100.99/32", "2001:db8::99/128")
    .replace("172.17.0.0/16", "fd00:17::/64")
    .replace("172.17.0.2:80", "[fd00:17::2]:80")
)


def foreign(machine: Machine) -> list[str]:
    """Every rule, counter and chain that is not of reverse-tunnel, in its order."""
    saved = machine.run("iptables-save -c").stdout
    return [line for line in rules_of(saved) if "RT-" not in line]


def test_a_forward_is_one_rule_as_iptables_prints_it(vps: Tunnel) -> None:
    """What is compared with the files is the text, so it must be what iptables-save prints."""
    vps.put("https", HTTPS)
    vps.put("dns", "udp 53 -> 172.16.0.6:5353")
    saved = vps.machine.run("iptables-save -t nat").stdout.splitlines()
    ours = [line for line in saved if line.startswith("-A RT-wg0-DNAT")]
    wanted = [vps.rule("https", HTTPS), vps.rule("dns", "udp 53 -> 172.16.0.6:5353")]
    assert ours == wanted


def test_the_same_put_again_touches_nothing(vps: Tunnel) -> None:
    """Not even the rule's counter: Pulumi runs creates again, and nobody should notice."""
    vps.put("https", HTTPS)
    vps.machine.run("iptables-save -t nat | sed 's/^-A RT-wg0-DNAT/[4:240] &/' >/tmp/counted")
    vps.machine.run("iptables-restore -c </tmp/counted")
    before = vps.machine.run("iptables-save -c -t nat | grep ^.[0-9]").stdout
    assert "[4:240] -A RT-wg0-DNAT" in before
    vps.put("https", HTTPS)
    assert vps.machine.run("iptables-save -c -t nat | grep ^.[0-9]").stdout == before


def test_a_change_replaces_that_forward_alone(vps: Tunnel) -> None:
    vps.put("http", "tcp 80 -> 172.16.0.4:8080")
    vps.put("https", HTTPS)
    vps.put("https", "tcp 8443 -> 172.16.0.6:443")
    assert vps.forwards() == [
        ("http", "tcp 80 -> 172.16.0.4:8080"),
        ("https", "tcp 8443 -> 172.16.0.6:443"),
    ]


def test_a_removed_forward_is_gone_and_removing_it_again_succeeds(vps: Tunnel) -> None:
    vps.put("http", "tcp 80 -> 172.16.0.4:8080")
    vps.put("https", HTTPS)
    vps.remove("https")
    vps.remove("https")
    vps.remove("never-was")
    assert vps.forwards() == [("http", "tcp 80 -> 172.16.0.4:8080")]
    assert vps.machine.run(f"ls -A {vps.files}/forwards.d").stdout == "http\n"


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        ("", "first line must be such as"),
        ("tcp 443 172.16.0.4:8081", "first line must be such as"),
        ("tcp 0 -> 172.16.0.4:8081", "ports are 1-65535"),
        ("tcp 65536 -> 172.16.0.4:8081", "ports are 1-65535"),
        ("tcp 0443 -> 172.16.0.4:8081", "ports are 1-65535"),
        ("tcp 443 -> 172.16.0.256:8081", "172.16.0.256 is not an IPv4 address"),
        ("sctp 443 -> 172.16.0.4:8081", "first line must be such as"),
        ("tcp 443 -> 172.16.0.4:8081 -j ACCEPT", "first line must be such as"),
        ("tcp 443 -> 172.16.0.4:8081\nfast", "line 'fast' is not known"),
        ("tcp 443 -> 172.16.0.4:8081\nfrom everywhere", "everywhere is not a network"),
        ("tcp 443 -> 172.16.0.4:8081\nfrom 198.51.100.7/24", "198.51.100.7/24 is not a network"),
        ("tcp 443 -> 172.16.0.4:8081\nfrom 0.0.0.0/0", "0.0.0.0/0 is not a network"),
        ("tcp 443 -> 172.16.0.4:8081\nlimit-new 0", "1-10000 a second are allowed"),
        ("tcp 443 -> 172.16.0.4:8081\nlimit-new 10001", "1-10000 a second are allowed"),
        ("tcp 443 -> 172.16.0.4:8081\nlimit-concurrent 1;reboot", "1-65535 at once are allowed"),
        ("tcp 443 -> 172.16.0.4:8081\nsource-address client", "is not known to this helper"),
        ("tcp 9000-9003 -> 172.16.0.4:80-82", "both ranges must be of the same length"),
        ("tcp 9003-9000 -> 172.16.0.4:9003-9000", "ports are 1-65535, or a range"),
        ("udp 65535-65536 -> 172.16.0.4:1-2", "ports are 1-65535, or a range"),
        ("tcp 443 -> $(touch /tmp/run):8081", "first line must be such as"),
    ],
)
def test_a_forward_that_is_not_valid_is_refused_and_changes_nothing(
    standing_vps: Tunnel, lines: str, words: str
) -> None:
    """The stack checks before; the helper is the last that can, with root's rights in its hands."""
    vps = standing_vps
    vps.put("https", HTTPS)
    before = vps.machine.run(f"iptables-save; find {vps.files} /tmp -type f").stdout
    result = vps.put("https", lines, check=False)
    assert result.status == REFUSED
    assert words in result.stderr
    assert result.stderr.startswith("reverse-tunnel: wg0: put-forward https: ")
    after = vps.machine.run(f"iptables-save; find {vps.files} /tmp -type f").stdout
    assert rules_of(after) == rules_of(before)
    assert vps.read_forward("https") == HTTPS + "\n"


@pytest.mark.parametrize("name", ["../x", "-f", "a b", "", "x" * 64, "ä", ".hidden"])
def test_a_name_that_is_not_a_slug_is_refused(standing_vps: Tunnel, name: str) -> None:
    before = standing_vps.forwards()
    result = standing_vps.call(f"put-forward '{name}'", stdin=HTTPS, check=False)
    assert result.status == REFUSED
    assert "is not a forward's name" in result.stderr
    assert standing_vps.forwards() == before


def test_others_rules_and_counters_stay_byte_for_byte(machine: Machine) -> None:
    """In every chain that we hang our own into, through a tunnel's whole life."""
    machine.run("iptables-restore -c --noflush", stdin=FOREIGN_RULES)
    machine.run("iptables -P FORWARD DROP")
    before = foreign(machine)
    assert len(before) > 9
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.put("https", HTTPS)
    assert foreign(machine) == before
    tunnel.put("https", "tcp 444 -> 172.16.0.4:8081")
    tunnel.remove("https")
    assert foreign(machine) == before
    tunnel.call("uninstall reverse-tunnel/home")
    assert foreign(machine) == before
    assert "RT-" not in machine.run("iptables-save").stdout


def test_our_jump_comes_before_what_others_end_their_chain_with(machine: Machine) -> None:
    """A cloud's image ends FORWARD with REJECT, and Docker puts its own first when it restarts."""
    machine.run("iptables -A FORWARD -j REJECT")
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    chain = machine.run("iptables -S FORWARD").stdout.splitlines()
    assert chain[1] == "-A FORWARD -j RT-wg0-FWD"
    machine.run("iptables -I FORWARD -i docker0 -j DROP")
    tunnel.put("https", HTTPS)
    chain = machine.run("iptables -S FORWARD").stdout.splitlines()
    assert chain[1:] == [
        "-A FORWARD -j RT-wg0-FWD",
        "-A FORWARD -i docker0 -j DROP",
        "-A FORWARD -j REJECT --reject-with icmp-port-unreachable",
    ]


@pytest.mark.parametrize(
    ("before", "steps", "after"),
    [
        pytest.param({"old": HTTPS}, [("new", HTTPS), ("old", None)], {"new": HTTPS}, id="renamed"),
        pytest.param(
            {"a": "tcp 80 -> 172.16.0.4:1", "b": "tcp 443 -> 172.16.0.4:2"},
            [("a", "tcp 443 -> 172.16.0.4:1"), ("b", "tcp 80 -> 172.16.0.4:2")],
            {"a": "tcp 443 -> 172.16.0.4:1", "b": "tcp 80 -> 172.16.0.4:2"},
            id="ports swapped",
        ),
        pytest.param(
            {"a": "tcp 80 -> 172.16.0.4:1"},
            [("b", "tcp 80 -> 172.16.0.6:1"), ("a", None)],
            {"b": "tcp 80 -> 172.16.0.6:1"},
            id="moved under another name",
        ),
    ],
)
def test_overlaps_end_in_exactly_the_final_rules(
    vps: Tunnel,
    before: dict[str, str],
    steps: list[tuple[str, str | None]],
    after: dict[str, str],
) -> None:
    """Pulumi creates the new before it deletes the old."""
    for name, line in before.items():
        vps.put(name, line)
    for name, new in steps:
        if new is None:
            vps.remove(name)
        else:
            vps.put(name, new)
    assert vps.forwards() == sorted(after.items())


def test_parallel_runs_wait_for_each_other(vps: Tunnel) -> None:
    names = [f"f{number}" for number in range(12)]
    lines = {name: f"tcp {1000 + index} -> 172.16.0.4:80" for index, name in enumerate(names)}
    running = [vps.machine.start(f"{vps.folder}/reverse-tunnel 1 put-forward {n}") for n in names]
    for name, process in zip(names, running, strict=True):
        process.communicate(lines[name] + "\n")
    assert [process.returncode for process in running] == [0] * len(names)
    assert vps.forwards() == sorted(lines.items())


def test_what_somebody_did_to_our_rules_is_mended_by_the_next_put(vps: Tunnel) -> None:
    vps.put("http", "tcp 80 -> 172.16.0.4:8080")
    vps.put("https", HTTPS)
    vps.machine.run("iptables -t nat -A RT-wg0-DNAT -p tcp -j DNAT --to-destination 9.9.9.9")
    vps.machine.run("iptables -D FORWARD -j RT-wg0-FWD")
    vps.machine.run("iptables -t nat -D " + vps.rule("https", HTTPS).removeprefix("-A "))
    vps.machine.run("iptables -F RT-wg0-FWD")
    vps.put("https", HTTPS)
    assert vps.forwards() == [("http", "tcp 80 -> 172.16.0.4:8080"), ("https", HTTPS)]
    assert vps.told("chain RT-wg0-FWD") == ["ok"]
    assert {vps.told(f"forward {name}")[0] for name in ("http", "https")} == {"ok"}
    assert not [line for line in vps.status() if {"differs", "missing"} & {*line.split()}]


def test_visitors_are_those_from_outside_and_peers_who_call_this_host(vps: Tunnel) -> None:
    """Forwards ask for the port alone: what only passes through must not get to them."""
    saved = vps.machine.run("iptables-save -t nat").stdout.splitlines()
    assert [line for line in saved if re.search("^-A .*RT-wg0-(VISIT|DNAT)$", line)] == [
        "-A PREROUTING -j RT-wg0-VISIT",
        "-A RT-wg0-VISIT -i ens6 -m addrtype --dst-type LOCAL -j RT-wg0-DNAT",
        "-A RT-wg0-VISIT ! -d 172.16.0.1/32 -i wg0 -m addrtype --dst-type LOCAL -j RT-wg0-DNAT",
    ]


def test_another_way_to_the_forwards_is_told_and_goes_with_the_next_put(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    assert vps.told("chain RT-wg0-DNAT") == ["ok"]
    vps.machine.run("iptables -t nat -I PREROUTING -j RT-wg0-DNAT")
    assert vps.told("chain RT-wg0-DNAT") == ["unhung"]
    vps.put("https", HTTPS)
    assert vps.told("chain RT-wg0-DNAT") == ["ok"]


@pytest.mark.parametrize("call", ["restore", "put-forward https"])
def test_what_an_older_version_has_hung_elsewhere_goes(vps: Tunnel, call: str) -> None:
    """Its forwards asked for the interface each, in two chains that PREROUTING led to."""
    vps.put("http", "tcp 80 -> 172.16.0.4:8080")
    vps.put("https", HTTPS)
    now = rules_of(vps.machine.run("iptables-save").stdout)
    older = [
        vps.rule(name, line)
        .replace("RT-wg0-DNAT", chain)
        .replace(" -m comment", " -m addrtype --dst-type LOCAL -m comment")
        for name, line in vps.forwards()
        for chain in ("RT-wg0-DNAT -i ens6", "RT-wg0-HAIR ! -d 172.16.0.1/32 -i wg0")
    ]
    hung = [f"-I PREROUTING 1 -j RT-wg0-{chain}" for chain in ("DNAT", "HAIR")]
    lines = ["-D PREROUTING -j RT-wg0-VISIT", "-F RT-wg0-VISIT", "-X RT-wg0-VISIT", *older, *hung]
    text = "\n".join(["*nat", ":RT-wg0-DNAT -", ":RT-wg0-HAIR -", *lines, "COMMIT\n"])
    vps.machine.run("iptables-restore --noflush", stdin=text)
    assert rules_of(vps.machine.run("iptables-save").stdout) != now
    vps.call(call, stdin=HTTPS)
    if call != "restore":
        assert "HAIR" not in vps.machine.run("iptables-save").stdout
        vps.call("restore")
    # Forwards in whatever order.
    assert sorted(rules_of(vps.machine.run("iptables-save").stdout)) == sorted(now)


def test_the_legacy_backend_of_iptables_serves_as_well(machine: Machine) -> None:
    """An older host may have chosen it; its iptables-save must read the same."""
    machine.run("update-alternatives --set iptables /usr/sbin/iptables-legacy")
    machine.run("iptables-restore -c --noflush", stdin=FOREIGN_RULES)
    before = foreign(machine)
    tunnel = Tunnel(machine)
    tunnel.set_up_vps()
    tunnel.put("http", "tcp 80 -> 172.16.0.4:8080")
    tunnel.put("https", HTTPS)
    rules = rules_of(machine.run("iptables-save").stdout)
    tunnel.call("up")
    tunnel.put("https", HTTPS)
    assert rules_of(machine.run("iptables-save").stdout) == rules
    assert not [line for line in tunnel.status() if "differs" in line]
    tunnel.remove("http")
    assert tunnel.forwards() == [("https", HTTPS)]
    tunnel.call("uninstall")
    assert foreign(machine) == before


def test_a_damaged_file_of_one_forward_keeps_no_other_down(vps: Tunnel) -> None:
    """After a power cut, say; at boot nobody is there to mend it."""
    vps.put("http", "tcp 80 -> 172.16.0.4:8080")
    vps.put("https", HTTPS)
    vps.machine.run(f": >{vps.files}/forwards.d/http; wg-quick down wg0; wg-quick up wg0")
    assert vps.forwards() == [("https", HTTPS)]


def test_a_file_that_a_power_cut_has_filled_up_with_zeros_is_written_anew(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    clean = vps.read_forward("https")
    vps.machine.run(f"head -c 999 /dev/zero >>{vps.files}/forwards.d/https")
    assert "forward https is left out" in vps.call("restore").stderr
    assert vps.forwards() == []
    vps.put("https", HTTPS)
    assert vps.read_forward("https") == clean
    assert vps.call("restore").stderr == ""
    assert vps.forwards() == [("https", HTTPS)]


def test_files_that_are_as_they_shall_be_are_not_written_again(vps: Tunnel) -> None:
    """Also one that shall be empty."""
    vps.put("https", HTTPS)
    numbers = f"stat -c %i {vps.files}/forwards.d/https /run/reverse-tunnel/wg0.{{counts,up}}"
    before = vps.machine.run(numbers).stdout
    vps.put("https", HTTPS)
    vps.call("restore")
    assert vps.machine.run(numbers).stdout == before


def test_a_thousand_forwards_are_one_commit_at_boot(
    vps: Tunnel, exchanges: Callable[[], int]
) -> None:
    """And a change among them is still that of one rule."""
    start = "wg-quick down wg0; wg-quick up wg0"
    vps.put("f0", "tcp 80 -> 172.16.0.4:80")
    before = exchanges()
    vps.machine.run(start)
    of_one = exchanges() - before
    assert of_one
    vps.remove("f0")
    vps.machine.run(
        f"cd {vps.files}/forwards.d && for n in $(seq 1000); do"
        " echo tcp $((10000 + n)) '->' 172.16.0.4:$n >f$n; done"
    )
    before = exchanges()
    vps.machine.run(start)
    assert exchanges() - before == of_one
    assert len(vps.forwards()) == 1000
    rules = vps.machine.run("iptables -t nat -S RT-wg0-DNAT").stdout.splitlines()
    vps.put("f500", "tcp 9 -> 172.16.0.4:9")
    after = vps.machine.run("iptables -t nat -S RT-wg0-DNAT").stdout.splitlines()
    assert len({*rules} - {*after}) == len({*after} - {*rules}) == 1
    found = dict(vps.forwards())
    assert len(found) == 1000
    assert found["f500"] == "tcp 9 -> 172.16.0.4:9"


def test_rules_that_cannot_be_read_are_said(vps: Tunnel) -> None:
    failing = "printf '#!/bin/sh\\nexit 1\\n' >/usr/local/sbin/iptables-save"
    vps.machine.run(f"{failing}; chmod 755 /usr/local/sbin/iptables-save")
    failed = vps.put("web", "tcp 443 -> 172.16.0.4:8081", check=False)
    assert failed.status == 1
    assert "iptables-save failed: see what 'iptables-save' says on this host" in failed.stderr
    vps.machine.run("rm /usr/local/sbin/iptables-save")
    assert vps.forwards() == []


def test_a_ban_before_ours_stays_there(vps: Tunnel) -> None:
    """Whoever is banned shall not get in by a forward, whatever is changed meanwhile."""
    ban = "-A FORWARD -s 198.51.100.66/32 -j DROP"
    vps.machine.run(f"iptables {ban.replace('-A FORWARD', '-I FORWARD 1')}")
    vps.put("https", HTTPS)
    assert forward_chain(vps) == [ban, "-A FORWARD -j RT-wg0-FWD"]
    # What lets in or leads elsewhere comes after ours.
    vps.machine.run("iptables -I FORWARD 1 -s 198.51.100.0/24 -j ACCEPT")
    vps.put("more", "tcp 444 -> 172.16.0.4:8081")
    assert forward_chain(vps)[0] == "-A FORWARD -j RT-wg0-FWD"


# Prints a comment as the set of addresses that it names: a kernel may have none of these.
SETS = """#!/bin/sh
/usr/sbin/${0##*/} "$@" | sed -E 's/-m comment --comment "(set [^"]*)"/-m \\1/'
"""
SET = '-m comment --comment "set --match-set crowdsec-blacklists-0 src"'
ONE = "-s 198.51.100.66/32"
CROWDSEC_LOG = ["-N CROWDSEC_LOG", '-A CROWDSEC_LOG -j LOG --log-prefix "crowdsec drop: "']
CROWDSEC = ["-N CROWDSEC_CHAIN", f"-A CROWDSEC_CHAIN {SET} -j CROWDSEC_LOG"]
FAIL2BAN = "-I FORWARD -p tcp -m multiport --dports 80,443"
REFUSE = "-j REJECT --reject-with icmp-port-unreachable"

BANS = {
    "one": [f"-I FORWARD {ONE} -j DROP"],
    "crowdsec": [
        "-N CROWDSEC_CHAIN",
        f"-A CROWDSEC_CHAIN {SET} -j DROP",
        "-I FORWARD -j CROWDSEC_CHAIN",
    ],
    "crowdsec, logged": [
        *CROWDSEC_LOG,
        "-A CROWDSEC_LOG -j DROP",
        *CROWDSEC,
        "-I FORWARD -j CROWDSEC_CHAIN",
    ],
    "crowdsec, nobody yet": ["-N CROWDSEC_CHAIN", "-I FORWARD -j CROWDSEC_CHAIN"],
    "fail2ban": [
        "-N f2b-nginx",
        f"-A f2b-nginx {ONE} {REFUSE}",
        "-A f2b-nginx -j RETURN",
        f"{FAIL2BAN} -j f2b-nginx",
    ],
    "fail2ban, nobody yet": [
        "-N f2b-nginx",
        "-A f2b-nginx -j RETURN",
        f"{FAIL2BAN} -j f2b-nginx",
    ],
    "fail2ban, a set": [f"{FAIL2BAN} {SET} {REFUSE}"],
    "a set, and a log of it": [f"-I FORWARD {SET} -j DROP", f"-I FORWARD {SET} -j LOG"],
    "within docker's": [
        *CROWDSEC_LOG,
        "-A CROWDSEC_LOG -j DROP",
        *CROWDSEC,
        "-N DOCKER-USER",
        "-A DOCKER-USER -j CROWDSEC_CHAIN",
        "-A DOCKER-USER -j RETURN",
        "-I FORWARD -j DOCKER-USER",
    ],
}
NO_BANS = {
    "docker, nobody yet": [
        "-N DOCKER-USER",
        "-A DOCKER-USER -j RETURN",
        "-I FORWARD -j DOCKER-USER",
    ],
    "docker, apart": [
        "-N DOCKER-ISOLATION-STAGE-2",
        "-A DOCKER-ISOLATION-STAGE-2 -o docker0 -j DROP",
        "-A DOCKER-ISOLATION-STAGE-2 -j RETURN",
        "-N DOCKER-ISOLATION-STAGE-1",
        "-A DOCKER-ISOLATION-STAGE-1 -i docker0 ! -o docker0 -j DOCKER-ISOLATION-STAGE-2",
        "-A DOCKER-ISOLATION-STAGE-1 -j RETURN",
        "-I FORWARD -j DOCKER-ISOLATION-STAGE-1",
    ],
    "ufw, empty": [
        "-N ufw-before-logging-forward",
        "-I FORWARD -j ufw-before-logging-forward",
    ],
    "ufw": [
        "-N ufw-before-forward",
        "-A ufw-before-forward -p icmp -j ACCEPT",
        "-I FORWARD -j ufw-before-forward",
    ],
    "some let in": [
        "-N own",
        f"-A own {ONE} -j DROP",
        "-A own -i ens6 -j ACCEPT",
        "-I FORWARD -j own",
    ],
    "some let in further on": [
        *CROWDSEC_LOG,
        "-A CROWDSEC_LOG -i ens6 -j ACCEPT",
        *CROWDSEC,
        "-I FORWARD -j CROWDSEC_CHAIN",
    ],
    "one let in": ["-N own", "-A own -j ACCEPT", f"-I FORWARD {ONE} -j own"],
    "all kept out": ["-N own", f"-A own {ONE} -j DROP", "-A own -j DROP", "-I FORWARD -j own"],
    "one only named": [f'-I FORWARD -m comment --comment "as \\" {ONE} -j DROP" -j DROP'],
}
LET_IN = "-A FORWARD -i eth9 -j ACCEPT"
OURS = "-A FORWARD -j RT-wg0-FWD"


@pytest.fixture
def beside(vps: Tunnel) -> Tunnel:
    """A VPS where somebody lets in others, and has sets of addresses."""
    for tool in ("iptables", "ip6tables"):
        vps.machine.write(f"/usr/local/sbin/{tool}-save", SETS)
        vps.machine.run(f"chmod 755 /usr/local/sbin/{tool}-save; {tool} {LET_IN}")
    return vps


def add_rules(machine: Machine, rules: list[str], tool: str = "iptables") -> str:
    """Of several, of which the last one leads to the others: that one as it is printed."""
    machine.run(f"{tool}-restore --noflush", stdin="\n".join(["*filter", *rules, "COMMIT\n"]))
    return machine.run(f"{tool} -S FORWARD 1").stdout.strip()


def hang(machine: Machine, rules: list[str]) -> None:
    """These alone, in FORWARD."""
    text = "\n".join(["*filter", "-F FORWARD", *rules, "COMMIT\n"])
    machine.run("iptables-restore --noflush", stdin=text)


@pytest.mark.parametrize("rules", BANS.values(), ids=BANS)
def test_bans_of_others_stay_before_ours(beside: Tunnel, rules: list[str]) -> None:
    """Wherever ours are found: nothing that is put back may let in whom they keep out."""
    add_rules(beside.machine, rules)
    bans = forward_chain(beside)[: -len([OURS, LET_IN])]
    for places in (
        [*bans, OURS, LET_IN],
        [*bans, LET_IN, OURS],
        [OURS, *bans, LET_IN],
        [*bans, LET_IN],
    ):
        hang(beside.machine, places)
        well = places == [*bans, OURS, LET_IN]
        assert beside.told("chain RT-wg0-FWD") == ["ok" if well else "unhung"]
        beside.call("restore")
        assert forward_chain(beside) == [*bans, OURS, LET_IN]
        assert beside.told("chain RT-wg0-FWD") == ["ok"]


@pytest.mark.parametrize("rules", NO_BANS.values(), ids=NO_BANS)
def test_what_is_more_than_a_ban_comes_behind_ours(beside: Tunnel, rules: list[str]) -> None:
    more = add_rules(beside.machine, rules)
    assert forward_chain(beside) == [more, OURS, LET_IN]
    assert beside.told("chain RT-wg0-FWD") == ["unhung"]
    beside.call("restore")
    assert forward_chain(beside) == [OURS, more, LET_IN]
    assert beside.told("chain RT-wg0-FWD") == ["ok"]


@pytest.mark.parametrize(
    "rules",
    [
        [f"-I FORWARD ! {ONE} -j DROP"],
        [f"-I FORWARD {SET.replace('set -', 'set ! -')} -j DROP"],
        ["-N own", f"-A own ! {ONE} -j DROP", "-A own -j RETURN", "-I FORWARD -j own"],
    ],
)
def test_what_keeps_out_all_but_some_stays_on_its_side(beside: Tunnel, rules: list[str]) -> None:
    """Before ours it keeps visitors out, which is for its owner to say."""
    fence = add_rules(beside.machine, rules)
    for places in ([fence, OURS, LET_IN], [OURS, fence, LET_IN]):
        hang(beside.machine, places)
        assert beside.told("chain RT-wg0-FWD") == ["ok"]
        beside.call("restore")
        assert forward_chain(beside) == places
    hang(beside.machine, [fence, LET_IN])
    beside.call("restore")
    assert forward_chain(beside) == [OURS, fence, LET_IN]


def test_several_bans_all_stay_before_ours(beside: Tunnel) -> None:
    """With another tunnel's among them. What comes behind others' own rules is behind ours, too."""
    machine = beside.machine
    machine.run("iptables -N RT-wg1-FWD; iptables -D FORWARD -j RT-wg0-FWD")
    late = f"-A FORWARD {ONE} -j REJECT --reject-with icmp-port-unreachable"
    machine.run(f"iptables {late}")
    first = add_rules(machine, BANS["fail2ban"])
    machine.run("iptables -I FORWARD -j RT-wg1-FWD")
    second = add_rules(machine, BANS["one"])
    beside.put("https", HTTPS)
    others = "-A FORWARD -j RT-wg1-FWD"
    assert forward_chain(beside) == [second, others, first, OURS, LET_IN, late]


def test_bans_of_ipv6_stay_before_ours(beside: Tunnel) -> None:
    machine = beside.machine
    beside.call("interface", stdin=f"{beside.vps_settings()}ipv6 fd5c:91e2:7a3b::1/64\n")
    refuse = "-j REJECT --reject-with icmp6-port-unreachable"
    rules = [f"-A f2b-nginx -s 2001:db8::66/128 {refuse}", "-A f2b-nginx -j RETURN"]
    ban = add_rules(machine, ["-N f2b-nginx", *rules, f"{FAIL2BAN} -j f2b-nginx"], "ip6tables")
    for here in ("-D FORWARD -j RT-wg0-FWD", "-A FORWARD -j RT-wg0-FWD"):
        machine.run(f"ip6tables {here}")
        beside.call("restore")
        chain = machine.run("ip6tables -S FORWARD").stdout.splitlines()[1:]
        assert chain == [ban, OURS, LET_IN]


@pytest.mark.parametrize(
    ("table", "chain", "number"), [("mangle", "PREROUTING", 1), ("nat", "POSTROUTING", 2)]
)
def test_bans_stay_before_ours_in_other_tables_too(
    vps: Tunnel, table: str, chain: str, number: int
) -> None:
    """Several of ours come behind one together."""
    tool = f"iptables -t {table}"

    def hanging() -> list[str]:
        lines = vps.machine.run(f"{tool} -S {chain}").stdout.splitlines()[1:]
        return [line.split()[-1] for line in lines]

    ours = hanging()
    assert len(ours) == number
    vps.machine.run(f"{tool} -N f2b-all; {tool} -A f2b-all -j RETURN; {tool} -I {chain} -j f2b-all")
    vps.machine.run(f"{tool} -A {chain} -d 10.9.9.9 -j RETURN")
    to_the_end = f"{tool} -D {chain} 1; {tool} -I {chain} {number + 1} -j f2b-all"
    for harm in (":", *(f"{tool} -D {chain} -j {each}" for each in ours), to_the_end):
        vps.machine.run(harm)
        assert [line for line in vps.status() if line.endswith(" unhung")] == [] or harm != ":"
        vps.call("restore")
        first, *between, last = hanging()
        assert (first, sorted(between), last) == ("f2b-all", sorted(ours), "RETURN")


def test_a_jump_to_ours_under_a_condition_is_somebodys_own(vps: Tunnel) -> None:
    jump = "-A FORWARD -i ens6 -j RT-wg0-FWD"
    vps.machine.run(f"iptables {jump}")
    vps.put("https", HTTPS)
    vps.call("restore")
    assert forward_chain(vps) == ["-A FORWARD -j RT-wg0-FWD", jump]
    assert vps.told("chain RT-wg0-FWD") == ["ok"]
    # Without one it is a second one of ours.
    vps.machine.run("iptables -A FORWARD -j RT-wg0-FWD")
    vps.call("restore")
    assert forward_chain(vps) == ["-A FORWARD -j RT-wg0-FWD", jump]


def forward_chain(vps: Tunnel) -> list[str]:
    return vps.machine.run("iptables -S FORWARD").stdout.splitlines()[1:]


def test_chains_that_another_version_made_go_with_the_next_start(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    before = rules_of(vps.machine.run("iptables-save").stdout)
    vps.machine.run(
        "iptables -N RT-wg0-OLD; iptables -A RT-wg0-OLD -j DROP; iptables -I FORWARD -j RT-wg0-OLD;"
        " iptables -N RT-wg0-old; iptables -N RT-wg1-OLD"  # not of this tunnel, or the firewall's
    )
    vps.call("up")
    kept = [":RT-wg0-old - [0:0]", ":RT-wg1-OLD - [0:0]"]
    now = rules_of(vps.machine.run("iptables-save").stdout)
    assert [line for line in now if line not in kept] == before
    assert [line for line in kept if line not in now] == []
