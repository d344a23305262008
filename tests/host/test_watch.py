"""What changes around the tunnel while it is up is followed at once.

Here by plain iptables, nft and ip; firewalld and Docker themselves do it in the lab.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from itertools import takewhile

import pytest

from tests.host.dual import CLIENT6, SERVER6, dual
from tests.host.machine import Machine
from tests.host.tunnel import Tunnel, rules_of
from tests.host.watched import OF_ROUTES, beginning, restoring, watched
from tests.host.world import SERVER, Call, World, call, world
from tests.support import eventually

HTTPS = "tcp 443 -> 172.16.0.4:8081"
LONG = 30.0  # seconds
A_MOMENT = 2.0  # seconds in which the watcher looks several times
LAST_WAY = 26000  # added to the table's number
DOCKER = "PREROUTING -m addrtype --dst-type LOCAL -j DOCKER"


def rules(machine: Machine) -> list[str]:
    """All rules of IPv4 and IPv6, without tables of which only the name is left."""
    saved = machine.run("iptables-save; ip6tables-save").stdout
    return sorted(line for line in rules_of(saved) if not line.startswith("*"))


@pytest.mark.parametrize(
    "flush",
    [
        pytest.param("nft flush ruleset", id="nft"),
        # firewalld's way
        pytest.param(
            "for tool in iptables ip6tables; do for table in mangle nat filter; do"
            " $tool -t $table -F; $tool -t $table -X; done; done",
            id="iptables",
        ),
        pytest.param("iptables -D FORWARD -j RT-wg0-FWD", id="one jump"),
    ],
)
def test_a_flush_of_the_whole_firewall_is_made_up_for(vps: Tunnel, flush: str) -> None:
    vps.put("https", HTTPS)
    before = rules(vps.machine)
    vps.machine.run(flush)
    assert rules(vps.machine) != before  # nobody watches yet
    vps.call("restore")
    with watched(vps):
        vps.machine.run(flush)
        eventually(lambda: rules(vps.machine) == before, LONG, "our rules did not come back")


def test_flushes_of_hundreds_of_rules_are_made_up_for(vps: Tunnel) -> None:
    """More events than the kernel keeps for who listens, who is then told no more."""
    lines = "".join(
        f"echo 'tcp {10000 + n} -> 172.16.0.4:80' >{vps.files}/forwards.d/f{n};" for n in range(300)
    )
    vps.machine.run(lines)
    vps.call("up")
    before = rules(vps.machine)
    assert len(before) > 300
    with watched(vps):
        for _ in range(3):
            vps.machine.run("nft flush ruleset")
            # After the fifth time that it is told no more, the watcher rests for half a minute.
            eventually(
                lambda: rules(vps.machine) == before, 3 * LONG, "our rules did not come back"
            )


OTHERS_RULES = "iptables -w -A OUTPUT -d 10.9.9.9; iptables -w -D OUTPUT -d 10.9.9.9"
OTHERS_ROUTES = (
    "ip route replace 10.7.0.0/16 via 203.0.113.1; ip route replace 10.7.0.0/16 via 203.0.113.2"
)


@pytest.mark.parametrize("changes", [OTHERS_RULES, OTHERS_ROUTES], ids=["rules", "routes"])
def test_events_that_never_end_hold_nothing_up(vps: Tunnel, changes: str) -> None:
    """Containers that come and go, a ban after the other; a line that comes and goes."""
    vps.put("https", HTTPS)
    machine = vps.machine
    with watched(vps), again_and_again(machine, changes):
        machine.run("iptables -w -t nat -F PREROUTING")
        jumps = partial(machine.run, "iptables -w -t nat -S PREROUTING")
        eventually(lambda: "RT-wg0-VISIT" in jumps().stdout, LONG, "our rules did not come back")
        # Which has no event of its own
        machine.run("ip link del wg0")
        there = partial(machine.run, "test -e /sys/class/net/wg0", check=False)
        eventually(lambda: there().status == 0, LONG, "no tunnel any more")


@contextmanager
def again_and_again(machine: Machine, changes: str) -> Iterator[None]:
    """A line of bash over and over, about ten times a second."""
    process = machine.start(f"while :; do {changes}; echo; sleep 0.1; done")
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "\n"
        yield
    finally:
        process.kill()
        process.communicate()


def test_what_is_taken_away_while_the_kernel_drops_events_comes_back_too() -> None:
    """`ip monitor` goes on then, and what it still has to read may be nothing to follow."""
    with dual() as ends, watched(ends.world.server):
        server = ends.server
        table = int(server.read("/etc/reverse-tunnel/wg0/mark").split()[1])
        before = by_rule(server)
        listener = "$(pgrep -f '^ip -o monitor')"
        server.run(f"kill -STOP {listener}")
        routes = "".join(f"route add 10.9.{n}.0/24 dev wg0\n" for n in range(250))
        server.write("/run/routes", routes + routes.replace("add", "del"))
        dropped = f"{OF_ROUTES} | awk '$9 > 0'"
        server.run(f"while [[ ! $({dropped}) ]]; do ip -batch /run/routes; done")
        server.run(f"ip rule del priority {table}; kill -CONT {listener}")
        eventually(lambda: by_rule(server) == before, LONG, "it did not come back")


SLOWLY = """
cat >/usr/local/sbin/ip <<'END'
#!/bin/bash
case " $* " in *" monitor "*) ;; *) exec /usr/sbin/ip "$@" ;; esac
/usr/sbin/ip "$@" | while IFS= read -r line; do
  printf %s "${line:0:15}"
  sleep 0.5
  printf '%s\\n' "${line:15}"
