# Routes: a server's answers to visitors go back through the tunnel, by its mark and its table (mark.sh).

# Added to the table's number: priorities of other rules than that of the answers, after that one.
readonly EGRESS_OFFSET=100
readonly LAST_WAY=26000 # after main's and default's

EGRESS_RULES=()      # the rules by which this server's own traffic goes into the tunnel
INTERFACES_BEHIND=() # those by which it reaches what is behind it
OWN_NETWORKS=()      # the private ones that it is in by other interfaces, or that are behind it

# has_rule PRIORITY
has_rule() { [[ -n $(ip "-$FAMILY" rule show priority "$1") ]]; }

# sync_way_back: answers to visitors go by the tunnel, wherever others lead
sync_way_back() {
  ! has_way_back || return 0
  put_way_back "$TABLE"
  if leads_back; then return; fi
  # A VPN of this host's own is asked before: that of wg-quick comes before all that is there.
  find_front
  ((FRONT == TABLE)) || put_way_back "$FRONT"
}

# put_way_back PRIORITY: there, and nowhere else
put_way_back() {
  remove_way_back
  step removed-way-back
  # What comes in may bear the mark as well: that of its connection, given it by the rules of such a VPN.
  ip "-$FAMILY" rule add fwmark "$MARK/$MARK" iif "$IFACE" lookup main priority "$1"
  ip "-$FAMILY" rule add fwmark "$MARK/$MARK" lookup "$TABLE" priority "$1"
}

remove_way_back() {
  while ip "-$FAMILY" rule del fwmark "$MARK/$MARK" iif "$IFACE" 2>/dev/null; do :; done
  while ip "-$FAMILY" rule del fwmark "$MARK/$MARK" lookup "$TABLE" 2>/dev/null; do :; done
}

# has_way_back: whether the rules are those of put_way_back, and lead there as far as they can
has_way_back() {
  has_back_rules || return 1
  ! leads_back || return 0
  find_front
  ((BACK <= FRONT))
}

# has_back_rules: whether they are, at whatever priority; that is into BACK
has_back_rules() {
  local rules rule="from all fwmark $MARK/$MARK"
  rules=$(ip "-$FAMILY" rule show |
    sed -n "s/\t/ /; s/ *$//; \\,fwmark $MARK/$MARK \(iif $IFACE lookup main\|lookup $TABLE\)$,p")
  BACK=${rules%%:*}
  [[ $rules == "$BACK: $rule iif $IFACE lookup main"$'\n'"$BACK: $rule lookup $TABLE" ]]
}

# leads_back: whether answers leave by the tunnel, whatever rules there are
leads_back() {
  local route
  route=$(ip "-$FAMILY" route get "$SOMEWHERE" mark "$MARK" 2>/dev/null) || return 1
  [[ "$route " == *" dev $IFACE "* ]] || return 1
  # Rules of others may ask where from; the line may have lost its address.
  [[ -n ${LINE[FAMILY]-} ]] || return 0
  route=$(ip "-$FAMILY" route get "$SOMEWHERE" from "${LINE[FAMILY]}" mark "$MARK" 2>/dev/null) || return 0
  [[ "$route " == *" dev $IFACE "* ]]
}

# find_front: the priority just before the first rule of others, into FRONT; our own place if that is no worse,
# or there is none. Those at 0 are the kernel's, for this host's own addresses; and tunnels of ours, each with
# its mark, need no order.
find_front() {
  FRONT=$(ip "-$FAMILY" rule show | grep -vE "fwmark 0x[1248]0{6,7}/" |
    awk -F : '$1 > 0 && !found { print $1 - 1; found = 1 }')
  ((FRONT > 0 && FRONT < TABLE)) || FRONT=$TABLE
}

# sync_way_out: whether this server's own traffic goes into the tunnel, too
sync_way_out() {
  local rule
  want_egress
  ! has_egress || return 0
  remove_egress
  for rule in "${EGRESS_RULES[@]}"; do
    # shellcheck disable=SC2086 # words
    ip "-$FAMILY" rule add $rule priority $((TABLE + EGRESS_OFFSET))
    step added-egress
  done
  retire_udp
}

# want_egress: the rules of this family for that, into EGRESS_RULES; none if it stays on its own line
#
# Its own alone (iif lo), not what it passes on for containers and others. Not to where it has a route of
# its own, and not the tunnel's own packets, which WireGuard marks with the number of the table; nor what
# is bound to the address of its own line, which is how it answers those who come by that. Nor what asks
# for the time: with a clock that is behind no tunnel comes up, since the VPS takes its handshakes for
# repeated ones. A time server's answers go to that port as well, but come from a low one.
want_egress() {
  local own
  EGRESS_RULES=()
  [[ ${SETTING[egress]-} == tunnel ]] || return 0
  printf -v own 'from all fwmark 0x%x lookup main' "$TABLE"
  EGRESS_RULES+=("from all lookup main suppress_prefixlength 0" "$own")
  # To all of a network: a call for a device at home. Of IPv6 the kernel sees to that itself.
  ((FAMILY == 6)) || EGRESS_RULES+=("from all to 224.0.0.0/4 lookup main" "from all to 255.255.255.255 lookup main")
  EGRESS_RULES+=("from all iif lo ipproto udp sport 1024-65534 dport 123 lookup main")
  [[ -z ${LINE[FAMILY]-} ]] || EGRESS_RULES+=("from ${LINE[FAMILY]} lookup main")
  # What leads away comes last, and goes first.
  EGRESS_RULES+=("from all iif lo lookup $TABLE")
}

# has_egress: whether the rules are those of want_egress, as `ip` prints them
has_egress() {
  local rule wanted=
  for rule in "${EGRESS_RULES[@]}"; do wanted+="$((TABLE + EGRESS_OFFSET)): $rule"$'\n'; done
  [[ "$(ip "-$FAMILY" rule show priority $((TABLE + EGRESS_OFFSET)) | sed 's/\t/ /; s/ *$//')" == "${wanted%$'\n'}" ]]
}

# retire_udp: of the family in use: services that are bound to any address answer from another one now
retire_udp() {
  delete_flows -p udp --mark "$MARK/$MARK"
}

remove_egress() {
  local priority=$((TABLE + EGRESS_OFFSET))
  while ip "-$FAMILY" rule del lookup "$TABLE" priority "$priority" 2>/dev/null; do :; done
  while ip "-$FAMILY" rule del priority "$priority" 2>/dev/null; do :; done
}

# find_behind: the interfaces by which this server reaches what is behind it, into INTERFACES_BEHIND
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
  sync_way_back
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
  local family
  ((TABLE)) || return 0
  for family in "$@"; do
    use_family "$family"
    remove_egress
    remove_way_back
    while ip "-$FAMILY" rule del lookup "$TABLE" 2>/dev/null; do :; done
    ip "-$FAMILY" route flush table "$TABLE" 2>/dev/null || true
  done
  use_family 4
}
