# Conntrack: flows that run on by an old mapping, although the rules have changed, are ended.
#
# NAT rules are asked on a flow's first packet only. So a changed or removed forward goes on for
# the flows that it has, and a new one is not seen by a UDP flow that was there before.
#
# A flow is a forward's by what a rule decides: where it was sent, who answers, and to which address;
# and by whether its visitor may use it. Connections of the host's own to a forwarded port elsewhere
# have another original destination.
#
# A call of conntrack walks through all entries of the host, and there may be thousands, each of another
# visitor: so flows are ended by as few calls as can tell them from those that go on.

# The halves of an entry: how the first packet came in, and how the answer goes. Each is counted where
# the host keeps accounts (nf_conntrack_acct).
readonly FLOW="^(tcp|udp) .* src=([^ ]+) dst=([^ ]+) sport=[0-9]+ dport=([0-9]+) \
(packets=[0-9]+ bytes=[0-9]+ )?(\[UNREPLIED\] )?\
src=([^ ]+) dst=([^ ]+) sport=([0-9]+) "

# The way of a flow, "protocol destination port source source-port", is what a forward decides; its
# ends, "visitor way-back", are whom it serves and as whom.
declare -A FLOWS=() # way -> ends, one a line

# list_flows OPTION...: conntrack's lines, of the family in use
list_flows() { conntrack -L -f "ipv$FAMILY" "$@" 2>/dev/null || true; }

# read_flows: such lines on standard input, added to FLOWS, each once
read_flows() {
  local line way ends
  local -A seen=()
  while IFS= read -r line; do
    [[ $line =~ $FLOW ]] || continue
    way="${BASH_REMATCH[1]} ${BASH_REMATCH[3]} ${BASH_REMATCH[4]} ${BASH_REMATCH[7]} ${BASH_REMATCH[9]}"
    ends="${BASH_REMATCH[2]} ${BASH_REMATCH[8]}"
    [[ -z ${seen["$way $ends"]-} ]] || continue
    seen["$way $ends"]=1
    FLOWS[$way]+=$ends$'\n'
  done
}

# end_flows OPTION...: those of the way that was read (proto dst port source sport), or some of them
end_flows() {
  step ending-flows
  # It fails when the last one ended by itself just now.
  conntrack -D -f "ipv$FAMILY" -p "$proto" --orig-dst "$dst" --orig-port-dst "$port" \
    --reply-src "$source" --reply-port-src "$sport" "$@" >/dev/null 2>&1 || true
}

