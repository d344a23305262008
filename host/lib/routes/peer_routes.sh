# Peer routes: on the VPS, those to the networks behind servers.

readonly ROUTES_OURS=171    # the protocol number by which a route is known as made here
readonly ROUTES_METRIC=7000 # any other route to the same network comes first

# sync_peer_routes: wg-quick makes none (Table = off), and the interface's network has one anyway
sync_peer_routes() { by_family sync_family_routes; }

sync_family_routes() {
  local network rest
  while read -r network rest; do
    [[ $network == */* ]] || network+=/$WHOLE
    [[ -n ${TO_PEERS[$network]+wanted} ]] ||
      ip "-$FAMILY" route del "$network" dev "$IFACE" proto "$ROUTES_OURS"
  done < <(ip "-$FAMILY" route show dev "$IFACE" proto "$ROUTES_OURS")
  for network in "${!TO_PEERS[@]}"; do
    in_use "$network" || continue
    rest=${TO_PEERS[$network]}
    # shellcheck disable=SC2086 # two words, or none
    ip "-$FAMILY" route replace "$network" dev "$IFACE" proto "$ROUTES_OURS" metric "$ROUTES_METRIC" \
      ${rest:+mtu $rest}
  done
}

# check_peer_routes NETWORKS: what is behind a peer must not be this host's own surroundings
check_peer_routes() {
  local network
  # Of IPv6 only the tunnel's own addresses are behind a peer.
  pick "$1"
  for network in "${PICKED[@]}"; do
    ! find_collision "$network" ||
      refuse "$network behind this peer overlaps $VALUE:" \
        "name fewer networks of that server; nothing was changed"
  done
}
