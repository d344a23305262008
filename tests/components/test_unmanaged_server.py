"""The WireGuard files of servers without `ssh`, which do by themselves what the helper does."""

import re
from dataclasses import replace

import pytest

from components.unmanaged_server import server_config
from components.wireguard_file import Machine
from tests.components.test_wireguard_file import (
    DUAL,
    DUAL_FULL,
    DUAL_GATEWAY,
    FULL,
    GATEWAY,
    LAPTOP,
)

IF_THERE = "2>/dev/null || true"


def test_with_ipv6_a_servers_file_says_the_same_of_both() -> None:
    """And finds a way for answers where its line has none, but for nothing that it begins."""
    only, both = (
        server_config(*each).splitlines() for each in ((LAPTOP, GATEWAY), (DUAL, DUAL_GATEWAY))
    )
    mine = [line for line in only if "= iptables" in line or "= ip r" in line]
    alike = {
        line.replace("iptables", "ip6tables")
        .replace("= ip r", "= ip -6 r")
        .replace("172.16.0.0/24", "fd5c:91e2:7a3b::/64")
        .replace("--set-mss 1380", "--set-mss 1360")
        for line in mine
        if "LOCAL" not in line and "127.0.0.0" not in line
    }
    assert set(mine) | alike <= set(both)
    more = [line for line in both if line not in alike and line not in only]
    begun = "OUTPUT -o %i ! -d fd5c:91e2:7a3b::/64 -m conntrack --ctstate NEW -j REJECT"
    rule, last_way = f"{begun} --reject-with icmp6-no-route", "iif lo lookup 7031 priority 33024"
    taken_away = (
        f"ip6tables -w -t filter -D {rule} {IF_THERE}",
        f"ip -6 rule del {last_way} protocol kernel {IF_THERE}",
    )
    assert [line for line in more if "= ip" in line and "LOCAL" not in line] == [
        *(f"PreUp = {line}" for line in taken_away),
        f"PreUp = ip6tables -w -t filter -I {rule}",
        f"PostUp = ip -6 rule add {last_way} protocol kernel",
        *(f"PreDown = {line}" for line in taken_away),
    ]


def test_a_servers_file_answers_visitors_through_the_tunnel_and_nothing_else() -> None:
    lines = server_config(LAPTOP, GATEWAY).splitlines()
    assert "AllowedIPs = 0.0.0.0/0" in lines
    assert "Table = off" in lines
    assert "PostUp = ip route replace default dev %i table 7031" in lines
    assert any("CONNMARK --set-xmark" in line and "! -s 172.16.0.0/24" in line for line in lines)


def test_a_server_whose_way_out_is_the_tunnel_leaves_the_routes_to_wg_quick() -> None:
    """Everything goes into the tunnel then, answers to visitors among it: no mark is needed."""
    text = server_config(FULL, GATEWAY)
    assert "AllowedIPs = 0.0.0.0/0\n" in text
    for word in ("Table =", "CONNMARK", "ip route"):
        assert word not in text
    rules = [line for line in text.splitlines() if "ip rule" in line]
    assert len(rules) == 3  # added and, before and after, taken away
    assert all(" dport 123 " in rule for rule in rules)
    assert text.count("TCPMSS") == 2 * 4  # looked for, too
    assert text.count(" FORWARD -i %i -m conntrack ! --ctstate DNAT,") == 4


@pytest.mark.parametrize("mtu", [1280, 1420])
def test_a_servers_file_has_its_own_mtu_and_the_mss_that_fits(mtu: int) -> None:
    text = server_config(replace(LAPTOP, mtu=mtu), GATEWAY)
    assert f"MTU = {mtu}\n" in text
    assert len(re.findall(rf"--set-mss {mtu - 40}\b", text)) == 4


@pytest.mark.parametrize("machine", [LAPTOP, FULL, DUAL, DUAL_FULL])
def test_a_servers_file_takes_away_all_that_it_adds(machine: Machine) -> None:
    gateway = GATEWAY if machine.ipv6 is None else DUAL_GATEWAY
    lines = server_config(machine, gateway).splitlines()
    built_in = r"PreUp = (ip6?tables .* -[AI] (PREROUTING|OUTPUT|POSTROUTING|FORWARD) .*)"
    added = [found[1] for line in lines if (found := re.fullmatch(built_in, line))]
    assert len(added) == {LAPTOP: 8, FULL: 4, DUAL: 8 + 8, DUAL_FULL: 4 + 3}[machine]
    as_removal = [
        f"{each.replace(' -A ', ' -D ').replace(' -I ', ' -D ')} {IF_THERE}" for each in added
    ]
    removed = [found[1] for line in lines if (found := re.fullmatch(r"PreDown = (.* -D .*)", line))]
    assert sorted(removed) == sorted(as_removal)


@pytest.mark.parametrize("machine", [LAPTOP, FULL, DUAL, DUAL_FULL])
def test_it_does_so_before_it_starts_too_and_goes_on_where_nothing_is_there(
    machine: Machine,
) -> None:
    """A lost interface has left its rules, and somebody may have taken them away."""
    gateway = GATEWAY if machine.ipv6 is None else DUAL_GATEWAY
    lines = server_config(machine, gateway).splitlines()
    before, after = (
        [line.removeprefix(key) for line in lines if line.startswith(key) and IF_THERE in line]
        for key in ("PreUp = ", "PreDown = ")
    )
    assert before == after
    assert len(after) == sum(line.startswith("PreDown = ") for line in lines)


def test_a_servers_file_takes_away_the_chain_that_it_makes() -> None:
    lines = server_config(LAPTOP, GATEWAY).splitlines()
    emptied = lines.index(f"PreDown = iptables -w -t nat -F RT-%i-UDP {IF_THERE}")
    assert lines[emptied + 1] == f"PreDown = iptables -w -t nat -X RT-%i-UDP {IF_THERE}"


def test_a_server_asks_whether_the_vps_answers_unless_it_shall_be_silent() -> None:
    lines = server_config(LAPTOP, GATEWAY).splitlines()
    (start,) = (line for line in lines if "systemd-run" in line)
    assert "-I %i 172.16.0.1 " in start
    assert "wg set %i peer PUBLIC endpoint vps.example.org:51820;" in start
    assert "#" not in start  # what follows would be a comment
    stop = "systemctl stop reverse-tunnel-%i-redial 2>/dev/null || true"
    for when in ("PreUp = ", "PreDown = "):
        # It would begin anew what it finds without rules.
        assert next(line for line in lines if line.startswith(when)) == f"{when}{stop}"
    assert "redial" not in server_config(LAPTOP, replace(GATEWAY, keepalive=0))


def test_a_servers_file_keeps_the_vps_out_of_the_home_network() -> None:
    """A broken-into VPS must not be a way in."""
    (guard,) = [
        line for line in server_config(LAPTOP, GATEWAY).splitlines() if "-I FORWARD" in line
    ]
    assert guard.endswith("-i %i -m conntrack ! --ctstate DNAT,ESTABLISHED,RELATED -j DROP")
