# Guards: the firewall's chains in the kernel, one for what comes in, one for what passes through.
#
# They only refuse, and hang in the mangle table: what they let by is judged by everybody's rules in
# the filter table as before (fail2ban's bans, ufw's denials, Docker's), in whatever order those are
# put there. Their names are in lower case, since the tunnel's own chains, in upper case, go down
# with the tunnel, and these stay.

readonly GUARD_IN=RT-$IFACE-in           # in INPUT
readonly GUARD_THROUGH=RT-$IFACE-through # in FORWARD
readonly GUARDS=("INPUT $GUARD_IN" "FORWARD $GUARD_THROUGH")

WAS_OPEN=no         # or yes: the firewall was not in force, so there may be flows that it keeps out
declare -A GUARD=() # chain -> the rules that it shall hold, as iptables-save prints them
declare -A HELD=()  # chain -> those that it holds; set if the chain is there
declare -A HUNG=()  # "built-in-chain chain" -> the jumps to it, each first or later

# want_guards: of the family in use, for FIREWALL and SSH_PORTS, into GUARD
want_guards() {
  local known="-m conntrack --ctstate RELATED,ESTABLISHED -j RETURN"
  local forwarded="-m conntrack --ctstate DNAT -j RETURN"
  local port name type
  GUARD=(["$GUARD_IN"]='' ["$GUARD_THROUGH"]='')
  find_outside
  # Before all that is known: every ping but the first belongs to a flow.
  if ((FAMILY == 4)); then
    guard_pings "-p icmp -m icmp --icmp-type 8"
  else
    guard_pings "-p ipv6-icmp -m icmp6 --icmpv6-type 128"
  fi
  guard "$GUARD_IN" "$known"
  guard "$GUARD_THROUGH" "$known"
  for port in "${SSH_PORTS[@]}"; do
    # At a tunnel address it is a service like any other, which `allow` must name.
    guard "$GUARD_IN" "${NETWORK:+! -d $NETWORK }-p tcp -m tcp --dport $port -j RETURN"
  done
  for port in "${TUNNEL_PORTS[@]}"; do
    guard "$GUARD_IN" "-p udp -m udp --dport $port -j RETURN"
  done
  if ((FAMILY == 4)); then
    for type in 3 11 12; do
      guard "$GUARD_IN" "-p icmp -m icmp --icmp-type $type -j RETURN"
    done
    guard "$GUARD_IN" "! -i $IFACE -p udp -m udp --sport 67 --dport 68 -j RETURN"
  else
    # Errors, then what IPv6 lives by: routers, neighbours, and who listens to which group.
    for type in 1 2 3 4 133 134 135 136 130 131 132 143; do
      guard "$GUARD_IN" "-p ipv6-icmp -m icmp6 --icmpv6-type $type -j RETURN"
    done
    guard "$GUARD_IN" "-s fe80::/10 ! -i $IFACE -p udp -m udp --dport 546 -j RETURN"
  fi
  # By what a forward has translated: from outside, and from peers by the public address. Another
  # tunnel may have a family that this one has not.
  for name in "$IFACE" "${OTHER_TUNNELS[@]}"; do
    guard "$GUARD_THROUGH" "-o $name $forwarded"
  done
  if [[ -n $NETWORK ]]; then
    guard_allowed
    # What of the peers may leave, and as whom, is judged by the tunnel's own rules.
    guard "$GUARD_THROUGH" "-i $IFACE -o $PUBLIC -j RETURN"
  fi
  for name in "${OUTSIDE[@]}" "$IFACE"; do
    guard "$GUARD_IN" "-i $name -j DROP"
    guard "$GUARD_THROUGH" "-i $name -j DROP"
  done
}

# guard CHAIN RULE: appended to GUARD
guard() { GUARD[$1]+="-A $1 $2"$'\n'; }

# guard_pings MATCH: so many a second are let by
guard_pings() {
  guard "$GUARD_IN" "$1 -m limit --limit 50/sec --limit-burst 100 -j RETURN"
  guard "$GUARD_IN" "$1 -j DROP"
}

