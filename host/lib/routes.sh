# Routes: a server's answers to visitors go back through the tunnel, by a mark and a table.
#
# One bit of the mark, one table and one priority, all of this tunnel alone; chosen once and kept.

MARK=0 TABLE=0

readonly FIRST_BIT=24 BITS=7 # of 32; lower ones are taken by Docker's, Tailscale's and Kubernetes' kind
readonly TABLES=7000         # 7024-7030: free of names in every distribution; also the priorities,
#                              which must come before main's (32766) and any VPN's of wg-quick

# load_mark: 0 if none was chosen, as on a VPS
load_mark() {
  [[ ! -s $OWN/mark ]] || read -r MARK TABLE <"$OWN/mark"
}

# choose_mark: the first that is free, beginning at one derived from the tunnel's name
choose_mark() {
  local i code sum=0 bit other
  load_mark
  ((MARK == 0)) || return 0
  for ((i = 0; i < ${#IFACE}; i++)); do
    printf -v code '%d' "'${IFACE:i:1}"
    sum=$(((sum * 31 + code) % BITS)) # of a long name it would be too large a number
  done
  for ((i = 0; i < BITS; i++)); do
    bit=$((FIRST_BIT + (sum + i) % BITS))
    printf -v MARK '0x%x' $((1 << bit))
    TABLE=$((TABLES + bit))
    if mark_is_free; then
      write_file "$OWN/mark" "$MARK $TABLE"$'\n'
      return 0
    fi
  done
  refuse "no firewall mark is free on this host among the bits $FIRST_BIT-$((FIRST_BIT + BITS - 1))" \
    "(see 'ip rule' and 'iptables-save'; other tunnels here: $(other_tunnels)); nothing was changed"
}

mark_is_free() {
  local mark mask family
  ! grep -qs " $TABLE$" "$ETC"/*/mark || return 1
  for family in 4 6; do
    [[ -z $(ip "-$family" rule show priority "$TABLE" 2>/dev/null) ]] || return 1
    [[ -z $(ip "-$family" route show table "$TABLE" 2>/dev/null) ]] || return 1
  done
  while IFS=/ read -r mark mask; do
    # A value with its mask; the mask of all ones says nothing about who owns which bit.
    ((mark & MARK || (${mask:-0xffffffff} != 0xffffffff && ${mask:-0} & MARK))) && return 1
  done < <({
    ip -4 rule show
    ip -6 rule show
    iptables-save
    ip6tables-save
  } 2>/dev/null | sed -nE 's/.*(fwmark|--mark|--set-xmark|--set-mark) (0x[0-9a-f]+(\/0x[0-9a-f]+)?).*/\2/p')
  return 0
}

# has_rule PRIORITY
has_rule() { [[ -n $(ip "-$FAMILY" rule show priority "$1") ]]; }

# sync_way_out: whether this server's own traffic goes into the tunnel, too
sync_way_out() {
  local rule
  want_way_out
  ! has_way_out || return 0
  remove_way_out
  for rule in "${WAY[@]}"; do
    # shellcheck disable=SC2086 # words
    ip "-$FAMILY" rule add $rule priority $((TABLE + WAY_OUT))
    step added-way-out
  done
  retire_udp
}

# want_way_out: the rules of this family for that, into WAY; none if it stays on its own line
#
# Its own alone (iif lo), not what it passes on. Not to where it has a route of its own, and not the
# tunnel's own packets, which WireGuard marks with the number of the table; nor what is bound to the
# address of its own line, which is how it answers those who come by that. Nor what asks for the time:
# with a clock that is behind no tunnel comes up, since the VPS takes its handshakes for repeated ones. A
# time server's answers go to that port as well, but come from a low one.
WAY=()
want_way_out() {
  local rule
  WAY=()
  [[ ${SETTING[egress]-} == tunnel ]] || return 0
  WAY+=("from all lookup main suppress_prefixlength 0")
  WAY+=("from all iif lo ipproto udp sport 1024-65534 dport 123 lookup main")
  [[ -z ${LINE[FAMILY]-} ]] || WAY+=("from ${LINE[FAMILY]} lookup main")
  # What leads away comes last, and goes first.
  printf -v rule 'not from all fwmark 0x%x iif lo lookup %s' "$TABLE" "$TABLE"
  WAY+=("$rule")
}

# has_way_out: whether the rules are those of want_way_out, as `ip` prints them
has_way_out() {
  local rule wanted=
  for rule in "${WAY[@]}"; do wanted+="$((TABLE + WAY_OUT)): $rule"$'\n'; done
  [[ "$(ip "-$FAMILY" rule show priority $((TABLE + WAY_OUT)) | sed 's/\t/ /; s/ *$//')" == "${wanted%$'\n'}" ]]
}

# retire_udp: of the family in use: services that are bound to any address answer from another one now
retire_udp() {
  conntrack -D -f "ipv$FAMILY" -p udp --mark "$MARK/$MARK" >/dev/null 2>&1 || true
}

# Added to the table's number: priorities of other rules than that of the answers, after that one.
readonly WAY_OUT=100
readonly LAST_WAY=26000 # after main's and default's

remove_way_out() {
  local priority=$((TABLE + WAY_OUT))
  while ip "-$FAMILY" rule del lookup "$TABLE" priority "$priority" 2>/dev/null; do :; done
  while ip "-$FAMILY" rule del priority "$priority" 2>/dev/null; do :; done
}

# find_behind: the interfaces by which this server reaches what is behind it, into INTERFACES_BEHIND
INTERFACES_BEHIND=()
find_behind() {
  local network route name
  INTERFACES_BEHIND=()
  for network in "${BEHIND[@]}"; do
    # WireGuard's mark, lest the way out is found. A container's network may come up later: whoever
    # makes it sees to forwarding.
    route=$(ip -4 route get "${network%/*}" mark "$TABLE" 2>/dev/null) || continue
    [[ $route =~ \ dev\ ([^ ]+) ]] || continue
    name=${BASH_REMATCH[1]}
    [[ $name != "$IFACE" && $name != lo && " ${INTERFACES_BEHIND[*]} " != *" $name "* ]] || continue
    INTERFACES_BEHIND+=("$name")
  done
}

# find_own_networks: the private ones that this server is in by other interfaces, and those behind it, which a
# router there may lead to, of the family in use, into OWN_NETWORKS. Not public ones: somebody there may well
# come by the VPS.
OWN_NETWORKS=()
find_own_networks() {
  local network rest
  OWN_NETWORKS=()
  for network in "${BEHIND[@]}"; do
    if in_use "$network" && is_private "$network"; then OWN_NETWORKS+=("$network"); fi
  done
  while read -r network rest; do
    # A tunnel of ours on this host sees to its own addresses.
    [[ " $rest" =~ \ dev\ ([^ ]+) && " $rest " != *" via "* && ! -e $ETC/${BASH_REMATCH[1]} ]] || continue
    [[ $network == */* ]] || network+=/$WHOLE
    is_network "$network" || continue
    # Whatever has come since, the tunnel's own go on.
    ! overlap "$network" "$NETWORK" || continue
    is_private "$network" || continue
    [[ " ${OWN_NETWORKS[*]} " == *" $network "* ]] || OWN_NETWORKS+=("$network")
  done < <(ip "-$FAMILY" route show table main 2>/dev/null)
}

add_routes() { by_family add_family_routes; }

add_family_routes() {
  ip "-$FAMILY" route replace default dev "$IFACE" table "$TABLE"
  step added-route
  has_rule "$TABLE" || ip "-$FAMILY" rule add fwmark "$MARK/$MARK" lookup "$TABLE" priority "$TABLE"
  sync_way_out
  if ((FAMILY == 4)); then
    # A visitor's address comes in by the tunnel, but the main table leads back by another line.
    set_sysctl "conf/$IFACE/rp_filter" 2
  else
    add_last_way
  fi
}

# add_last_way: the kernel looks for a way before it asks the rules that mark an answer. Few lines at
# home have IPv6, and where none leads anywhere no answer would be sent at all.
add_last_way() {
  local priority=$((TABLE + LAST_WAY))
  has_rule "$priority" || ip -6 rule add iif lo lookup "$TABLE" priority "$priority"
}

# remove_routes 4|6...
remove_routes() {
  local family priority
  ((TABLE)) || return 0
  for family in "$@"; do
    use_family "$family"
    remove_way_out
    for priority in "$TABLE" $((TABLE + LAST_WAY)); do
      while ip "-$FAMILY" rule del lookup "$TABLE" priority "$priority" 2>/dev/null; do :; done
    done
    ip "-$FAMILY" route flush table "$TABLE" 2>/dev/null || true
  done
  use_family 4
}

# The address by which this server's own line answers, into LINE, by family. Kept, since at boot it may
# come later than the tunnel; it is asked for again whenever the tunnel comes up.
LINE=()
readonly LINE_FILES=([4]=$OWN/line-address [6]=$OWN/line-address-ipv6)

load_line_address() {
  local family
  LINE=()
  for family in 4 6; do
    [[ ! -s ${LINE_FILES[family]} ]] || read -r "LINE[$family]" <"${LINE_FILES[family]}"
  done
}

find_line_address() {
  local route
  # Where a visitor's packet would go; nothing is sent there.
  route=$(ip "-$FAMILY" route get "$SOMEWHERE" mark "$TABLE" 2>/dev/null) || return 0
  [[ $route =~ \ src\ ([0-9a-f.:]+) && ${BASH_REMATCH[1]} != "${LINE[FAMILY]-}" ]] || return 0
  # By the last way: the line has no address of this family.
  ! is_own "${BASH_REMATCH[1]}" || return 0
  LINE[FAMILY]=${BASH_REMATCH[1]}
  # A note for the next boot: a full disk is no reason to stay without a tunnel.
  (write_file "${LINE_FILES[FAMILY]}" "${LINE[FAMILY]}"$'\n') || true
}

# Whether this kernel can tell which sockets a packet would come to, into SOCKET_MATCH. Only
# trying tells; kept for those who must not try.
SOCKET_MATCH=no

load_socket_match() {
  SOCKET_MATCH=no
  [[ ! -s $OWN/socket-match ]] || read -r SOCKET_MATCH <"$OWN/socket-match"
}

find_socket_match() {
  local chain=RT-$IFACE-TRY found=no
  load_socket_match
  if printf '*nat\n:%s - [0:0]\n-A %s -p udp -m socket -j RETURN\nCOMMIT\n' "$chain" "$chain" |
    iptables-restore --noflush -w 60 2>/dev/null; then
    found=yes
  fi
  printf '*nat\n:%s - [0:0]\n-X %s\nCOMMIT\n' "$chain" "$chain" |
    iptables-restore --noflush -w 60 2>/dev/null || true
  # A note, too.
  [[ $found == "$SOCKET_MATCH" ]] || (write_file "$OWN/socket-match" "$found"$'\n') || true
  SOCKET_MATCH=$found
}

# The public interface, of a VPS alone, into PUBLIC. What "auto" meant is kept: at boot the default
# route may come later than the tunnel.
PUBLIC=

load_public_interface() {
  PUBLIC=${SETTING[public_interface]-}
  [[ $PUBLIC != auto ]] || read -r PUBLIC <"$OWN/public-interface" || true
}

find_public_interface() {
  local name to metric mask best=
  if [[ ${SETTING[public_interface]-} == auto ]]; then
    while read -r name to _ _ _ _ metric mask _; do
      [[ $to == 00000000 && $mask == 00000000 && $name != "$IFACE" ]] || continue
      [[ -n $best ]] && ((metric >= best)) || best=$metric PUBLIC=$name
    done </proc/net/route
    if [[ -n $best ]]; then
      # A note as well.
      [[ -e $OWN/public-interface && $(<"$OWN/public-interface") == "$PUBLIC" ]] ||
        (write_file "$OWN/public-interface" "$PUBLIC"$'\n') || true
    elif [[ ! -s $OWN/public-interface ]]; then
      refuse "this host has no default route to find the public interface by: set vps.publicInterface"
    fi
  fi
  [[ -n $best ]] || load_public_interface
}

# check_public_interface: at boot it may come later than the tunnel, but not when it is set up
check_public_interface() {
  [[ -z $PUBLIC || -e $SYSCTL/conf/$PUBLIC ]] ||
    refuse "this host has no interface $PUBLIC (it has: $(interfaces)): correct vps.publicInterface"
}

interfaces() {
  local folder found=
  for folder in "$SYSCTL"/conf/*; do
    case ${folder##*/} in
      all | default) ;;
      *) found+="${found:+ }${folder##*/}" ;;
    esac
  done
  echo "$found"
}
