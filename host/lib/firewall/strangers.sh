# Strangers: their flows of before the firewall came into force.

# end_strangers_flows: what they had open, before the firewall came into force, to what it keeps from
# them would go on as known, a UDP flow forever
end_strangers_flows() {
  local family
  for family in $(guard_families); do
    use_family "$family"
    end_strangers_family_flows
  done
  use_family 4
}

end_strangers_family_flows() {
  local name address tuple proto dst port source sport own=' ' reached=' '
  find_outside
  while read -r _ name _ address _; do
    own+="${address%/*} "
    [[ " lo ${OUTSIDE[*]} " != *" $name "* ]] || reached+="${address%/*} "
  done < <(ip "-$FAMILY" -o address show)
  FLOWS=()
  # Answered ones alone: others are no known ones, and a port scan would make a tuple of every port.
  # What this host has begun itself is left alone.
  read_flows "" "$own" -p tcp --status ASSURED
  read_flows "" "$own" -p udp --status SEEN_REPLY
  for tuple in "${!FLOWS[@]}"; do
    read -r proto dst port source sport <<<"$tuple"
    is_let_in || end_flows
  done
}

# is_let_in: by the firewall, whoever comes by the tuple that was read
is_let_in() {
  [[ $reached == *" $dst "* ]] || return 0
  # As it is after translation, which is what the firewall sees.
  if [[ $own == *" $source "* ]]; then
    case $proto in
      tcp) [[ " ${SSH_PORTS[*]} " == *" $sport "* ]] ;;
      udp) [[ " ${TUNNEL_PORTS[*]} " == *" $sport "* ]] ;;
    esac
  else
    # By a forward, and not to a container of this host.
    [[ $(ip "-$FAMILY" -o route get "$source" 2>/dev/null) =~ \ dev\ ([^ ]+) ]] &&
      [[ " $IFACE ${OTHER_TUNNELS[*]} " == *" ${BASH_REMATCH[1]} "* ]]
  fi
}