done
END
chmod 755 /usr/local/sbin/ip
"""


def test_an_event_of_which_a_part_has_come_when_it_looks_at_something_else_is_not_lost() -> None:
    """As on a busy host."""
    with world() as net:
        machine = net.server.machine
        machine.run(SLOWLY)
        table = int(machine.read("/etc/reverse-tunnel/wg0/mark").split()[1])
        before = by_rule(machine)
        with watched(net.server):
            machine.run(f"ip rule del priority {table}")
            eventually(lambda: by_rule(machine) == before, LONG, "it did not come back")


# In the place of the program: it begins to listen when it may.
LATE = """
cat >/usr/local/sbin/xtables-monitor <<'END'
#!/bin/sh
until [ -e /run/listen ]; do sleep 0.05; done
exec /usr/sbin/xtables-monitor "$@"
END
chmod 755 /usr/local/sbin/xtables-monitor
"""


def test_what_is_taken_away_before_anybody_listens_comes_back_too(vps: Tunnel) -> None:
    """As at a busy boot: they begin at the same time as the first look at what is missing."""
    vps.put("https", HTTPS)
    machine = vps.machine
    machine.run(LATE)
    before = rules(machine)
    with beginning(vps) as go_on:
        machine.run("iptables -t nat -F PREROUTING; : >/run/listen")
        go_on()
        eventually(lambda: rules(machine) == before, LONG, "our rules did not come back")


# In the place of the program: it can do nothing, and says that it was called.
BROKEN = """
printf '#!/bin/sh\\necho called >>/run/broken; exit 1\\n' >/usr/local/sbin/iptables-restore
chmod 755 /usr/local/sbin/iptables-restore
"""


def test_what_could_not_be_put_back_is_tried_again(vps: Tunnel) -> None:
    """Nobody tells of it a second time. Another run may have had the lock for too long, say."""
    vps.put("https", HTTPS)
    machine = vps.machine
    before = rules(machine)
    with watched(vps):
        machine.run(f"{BROKEN} iptables -t nat -F PREROUTING")
        eventually(partial(machine.read, "/run/broken"), LONG, "it was not tried")
        eventually(lambda: not restoring(machine), LONG, "it is still tried")
        assert rules(machine) != before
        machine.run("rm /usr/local/sbin/iptables-restore")
        eventually(lambda: rules(machine) == before, LONG, "our rules did not come back")


# In the places of ping, and of the helper, which succeeds when there is room: each call is noted.
LOOKS = """
printf '#!/bin/sh\\necho look >>/run/called\\n' >/usr/local/sbin/ping
chmod 755 /usr/local/sbin/ping
"""
RESTORES = """
mv {helper} /run/helper
printf '#!/bin/sh\\necho restore >>/run/called; [ -e /run/room ]\\n' >{helper}
chmod 755 {helper}
"""


def test_what_can_never_be_put_back_is_tried_less_and_less_often() -> None:
    """It takes half a second of a small VPS's time each time."""
    with world() as ends, ExitStack() as watching:
        machine = ends.server.machine
        machine.run(LOOKS)
        watching.enter_context(watched(ends.server))
        machine.run(RESTORES.format(helper=f"{ends.server.folder}/reverse-tunnel"))
        machine.run("ip route add 10.2.0.0/16 via 192.0.2.1")

        def looks() -> list[int]:
            """How often it looked before the first try to put back, the second and so on."""
            called = machine.read("/run/called")
            return [part.count("look") for part in called.split("restore")]

        eventually(lambda: len(looks()) > 4, LONG, "it is not tried again")
        assert looks()[1:4] == [2, 4, 8]
        machine.run(": >/run/room")
        eventually(lambda: len(looks()) > 5, LONG, "it is not tried any more")
        eventually(lambda: looks()[-1] > 40, LONG, "it does not look")
        assert len(looks()) == 6


