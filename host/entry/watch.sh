# The watch: what takes our rules away, or puts itself behind the rule that must be last, is followed at
# once: firewalld flushes everybody's rules whenever it is reloaded, started or stopped, as does the
# unit nftables; Docker puts its own anew when it is restarted.
#
# By the kernel's events, whoever caused them. It runs as long as the tunnel does, so it stands here,
# where bash has not read the rest.

# watch: never ends by itself
watch() {
  local event
  while IFS= read -r event; do
    concerns_us "$event" || continue
    # What comes in one go is followed in one go.
    while IFS= read -r -t 0.2 event; do :; done
    "$HELPER" "$PROTOCOL" restore || true
  done < <(exec stdbuf -oL xtables-monitor --event)
  fail "xtables-monitor has ended"
}

# concerns_us EVENT: a jump of ours was taken away, or something was put after the one that is last
concerns_us() {
  [[ $1 =~ \ -D\ [A-Z]+\ -j\ RT-$IFACE-([A-Z]+|in|through)$ ]] ||
    [[ $1 == *" -t nat -A PREROUTING "* && $1 != *" -j RT-"* ]]
}

if [[ ${2-} == watch ]]; then
  trap - EXIT
  DOING=watch
  watch
fi
