# This host's own keys: private.key and, on a server, preshared.key, the one that it shares with the VPS.
#
# On a running tunnel a new private key is tried before it is taken: nobody may be able to come here by
# any other way. Until then it lies in next.key, and the files beside say what holds.
#
# - A server tries it at once, in a process of its own, which goes on without the login that began it,
#   and after a reboot. The VPS must know the new key by then, beside the old one. It keeps the key that
#   the VPS answers; if that is neither, it tries them by turns.
# - The VPS waits for wait-handshake, which is the last command of a run: its servers must know the new
#   key by then, beside the old one.

readonly NEXT_KEY=$OWN/next.key # as it was given: the private key, "preshared-key KEY" behind it
readonly GIVEN_KEYS=$OWN/given  # what tells the keys that the stack gave from others, and no more
KEY_WAIT=${RT_KEY_WAIT-8}       # seconds: WireGuard tries twice; other than 8 in tests
readonly KEY_WAIT
readonly NO_KEY=AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA= # to WireGuard, a preshared key that is none

# parse_keys LINE...: into OWN_KEY, OWN_SHARED and STAGED; false if that is not what they are
parse_keys() {
  local line
  OWN_KEY=${1-} OWN_SHARED='' STAGED=no
  is_key "$OWN_KEY" || return 1
  for line in "${@:2}"; do
    case $line in
      "preshared-key "*)
        OWN_SHARED=${line#* }
        is_key "$OWN_SHARED" || return 1
        ;;
      staged) STAGED=yes ;;
      *) return 1 ;;
    esac
  done
}

# load_own_keys: those that hold, into NOW_KEY and NOW_SHARED; empty for none
load_own_keys() {
  NOW_KEY='' NOW_SHARED=''
  [[ ! -s $OWN/private.key ]] || read -r NOW_KEY <"$OWN/private.key" || true
  [[ ! -s $OWN/preshared.key ]] || read -r NOW_SHARED <"$OWN/preshared.key" || true
}

# has_own_key: whether there is one, in NOW_KEY; what a power cut has left in its place is none
has_own_key() {
  load_own_keys
  is_key "$NOW_KEY"
}

load_next_keys() {
  [[ -s $NEXT_KEY ]] || return 1
  read_lines <"$NEXT_KEY"
  parse_keys "${LINES[@]}"
}

# public_half KEY: of a private key
public_half() { wg pubkey < <(printf '%s\n' "$1"); }

# uses_key KEY: whether the interface does
uses_key() { [[ $(public_half "$1") == "$(wg show "$IFACE" public-key)" ]]; }

# note_given KEY SHARED
note_given() {
  local digest
  digest=$(digest_of "$1" "$2")
  renew_file "$GIVEN_KEYS" "$digest"$'\n'
}

# has_given_keys: whether the keys that hold are those that were given, and those in use. A host of
# before has no note of what it was given.
has_given_keys() {
  local key shared
  load_own_keys
  [[ ! -s $GIVEN_KEYS || $(<"$GIVEN_KEYS") == "$(digest_of "$NOW_KEY" "$NOW_SHARED")" ]] || return 1
  tunnel_is_up || return 0
  uses_key "$NOW_KEY" || return 1
  [[ ${SETTING[role]} == server ]] || return 0
  while read -r key shared; do
    [[ $key != "${SETTING[peer_public_key]}" || $shared == "${NOW_SHARED:-"(none)"}" ]] || return 1
  done < <(wg show "$IFACE" preshared-keys)
}

