# Conntrack: flows that run on by an old mapping, although the rules have changed, are ended.
#
# NAT rules are asked on a flow's first packet only. So a changed or removed forward goes on for
# the flows that it has, and a new one is not seen by a UDP flow that was there before.
#
# A flow is a forward's by what a rule decides: where it was sent, who answers, and to which address;
# and by whether its visitor may use it. Connections of the host's own to a forwarded port elsewhere
# have another original destination.

# The halves of an entry: how the first packet came in, and how the answer goes. Each is counted where
# the host keeps accounts (nf_conntrack_acct).
readonly FLOW="^(tcp|udp) .* src=([^ ]+) dst=([^ ]+) sport=[0-9]+ dport=([0-9]+) \
(packets=[0-9]+ bytes=[0-9]+ )?(\[UNREPLIED\] )?\
src=([^ ]+) dst=([^ ]+) sport=([0-9]+) .* mark=([0-9]+)"

# list_flows OPTION...: of the family in use, into FLOWS, each once, as "protocol visitor destination port source
# source-port way-back mark"
list_flows() {
  local line
  local -A seen=()
  while IFS= read -r line; do
    [[ $line =~ $FLOW ]] || continue
    line="${BASH_REMATCH[1]} ${BASH_REMATCH[2]} ${BASH_REMATCH[3]} ${BASH_REMATCH[4]}"
    seen["$line ${BASH_REMATCH[7]} ${BASH_REMATCH[9]} ${BASH_REMATCH[8]} ${BASH_REMATCH[10]}"]=1
  done < <(conntrack -L -f "ipv$FAMILY" "$@" 2>/dev/null || true)
  FLOWS=("${!seen[@]}")
}

# end_flows PROTOCOL VISITOR DESTINATION PORT SOURCE SOURCE-PORT: all between these ends
end_flows() {
  step ending-flows
  # It fails when the last one ended by itself just now.
  conntrack -D -p "$1" --orig-src "$2" --orig-dst "$3" --orig-port-dst "$4" \
    --reply-src "$5" --reply-port-src "$6" >/dev/null 2>&1 || true
}

# retire_flows TEXT: of this forward's ports, those flows that no forward has (any more)
retire_flows() {
  local protos first last to proto flow family
  local -a flows=() narrowed=()
  parse_text "$1" || return 0
  protos=$PROTOS first=$PORT last=$PORT_END to=$TARGETS
  ((first != last)) || narrowed=(--orig-port-dst "$first")
  for family in 4 6; do
    use_family "$family"
    pick "$to"
    for proto in ${PICKED[0]:+$protos}; do
      list_flows -p "$proto" "${narrowed[@]}"
      flows+=("${FLOWS[@]}")
    done
  done
  use_family 4
  ((${#flows[@]})) || return 0
  # Whom they belong to is asked of all forwards, which takes its time: only now.
  load_forwards
  for flow in "${flows[@]}"; do
    retire_flow "$flow"
  done
}

# retire_flow FLOW: if it was of the ports from first to last and a target in to, and is nobody's now
retire_flow() {
  local proto visitor dst port source sport back mark
  read -r proto visitor dst port source sport back mark <<<"$1"
  ((port >= first && port <= last)) || return 0
  if [[ ${SETTING[role]} == server ]]; then
    # Those that came in by the tunnel; others to the same host pass through without us.
    [[ ,$to, == *",$dst,"* ]] || return 0
    ((mark & MARK)) || return 0
    ! is_claimed || return 0
  elif [[ $dst == "$source" ]]; then
    # Not translated: answered by this host itself, until a forward took the port. Its tunnel address
    # and its loopback are its own in any case.
    [[ $dst != 127.* && $dst != ::1 ]] && ! is_own "$dst" || return 0
    is_taken && is_local "$dst" || return 0
  else
    # Translated by us, not by Docker or another tunnel.
    [[ ,$to, == *",$source,"* ]] || is_inside "$source" || return 0
    ! is_claimed || return 0
  fi
  end_flows "$proto" "$visitor" "$dst" "$port" "$source" "$sport"
}

# is_claimed: whether one of CLAIMS has the flow that was read
is_claimed() {
  local claim protocol begin end targets tport source_address from network
  for claim in "${CLAIMS[@]}"; do
    read -r protocol begin end targets tport source_address from <<<"$claim"
    [[ $protocol == "$proto" && ,$targets, == *",$source,"* ]] || continue
    ((port >= begin && port <= end && sport - tport == port - begin)) || continue
    # A peer's way back to itself is masqueraded in any case.
    [[ $source_address == client && $back == "$visitor" ]] ||
      [[ $source_address == tunnel && $back != "$visitor" ]] ||
      is_inside "$visitor" || continue
    [[ -n $from ]] || return 0
    for network in ${from//,/ }; do
      ! contains "$network" "$visitor" || return 0
    done
  done
  return 1
}

# is_taken: whether one of CLAIMS has the port of the flow that was read
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

# retire_all_flows: visitors' connections must not linger on as if their forwards were there
retire_all_flows() {
  local ips
  [[ ${SETTING[role]} == server ]] || load_peers
  by_family retire_family_flows
  for ips in "${!WAYS_OUT[@]}"; do retire_way_out "$ips"; done
}

retire_family_flows() {
  local flow proto visitor dst port source sport network
  if [[ ${SETTING[role]} == server ]]; then
    conntrack -D -f "ipv$FAMILY" --mark "$MARK/$MARK" >/dev/null 2>&1 || true
    return 0
  fi
  list_flows --dst-nat
  for flow in "${FLOWS[@]}"; do
    read -r proto visitor dst port source sport _ <<<"$flow"
    for network in "$NETWORK" "${!TO_PEERS[@]}"; do
      contains "$network" "$source" || continue
      end_flows "$proto" "$visitor" "$dst" "$port" "$source" "$sport"
      break
    done
  done
}

# retire_way_out ALLOWED-IPS: a peer's connections to the internet by this host
retire_way_out() { by_family retire_family_way_out "$@"; }

retire_family_way_out() {
  local line dst own
  local -A ended=()
  pick "$1"
  own=${PICKED[0]-}
  [[ -n $own ]] || return 0
  own=${own%/*}
  while IFS= read -r line; do
    # Not those that a forward has translated.
    [[ $line =~ \ dst=([^ ]+)\ .*\ src=([^ ]+)\  && ${BASH_REMATCH[1]} == "${BASH_REMATCH[2]}" ]] ||
      continue
    ended[${BASH_REMATCH[1]}]=1
  done < <(conntrack -L -f "ipv$FAMILY" --orig-src "$own" --src-nat 2>/dev/null || true)
  for dst in "${!ended[@]}"; do
    conntrack -D --orig-src "$own" --orig-dst "$dst" --reply-src "$dst" >/dev/null 2>&1 || true
  done
}
