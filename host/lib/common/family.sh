# Family: IPv4 or IPv6. What depends on addresses is written once, for the family that is in use.
#
# The tunnel has IPv4, and IPv6 too if the stack says so and the host can: its settings say its
# addresses, FAMILIES says which there are.

FAMILIES=(4)

# use_family 4|6: with its words, and this host's place in the tunnel, into all of these
use_family() {
  FAMILY=$1
  if ((FAMILY == 4)); then
    PREFIXED=${SETTING[address]-} CIDR=network.cidr
    IPTABLES=${TOOLS[4]} ICMP=icmp
    WHOLE=32          # bits of an address
    VISITOR=32        # bits that tell one visitor from the next
    HEADERS=40        # bytes, of IP and TCP
    SOMEWHERE=1.1.1.1 # an address on the internet, to ask for the way there
  else
    PREFIXED=${SETTING[ipv6]-} CIDR=network.ipv6
    IPTABLES=${TOOLS[6]} ICMP=ipv6-icmp
    WHOLE=128
    VISITOR=64 # a visitor has a whole network to choose addresses from
    HEADERS=60
    SOMEWHERE=2606:4700:4700::1111
  fi
  NETWORK='' INSIDE=${PREFIXED%/*}
  [[ -z $PREFIXED ]] || network_of "$PREFIXED"
}

# by_family COMMAND WORD...: once for each family that the tunnel has
by_family() {
  local family
  for family in "${FAMILIES[@]}"; do
    use_family "$family"
    "$@"
  done
  use_family 4
}

# has_ipv6: whether this host has a family of which to keep something out
has_ipv6() {
  # With no ip6tables, only a host without any IPv6 address is safe without it.
  [[ -e /proc/net/if_inet6 ]] && { has ip6tables-restore || grep -q '' /proc/net/if_inet6; }
}

# can_ipv6: whether a tunnel of this host can have addresses of it
can_ipv6() {
  [[ -e /proc/net/if_inet6 && $(<"$SYSCTL6/conf/default/disable_ipv6") == 0 ]] && has ip6tables-restore
}

# pick LIST: those of its networks or addresses that are of the family in use, into PICKED
pick() {
  local one
  PICKED=()
  for one in ${1//,/ }; do
    ! in_use "$one" || PICKED+=("$one")
  done
}

# in_use ADDRESS: whether it is of the family in use
in_use() { if [[ $1 == *:* ]]; then ((FAMILY == 6)); else ((FAMILY == 4)); fi; }

# is_inside ADDRESS: whether it is the tunnel's, of either family
is_inside() {
  contains "${SETTING[address]}" "$1" ||
    { [[ -n ${SETTING[ipv6]-} ]] && contains "${SETTING[ipv6]}" "$1"; }
}

# is_own ADDRESS: whether it is this host's in the tunnel, of either family
is_own() {
  [[ $1 == "${SETTING[address]%/*}" ]] ||
    [[ -n ${SETTING[ipv6]-} && $1 == "${SETTING[ipv6]%/*}" ]]
}
