# Conntrack: flows that run on by an old mapping, although the rules have changed, are ended.
#
# NAT rules are asked on a flow's first packet only. So a changed or removed forward goes on for
# the flows that it has, and a new one is not seen by a UDP flow that was there before.
#
# A flow is a forward's by what a rule decides: where it was sent, who answers, and to which address;
# and by whether its visitor may use it. Connections of the host's own to a forwarded port elsewhere
# have another original destination.
#
# A call of conntrack walks through all entries of the host, and there may be thousands, each of another
# visitor: so flows are ended by as few calls as can tell them from those that go on.

# Single flows are read by awk: a flood of made-up visitors leaves tens of thousands, for which bash took
# minutes. Bash goes through tuples alone.

# For awk, with words parted by "=", too: where the halves of an entry begin, how the first packet came in,
# and how the answer goes. Each is "src ADDRESS dst ADDRESS sport PORT dport PORT".
# shellcheck disable=SC2016 # awk's own
readonly HALVES='{
  for (one = 3; one < NF && $one != "src";) one++
  for (two = one + 4; two < NF && $two != "src";) two++
}'

# The tuple of a flow, "protocol destination port source source-port", is what a forward decides; its
# ends, "visitor way-back", are whom it serves and as whom.
declare -A FLOWS=() # tuple -> ends, each once and with a comma after it

readonly TOLD=3     # the status of what has failed and said so
CONNTRACK_WORKS=yes # or no: this run has said so

# list_flows OPTION...: conntrack's lines, of the family in use
list_flows() {
  local said
  {
    said=$(conntrack -L -f "ipv$FAMILY" "$@" 2>&1 >&3) || {
      tell_conntrack "$said"
      return "$TOLD"
    }
  } 3>&1
}

# was_told STATUS: whether a list of flows has failed and said so, for it can't be known here otherwise
was_told() { (($1 == TOLD)) && CONNTRACK_WORKS=no; }

# delete_flows OPTION...: of the family in use, if there are any
delete_flows() {
  local said tries
  for ((tries = 0; tries < 9; tries++)); do
    said=$(conntrack -D -f "ipv$FAMILY" "$@" 2>&1 >/dev/null) && return
    # At one that ends by itself just now it stops, and leaves the others.
    [[ $said == *"such conntrack doesn't exist"* ]] || break
  done
  [[ $said == *" 0 flow entries have been deleted"* ]] || tell_conntrack "$said"
}

# tell_conntrack WORDS: of its own, once a run. The rules are as they shall be, so that is no failure.
tell_conntrack() {
  [[ $CONNTRACK_WORKS == yes ]] || return 0
  CONNTRACK_WORKS=no
  say "open connections that were to end may go on until they end by themselves or this host is restarted," \
    "since conntrack failed (${1##*: }): install it, or, on a VPS of the container kind, ask its provider"
}

