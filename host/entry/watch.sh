# The watch: what changes around the tunnel while it is up is followed at once.
#
# - What takes our rules away, or puts itself behind the rule that must be last: firewalld flushes
#   everybody's rules whenever it is reloaded, started or stopped, as does the unit nftables; Docker
#   puts its own anew when it is restarted.
# - What comes after the tunnel at boot: the public interface, a way to what is behind a server.
# - Another address of a server's own line, to which visitors' UDP is sent: many a provider gives
#   another network of IPv6 every day.
# - Another port of sshd's, which the VPS's firewall must let in.
# - The rules by which a server's answers find back to the tunnel: systemd-networkd takes those of others
#   away whenever it is restarted, as by an upgrade of systemd's; a VPN puts its own before them.
# - The switches by which packets are passed on, which others set for the whole host: a VPN that goes, a
#   hardening file.
# - An interface that is gone: where WireGuard is a program, that may have been killed, for want of memory.
# - On a server, a VPS that answers no more: the packet that asks it is what makes WireGuard notice and
#   shake hands anew, within seconds. If it is a name that leads there, it may lead elsewhere by now.
#
# By the kernel's events, whoever caused them; only what is looked at in turn has none. It runs as
# long as the tunnel does, so it stands here, where bash has not read the rest.

LOOK_EVERY=${RT_LOOK_EVERY-10} # seconds between two looks at what has no events; 10 but in tests
readonly LOOK_EVERY
readonly ANSWERS_WITHIN=2 # seconds
readonly SOON=2 RARELY=32 # looks

# watch: never ends by itself. The kernel drops events where too many come at once (hundreds of rules
# flushed), and xtables-monitor ends then; so what was missed is looked for whenever listening begins.
watch() {
  local source began quick=0 open_ports addresses heard='' due pause=$SOON
  while :; do
    find_uptime
    began=$UPTIME
    exec {source}< <(events)
    put_back
    # Those who listen may need a moment longer, until which nobody is told of anything.
    due=$SOON
    follow <&"$source"
    exec {source}<&-
    find_uptime
    quick=$((UPTIME - began > 10 ? 0 : quick + 1))
    # Where listening is not possible at all, it is tried now and then.
    if ((quick < 5)); then sleep 0.2; else sleep 30; fi
  done
}

# follow: the events on standard input, until they end
follow() {
  local event part='' status until next=0
  while :; do
    status=0
    next_event "$LOOK_EVERY" || status=$?
    if ((status == 0)) && concerns_us "$event"; then
      # What comes in one go is followed in one go; where it never ends, every second or two.
      find_uptime
      until=$((UPTIME + 1))
      while next_event 0.2 && find_uptime && ((UPTIME <= until)); do :; done
      put_back
    fi
    # Whatever comes, and however much of it; also where nobody can listen at all.
    find_uptime
    ((UPTIME < next)) || look
    ((status == 0 || status > 128)) || return 0
  done
}

# next_event SECONDS: into event; what has come of one by then is kept for the next time
next_event() {
  local status=0
  IFS= read -r -t "$1" event || status=$?
  event=$part$event part=''
  ((status <= 128)) || part=$event
  return "$status"
}

# look: at what has no events
look() {
  next=$((UPTIME + ${LOOK_EVERY%.*}))
  tunnel_is_up || start_anew
  ask_vps
  find_open_ports
  if ((due > 0 && --due == 0)) || [[ $OPEN_PORTS != "$open_ports" ]]; then put_back; fi
}

# put_back: what others took away. If that fails, as behind a run that does not end, it is due again after a
# few looks; if it never succeeds, after more and more.
put_back() {
  addresses=$(addresses)
  find_open_ports
  open_ports=$OPEN_PORTS
  if "$HELPER" "$PROTOCOL" restore; then
    pause=$SOON
  else
    due=$pause pause=$((pause < RARELY ? pause * 2 : RARELY))
  fi
}

# events: of the firewall, of addresses, routes, rules and switches, a line each; none of any, if there are
# none of one. The legacy backend of iptables has none.
events() {
  local version backend=
  read -r backend 2>/dev/null <"$RUN/$IFACE.iptables" || true # see backend.sh
  version=$("iptables${backend:+-$backend}" --version) || version=
  if [[ $version == *nf_tables* ]]; then
    # Before 1.8.11 it keeps what it has to say to itself until that is much. Not without need: the stdbuf of
    # uutils, as in Ubuntu since 25.10, wants a folder to write to, and may outlive who has called it.
    if [[ $version =~ v1\.8\.([0-9]+) ]] && ((BASH_REMATCH[1] < 11)); then
      stdbuf -oL xtables-monitor --event &
    else
      xtables-monitor --event &
    fi
  fi
  # It goes on where the kernel has dropped some, and says so.
  ip -o monitor address route rule netconf 2>&1 &
  wait -n || true
  # shellcheck disable=SC2046 # numbers
  kill $(jobs -p)
}

