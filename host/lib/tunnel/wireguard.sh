# WireGuard: the interface's file for wg-quick, and the running interface by it.

# conf_text quick|wg: the file into TEXT, for wg-quick or as wg itself reads it
conf_text() {
  local key
  # A file without it would be taken, and would cut off every peer.
  has_own_key || refuse "this host has no private key yet: run 'pulumi up'"
  TEXT=
  if [[ $1 == quick ]]; then
    TEXT+="# Written by reverse-tunnel for the stack ${SETTING[owner]}; changes here are overwritten."$'\n'
  fi
  TEXT+="[Interface]"$'\n'
  TEXT+="PrivateKey = $NOW_KEY"$'\n'
  [[ -z ${SETTING[listen_port]-} ]] || TEXT+="ListenPort = ${SETTING[listen_port]}"$'\n'
  # wg would choose another port, at which the VPS does not know this server until the next keepalive.
  [[ ${SETTING[role]}-$1 != server-wg ]] || TEXT+="ListenPort = $(wg show "$IFACE" listen-port)"$'\n'
  [[ ${SETTING[egress]-} != tunnel ]] || TEXT+="FwMark = $TABLE"$'\n'
  if [[ $1 == quick ]]; then
    # That of IPv6 is given by `up`: on a host that has switched it off since, wg-quick could not.
    TEXT+="Address = $PREFIXED"$'\n'
    TEXT+="MTU = ${SETTING[mtu]}"$'\n'
    # Routes are the helper's: visitors' addresses must not become this host's way out.
    TEXT+="Table = off"$'\n'
    TEXT+="PostUp = $HELPER $PROTOCOL up"$'\n'
    TEXT+="PreDown = $HELPER $PROTOCOL down"$'\n'
  fi
  load_ends
  for key in "${!PEER[@]}"; do
    peer_text "${NAMED[$key]-${SPARE[$key]-}}" "$key" "${PEER[$key]}" "${SHARED[$key]-}"
    [[ ${SETTING[role]} == server ]] || continue
    keepalive_of "$key"
    TEXT+="Endpoint = ${DIALLED:-${SETTING[peer_endpoint]}}"$'\n'
    TEXT+="PersistentKeepalive = $VALUE"$'\n'
  done
}

# peer_text NAME KEY NETWORKS FILE: appended to TEXT; networks may be empty, and the file has the
# preshared key, if there is one
peer_text() {
  TEXT+=$'\n'"# $1"$'\n'"[Peer]"$'\n'"PublicKey = $2"$'\n'
  [[ ! -s $4 ]] || TEXT+="PresharedKey = $(<"$4")"$'\n'
  [[ -z $3 ]] || TEXT+="AllowedIPs = $3"$'\n'
}

write_conf() {
  conf_text quick
  renew_file "$CONF" "$TEXT"
}

# The conf file is ours by its first line.
conf_is_ours() {
  local first=
  read -r first <"$CONF" || true
  [[ $first == "# Written by reverse-tunnel for the stack "* ]]
}

DIALLED= # where a server's VPS is, if a name server has just said so

# sync_wireguard [anew]: keys, port and peers of the running interface, without taking it down; on a server with
# the VPS dialled anew
sync_wireguard() {
  local wanted running said key
  wanted=$(public_half "$(<"$OWN/private.key")")
  running=$(wg show "$IFACE" public-key)-$(wg show "$IFACE" listen-port)
  if [[ ${SETTING[role]} == server ]] && [[ ${1-} == anew || $running != "$wanted-"* ]]; then
    # The name server may be behind it.
    ! find_endpoint "${SETTING[peer_endpoint]}" '' || DIALLED=$ENDPOINT
    drop_vps
  fi
  conf_text wg
  DIALLED=
  if [[ ${SETTING[role]} == vps && $running != "$wanted-${SETTING[listen_port]}" ]]; then
    # From now on an older handshake says nothing. They are told by the second, so in a new one, and right before
    # the change: one between the two would count as newer.
    next_second
    write_file "$OWN/changed" "$EPOCHSECONDS"$'\n'
  fi
  said=$(WG_ENDPOINT_RESOLUTION_RETRIES=3 wg syncconf "$IFACE" <(printf '%s' "$TEXT") 2>&1) ||
    fail "wg syncconf failed: $(without_keys <<<"$said")"
  # A preshared key that the file has no more would stay.
  if [[ ${SETTING[role]} == server ]]; then
    for key in "${!PEER[@]}"; do share_key "$key" "$OWN/preshared.key"; done
    dial_by_ipv4
  fi
  step synced-wireguard
  [[ $(wg show "$IFACE" public-key) == "$wanted" ]] ||
    fail "$IFACE does not have this host's key: see 'wg show $IFACE', run 'pulumi up' again"
}

# drop_vps: of the running interface. Added anew, it is dialled at once, and not with the next keepalive
# only.
drop_vps() {
  local key
  load_vps
  for key in "${!PEER[@]}"; do wg set "$IFACE" peer "$key" remove; done
}

# sync_link: address and MTU, and that it is up, which wg knows nothing of
sync_link() {
  # Below 1280 bytes the kernel gives no interface any IPv6.
  ip link set dev "$IFACE" mtu "${SETTING[mtu]}" up
  step synced-mtu
  by_family sync_address
  ((${#FAMILIES[@]} == 2)) || ip -6 address flush dev "$IFACE" scope global 2>/dev/null || true
  step synced-address
}

sync_address() {
  local now
  ip "-$FAMILY" address replace "$PREFIXED" dev "$IFACE"
  while read -r _ _ _ now _; do
    [[ $now == "$PREFIXED" ]] || ip "-$FAMILY" address del "$now" dev "$IFACE"
  done < <(ip "-$FAMILY" -o address show dev "$IFACE" scope global)
  # The old one may have taken the new one of the same network with it.
  ip "-$FAMILY" address replace "$PREFIXED" dev "$IFACE"
}

# Whatever looks like a key, and be it in the words of another program.
without_keys() { sed 's|[A-Za-z0-9+/]\{43\}=|(key)|g'; }