# retire_flows TEXT...: of these forwards' ports, those flows that no forward has (any more)
retire_flows() {
  local text key family protos first last to proto way
  local -A ports=() # "family protocol" -> ranges
  for text in "$@"; do
    parse_text "$text" || continue
    for family in 4 6; do
      use_family "$family"
      pick "$TARGETS"
      for proto in ${PICKED[0]:+$PROTOS}; do ports["$family $proto"]+=" $PORT-$PORT_END"; done
    done
  done
  FLOWS=()
  for key in "${!ports[@]}"; do
    use_family "${key% *}"
    read_flows < <(list_flows_to "${key#* }" "${ports[$key]# }")
  done
  use_family 4
  ((${#FLOWS[@]})) || return 0
  # Whom they belong to is asked of all forwards, which takes its time: only now.
  load_forwards
  for text in "$@"; do
    parse_text "$text" || continue
    protos=$PROTOS first=$PORT last=$PORT_END to=$TARGETS
    for family in 4 6; do
      use_family "$family"
      for way in "${!FLOWS[@]}"; do retire_way "$way"; done
    done
  done
  use_family 4
}

# retire_untranslated: of UDP and of the family in use, flows that came before our rules of nat were there, and
# that would go on without them for as long as their visitors keep asking. Those of TCP were refused, or have
# ended.
retire_untranslated() {
  local claim protocol begin end proto dst port source sport way ranges=''
  if [[ ${SETTING[role]} == server ]]; then
    [[ -z $INSIDE ]] || conntrack -D -f "ipv$FAMILY" -p udp --orig-dst "$INSIDE" \
      --reply-src "$INSIDE" --mark "0/$MARK" >/dev/null 2>&1 || true
    return
  fi
  for claim in "${CLAIMS[@]}"; do
    read -r protocol begin end _ <<<"$claim"
    [[ $protocol != udp ]] || ranges+=" $begin-$end"
  done
  [[ -n $ranges ]] || return 0
  FLOWS=()
  read_flows < <(list_flows_to udp "${ranges# }")
  for way in "${!FLOWS[@]}"; do
    read -r proto dst port source sport <<<"$way"
    [[ $dst != "$source" ]] || ! is_visited "$dst" || end_flows
  done
}

# is_visited ADDRESS: whether visitors come to it: one of this host's, but not loopback or the tunnel's
is_visited() { [[ $1 != 127.* && $1 != ::1 ]] && ! is_own "$1" && is_local "$1"; }

# list_flows_to PROTOCOL RANGES: of the family in use, those that first went to one of these ports
list_flows_to() {
  local -a narrowed=(-p "$1")
  # On a server those that came in by the tunnel; others to the same host pass through without us.
  [[ ${SETTING[role]} != server ]] || narrowed+=(--mark "$MARK/$MARK")
  # It knows single ports; and there may be many flows, which a shell reads slowly.
  [[ $2 == *" "* || ${2%-*} != "${2#*-}" ]] || narrowed+=(--orig-port-dst "${2%-*}")
  list_flows "${narrowed[@]}" | awk -v ranges="$2" '
    BEGIN {
      count = split(ranges, range, " ")
      for (i = 1; i <= count; i++) {
        split(range[i], end, "-")
        first[i] = end[1] + 0
        last[i] = end[2] + 0
      }
    }
    match($0, / dport=[0-9]+/) {
      port = substr($0, RSTART + 7, RLENGTH - 7) + 0
      for (i = 1; i <= count; i++)
        if (port >= first[i] && port <= last[i]) {
          print
          next
        }
    }'
}

# retire_way WAY: its flows that are nobody's now, if it is of the family in use, of one of protos, of the
# ports from first to last and of a target in to
retire_way() {
  local proto dst port source sport ends=${FLOWS[$1]}
  local -a by_tunnel=()
  # First, since there may be thousands, and each is asked for each forward.
  [[ $1 =~ ^([a-z]+)\ [^\ ]+\ ([0-9]+)\  && " $protos " == *" ${BASH_REMATCH[1]} "* ]] || return 0
  ((BASH_REMATCH[2] >= first && BASH_REMATCH[2] <= last)) || return 0
  read -r proto dst port source sport <<<"$1"
  in_use "$dst" || return 0
  if [[ ${SETTING[role]} == server ]]; then
    [[ ,$to, == *",$dst,"* ]] || return 0
    by_tunnel=(--mark "$MARK/$MARK")
  elif [[ $dst == "$source" ]]; then
    # Not translated: answered by this host itself, until a forward took the port.
    ! is_taken || ! is_visited "$dst" || end_flows
    return 0
  else
    # Translated by us, not by Docker or another tunnel.
    [[ ,$to, == *",$source,"* ]] || is_inside "$source" || return 0
  fi
  # What becomes of them is the same by every other forward's text.
  unset -v "FLOWS[$1]"
  find_claimants
  if ((${#MAY_AS[@]})); then
    retire_visitors "$ends"
  else
    end_flows "${by_tunnel[@]}"
  fi
}

# find_claimants: who may have flows by the way that was read, as CLAIMS say: the bounds of their
# addresses, and as whom the target sees them
find_claimants() {
  local claim protocol begin end targets tport source_address from network
  MAY_FIRST=() MAY_LAST=() MAY_AS=()
  for claim in "${CLAIMS[@]}"; do
    read -r protocol begin end targets tport source_address from <<<"$claim"
    [[ $protocol == "$proto" && ,$targets, == *",$source,"* ]] || continue
    ((port >= begin && port <= end && sport - tport == port - begin)) || continue
    pick "${from:-0.0.0.0/0,::/0}"
    for network in "${PICKED[@]}"; do
      network_bounds "$network"
      MAY_FIRST+=("$FIRST") MAY_LAST+=("$LAST") MAY_AS+=("$source_address")
    done
  done
}

# retire_visitors LINES: of the way's flows, by their ends, those that nobody has who may
#
# By whole networks, as wide as they can be without anybody who may. One of these, who has come by
# another way back (sourceAddress was changed), must be told from itself: exactly.
retire_visitors() {
  local visitor back digits wide i
  local -a ended_first=() ended_last=()
  while read -r visitor back; do
    [[ -n $visitor ]] || continue
    digits_of "$visitor"
    digits=$DIGITS
    for i in "${!ended_first[@]}"; do
      [[ $digits < ${ended_first[i]} || $digits > ${ended_last[i]} ]] || continue 2
    done
    ! is_claimed || continue
    if widen; then
      ended_first+=("$FIRST") ended_last+=("$LAST")
      end_flows "${by_tunnel[@]}" --orig-src "$wide"
    else
      end_flows "${by_tunnel[@]}" --orig-src "$visitor" --reply-dst "$back"
    fi
  done <<<"$1"
}

# is_claimed: whether the visitor that was read is one who may, by its way back
is_claimed() {
  local i
  for i in "${!MAY_AS[@]}"; do
    [[ ! $digits < ${MAY_FIRST[i]} && ! $digits > ${MAY_LAST[i]} ]] || continue
    # A peer's way back to itself is masqueraded in any case.
    [[ ${MAY_AS[i]} == client && $back == "$visitor" ]] ||
      [[ ${MAY_AS[i]} == tunnel && $back != "$visitor" ]] ||
      is_inside "$visitor" || continue
    return 0
  done
  return 1
}

# widen: the widest network around the visitor that was read without peers and anybody who may, into
# wide, and its bounds into FIRST and LAST; false if the visitor is such a one
widen() {
  local length i
  local -a stay_first=("${MAY_FIRST[@]}") stay_last=("${MAY_LAST[@]}")
  if [[ -n $NETWORK ]]; then
    network_bounds "$NETWORK"
    stay_first+=("$FIRST") stay_last+=("$LAST")
  fi
  for ((length = 1; length <= WHOLE; length++)); do
    network_bounds "$visitor/$length"
    for i in "${!stay_first[@]}"; do
      [[ $FIRST > ${stay_last[i]} || $LAST < ${stay_first[i]} ]] || continue 2
    done
    address_of "$FIRST"
    wide=$ADDRESS/$length
    return 0
  done
  return 1
}

# is_taken: whether one of CLAIMS has the port of the way that was read
is_taken() {
  local claim protocol begin end
  for claim in "${CLAIMS[@]}"; do
    read -r protocol begin end _ <<<"$claim"
    [[ $protocol != "$proto" ]] || ((port < begin || port > end)) || return 0
  done
  return 1
}

is_local() {
  [[ -n $(ip -o address show to "$1") ]]
}

# end_strangers_flows: what they had open, before the firewall came into force, to what it keeps from
# them would go on as known, a UDP flow forever
end_strangers_flows() {
  local family
  for family in $(guard_families); do
    use_family "$family"
    end_strangers_family_flows
  done
  use_family 4
}

end_strangers_family_flows() {
  local name address way own=' ' reached=' '
  find_outside
  while read -r _ name _ address _; do
    own+="${address%/*} "
    [[ " lo ${OUTSIDE[*]} " != *" $name "* ]] || reached+="${address%/*} "
  done < <(ip "-$FAMILY" -o address show)
  FLOWS=()
  # Answered ones alone: others are no known ones, and a port scan would make a way of every port.
  read_flows < <(list_flows -p tcp --status ASSURED)
  read_flows < <(list_flows -p udp --status SEEN_REPLY)
  for way in "${!FLOWS[@]}"; do
    is_let_in "$way" || end_way "$way"
  done
}

# is_let_in WAY: by the firewall, whoever comes
is_let_in() {
  local proto dst source sport
  read -r proto dst _ source sport <<<"$1"
  [[ $reached == *" $dst "* ]] || return 0
  # As it is after translation, which is what the firewall sees.
  if [[ $own == *" $source "* ]]; then
    case $proto in
      tcp) [[ " ${SSH_PORTS[*]} " == *" $sport "* ]] ;;
      udp) [[ " ${TUNNEL_PORTS[*]} " == *" $sport "* ]] ;;
    esac
  else
    # By a forward, and not to a container of this host.
    [[ $(ip "-$FAMILY" -o route get "$source" 2>/dev/null) =~ \ dev\ ([^ ]+) ]] &&
      [[ " $IFACE ${OTHER_TUNNELS[*]} " == *" ${BASH_REMATCH[1]} "* ]]
  fi
}

# end_way WAY: its flows, unless all of them are this host's own
end_way() {
  local proto dst port source sport visitor
  read -r proto dst port source sport <<<"$1"
  while read -r visitor _; do
    [[ -n $visitor && $own != *" $visitor "* ]] || continue
    end_flows
    return
  done <<<"${FLOWS[$1]}"
}

# retire_all_flows: visitors' connections must not linger on as if their forwards were there
retire_all_flows() {
  local ips
  [[ ${SETTING[role]} == server ]] || load_peers
  by_family retire_family_flows
  for ips in "${!WAYS_OUT[@]}"; do retire_way_out "$ips"; done
}

retire_family_flows() {
  local way proto dst port source sport network
  if [[ ${SETTING[role]} == server ]]; then
    conntrack -D -f "ipv$FAMILY" --mark "$MARK/$MARK" >/dev/null 2>&1 || true
    return 0
  fi
  FLOWS=()
  read_flows < <(list_flows --dst-nat)
  for way in "${!FLOWS[@]}"; do
    read -r proto dst port source sport <<<"$way"
    for network in "$NETWORK" "${!TO_PEERS[@]}"; do
      contains "$network" "$source" || continue
      end_flows
      break
    done
  done
}

# retire_way_out ALLOWED-IPS: a peer's connections to the internet by this host
retire_way_out() { by_family retire_family_way_out "$@"; }

retire_family_way_out() {
  local line back own
  local -A backs=()
  pick "$1"
  own=${PICKED[0]-}
  [[ -n $own ]] || return 0
  own=${own%/*}
  while IFS= read -r line; do
    # Not those that a forward has translated: the answer comes from another one than was asked.
    [[ $line =~ \ dst=([^ ]+)\ .*\ src=([^ ]+)\ dst=([^ ]+)\  ]] || continue
    [[ ${BASH_REMATCH[1]} != "${BASH_REMATCH[2]}" ]] || backs[${BASH_REMATCH[3]}]=1
  done < <(list_flows --orig-src "$own" --src-nat)
  # These have another way back, too: this host's tunnel address.
  for back in "${!backs[@]}"; do
    conntrack -D -f "ipv$FAMILY" --orig-src "$own" --reply-dst "$back" >/dev/null 2>&1 || true
  done
}
