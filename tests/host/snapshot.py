"""What a host is: all that a tunnel may change on it, as text that can be compared."""

from tests.host.machine import Machine
from tests.host.tunnel import rules_of

# Not the logs, nor what wg-quick and the stand-in for systemctl leave in /run until the next start,
# nor the helper's note of when its key or port changed.
_FILES = r"""
cd /
find etc usr/local root run var/lib -xdev \
  \( -path run/wireguard -o -path run/standin -o -path run/xtables.lock -o -path run/sudo \
  -o -path run/lock -o -path 'etc/reverse-tunnel/*/changed' \) \
  -prune -o -printf '%p %y %m %U:%G %l\n' | sort
find etc usr/local root run/reverse-tunnel -xdev -type f \
  ! -path 'etc/reverse-tunnel/*/changed' -print0 2>/dev/null |
  sort -z | xargs -0 sha256sum
"""

_KERNEL = r"""
ip -o link show | sed 's/^[0-9]*: //; s/ .*//'
ip -4 -o address show | sed 's/^[0-9]*: //; s/ valid_lft.*//'
ip rule show
ip -6 rule show
ip -4 route show table all | sort
ip -6 -o address show scope global | sed 's/^[0-9]*: //; s/ valid_lft.*//'
ip -6 route show table all | grep -v 'fe80\|ff00\|anycast' | sed 's/ expires [0-9]*sec//' | sort
grep -H '' /proc/sys/net/ipv4/ip_forward /proc/sys/net/ipv4/conf/*/{forwarding,rp_filter} \
  /proc/sys/net/ipv4/conf/*/accept_redirects /proc/sys/net/ipv6/conf/*/{forwarding,accept_ra}
# It is there with the kernel's module, which the first rule may load.
cat /proc/sys/net/netfilter/nf_conntrack_acct 2>/dev/null || echo 0
wg show all dump | cut -f 1-5 | sort
"""


def snapshot(machine: Machine) -> list[str]:
    """Files with owners, modes and contents; rules, routes, addresses, switches, peers."""
    state = machine.run(_FILES + _KERNEL).stdout.splitlines()
    rules = rules_of(machine.run("iptables-save; ip6tables-save").stdout)
    # Tables of which only the name is left are what iptables-nft cannot take back.
    kept = [line for line in rules if not line.startswith("*")]
    return [*state, *kept]