# As of iptables 1.8.11, which says everything at once; `stdbuf` may be one that can't do its work.
NEWER = """
mv /usr/bin/stdbuf /usr/bin/stdbuf-itself
printf '#!/bin/sh\\nexit 125\\n' >/usr/bin/stdbuf
cat >/usr/local/sbin/iptables <<'END'
#!/bin/sh
[ "$*" != --version ] || { echo 'iptables v1.8.11 (nf_tables)'; exit; }
exec /usr/sbin/"${0##*/}" "$@"
END
cp /usr/local/sbin/iptables /usr/local/sbin/iptables-nft
cat >/usr/local/sbin/xtables-monitor <<'END'
#!/bin/sh
exec stdbuf-itself -oL /usr/sbin/xtables-monitor "$@"
END
chmod 755 /usr/bin/stdbuf /usr/local/sbin/*
"""
# Nobody hears anything.
DEAF = """
printf '#!/bin/sh\\nexit 1\\n' >/usr/local/sbin/xtables-monitor
cat >/usr/local/sbin/ip <<'END'
#!/bin/sh
case " $* " in *" monitor "*) exit 1 ;; esac
exec /usr/sbin/ip "$@"
END
chmod 755 /usr/local/sbin/*
"""


def test_newer_programs_need_nobody_to_make_them_speak_at_once(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    vps.machine.run(NEWER)
    before = rules(vps.machine)
    with watched(vps):
        vps.machine.run("iptables -t nat -F PREROUTING")
        eventually(lambda: rules(vps.machine) == before, LONG, "our rules did not come back")


def test_where_nobody_can_listen_it_looks_all_the_same(vps: Tunnel) -> None:
    vps.machine.run(DEAF)
    vps.machine.run("systemctl enable wg-quick@wg0; ip link del wg0")
    watch = vps.machine.start(f"RT_LOOK_EVERY=0.2 exec {vps.folder}/reverse-tunnel 1 watch")
    there = partial(vps.machine.run, "test -e /sys/class/net/wg0", check=False)
    eventually(lambda: there().status == 0, LONG, "the interface did not come back")
    watch.kill()
    watch.communicate()


def test_a_tunnel_that_is_down_is_not_brought_up(vps: Tunnel) -> None:
    vps.put("https", HTTPS)
    vps.machine.run("wg-quick down wg0")
    vps.call("restore")
    assert rules(vps.machine) == []


def test_rules_by_which_answers_find_back_come_back_too() -> None:
    """systemd-networkd takes away what is not its own, whenever it is restarted."""
    with dual() as ends, watched(ends.world.server):
        table = int(ends.server.read("/etc/reverse-tunnel/wg0/mark").split()[1])
        before = by_rule(ends.server)
        assert f"lookup {table}" in before
        for rule in (f"-4 rule del priority {table}", f"-6 rule del priority {table + LAST_WAY}"):
            ends.server.run(f"ip {rule}")
            eventually(lambda: by_rule(ends.server) == before, LONG, "it did not come back")


def by_rule(machine: Machine) -> str:
    """The rules by which the kernel looks for a way."""
    return machine.run("ip rule; ip -6 rule").stdout


def test_an_interface_that_is_gone_comes_back(vps: Tunnel) -> None:
    """Where WireGuard is a program, it may be killed for want of memory."""
    vps.put("https", HTTPS)
    before = rules(vps.machine)
    with watched(vps):
        vps.machine.run("ip link del wg0")
        there = partial(vps.machine.run, "test -e /sys/class/net/wg0", check=False)
        eventually(lambda: there().status == 0, LONG, "no tunnel any more")
        eventually(lambda: rules(vps.machine) == before, LONG, "it has no rules")


def test_one_that_shall_not_start_with_the_host_does_not(vps: Tunnel) -> None:
    with watched(vps):
        vps.machine.run("systemctl disable wg-quick@wg0; ip link del wg0")
        there = partial(vps.machine.run, "test -e /sys/class/net/wg0", check=False)
        with pytest.raises(AssertionError, match="not there"):
            eventually(lambda: there().status == 0, A_MOMENT, "not there")


def test_one_that_is_just_starting_is_not_started_anew(vps: Tunnel) -> None:
    """A busy host may need longer than until the next look, and would never be done."""
    unit = "/run/standin/wg-quick@wg0"  # what the stand-in for systemctl says of it
    with watched(vps):
        vps.machine.run(f"echo activating >{unit}; ip link del wg0")
        there = partial(vps.machine.run, "test -e /sys/class/net/wg0", check=False)
        with pytest.raises(AssertionError, match="not there"):
            eventually(lambda: there().status == 0, A_MOMENT, "not there")
        vps.machine.run(f"echo failed >{unit}")
        eventually(lambda: there().status == 0, LONG, "no tunnel any more")


def test_docker_that_starts_again_still_gets_its_containers_visitors() -> None:
    """On a server its rule is put after ours, which would take its UDP ports away from it."""
    with world() as ends, watched(ends.server):
        server = ends.server.machine
        server.run(f"iptables -t nat -N DOCKER; iptables -t nat -A {DOCKER}")
        eventually(lambda: last_of(ends) == "RT-wg0-UDP", LONG, "ours did not become the last")
        server.run(f"iptables -t nat -D {DOCKER}; iptables -t nat -A {DOCKER}")
        eventually(lambda: last_of(ends) == "RT-wg0-UDP", LONG, "ours did not become the last")


# What fail2ban does at its first ban, in the chain that Docker leaves to others
BAN = """
iptables -N f2b-nginx; iptables -A f2b-nginx -s 198.51.100.66 -j REJECT
iptables -A f2b-nginx -j RETURN
iptables -I DOCKER-USER -p tcp -m multiport --dports 80,443 -j f2b-nginx
"""


def test_who_is_banned_first_by_a_chain_that_was_empty_gets_in_by_no_forward(vps: Tunnel) -> None:
    vps.machine.run("iptables -N DOCKER-USER; iptables -A DOCKER-USER -j RETURN")
    vps.machine.run("iptables -A FORWARD -j DOCKER-USER")

    def order() -> list[str]:
        printed = vps.machine.run("iptables -S FORWARD").stdout.splitlines()
        return [line.rpartition(" ")[2] for line in printed if " -j " in line]

    with watched(vps):
        assert order() == ["RT-wg0-FWD", "DOCKER-USER"]
        vps.machine.run(BAN)
        eventually(lambda: order()[0] == "DOCKER-USER", LONG, "the ban comes too late")


def test_visitors_udp_follows_another_address_of_the_servers_line() -> None:
    """A provider's new network of IPv6, say: an open flow goes on, and the next ones too."""
    with dual() as ends:
        ends.world.serve(8081, "::")
        router = ends.internet.run("ip -6 -o address show dev home scope link").stdout.split()[3]
        server = ends.server
        server.run("ip -6 address add 2001:db8:3::20/64 dev eth0 nodad")
        server.run(f"ip -6 route add default via {router.partition('/')[0]} dev eth0")
        ends.world.server.call("up")
        ends.vps.put("game", f"udp 80 -> {SERVER}:8081\nipv6 {SERVER6}")
        flow = Call(ends.client, "udp", ends.vps6, 80)
        assert flow.ask() == CLIENT6
        another = "ip -6 address add 2001:db8:%d::20/64 dev eth0 nodad"
        gone = "ip -6 address del 2001:db8:%d::20/64 dev eth0"
        server.run(f"{another % 4}; {gone % 3}")
        assert flow.ask() == "-"  # nobody watches yet
        ends.world.server.call("restore")
        with watched(ends.world.server):
            server.run(f"{another % 5}; {gone % 4}")
            eventually(lambda: flow.ask() == CLIENT6, LONG, "the flow did not follow")
            assert call(ends.client, "udp", ends.vps6, 80) == CLIENT6
        flow.end()


def last_of(ends: World) -> str:
    """Where the last rule of a server's nat PREROUTING leads to."""
    chain = ends.server.machine.run("iptables -t nat -S PREROUTING").stdout
    return chain.split()[-1]


FORWARDING = "/proc/sys/net/ipv4/conf/{}/forwarding"

# By which a VPN's usual PostUp and PostDown go, or by a file for sysctl that hardens a host.
SWITCHED_OFF = (
    "sysctl -qw net.ipv4.ip_forward=1; sysctl -qw net.ipv4.ip_forward=0",
    "sysctl -qw net.ipv4.conf.ens6.forwarding=0",
    "sysctl -qw net.ipv6.conf.all.forwarding=0",
)
STRICT = "sysctl -qw net.ipv4.conf.wg0.rp_filter=1"


def switches(machine: Machine) -> str:
    """Those by which a host passes packets on."""
    return machine.run("sysctl net.ipv{4,6}.conf.{all,ens6,wg0}.forwarding").stdout


def test_forwarding_that_others_switch_off_is_switched_on_again() -> None:
    """And no more of it than was on before."""
    with dual() as ends, watched(ends.vps):
        machine = ends.vps.machine
        before = switches(machine)
        for harm in SWITCHED_OFF:
            machine.run(harm)
            eventually(lambda: switches(machine) == before, LONG, f"after {harm}")


def test_a_host_that_others_make_a_router_is_one_at_once() -> None:
    """For a container of theirs that has an address of its own."""
    with world() as ends, watched(ends.vps):
        machine = ends.vps.machine

        def guarded() -> bool:
            return (
                "-i ens6 -m conntrack --ctstate NEW" in machine.run("iptables -S RT-wg0-FWD").stdout
            )

        assert guarded()
        machine.run("sysctl -qw net.ipv4.ip_forward=1")
        eventually(lambda: not guarded(), LONG, "it passes on nothing of theirs")


def test_a_filter_that_drops_visitors_packets_is_loosened_again() -> None:
    with world() as ends, watched(ends.server):
        machine = ends.server.machine
        name = "/proc/sys/net/ipv4/conf/wg0/rp_filter"
        machine.run(STRICT)
        eventually(lambda: machine.read(name) == "2\n", LONG, "it stays strict")


def test_what_is_switched_by_ourselves_is_nothing_to_follow() -> None:
    """Else each mending would be the reason for the next. Nor are others' switches."""
    with dual() as ends:
        vps, server = ends.vps, ends.world.server
        for tunnel, harms in ((vps, SWITCHED_OFF), (server, [STRICT])):
            others = "ip link add veth1 type veth peer veth2; ip link del veth1"
            others += "; sysctl -qw net.ipv4.conf.{default,lo}.{forwarding,rp_filter}={1,0}"
            for harm in harms:
                assert followed(tunnel, harm), harm
                assert not followed(tunnel, f"{tunnel.line('restore')}; {others}"), harm


def followed(tunnel: Tunnel, command: str) -> list[str]:
    """The kernel's events of switches, while a command runs, that concern the tunnel."""
    machine = tunnel.machine
    process = machine.start("exec stdbuf -oL ip -o monitor netconf")
    listens = "awk '$2 == 0 && $4 ~ /^118/' /proc/net/netlink"
    eventually(lambda: machine.run(listens).stdout, LONG, "nobody listens")
    machine.run(f"{command}; sysctl -qw net.ipv4.conf.lo.proxy_arp={{1,0}}")
    assert process.stdout is not None
    events = takewhile(lambda line: "lo proxy_neigh on" not in line, process.stdout)
    concerning = machine.run(
        f"IFACE={tunnel.name} OWN={tunnel.files} ETC=${{OWN%/*}} RUN=/run/reverse-tunnel;"
        f" source <(sed -n '/^concerns_us() {{/,/^}}/p' {tunnel.folder}/reverse-tunnel);"
        ' while IFS= read -r event; do ! concerns_us "$event" || echo "$event"; done',
        stdin="".join(events),
    )
    process.kill()
    process.communicate()
    return concerning.stdout.splitlines()


MAKE_PUBLIC = (
    "ip link add public.7 type veth peer switch; ip link set public.7 up"
    "; ip address add 198.51.100.1/24 dev public.7"
)


@pytest.fixture
def early(machine: Machine) -> Tunnel:
    """A VPS whose public interface, a VLAN or a bridge, was not there yet when the tunnel came up.

    When the tunnel is set up it must be there.
    """
    tunnel = Tunnel(machine)
    tunnel.install()
    tunnel.set_key()
    lines = tunnel.vps_settings().replace("public-interface ens6", "public-interface public.7")
    refused = tunnel.call("interface", stdin=lines, check=False)
    assert "no interface public.7" in refused.stderr
    machine.run(MAKE_PUBLIC)
    tunnel.call("interface", stdin=lines)
    tunnel.put("https", HTTPS)
    before = rules(machine)
    machine.run("wg-quick down wg0; ip link del public.7; wg-quick up wg0")
    assert rules(machine) == before
    return tunnel


def test_a_public_interface_that_comes_later_than_the_tunnel(early: Tunnel) -> None:
    machine = early.machine
    switch = FORWARDING.format("public.7")
    with watched(early):
        machine.run(MAKE_PUBLIC)
        eventually(lambda: machine.read(switch) == "1\n", LONG, "nothing is forwarded from there")
    machine.run("wg-quick down wg0")
    assert machine.read(switch) == "0\n"


GUARD = "iptables -S RT-wg0-FWD | grep -e '-i public.7 -m conntrack --ctstate NEW'"
PEER = "public-key 3fr5UMjTmHwgKyTKYqhVMbHiOoGe9rNCyVPYlZ8jyHk=\nallowed-ips 172.16.0.9/32\n"


@pytest.mark.parametrize(
    ("verb", "stdin"), [("put-forward http", "tcp 80 -> 172.16.0.4:80"), ("put-peer laptop", PEER)]
)
def test_one_that_a_run_finds_before_the_watcher_does(early: Tunnel, verb: str, stdin: str) -> None:
    """What is switched on for us alone must not count as somebody's from then on."""
    machine = early.machine
    switch = FORWARDING.format("public.7")
    machine.run(MAKE_PUBLIC)
    early.call(verb, stdin=stdin)
    assert machine.read(switch) == "1\n"
    early.call("restore")
    assert machine.run(GUARD, check=False).status == 0
    machine.run("wg-quick down wg0")
    assert machine.read(switch) == "0\n"


def test_one_that_comes_later_and_that_somebody_has_switched_on_stays_on(early: Tunnel) -> None:
    machine = early.machine
    switch = FORWARDING.format("public.7")
    machine.run(f"{MAKE_PUBLIC}; echo 1 >{switch}")
    early.put("http", "tcp 80 -> 172.16.0.4:80")
    early.call("restore")
    assert machine.run(GUARD, check=False).status == 1
    machine.run("wg-quick down wg0")
    assert machine.read(switch) == "1\n"


def test_what_is_behind_a_server_that_gets_its_address_later_than_the_tunnel() -> None:
    """Its own line, by which its UDP services answer, too."""
    with world() as ends:
        server, machine = ends.server, ends.server.machine
        key = ends.vps.machine.run("wg show wg0 public-key").stdout.strip()
        lines = server.server_settings("172.16.0.4/24", key, "203.0.113.10:51820")
        server.call("interface", stdin=f"{lines}network 192.0.2.0/24\n")
        assert machine.read(FORWARDING.format("eth0")) == "1\n"
        machine.run("wg-quick down wg0; ip address flush dev eth0; wg-quick up wg0")
        assert machine.read(FORWARDING.format("eth0")) == "0\n"
        with watched(server):
            machine.run("ip address add 192.0.2.21/24 dev eth0")
            machine.run("ip route add default via 192.0.2.1")
            eventually(
                lambda: machine.read(FORWARDING.format("eth0")) == "1\n", LONG, "nothing is behind"
            )
            eventually(
                lambda: "192.0.2.21" in machine.run("iptables -t nat -S RT-wg0-UDP").stdout,
                LONG,
                "visitors are not sent to the new address",
            )


def test_containers_that_come_and_go_are_nothing_to_follow(vps: Tunnel) -> None:
    """Their host's ends get addresses of IPv6, and routes that belong to these."""
    machine = vps.machine
    with watched(vps):
        machine.run(f"mv {vps.folder}/reverse-tunnel /run/helper")
        called = "#!/bin/sh\necho $2 >>/run/called\n"
        machine.write(f"{vps.folder}/reverse-tunnel", called)
        machine.run(f"chmod 755 {vps.folder}/reverse-tunnel; : >/run/called")
        machine.run("ip link add veth1 type veth peer veth2; ip link set veth1 up")
        machine.run("ip -6 address add fe80::1/64 dev veth1 nodad; ip link del veth1")
        machine.run("iptables -t nat -N DOCKER; iptables -I FORWARD -j ACCEPT")
        machine.run("ip route add 10.1.0.0/16 dev wg0")
        # All that comes before this has been seen when it is.
        machine.run("ip route add 10.2.0.0/16 via 203.0.113.1")
        eventually(lambda: machine.read("/run/called"), LONG, "not even that is followed")
        assert machine.read("/run/called") == "restore\n"
