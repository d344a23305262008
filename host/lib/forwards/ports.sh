# Ports: what a forward must not take from others, who would be cut off: this very login, a tunnel
# of ours, another stack's forward.
#
# It is asked at every change, so by files, and by one process in the ordinary case.

# check_ports TEXT: of a forward, refused before anything changes
check_ports() {
  parse_text "$1"
  [[ $PAUSED == no ]] || return 0
  check_login_port
  check_tunnels_ports
}

# takes PROTOCOL BEGIN END: whether the forward that was parsed has one of these ports
takes() { [[ " $PROTOS " == *" $1 "* ]] && (($2 <= PORT_END && $3 >= PORT)); }

declare -A LISTENED=() # TCP ports at which anybody on this host listens

# find_listened: into LISTENED, once
find_listened() {
  local place
  ((${#LISTENED[@]} == 0)) || return 0
  # The kernel picks them out: a busy host has thousands of other sockets.
  while read -r _ _ _ place _; do LISTENED[${place##*:}]=1; done < <(ss -Hltn)
}

# has_listener: whether anybody on this host listens at a TCP port of the forward that was parsed
has_listener() {
  local port
  find_listened
  for port in "${!LISTENED[@]}"; do
    ! takes tcp "$port" "$port" || return 0
  done
  return 1
}

# check_login_port: nobody could log in any more. A login by a tunnel, by a family that the forward
# does not take or from this host itself is not what it translates; the server of a login listens.
check_login_port() {
  local name key
  has_listener || return 0
  find_login
  [[ -n $LOGIN_TO && $LOGIN_TO != 127.* && $LOGIN_TO != ::1 ]] || return 0
  [[ $LOGIN_TO != *:* || $TARGETS == *:* ]] || return 0
  takes tcp "$LOGIN_PORT" "$LOGIN_PORT" || return 0
  find_tunnels
  for name in "${TUNNELS[@]}"; do
    for key in address ipv6; do
      setting_of "$name" "$key"
      [[ -z $VALUE ]] || ! contains "$VALUE" "$LOGIN_TO" || return 0
    done
  done
  refuse "tcp $LOGIN_PORT is the port of this host's SSH, by which this login to $LOGIN_TO came: it" \
    "would be the last; choose another public port, or move SSH to another; nothing was changed"
}

# check_tunnels_ports: those at which tunnels on this host listen, and which their forwards have
check_tunnels_ports() {
  local name port
  find_tunnels
  for name in "${TUNNELS[@]}"; do
    setting_of "$name" listen-port
    port=$VALUE
    if [[ -n $port ]] && takes udp "$port" "$port"; then
      owner_of "$name"
      refuse "udp $port is the port at which the tunnel $name of the stack ${VALUE:-(unknown)}" \
        "listens on this host: choose another public port; nothing was changed"
    fi
    if find_their_forward "$name"; then
      owner_of "$name"
      refuse "$THEIRS of the tunnel $name, which belongs to the stack ${VALUE:-(unknown)}:" \
        "choose another public port, or remove that one there; nothing was changed"
    fi
  done
}

# check_listen_port: that no other tunnel's forward takes WireGuard's own packets
check_listen_port() {
  local name
  PROTOS=udp PORT=${SETTING[listen_port]} PORT_END=$PORT
  find_tunnels
  for name in "${TUNNELS[@]}"; do
    find_their_forward "$name" || continue
    owner_of "$name"
    refuse "network.listenPort: $THEIRS of the tunnel $name, which belongs to the stack" \
      "${VALUE:-(unknown)}: choose another port, or remove that one there; nothing was changed"
  done
}

THEIRS= # another tunnel's forward, in words

# find_their_forward TUNNEL: another one, which translates what comes in by the same interface, into THEIRS;
# false if none has a port of the forward that was parsed
find_their_forward() {
  local file text proto ports
  [[ $1 != "$IFACE" ]] || return 1
  setting_of "$1" public-interface
  [[ $VALUE != auto || ! -r $ETC/$1/public-interface ]] || read -r VALUE <"$ETC/$1/public-interface"
  [[ $VALUE == "$PUBLIC" ]] || return 1
  for file in "$ETC/$1/forwards.d"/*; do
    [[ -r $file ]] || continue
    IFS= read -r -d '' text <"$file" || true
    [[ $text =~ ^(tcp|udp|tcp\+udp)\ ([0-9]+)(-[0-9]+)?\  ]] || continue
    proto=${BASH_REMATCH[1]} ports=${BASH_REMATCH[2]}${BASH_REMATCH[3]}
    [[ $text != *$'\n'paused$'\n'* ]] || continue
    for proto in ${proto//+/ }; do
      takes "$proto" "${ports%-*}" "${ports#*-}" || continue
      THEIRS="$proto $ports is taken by the forward ${file##*/}"
      return 0
    done
  done
  return 1
}
