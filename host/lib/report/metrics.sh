# Metrics: how the tunnel is doing, in a file that Prometheus' node_exporter reads (its textfile
# collector). A timer of systemd's renews it; both are there only if the stack asks for it.

readonly METRICS=$OWN/metrics # "folder /var/lib/prometheus/node-exporter"
readonly METRICS_UNIT=reverse-tunnel-$IFACE-metrics
readonly METRICS_EVERY=60 # seconds; a weak VPS has better things to do
readonly UNITS=/etc/systemd/system

# parse_metrics LINE...: into METRICS_FOLDER; false with what is wrong in WRONG
parse_metrics() {
  WRONG="one line is needed, such as 'folder /var/lib/prometheus/node-exporter'"
  (($# == 1)) && [[ $1 =~ ^folder\ ((/[A-Za-z0-9_-][A-Za-z0-9._-]*)+)$ ]] || return 1
  METRICS_FOLDER=${BASH_REMATCH[1]}
  METRICS_FILE=$METRICS_FOLDER/reverse-tunnel-$IFACE.prom
}

# load_metrics: false if there are none
load_metrics() {
  [[ -s $METRICS ]] || return 1
  read_lines <"$METRICS"
  parse_metrics "${LINES[@]}"
}

verb_put_metrics() {
  local line
  DOING=put-metrics
  read_lines
  line=${LINES[0]-}
  parse_metrics "${LINES[@]}" || refuse "$WRONG; nothing was changed"
  [[ -d $METRICS_FOLDER ]] ||
    refuse "there is no folder $METRICS_FOLDER on this host: install node_exporter, or name in" \
      "vps.metrics what its --collector.textfile.directory says; nothing was changed"
  need_lock tunnel
  need_settings
  need_vps "metrics belong"
  finish_interrupted
  if load_metrics && [[ ${LINES[0]} != "$line" ]]; then rm -f "$METRICS_FILE"; fi
  parse_metrics "$line"
  write_file "$METRICS" "$line"$'\n'
  step wrote-metrics
  write_unit "$METRICS_UNIT.service" "[Service]
Type=oneshot
Nice=10
ExecStart=$HELPER $PROTOCOL write-metrics"
  write_unit "$METRICS_UNIT.timer" "[Timer]
OnActiveSec=0
OnUnitInactiveSec=$METRICS_EVERY
AccuracySec=5

[Install]
WantedBy=timers.target"
  systemctl daemon-reload
  systemctl enable --quiet --no-reload --now "$METRICS_UNIT.timer"
  step started-timer
  renew_metrics
}

# write_unit NAME TEXT: readable by all, as units are
write_unit() {
  write_file "$UNITS/$1" "# Written by reverse-tunnel for $IFACE; changes here are overwritten.
[Unit]
Description=Metrics of the tunnel $IFACE

$2
"
  chmod 0644 "$UNITS/$1"
}

# are_renewed: whether the timer runs, and starts with the host
are_renewed() {
  systemctl is-active --quiet "$METRICS_UNIT.timer" 2>/dev/null &&
    systemctl is-enabled --quiet "$METRICS_UNIT.timer" 2>/dev/null
}

verb_remove_metrics() {
  DOING=remove-metrics
  lock || return 0
  remove_metrics
}

# remove_metrics: the file that says where they are goes last, so that a killed run can be run again
remove_metrics() {
  load_metrics || return 0
  systemctl disable --quiet --no-reload --now "$METRICS_UNIT.timer" 2>/dev/null || true
  # A run of it may be on its way, and would write once more.
  systemctl stop "$METRICS_UNIT.service" 2>/dev/null || true
  step stopped-timer
  rm -f "$UNITS/$METRICS_UNIT".{service,timer} "$UNITS/.$METRICS_UNIT".{service,timer}.new
  systemctl daemon-reload
  systemctl reset-failed "$METRICS_UNIT.service" 2>/dev/null || true
  rm -f "$METRICS_FILE" "$METRICS_FOLDER/.${METRICS_FILE##*/}".*
  step removed-metrics
  rm -f "$METRICS"
}

# verb_write_metrics: what the timer calls. Without the lock, which a long run may hold.
verb_write_metrics() {
  DOING=write-metrics
  if load_metrics; then renew_metrics; fi
}

# renew_metrics: whole, and readable by all, since node_exporter is not root. The timer and a verb may
# do it at once, each by a name of its own.
renew_metrics() {
  local staged=$METRICS_FOLDER/.${METRICS_FILE##*/}.$$
  undo_by remove_staged_metrics
  # The folder may be node_exporter's own user's: what that puts in the file's place is never followed.
  remove_staged_metrics
  (umask 022 && metrics_text | dd conv=excl status=none of="$staged")
  step staged-metrics
  mv -fT "$staged" "$METRICS_FILE"
}

# remove_staged_metrics: its own, and those of runs that were killed
remove_staged_metrics() {
  local staged process
  for staged in "$METRICS_FOLDER/.${METRICS_FILE##*/}".*; do
    process=${staged##*.}
    [[ $process != "$$" && -e /proc/$process ]] || rm -f "$staged"
  done
}

metrics_text() {
  local up=0
  ! load_settings || ! tunnel_is_up || up=1
  metric up gauge "Whether the tunnel's interface is there."
  sample up "" "$up"
  ((up)) || return 0
  peer_metrics
  forward_metrics
}

forward_metrics() {
  local name state
  local -a numbers
  local -A carried=()
  judge_rules
  read_traffic
  count_connections
  metric forward_rules_ok gauge "Whether the firewall has the forward's rules as they shall be."
  for name in "${!FORWARD_STATES[@]}"; do
    state=0
    case ${FORWARD_STATES[$name]} in ok | paused) state=1 ;; esac
    sample forward_rules_ok "forward=\"$name\"" "$state"
  done
  metric forward_connections_total counter "Connections that there have been."
  for name in "${!CONNECTIONS[@]}"; do
    sample forward_connections_total "forward=\"$name\"" "${CONNECTIONS[$name]}"
  done
  metric forward_connections gauge "Connections that are open now."
  for name in "${!FORWARD[@]}"; do
    read -ra numbers <<<"${TRAFFIC[$name]-0 0 0 0 0}"
    sample forward_connections "forward=\"$name\"" "${numbers[0]}"
    carried["$name\",direction=\"to\""]="${numbers[1]} ${numbers[2]}"
    carried["$name\",direction=\"back\""]="${numbers[3]} ${numbers[4]}"
  done
  is_accounting || return 0
  metric forward_open_packets gauge "Packets that the connections that are open now have carried."
  for name in "${!carried[@]}"; do sample forward_open_packets "forward=\"$name" "${carried[$name]% *}"; done
  metric forward_open_bytes gauge "Bytes that the connections that are open now have carried."
  for name in "${!carried[@]}"; do sample forward_open_bytes "forward=\"$name" "${carried[$name]#* }"; done
}

declare -A CONNECTIONS=() # by name: those that there have been since the forward's rules were made

# count_connections: into CONNECTIONS: of each, the nat table's rule has seen the first packet
count_connections() {
  CONNECTIONS=()
  by_family count_family_connections
}

count_family_connections() {
  local line
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+):[0-9]+\]\ -A\ "RT-$IFACE-DNAT ".*\"rt:$IFACE:([^\"]+)\" ]] || continue
    CONNECTIONS[${BASH_REMATCH[2]}]=$((${CONNECTIONS[${BASH_REMATCH[2]}]-0} + BASH_REMATCH[1]))
  done < <("$IPTABLES-save" -c -t nat)
}

peer_metrics() {
  local key handshake received sent name text=''
  load_peers
  while read -r key _ _ _ handshake received sent _; do
    name=${NAMED[$key]-}
    [[ -z $name ]] || text+="$name $handshake $received $sent"$'\n'
  done < <(wg show "$IFACE" dump | tail -n +2)
  metric peer_last_handshake_timestamp_seconds gauge "When the peer last shook hands; 0 is never."
  while read -r name handshake received sent; do
    [[ -z $name ]] || sample peer_last_handshake_timestamp_seconds "peer=\"$name\"" "$handshake"
  done <<<"$text"
  metric peer_bytes_total counter "Bytes that went through the tunnel."
  while read -r name handshake received sent; do
    [[ -n $name ]] || continue
    sample peer_bytes_total "peer=\"$name\",direction=\"from\"" "$received"
    sample peer_bytes_total "peer=\"$name\",direction=\"to\"" "$sent"
  done <<<"$text"
}

# metric NAME TYPE WORDS: begins one; its samples follow
metric() {
  printf '# HELP reverse_tunnel_%s %s\n# TYPE reverse_tunnel_%s %s\n' "$1" "$3" "$1" "$2"
}

# sample NAME LABELS VALUE; names of ours need no escaping
sample() {
  printf 'reverse_tunnel_%s{tunnel="%s"%s} %s\n' "$1" "$IFACE" "${2:+,$2}" "$3"
}