# read_flows RANGES OTHERS OPTION...: of the family in use, into FLOWS: those that first went to one of
# these ports (all, if there are none), but those of the visitors OTHERS
read_flows() {
  local listed i
  listed=$(list_flows "${@:3}" | awk -F '[ =]+' -v ranges="$1" -v others="$2" "$HALVES"'
    BEGIN {
      count = split(ranges, range, " ")
      for (i = 1; i <= count; i++) {
        split(range[i], bound, "-")
        first[i] = bound[1] + 0
        last[i] = bound[2] + 0
      }
      for (i = split(others, word, " "); i > 0; i--) other[word[i]] = 1
    }
    ($1 == "tcp" || $1 == "udp") && $two == "src" {
      visitor = $(one + 1)
      port = $(one + 7) + 0
      for (i = 1; i <= count && (port < first[i] || port > last[i]);) i++
      if (visitor in other || (count && i > count)) next
      tuple = $1 " " $(one + 3) " " port " " $(two + 1) " " $(two + 5)
      ends = visitor " " $(two + 3)
      if (!seen[tuple, ends]++) end[tuple, ++number[tuple]] = ends
    }
    END {
      for (tuple in number) {
        print tuple
        for (i = 1; i <= number[tuple]; i++) printf "%s,", end[tuple, i]
        print ""
      }
    }') || was_told "$?"
  split_lines "$listed"
  for ((i = 0; i < ${#SPLIT[@]}; i += 2)); do FLOWS[${SPLIT[i]}]=${SPLIT[i + 1]}; done
}

# end_flows OPTION...: those of the tuple that was read (proto dst port source sport), or some of them
end_flows() {
  local -a by_tunnel=()
  # On a server others to the same host pass through without us.
  [[ ${SETTING[role]} != server ]] || by_tunnel=(--mark "$MARK/$MARK")
  step ending-flows
  delete_flows -p "$proto" --orig-dst "$dst" --orig-port-dst "$port" \
    --reply-src "$source" --reply-port-src "$sport" "${by_tunnel[@]}" "$@"
}

# retire_flows TEXT...: of these forwards' ports, those flows that no forward has (any more)
retire_flows() {
  local text key family protos first last to proto tuple
  local -A ports=() # "family protocol" -> ranges
  for text in "$@"; do
    parse_text "$text" || continue
    for family in 4 6; do
      use_family "$family"
      pick "$TARGETS"
      for proto in ${PICKED[0]:+$PROTOS}; do ports["$family $proto"]+=" $PORT-$PORT_END"; done
    done
  done
  FLOWS=() MIXED=()
  for key in "${!ports[@]}"; do
    use_family "${key% *}"
    read_flows_to "${key#* }" "${ports[$key]# }"
  done
  use_family 4
  ((${#FLOWS[@]})) || return 0
  # Whom they belong to is asked of all forwards, which takes its time: only now.
  load_forwards
  for text in "$@"; do
    parse_text "$text" || continue
    protos=$PROTOS first=$PORT last=$PORT_END to=$TARGETS
    for family in 4 6; do
      use_family "$family"
      for tuple in "${!FLOWS[@]}"; do retire_tuple "$tuple"; done
    done
  done
  end_visitors
  use_family 4
}

# retire_untranslated: of UDP and of the family in use, flows that came before our rules of nat were there, and
# that would go on without them for as long as their visitors keep asking. Those of TCP were refused, or have
# ended.
retire_untranslated() {
  local claim protocol begin end proto dst port source sport tuple ranges=''
  if [[ ${SETTING[role]} == server ]]; then
    [[ -z $INSIDE ]] || delete_flows -p udp --orig-dst "$INSIDE" --reply-src "$INSIDE" --mark "0/$MARK"
    return
  fi
  for claim in "${CLAIMS[@]}"; do
    read -r protocol begin end _ <<<"$claim"
    [[ $protocol != udp ]] || ranges+=" $begin-$end"
  done
  [[ -n $ranges ]] || return 0
  FLOWS=()
  read_flows_to udp "${ranges# }"
  for tuple in "${!FLOWS[@]}"; do
    read -r proto dst port source sport <<<"$tuple"
    [[ $dst != "$source" ]] || ! is_visited "$dst" || end_flows
  done
}

# is_visited ADDRESS: whether visitors come to it: one of this host's, but not loopback or the tunnel's
is_visited() { [[ $1 != 127.* && $1 != ::1 ]] && ! is_own "$1" && is_local "$1"; }

# read_flows_to PROTOCOL RANGES: of the family in use, into FLOWS: those that first went to one of these ports
read_flows_to() {
  local -a narrowed=(-p "$1")
  # On a server those that came in by the tunnel.
  [[ ${SETTING[role]} != server ]] || narrowed+=(--mark "$MARK/$MARK")
  # It knows single ports.
  [[ $2 == *" "* || ${2%-*} != "${2#*-}" ]] || narrowed+=(--orig-port-dst "${2%-*}")
  read_flows "$2" "" "${narrowed[@]}"
}

# retire_tuple TUPLE: its flows that are nobody's now, if it is of the family in use, of one of protos, of the
# ports from first to last and of a target in to
retire_tuple() {
  local proto dst port source sport ends
  local -a may
  # First, since there may be thousands, and each is asked for each forward.
  [[ $1 =~ ^([a-z]+)\ [^\ ]+\ ([0-9]+)\  && " $protos " == *" ${BASH_REMATCH[1]} "* ]] || return 0
  ((BASH_REMATCH[2] >= first && BASH_REMATCH[2] <= last)) || return 0
  read -r proto dst port source sport <<<"$1"
  in_use "$dst" || return 0
  if [[ ${SETTING[role]} == server ]]; then
    [[ ,$to, == *",$dst,"* ]] || return 0
  elif [[ $dst == "$source" ]]; then
    # Not translated: answered by this host itself, until a forward took the port.
    ! is_taken || ! is_visited "$dst" || end_flows
    return 0
  else
    # Translated by us, not by Docker or another tunnel.
    [[ ,$to, == *",$source,"* ]] || is_inside "$source" || return 0
  fi
  # What becomes of them is the same by every other forward's text.
  ends=${FLOWS[$1]}
  unset -v "FLOWS[$1]"
  find_entitled
  if ((${#may[@]})); then
    MIXED+=("${may[@]}" "peers $NETWORK" "tuple $FAMILY $1" "ends $ends")
  else
    end_flows
  fi
}

# find_entitled: who may have flows by the tuple that was read, as CLAIMS say, each "SOURCE-ADDRESS NETWORK",
# into may
find_entitled() {
  local claim protocol begin end targets tport source_address from
  may=()
  for claim in "${CLAIMS[@]}"; do
    read -r protocol begin end targets tport source_address from <<<"$claim"
    [[ $protocol == "$proto" && ,$targets, == *",$source,"* ]] || continue
    ((port >= begin && port <= end && sport - tport == port - begin)) || continue
    pick "${from:-0.0.0.0/0,::/0}"
    may+=("${PICKED[@]/#/"$source_address "}")
  done
}

# is_taken: whether one of CLAIMS has the port of the tuple that was read
is_taken() {
  local claim protocol begin end
  for claim in "${CLAIMS[@]}"; do
    read -r protocol begin end _ <<<"$claim"
    [[ $protocol != "$proto" ]] || ((port < begin || port > end)) || return 0
  done
  return 1
}

is_local() {
  [[ -n $(ip -o address show to "$1") ]]
}

# retire_all_flows: visitors' connections must not linger on as if their forwards were there
retire_all_flows() {
  local ips
  [[ ${SETTING[role]} == server ]] || load_peers
  by_family retire_family_flows
  for ips in "${!EGRESS_PEERS[@]}"; do retire_egress "$ips"; done
}

retire_family_flows() {
  local tuple proto dst port source sport network
  if [[ ${SETTING[role]} == server ]]; then
    delete_flows --mark "$MARK/$MARK"
    return 0
  fi
  FLOWS=()
  read_flows "" "" --dst-nat
  for tuple in "${!FLOWS[@]}"; do
    read -r proto dst port source sport <<<"$tuple"
    for network in "$NETWORK" "${!TO_PEERS[@]}"; do
      contains "$network" "$source" || continue
      end_flows
      break
    done
  done
}

# retire_egress ALLOWED-IPS: a peer's connections to the internet by this host
retire_egress() { by_family retire_family_egress "$@"; }

retire_family_egress() {
  local backs back own
  pick "$1"
  own=${PICKED[0]-}
  [[ -n $own ]] || return 0
  own=${own%/*}
  # Not those that a forward has translated: the answer comes from another one than was asked.
  backs=$(list_flows --orig-src "$own" --src-nat | awk -F '[ =]+' "$HALVES"'
    $two == "src" && $(one + 3) == $(two + 1) && !seen[$(two + 3)]++ { print $(two + 3) }') || was_told "$?"
  # These have another way back, too: this host's tunnel address.
  for back in $backs; do delete_flows --orig-src "$own" --reply-dst "$back"; done
}