# concerns_us EVENT: a jump of ours was taken away, something was put after the one that is last, others
# begin to ban (behind ours, as in a chain of Docker's that was empty, that would keep nobody out), a
# server has other addresses or rules than before, a switch of ours is off, there is another way to
# somewhere, or events were dropped
concerns_us() {
  case ${1#Deleted } in
    *EVENT:*)
      [[ $1 =~ \ -D\ [A-Z]+\ -j\ RT-$IFACE-([A-Z]+|in|through)$ ]] ||
        [[ $1 == *" -t nat -A PREROUTING "* && $1 != *" -j RT-"* ]] ||
        [[ $1 == *" -A "*" -j "@(f2b-|fail2ban-|CROWDSEC_CHAIN)* ]]
      ;;
    [0-9]*:$'\t'*"from "*) [[ -e $OWN/mark ]] ;;
    "netlink receive error"*) return 0 ;;
    # For the whole host, by others: from then on it is a router for them, too.
    "inet all forwarding on"*) return 0 ;;
    # IPv6 has one for the host; those of its interfaces are put back by ourselves.
    "inet6 "*) [[ $1 == "inet6 all forwarding off"* && -e $RUN/$IFACE.up6 ]] ;;
    "inet $IFACE rp_filter "*) [[ -e $OWN/mark && $1 != *" loose"* ]] ;;
    "inet "*)
      [[ $1 =~ ^inet\ ([^ ]+)\ forwarding\ off && -e $RUN/$IFACE.up ]] &&
        [[ " $IFACE $(<"$RUN/$IFACE.up") " == *" ${BASH_REMATCH[1]} "* ]]
      ;;
    # Many of these only renew one that is there.
    *" inet "* | *" inet6 "*) [[ -e $OWN/mark && $(addresses) != "$addresses" ]] ;;
    # What comes with every interface, such as that of a container
    "local "* | "broadcast "* | "multicast "* | "anycast "* | *fe80::* | *ff00::*) return 1 ;;
    # Not by a tunnel of ours: what the helper has changed itself
    *) [[ $1 =~ \ dev\ ([^ ]+) && ! -e $ETC/${BASH_REMATCH[1]} ]] ;;
  esac
}

# addresses: of this host, but for the tunnel's and those that are still being tried out
addresses() {
  ip -o address show scope global -tentative | awk -v own="$IFACE" '$2 != own { print $2, $4 }'
}

# find_open_ports: the TCP ports at which anybody listens, into OPEN_PORTS, if the firewall wants to know
find_open_ports() {
  local file where state
  OPEN_PORTS=
  [[ -e $OWN/firewall ]] || return 0
  for file in /proc/net/tcp /proc/net/tcp6; do
    [[ -r $file ]] || continue
    while read -r _ where _ state _; do
      [[ $state != 0A ]] || OPEN_PORTS+=" ${where##*:}"
    done <"$file"
  done
}

# start_anew: this watch ends when the unit is stopped. One that is just starting would be broken off, and one
# that waits for its next start has that before it.
start_anew() {
  [[ $(systemctl is-active "$UNIT") != activating ]] || return 0
  if systemctl is-enabled --quiet "$UNIT"; then systemctl restart --no-block "$UNIT"; fi
}

# ask_vps: whether it answers through the tunnel, on a server; if nothing at all has come from it twice,
# its name is looked up. It may answer no pings, and then WireGuard itself does, within ten seconds.
ask_vps() {
  local key value vps='' keepalive=0 endpoint='' received
  [[ -e $OWN/mark ]] && command -v ping >/dev/null || return 0
  while read -r key value; do
    case $key in
      peer-address) vps=$value ;;
      peer-endpoint) endpoint=$value ;;
      keepalive) keepalive=$value ;;
    esac
  done <"$OWN/settings" 2>/dev/null || return 0
  # Without keepalive, silence is what is wanted.
  [[ -n $vps && $keepalive != 0 ]] || return 0
  ! answers "$vps" || return 0
  received=$(wg show "$IFACE" transfer 2>/dev/null) || return 0
  received=$(awk '{ print $1, $2 }' <<<"$received")
  if [[ $received != "$heard" ]]; then
    heard=$received
  elif [[ $endpoint == *[!0-9.:]* ]]; then
    "$HELPER" "$PROTOCOL" redial || true
  fi
}

answers() { ping -nqc 1 -W "$ANSWERS_WITHIN" -I "$IFACE" "$1" >/dev/null 2>&1; }

if [[ ${2-} == watch ]]; then
  trap - EXIT
  DOING=watch
  watch
fi
