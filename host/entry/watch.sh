# The watch: what takes our rules away, or puts itself behind the rule that must be last, is followed at
# once: firewalld flushes everybody's rules whenever it is reloaded, started or stopped, as does the
# unit nftables; Docker puts its own anew when it is restarted. So is another address of a server's own
# line, to which visitors' UDP is sent: many a provider gives another network of IPv6 every day.
#
# By the kernel's events, whoever caused them. It runs as long as the tunnel does, so it stands here,
# where bash has not read the rest.

# watch: never ends by itself
watch() {
  local event addresses
  addresses=$(addresses)
  while IFS= read -r event; do
    concerns_us "$event" || continue
    # What comes in one go is followed in one go.
    while IFS= read -r -t 0.2 event; do :; done
    addresses=$(addresses)
    "$HELPER" "$PROTOCOL" restore || true
  done < <(events)
  fail "the events have ended"
}

# events: of the firewall and, on a server, of addresses; none of either, if there are none of one
events() {
  stdbuf -oL xtables-monitor --event &
  if [[ -e $OWN/mark ]]; then stdbuf -oL ip -o monitor address & fi
  wait -n || true
  # shellcheck disable=SC2046 # numbers
  kill $(jobs -p)
}

# concerns_us EVENT: a jump of ours was taken away, something was put after the one that is last, or
# there are other addresses than before. Many events only renew those that are there.
concerns_us() {
  [[ $1 =~ \ -D\ [A-Z]+\ -j\ RT-$IFACE-([A-Z]+|in|through)$ ]] ||
    [[ $1 == *" -t nat -A PREROUTING "* && $1 != *" -j RT-"* ]] ||
    [[ $1 =~ \ inet6?\  && $(addresses) != "$addresses" ]]
}

# addresses: of this host, but for the tunnel's and those that are still being tried out
addresses() {
  ip -o address show scope global -tentative | awk -v own="$IFACE" '$2 != own { print $2, $4 }'
}

if [[ ${2-} == watch ]]; then
  trap - EXIT
  DOING=watch
  watch
fi
