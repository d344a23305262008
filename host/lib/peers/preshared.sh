# Preshared keys: one that a peer shares with the VPS, beside their key pairs. On the VPS one file for
# each peer that has one, preshared.d/NAME; on a server preshared.key.
#
# A change takes effect with the next handshake: what runs is not interrupted.

readonly PRESHARED=$OWN/preshared.d

# keep_preshared_key FILE KEY: an empty one takes the file away
keep_preshared_key() {
  if [[ -z $2 ]]; then
    rm -f "$1"
  else
    renew_file "$1" "$2"$'\n'
  fi
  step kept-preshared-key
}

verb_put_preshared_key() {
  local name=${1-} key
  DOING="put-preshared-key $name"
  need_slug peer "$name"
  read_lines
  key=${LINES[0]-}
  { ((${#LINES[@]} == 1)) && is_key "$key"; } ||
    refuse "a preshared key is one line, 32 bytes in base64; nothing was changed"
  need_lock tunnel
  need_settings
  need_vps "peers belong"
  finish_interrupted
  make_folder "$PRESHARED"
  bring_preshared_key "$name" "$key"
}

verb_remove_preshared_key() {
  local name=${1-}
  DOING="remove-preshared-key $name"
  need_slug peer "$name"
  lock || return 0
  know_settings || return 0
  finish_interrupted
  bring_preshared_key "$name" ''
  rmdir "$PRESHARED" 2>/dev/null || true
}

# bring_preshared_key NAME KEY: the file, and the running interface by all of them, since on a rename
# two names may have one peer for a moment
bring_preshared_key() {
  local key
  keep_preshared_key "$PRESHARED/$1" "$2"
  write_conf
  tunnel_is_up || return 0
  load_peers
  for key in "${!PEER[@]}"; do share_key "$key" "${SHARED[$key]-}"; done
}

# share_key PUBLIC-KEY FILE: with the peer of that key, what the file has; without a file nothing
share_key() {
  if [[ -s $2 ]]; then
    # By a pipe: AppArmor may let wg read no file but those in its own folder.
    wg set "$IFACE" peer "$1" preshared-key <(printf '%s\n' "$(<"$2")")
  else
    wg set "$IFACE" peer "$1" preshared-key /dev/null
  fi
  step shared-key
}