# verb_key: this host's private key, and behind it, where it shares one with the VPS,
# "preshared-key KEY"; on the VPS "staged", if wait-handshake comes later
verb_key() {
  local key shared
  DOING=key
  read_lines
  parse_keys "${LINES[@]}" ||
    refuse "a private key is one line, 32 bytes in base64, a preshared key another"
  key=$OWN_KEY shared=$OWN_SHARED
  need_lock helper
  if load_settings; then finish_interrupted; fi
  if ((${#SETTING[@]})) && tunnel_is_up && ! uses_key "$key"; then
    if [[ ${SETTING[role]} == server ]] || { [[ $STAGED == yes ]] && ! was_taken "$key" "$shared"; }; then
      # Before it is noted: what was given and does not wait has been taken.
      write_file "$NEXT_KEY" "$key"$'\n'"${shared:+preshared-key $shared$'\n'}"
      step wrote-next-key
      note_given "$key" "$shared"
      step noted-key
      [[ ${SETTING[role]} == vps ]] || await_switch "$key" "$shared"
      return
    fi
  fi
  note_given "$key" "$shared"
  take_keys "$key" "$shared"
  if ((${#SETTING[@]})) && tunnel_is_up; then sync_wireguard; fi
}

# was_taken KEY SHARED: whether they held already, and somebody has changed them since: then the other
# ends know no other.
was_taken() {
  [[ ! -s $NEXT_KEY && -s $GIVEN_KEYS && $(<"$GIVEN_KEYS") == "$(digest_of "$1" "$2")" ]]
}

# take_keys KEY SHARED: they hold from now on
take_keys() {
  renew_file "$OWN/private.key" "$1"$'\n'
  step wrote-key
  keep_preshared_key "$OWN/preshared.key" "$2"
  if ((${#SETTING[@]})); then write_conf; fi
  step wrote-conf
  rm -f "$NEXT_KEY"
  step took-keys
}

# await_switch KEY SHARED: on a server, until it is decided
await_switch() {
  local deadline
  find_uptime
  deadline=$((UPTIME + 4 * KEY_WAIT))
  start_beside switch-key
  unlock
  while [[ -s $NEXT_KEY ]]; do
    # What comes next may be the VPS's new endpoint. Whether the tunnel works is for the VPS to say.
    find_uptime
    ((UPTIME < deadline)) || {
      say "the VPS answers neither the new key nor the old one yet: this server goes on trying both"
      return 0
    }
    sleep 0.1
  done
  load_own_keys
  [[ $NOW_KEY == "$1" && $NOW_SHARED == "$2" ]] ||
    fail "the VPS did not answer the new key within $KEY_WAIT s, and this server is back at the" \
      "old one: run 'pulumi up' again, which tells the VPS first"
}

# verb_switch_key: on a server, to the key in next.key, if the VPS answers it
verb_switch_key() {
  local alone turns=1
  DOING=switch-key
  exec {alone}<"$OWN"
  flock --timeout 60 "$alone" || return 0
  while lock && load_settings && tunnel_is_up && [[ -s $NEXT_KEY ]]; do
    ! switch_key "$turns" || return 0
    unlock
    # Others who wait for the lock have their turn.
    sleep 1
    # The line was dead, and may come back when it is the old key's turn.
    turns=2
  done
}

# switch_key TURNS: false if neither key is answered; the old one holds once it was answered TURNS times
# after the new one was not
switch_key() {
  local turn
  # What nobody can read was not given.
  load_next_keys || {
    rm -f "$NEXT_KEY"
    return 0
  }
  load_own_keys
  load_vps
  for ((turn = 0; turn < $1; turn++)); do
    if try_keys "$OWN_KEY" "$OWN_SHARED"; then
      take_keys "$OWN_KEY" "$OWN_SHARED"
      return
    fi
    try_keys "$NOW_KEY" "$NOW_SHARED" || return 1
  done
  rm -f "$NEXT_KEY"
}

# try_keys KEY SHARED: whether the VPS answers them
try_keys() {
  local key deadline
  next_second
  # One that is in use already would not shake hands anew.
  ! uses_key "$1" || wg set "$IFACE" private-key <(wg genkey)
  # All at once: the next packet shakes hands, and with the wrong one of two would do so in vain.
  TEXT="[Interface]"$'\n'"PrivateKey = $1"$'\n'
  for key in "${!PEER[@]}"; do
    TEXT+="[Peer]"$'\n'"PublicKey = $key"$'\n'"PresharedKey = ${2:-$NO_KEY}"$'\n'
    [[ -z ${PEER[$key]} ]] || TEXT+="AllowedIPs = ${PEER[$key]}"$'\n'
  done
  note_stamps
  wg addconf "$IFACE" <(printf '%s' "$TEXT")
  step set-key
  for key in "${!PEER[@]}"; do
    keepalive_of "$key"
    call_peer "$key" "$VALUE"
  done
  step called-vps
  find_uptime
  deadline=$((UPTIME + KEY_WAIT))
  while ! heard_anew; do
    find_uptime
    ((UPTIME < deadline)) || return 1
    sleep 0.05
  done
}

declare -A STAMPS=() # by key: when it was heard last, as WireGuard says it

note_stamps() {
  local key time
  STAMPS=()
  while read -r key time; do STAMPS[$key]=$time; done < <(wg show "$IFACE" latest-handshakes)
}

# heard_anew: whether anybody was since then. By another time, not by a later one: the clock may be set.
heard_anew() {
  local key time
  while read -r key time; do
    [[ $time == 0 || $time == "${STAMPS[$key]-0}" ]] || return 0
  done < <(wg show "$IFACE" latest-handshakes)
  return 1
}

# use_own_key: the one in private.key, where a run was killed before it had written the interface's file
use_own_key() {
  has_own_key || {
    say "this host's private key is damaged, and that of $CONF is used: run 'pulumi up'"
    return 0
  }
  ! uses_key "$NOW_KEY" || return 0
  write_conf
  wg set "$IFACE" private-key <(printf '%s\n' "$NOW_KEY")
}

# exchange_own_key: on the VPS, to the key in next.key; the one of before then lies in PREVIOUS_KEY
exchange_own_key() {
  load_own_keys
  load_next_keys || fail "$NEXT_KEY is damaged: run 'pulumi up' again"
  PREVIOUS_KEY=$NOW_KEY
  take_keys "$OWN_KEY" ''
  sync_wireguard
  step exchanged-key
  call_known "${!PEER[@]}"
}

# restore_own_key: back to PREVIOUS_KEY; the other one waits for the next run
restore_own_key() {
  load_own_keys
  write_file "$NEXT_KEY" "$NOW_KEY"$'\n'
  write_file "$OWN/private.key" "$PREVIOUS_KEY"$'\n'
  step restored-key
  write_conf
  sync_wireguard
  call_known "${!PEER[@]}"
}
