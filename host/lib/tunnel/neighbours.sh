# Neighbours: other tunnels and programs on this host that this tunnel would run into.

# check_owner OWNER: this tunnel's name is free, or this stack's already
check_owner() {
  owner_of "$IFACE"
  [[ -z $VALUE || $VALUE == "$1" ]] ||
    refuse "the interface $IFACE on this host belongs to the stack $VALUE:" \
      "set another name as network.interface; nothing was changed"
  [[ -z $VALUE ]] || return 0
  [[ ! -e $CONF ]] || conf_is_ours ||
    refuse "$CONF is there already and not from reverse-tunnel:" \
      "set another name as network.interface, or remove that tunnel; nothing was changed"
  [[ ! -e $SYSCTL/conf/$IFACE ]] || [[ -e $CONF ]] ||
    refuse "this host has an interface $IFACE already, which is not from reverse-tunnel:" \
      "set another name as network.interface; nothing was changed"
}

# check_neighbours: networks and port of SETTING are free on this host
check_neighbours() {
  local name port=${SETTING[listen_port]-}
  by_family check_network
  find_tunnels
  for name in "${TUNNELS[@]}"; do
    [[ $name != "$IFACE" ]] || continue
    setting_of "$name" listen-port
    if [[ -n $VALUE && $VALUE == "$port" ]]; then
      owner_of "$name"
      refuse "network.listenPort $port is taken by the tunnel $name, which belongs to the stack" \
        "${VALUE:-(unknown)}: choose another port; nothing was changed"
    fi
  done
  [[ -z $port ]] || check_port "$port"
}

# check_network: that of the family in use is no other tunnel's, and not reached otherwise
check_network() {
  local name key=address network=$NETWORK
  ((FAMILY == 4)) || key=ipv6
  find_tunnels
  for name in "${TUNNELS[@]}"; do
    [[ $name != "$IFACE" ]] || continue
    setting_of "$name" "$key"
    if [[ -n $VALUE ]] && overlap "$network" "$VALUE"; then
      network_of "$VALUE"
      local theirs=$NETWORK
      owner_of "$name"
      refuse "$CIDR $network overlaps $theirs of the tunnel $name, which belongs to the stack" \
        "${VALUE:-(unknown)}: choose another network; nothing was changed"
    fi
  done
  # Nor is another interface's network part of it, or the other way round.
  ! find_collision "$NETWORK" ||
    refuse "$CIDR $NETWORK overlaps $VALUE: choose another network; nothing was changed"
}

# find_collision NETWORK: another interface's route, of the family in use, with which one of the tunnel to NETWORK
# collides, in words into VALUE; false if there is none
find_collision() {
  local to rest dev
  while read -r to rest; do
    [[ $rest =~ dev\ ([^ ]+) ]] || continue
    dev=${BASH_REMATCH[1]}
    [[ $to == */* ]] || to+=/$WHOLE
    is_prefixed "$to" || continue
    [[ $dev != "$IFACE" ]] || continue
    collides "$1" "$to" "$rest" || continue
    VALUE="$to, which this host reaches by $dev"
    return 0
  done < <(ip "-$FAMILY" route show)
  return 1
}

# collides NETWORK TO REST: a route of the tunnel to NETWORK can't stand beside the route `TO REST`.
# A wider one by way of a router or into a VPN gives way to the tunnel's own. A network that this host is
# in does not, nor one behind another tunnel of ours.
collides() {
  overlap "$1" "$2" || return 1
  ((${2#*/} >= ${1#*/})) || is_in "$3"
}

# is_in REST: the route is that of an address of this host's, made by the kernel or by the program that has
# asked for the address, or one by another tunnel of ours
is_in() {
  [[ " $1 " != *" via "* && " $1 " =~ " proto "(kernel|dhcp|ra|"$ROUTES_OURS")" " ]]
}

check_port() {
  local users
  if tunnel_is_up && [[ $(wg show "$IFACE" listen-port 2>/dev/null) == "$1" ]]; then
    return 0
  fi
  users=$(ss -Hlunp "sport = :$1")
  [[ -z $users ]] && return 0
  if [[ $users =~ \(\(\"([^\"]+)\" ]]; then
    # Any user's program may call itself what a terminal takes for a command.
    users=${BASH_REMATCH[1]//[!A-Za-z0-9._:@+-]/_}
  else
    users="another program"
  fi
  refuse "network.listenPort $1 (udp) is in use on this host by $users (see 'ss -lunp'):" \
    "choose another port; nothing was changed"
}
