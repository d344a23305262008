# Redial: the VPS by its name's address of now. WireGuard looks a name up once, when it is started.

# What the watcher calls on a server when the VPS answers no more.
verb_redial() {
  local endpoint key now
  DOING=redial
  load_settings && [[ ${SETTING[role]} == server ]] && tunnel_is_up || return 0
  endpoint=${SETTING[peer_endpoint]}
  now=$(wg show "$IFACE" endpoints | awk 'NR == 1 { print $2 }')
  # Without the lock: a name server may be slow.
  find_endpoint "$endpoint" "$now" || return 0
  # Of two keys, while the VPS changes its own, one may be dialled there already.
  [[ $(wg show "$IFACE" endpoints | cut -f 2 | sort -u) != "$ENDPOINT" ]] || return 0
  lock || return 0
  load_settings && tunnel_is_up && [[ ${SETTING[peer_endpoint]} == "$endpoint" ]] || return 0
  while read -r key; do
    wg set "$IFACE" peer "$key" endpoint "$ENDPOINT"
    step dialled
  done < <(wg show "$IFACE" peers)
  say "the VPS did not answer at $now: it is dialled at $ENDPOINT now"
}

# dial_by_ipv4: where the name has an address of IPv6 as well, for visitors, wg may have taken that one
dial_by_ipv4() {
  local key now
  while read -r key now; do
    [[ $now == "["* ]] || continue
    ! find_endpoint "${SETTING[peer_endpoint]}" "$now" || wg set "$IFACE" peer "$key" endpoint "$ENDPOINT"
  done < <(wg show "$IFACE" endpoints)
}

# find_endpoint NAME:PORT ADDRESS:PORT: where the name leads, into ENDPOINT; of several addresses the
# one behind the given one. False if it leads nowhere just now.
find_endpoint() {
  local name=${1%:*} port=${1##*:} number
  local -a places
  mapfile -t places < <({ getent ahostsv4 "$name" || true; } | awk '!seen[$1]++ { print $1 }' | sort)
  ((${#places[@]})) || return 1
  ENDPOINT=${places[0]}:$port
  for number in "${!places[@]}"; do
    [[ ${places[number]}:$port != "$2" ]] || ENDPOINT=${places[(number + 1) % ${#places[@]}]}:$port
  done
}
