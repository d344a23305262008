# Endpoints: where the VPS last heard from its peers, kept for its next start.
#
# A VPS that has just started knows no sessions. A server behind NAT goes on with the old one, up to
# three minutes, and its keepalives tell the VPS nothing; but they hold the carrier's mapping open. By
# the endpoint of before, the VPS can speak first.

declare -A NOTED=() # public key -> endpoint

# load_endpoints: those of the note, into NOTED. A damaged one is no reason to be without the tunnel.
load_endpoints() {
  local key endpoint
  NOTED=()
  [[ -s $OWN/endpoints ]] || return 0
  while read -r key endpoint; do
    ! is_key "$key" || NOTED[$key]=$endpoint
  done <"$OWN/endpoints"
}

# note_endpoints: of the running interface, and what was noted of peers that were not heard since
note_endpoints() {
  local key endpoint text=''
  load_endpoints
  while read -r key endpoint; do
    [[ $endpoint != "(none)" ]] || endpoint=${NOTED[$key]-}
    [[ -z $endpoint ]] || text+="$key $endpoint"$'\n'
  done < <(wg show "$IFACE" endpoints 2>/dev/null | sort)
  [[ -z $text ]] || renew_file "$OWN/endpoints" "$text"
}

# call_peers: those that have no endpoint yet, by the noted one
call_peers() {
  local key endpoint
  load_endpoints
  # Of those alone that the interface has: wg would add others.
  while read -r key endpoint; do
    [[ $endpoint == "(none)" && -n ${NOTED[$key]-} ]] || continue
    wg set "$IFACE" peer "$key" endpoint "${NOTED[$key]}" 2>/dev/null || continue
    call_peer "$key"
  done < <(wg show "$IFACE" endpoints)
}

# call_known KEY...: those of these whose endpoint is known
call_known() {
  local key endpoint
  while read -r key endpoint; do
    [[ " $* " != *" $key "* || $endpoint == "(none)" ]] || call_peer "$key"
  done < <(wg show "$IFACE" endpoints)
}

# call_peer KEY [KEEPALIVE]: a handshake with a peer of known endpoint now, not with the first packet
# for it. Afterwards it has that keepalive: none on the VPS, since the server's own holds mappings.
call_peer() {
  local seconds
  # Switched on, keepalive sends a packet at once.
  for seconds in 0 25 "${2-0}"; do
    wg set "$IFACE" peer "$1" persistent-keepalive "$seconds"
  done
}
