# Traffic: what each forward has carried, and how many connections it has.
#
# Rules of the nat table see the first packet of a connection alone. So each forward has rules that do
# nothing but count, in the chains TO and BACK, to which only its own direction leads. They begin at 0
# when the tunnel starts or the forward changes.

declare -A SENT=()        # by name: "packets bytes" to the target, and
declare -A ANSWERED=()    # from it
declare -A CONNECTIONS=() # by name: that are open now; of UDP, those that were answered

# want_counters NAME: of the forward that was parsed
want_counters() {
  local proto match to back
  for proto in $PROTOS; do
    as_dport "$PORT" "$PORT_END"
    match="-p $proto -m conntrack --ctorigdstport $DPORT -m comment --comment \"rt:$IFACE:$1\""
    as_dport "$TPORT" "$TPORT_END"
    to="$match -m $proto --dport $DPORT" back="$match -m $proto --sport $DPORT"
    want_rule TO filter "$1" "-d $TARGET/32 $to -j RETURN"
    want_rule BACK filter "$1" "-s $TARGET/32 $back -j RETURN"
  done
}

# read_traffic: into SENT and ANSWERED, of all forwards that have counted anything
read_traffic() {
  local line name packets bytes
  SENT=() ANSWERED=()
  while IFS= read -r line; do
    [[ $line =~ ^\[([0-9]+):([0-9]+)\]\ -A\ "RT-$IFACE-"(TO|BACK)\ .*\"rt:$IFACE:([^\"]+)\" ]] ||
      continue
    name=${BASH_REMATCH[4]}
    if [[ ${BASH_REMATCH[3]} == TO ]]; then
      read -r packets bytes <<<"${SENT[$name]-0 0}"
      SENT[$name]="$((packets + BASH_REMATCH[1])) $((bytes + BASH_REMATCH[2]))"
    else
      read -r packets bytes <<<"${ANSWERED[$name]-0 0}"
      ANSWERED[$name]="$((packets + BASH_REMATCH[1])) $((bytes + BASH_REMATCH[2]))"
    fi
  done < <(iptables-save -c -t filter)
}

# count_connections: into CONNECTIONS, of the forwards that are loaded
count_connections() {
  local proto port target count name
  CONNECTIONS=()
  # There may be a hundred thousand: awk counts those that are alike.
  while read -r proto port target count; do
    for name in "${!FORWARD[@]}"; do
      parse_text "${FORWARD[$name]}"
      [[ $PAUSED == no && $TARGET == "$target" && " $PROTOS " == *" $proto "* ]] || continue
      ((PORT <= port && port <= PORT_END)) || continue
      CONNECTIONS[$name]=$((${CONNECTIONS[$name]-0} + count))
    done
  done < <(conntrack -L --dst-nat 2>/dev/null | awk '
    $1 == "tcp" && $4 !~ /^(ESTABLISHED|FIN_WAIT|CLOSE_WAIT)$/ { next }
    /\[UNREPLIED\]/ { next }
    {
      seen = port = target = ""
      for (i = 3; i <= NF; i++) {
        if ($i ~ /^dport=/ && port == "") port = substr($i, 7)
        if ($i ~ /^src=/ && seen++) target = substr($i, 5)
      }
      alike[$1 " " port " " target]++
    }
    END { for (key in alike) print key, alike[key] }')
}