# guard_allowed: what peers may reach by FIREWALL, of this host and of each other
guard_allowed() {
  local line source protocol from match to container
  while IFS= read -r line; do
    { parse_allow "$line" && in_use "$DESTINATION"; } || continue
    for protocol in ${PROTOCOLS//+/ }; do
      match='' to='' container="-m conntrack --ctorigdst $DESTINATION"
      [[ $protocol == any ]] || match=" -p $protocol"
      if [[ -n $DPORTS ]]; then
        as_dport "${DPORTS%-*}" "${DPORTS#*-}"
        to=" -m $protocol --dport $DPORT" container+=" --ctorigdstport $DPORT"
      fi
      for source in ${SOURCES//,/ }; do
        from="-s $source/$WHOLE"
        if [[ $DESTINATION == "$INSIDE" ]]; then
          guard "$GUARD_IN" "$from -d $INSIDE/$WHOLE -i $IFACE$match$to -j RETURN"
          # Docker has translated by then what is for a container of this host.
          guard "$GUARD_THROUGH" "$from -i $IFACE$match $container -j RETURN"
        else
          guard "$GUARD_THROUGH" "$from -d $DESTINATION/$WHOLE -i $IFACE -o $IFACE$match$to -j RETURN"
        fi
      done
    done
  done <<<"$FIREWALL"
}

# find_outside: where strangers come from, into OUTSIDE: the public interface, and whatever else a
# default route leaves by, as IPv6 may, or a second line by rules of its own. A bridge of Docker's or a
# private network is not outside.
# Other tunnels of ours on this host are open to their own peers: OTHER_TUNNELS, TUNNEL_PORTS.
find_outside() {
  local name words
  OUTSIDE=("$PUBLIC") OTHER_TUNNELS=() TUNNEL_PORTS=("${SETTING[listen_port]}")
  find_tunnels
  for name in "${TUNNELS[@]}"; do
    [[ $name != "$IFACE" ]] || continue
    setting_of "$name" listen-port
    [[ -z $VALUE ]] || OTHER_TUNNELS+=("$name") TUNNEL_PORTS+=("$VALUE")
  done
  while read -r words; do
    [[ $words =~ \ dev\ ([^ ]+) ]] || continue
    name=${BASH_REMATCH[1]}
    # In a table of its own a VPN has such a route, too, but to no router; and a private network, but by
    # no public address.
    [[ $words != *" table "* ]] || { [[ $words == *" via "* ]] && is_publicly_known "$name"; } || continue
    [[ " ${OUTSIDE[*]} ${OTHER_TUNNELS[*]} $IFACE lo " == *" $name "* ]] || OUTSIDE+=("$name")
  done < <(
    ip -4 route show table all default
    ip -6 route show table all default 2>/dev/null || true
  )
}

# is_publicly_known INTERFACE: whether it has an address of the internet
is_publicly_known() {
  local address
  while read -r _ _ _ address _; do
    # Where it has a peer, that alone has a length.
    case $address in
      */*) ;;
      *:*) address+=/128 ;;
      *) address+=/32 ;;
    esac
    is_private "$address" || return 0
  done < <(ip -o address show dev "$1" scope global 2>/dev/null)
  return 1
}

# guard_families: for which of them there are guards
guard_families() {
  echo 4
  ! has_ipv6 || echo 6
}

# read_guards: of the family in use, what the kernel holds, into HELD, HUNG and UNSEEN; false if it cannot be
# seen, with why in SAID
read_guards() {
  local saved line chain foreign=''
  HELD=() HUNG=() UNSEEN=()
  SAID="$IPTABLES-save failed, see what it says on this host"
  saved=$("$IPTABLES-save" -t mangle) || return 1
  split_lines "$saved"
  for line in "${SPLIT[@]}"; do
    chain=${line#:} chain=${chain#-A } chain=${chain%% *}
    case $line in
      ":$GUARD_IN "* | ":$GUARD_THROUGH "*) HELD[$chain]+= ;;
      "-A $GUARD_IN "* | "-A $GUARD_THROUGH "*) HELD[$chain]+=$line$'\n' ;;
      "-A RT-"*) ;;
      "-A "*" -j $GUARD_IN" | "-A "*" -j $GUARD_THROUGH")
        if [[ $foreign == *" $chain "* ]]; then
          HUNG["$chain ${line##* }"]+=" later"
        else
          HUNG["$chain ${line##* }"]+=" first"
        fi
        ;;
      "-A "*" -j RT-"*) ;;
      "-A "*) foreign+=" $chain " ;;
      "# Table "*" is incompatible"*)
        ! is_unseen mangle "$GUARD_IN" || return 1
        UNSEEN=(mangle)
        ;;
    esac
  done
}

# guard_script: from what was read to GUARD, for iptables-restore; into SCRIPT, empty if it is so already
guard_script() {
  local place builtin chain rules changes='' jumps=''
  for place in "${GUARDS[@]}"; do
    builtin=${place% *} chain=${place#* } rules=${HUNG[$place]-}
    [[ $rules == " first" && ${HELD[$chain]-} == *"-A $chain -i $PUBLIC -j DROP"* ]] || WAS_OPEN=yes
    [[ ${HELD[$chain]-missing} == "${GUARD[$chain]}" ]] ||
      changes+=":$chain - [0:0]"$'\n'${GUARD[$chain]}
    [[ $rules != " first" ]] || continue
    for _ in $rules; do jumps+="-D $builtin -j $chain"$'\n'; done
    jumps+="-I $builtin 1 -j $chain"$'\n'
  done
  # A chain is filled before it hangs.
  as_script "$changes$jumps"
}

# removal_script: from what was read to nothing, into SCRIPT, empty if it is so already
removal_script() {
  local place builtin chain changes='' jumps=''
  for place in "${GUARDS[@]}"; do
    builtin=${place% *} chain=${place#* }
    for _ in ${HUNG[$place]-}; do jumps+="-D $builtin -j $chain"$'\n'; done
    [[ -z ${HELD[$chain]+there} ]] || changes+="-F $chain"$'\n'"-X $chain"$'\n'
  done
  # It hangs no more when it goes.
  as_script "$jumps$changes"
}

# as_script LINES: into SCRIPT
as_script() {
  SCRIPT=$1
  [[ -z $1 ]] || SCRIPT="*mangle"$'\n'$1"COMMIT"$'\n'
}

# restore_guards OPTION...: SCRIPT to iptables-restore; false, with its words in SAID
restore_guards() {
  SAID=$(printf '%s' "$SCRIPT" | "$IPTABLES-restore" --noflush -w 60 "$@" 2>&1)
}

# by_guards COMMAND: once for each family that has guards; false as soon as it is
by_guards() {
  local family status=0
  for family in $(guard_families); do
    use_family "$family"
    "$1" || {
      status=1
      break
    }
  done
  use_family 4
  return "$status"
}

# sync_guards: the kernel to FIREWALL; false with why in SAID
sync_guards() { by_guards sync_family_guards; }

sync_family_guards() {
  want_guards
  read_guards || return 1
  guard_script
  apply_guards || return 1
  note_backend
}

# remove_guards: out of the kernel; false with why in SAID
remove_guards() { by_guards remove_family_guards; }

remove_family_guards() {
  read_guards || return 1
  removal_script
  apply_guards
}

apply_guards() {
  [[ -n $SCRIPT ]] || return 0
  step "computed-guards-$FAMILY"
  restore_guards || return 1
  step "synced-guards-$FAMILY"
}

# check_guards: refused before anything changes, if this host's iptables would not take them
check_guards() {
  local family
  for family in $(guard_families); do
    use_family "$family"
    # With IPv6 open, a firewall for IPv4 alone would only look like one.
    takes_family_guards ||
      refuse "iptables does not take the firewall for IPv$family on this host:" \
        "${SAID//$'\n'/; }; nothing was changed"
  done
  use_family 4
}

takes_family_guards() {
  want_guards
  # What can't be seen could not be taken back either.
  { read_guards && ((${#UNSEEN[@]} == 0)); } || return 1
  guard_script
  [[ -z $SCRIPT ]] || restore_guards --test
}

# are_guarded: whether the kernel holds the firewall that the files say, if they say any
are_guarded() {
  if load_firewall; then
    by_guards is_family_guarded
  else
    [[ -z $WRONG ]]
  fi
}

is_family_guarded() {
  want_guards
  read_guards || return 1
  guard_script
  [[ -z $SCRIPT ]]
}

# unhook_guards: the last resort, which needs no file and no lock
unhook_guards() {
  local tool
  for tool in "${TOOLS[@]}"; do
    while "$tool" -w 10 -t mangle -D INPUT -j "$GUARD_IN"; do :; done
    while "$tool" -w 10 -t mangle -D FORWARD -j "$GUARD_THROUGH"; do :; done
  done 2>/dev/null
}
