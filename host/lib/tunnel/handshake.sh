# Handshake: whether the tunnel really works, said at the end of every run that changed it.

# Seconds for all servers at once. One that was in touch with a VPS that has lost its sessions asks it within
# 12 (see entry/watch.sh), and WireGuard dials anew when 15 more have passed without an answer.
HANDSHAKE_WAIT=${RT_HANDSHAKE_WAIT-35} # other than 35 in tests
# Fewer for those who follow to a new key: until then, or until they are given up, nobody else is served; and who
# has followed drops the old one SETTLED seconds later (see peers/handover.sh).
FOLLOW_WAIT=${RT_HANDSHAKE_WAIT-20} # other than 20 in tests
readonly HANDSHAKE_WAIT FOLLOW_WAIT
readonly HANDSHAKE_AGE=180 # seconds; WireGuard gives up a session that is older

declare -A SILENT=() # public keys without a session

verb_wait_handshake() {
  local line name key endpoint='' own='' next='' silent=''
  local -A asked=()
  DOING=wait-handshake
  read_lines
  for line in "${LINES[@]}"; do
    read -r _ name key <<<"$line"
    if [[ $line == "peer "* ]] && is_slug "$name" && is_key "$key"; then
      asked[$key]=$name
    elif [[ $line == "endpoint "* ]]; then
      endpoint=${line#* }
    elif [[ $line == "public-key "* ]]; then
      own=${line#* }
    elif [[ $line == silent ]]; then
      silent=yes
    else
      refuse "line '$line' is not known to this helper (version $HELPER_VERSION)"
    fi
  done
  need_settings
  tunnel_is_up || fail "$IFACE is not up on this host: see 'systemctl status $UNIT'"
  ! load_next_keys || next=$(public_half "$OWN_KEY")
  if [[ -n $own && $own == "$next" ]]; then
    # By the old key first, to know who is away. One that has just joined knows the new one alone.
    hear_all "$HANDSHAKE_WAIT" || true
    lead_to_own_key "$endpoint"
  fi
  [[ -z $own || $(wg show "$IFACE" public-key) == "$own" ]] ||
    fail "$IFACE does not have this host's key: see 'wg show $IFACE', run 'pulumi up' again"
  # Servers without keepalive come when they have something to say.
  [[ -n $silent ]] || hear_all "$HANDSHAKE_WAIT" || explain_silence "$endpoint"
  if lock; then note_endpoints; fi
}

# hear_all SECONDS: whether each one in asked has a session, or gets one by then
hear_all() {
  local deadline
  find_uptime
  deadline=$((UPTIME + $1))
  find_silent
  # An idle session expires without a word.
  call_known "${!SILENT[@]}"
  while ((${#SILENT[@]})); do
    find_uptime
    ((UPTIME < deadline)) || return 1
    sleep 0.3
    find_silent
  done
}

# lead_to_own_key ENDPOINT: to the one that waits in next.key, if all in asked come along, else back. Those
# in SILENT were not heard by the old one. The lock is kept meanwhile: who waited for it could come back too late.
lead_to_own_key() {
  local key
  local -a before=("${!SILENT[@]}") away=()
  need_lock tunnel
  exchange_own_key
  if hear_all "$FOLLOW_WAIT"; then
    unlock
    return
  fi
  restore_own_key
  unlock
  # Who is heard by neither is away, and could not follow later.
  for key in "${before[@]}"; do [[ -z ${SILENT[$key]+silent} ]] || away+=("$key"); done
  if ((${#away[@]})); then
    SILENT=()
    for key in "${away[@]}"; do SILENT[$key]=; done
    explain_silence "$1"
  fi
  name_silent
  fail "$NAMES did not come along to this host's new key within $FOLLOW_WAIT s, so it is back at" \
    "the old one: run 'pulumi up' again"
}

# name_silent: those in SILENT, into NAMES
name_silent() {
  local key
  NAMES=
  for key in "${!SILENT[@]}"; do NAMES+="${NAMES:+, }${asked[$key]}"; done
}

# find_silent: the keys in asked that have no session, into SILENT
find_silent() {
  local key time since=$((EPOCHSECONDS - HANDSHAKE_AGE)) changed=0
  # Sessions live on after a change of this host's key or port, and come to nothing.
  [[ ! -s $OWN/changed ]] || read -r changed <"$OWN/changed"
  # Of a time to come, nothing is known: the clock was set back since.
  ((changed <= EPOCHSECONDS)) || changed=0
  ((since > changed)) || since=$changed
  SILENT=()
  for key in "${!asked[@]}"; do SILENT["$key"]=; done
  while read -r key time; do
    if ((time >= since && time <= EPOCHSECONDS)); then unset -v "SILENT[$key]"; fi
  done < <(wg show "$IFACE" latest-handshakes)
}

# explain_silence ENDPOINT: the likely causes, the likeliest first, and how to check each
explain_silence() {
  local port=${SETTING[listen_port]} endpoint=${1:-"this VPS"}
  name_silent
  say "no handshake from $NAMES within $HANDSHAKE_WAIT s. Everything else is in place. Likely causes:
  1. The provider's own firewall, in its panel, does not let in $port/udp (IONOS: only tcp 22, 80, 443,
     8443 and 8447 until it is opened). Check: open $port/udp there; 'tcpdump -ni any udp port $port' on
     the VPS shows what arrives.
  2. A firewall on the VPS itself. Check: 'iptables -S INPUT' and 'nft list ruleset' let in $port/udp;
     'ufw allow $port/udp', or 'firewall-cmd --permanent --add-port=$port/udp' and '--reload', opens it.
  3. The servers dial another address. Check: $endpoint is this VPS ('getent hosts' on the server).
  4. UDP is blocked where the server stands. Check: 'wg show $IFACE' there counts sent, but nothing received;
     try another listenPort, such as 443.
  5. The server's clock runs behind what the VPS has seen of it. Check: 'timedatectl' on both.
  6. The tunnel is not up on the server. Check: 'systemctl status $UNIT' there."
  exit 1
}
