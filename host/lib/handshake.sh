# Handshake: whether the tunnel really works, said at the end of every run that changed it.

readonly HANDSHAKE_WAIT=20 # seconds for each server, all at once
readonly HANDSHAKE_AGE=180 # seconds; WireGuard gives up a session that is older

declare -A SILENT=() # public keys without a session

verb_wait_handshake() {
  local line name key deadline endpoint='' own=''
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
    else
      refuse "line '$line' is not known to this helper (version $HELPER_VERSION)"
    fi
  done
  need_settings
  tunnel_is_up || fail "$IFACE is not up on this host: see 'systemctl status $UNIT'"
  [[ -z $own || $(wg show "$IFACE" public-key) == "$own" ]] ||
    fail "$IFACE does not have this host's key: see 'wg show $IFACE', run 'pulumi up' again"
  deadline=$((SECONDS + HANDSHAKE_WAIT))
  find_silent
  call_silent
  while ((${#SILENT[@]})); do
    ((SECONDS < deadline)) || explain_silence "$endpoint"
    sleep 0.3
    find_silent
  done
  if lock; then note_endpoints; fi
}

# call_silent: those whose endpoint is known, since an idle session expires without a word
call_silent() {
  local key endpoint
  while read -r key endpoint; do
    [[ -z ${SILENT[$key]+silent} || $endpoint == "(none)" ]] || call_peer "$key"
  done < <(wg show "$IFACE" endpoints)
}

# find_silent: the keys in asked that have no session, into SILENT
find_silent() {
  local key time since=$((EPOCHSECONDS - HANDSHAKE_AGE)) changed=0
  # Sessions live on after a change of this host's key or port, and come to nothing.
  [[ ! -s $OWN/changed ]] || read -r changed <"$OWN/changed"
  ((since > changed)) || since=$changed
  SILENT=()
  for key in "${!asked[@]}"; do SILENT["$key"]=; done
  while read -r key time; do
    if ((time >= since)); then unset -v "SILENT[$key]"; fi
  done < <(wg show "$IFACE" latest-handshakes)
}

# explain_silence ENDPOINT: the likely causes, the likeliest first, and how to check each
explain_silence() {
  local key silent='' port=${SETTING[listen_port]} endpoint=${1:-"this VPS"}
  for key in "${!SILENT[@]}"; do silent+="${silent:+, }${asked[$key]}"; done
  say "no handshake from $silent within $HANDSHAKE_WAIT s. Everything else is in place. Likely causes:
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
