# Forward rules: what the firewall shall hold for each forward, or opening, of the family in use.

declare -A SHALL=() # "table chain name" -> the rules of that forward that shall be there

# want_forward NAME TEXT: its rules into SHALL, if it takes visitors of the family in use
#
# By interface and local address, not by the public address: a VPS behind 1:1 NAT never sees that.
# A new connection may be asked by a thousand rules of others: so what is the same for all is asked on
# the way to them, and each asks for the port first, which costs least.
want_forward() {
  parse_text "$2"
  pick "$TARGETS"
  [[ $PAUSED == no && -n ${PICKED[0]-} ]] || return 0
  TARGET=${PICKED[0]}
  if [[ ${SETTING[role]} == vps ]]; then
    want_gate "$1"
    want_dnat "$1"
  else
    want_opening "$1"
  fi
}

# want_rule CHAIN-WORD TABLE NAME RULE
want_rule() { SHALL["$2 RT-$IFACE-$1 $3"]+="-A RT-$IFACE-$1 $4"$'\n'; }

# as_dport PORT PORT_END: as iptables writes them, into DPORT
as_dport() {
  DPORT=$1
  (($1 == $2)) || DPORT=$1:$2
}

# want_gate NAME: who may use the forward that was parsed. What is dropped here was not translated.
#
# Limits come first, since the list of those who may ends by returning; each counts by visitor.
want_gate() {
  local name=$1 match rate limit network
  [[ -n $LIMIT_NEW$LIMIT_CONCURRENT$FROM ]] || return 0
  as_dport "$PORT" "$PORT_END"
  match="-p $PROTOS -m $PROTOS --dport $DPORT -m comment --comment \"rt:$IFACE:$name\""
  # Both protocols in one rule, that they count together.
  [[ $PROTOS != *" "* ]] ||
    match="! -p $ICMP -m conntrack --ctorigdstport $DPORT -m comment --comment \"rt:$IFACE:$name\""
  if [[ -n $LIMIT_NEW ]]; then
    # The kernel keeps the time between two, in millionths of a second.
    rate=$((1000000 / (1000000 / LIMIT_NEW)))
    # A table of the kernel's keeps its rate as long as any rule has its name: so the rate is in it. Of what
    # got no answer yet each packet is new; the first alone is counted, until it has got through.
    limit="-m conntrack ! --ctstatus CONFIRMED -m hashlimit --hashlimit-above $rate/sec --hashlimit-burst $LIMIT_NEW"
    limit+=" --hashlimit-mode srcip --hashlimit-name rt-$IFACE-$name-$LIMIT_NEW"
    ((VISITOR == WHOLE)) || limit+=" --hashlimit-srcmask $VISITOR"
    want_rule GATE mangle "$name" "$match $limit -j DROP"
  fi
  if [[ -n $LIMIT_CONCURRENT ]]; then
    limit="-m connlimit --connlimit-above $LIMIT_CONCURRENT --connlimit-mask $VISITOR --connlimit-saddr"
    want_rule GATE mangle "$name" "$match $limit -j DROP"
  fi
  [[ -n $FROM ]] || return 0
  pick "$FROM"
  for network in "${PICKED[@]}"; do want_rule GATE mangle "$name" "-s $network $match -j RETURN"; done
  want_rule GATE mangle "$name" "$match -j DROP"
}

# want_dnat NAME: into the tunnel, by the forward that was parsed
want_dnat() {
  local name=$1 proto match host=$TARGET to
  ((FAMILY == 4)) || host=[$TARGET]
  to=$host:$TPORT
  if ((PORT != PORT_END)); then
    # From the first port on, one by one; the kernel would else take any that is free.
    to=$host:$TPORT-$TPORT_END/$PORT
    ((PORT != TPORT)) || to=$TARGET
  fi
  for proto in $PROTOS; do
    as_dport "$PORT" "$PORT_END"
    match="-p $proto -m $proto --dport $DPORT -m comment --comment \"rt:$IFACE:$name\""
    want_rule DNAT nat "$name" "$match -j DNAT --to-destination $to"
    [[ $SOURCE_ADDRESS == tunnel ]] || continue
    match="-m conntrack --ctstate DNAT --ctorigdstport $DPORT"
    as_dport "$TPORT" "$TPORT_END"
    match="-p $proto -m $proto --dport $DPORT $match -m comment --comment \"rt:$IFACE:$name\""
    want_rule SRC nat "$name" "-d $TARGET/$WHOLE -o $IFACE $match -j MASQUERADE"
  done
}

# want_opening NAME: out of the tunnel to what is behind this server, by the opening that was parsed
want_opening() {
  local proto match
  as_dport "$PORT" "$PORT_END"
  for proto in $PROTOS; do
    match="-m $proto --dport $DPORT -m comment --comment \"rt:$IFACE:$1\""
    want_rule OPEN filter "$1" "-d $TARGET/$WHOLE -p $proto $match -j ACCEPT"
    [[ $SOURCE_ADDRESS == client ]] || want_rule SRC nat "$1" \
      "-d $TARGET/$WHOLE -p $proto $match -m connmark --mark $MARK/$MARK -j MASQUERADE"
  done
}
