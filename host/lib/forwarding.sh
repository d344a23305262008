# Forwarding: whether this host passes on packets that come in by an interface.
#
# Not net.ipv4.ip_forward: the kernel asks the incoming interface's own switch, and the global one
# would open every interface and change accept_redirects with it. So at the end nobody has to guess
# who else needs ip_forward by then: if it is on, another program (Docker) or a person set it.

readonly SYSCTL=/proc/sys/net/ipv4

# allow_forwarding INTERFACE...: by them, and by the tunnel, whose switch goes with it
allow_forwarding() {
  local name before=''
  # They may have become others.
  [[ ! -e $RUN/$IFACE.up || $(<"$RUN/$IFACE.up") == "$*" ]] || restore_forwarding
  (($#)) || return 0
  make_folder "$RUN"
  for name in "$@"; do
    read -r before <"$SYSCTL/conf/$name/forwarding"
    # Another tunnel, or this one before it was killed, has noted what was there before.
    [[ -e $RUN/$name.forwarding ]] || write_file "$RUN/$name.forwarding" "$before"
  done
  write_file "$RUN/$IFACE.up" "$*"
  step noted-forwarding
  for name in "$@" "$IFACE"; do
    set_sysctl "conf/$name/forwarding" 1
  done
}

# keep_forwarding: as it was allowed, by interfaces that were made anew meanwhile, too
keep_forwarding() {
  local name
  local -a names
  [[ -r $RUN/$IFACE.up ]] || return 0
  read -ra names <"$RUN/$IFACE.up" || true
  for name in "${names[@]}" "$IFACE"; do
    [[ ! -e $SYSCTL/conf/$name ]] || set_sysctl "conf/$name/forwarding" 1
  done
}

# forwards_by_us INTERFACE: whether nobody else wants it to
forwards_by_us() {
  local before
  if [[ -e $RUN/$1.forwarding ]]; then
    before=$(<"$RUN/$1.forwarding")
  else
    before=$(<"$SYSCTL/conf/$1/forwarding")
  fi
  [[ $before == 0 ]]
}

# restore_forwarding: as it was, where no other tunnel needs it
restore_forwarding() {
  local name names other user
  [[ -e $RUN/$IFACE.up ]] || return 0
  read -ra names <"$RUN/$IFACE.up" || true
  for name in "${names[@]}"; do
    for other in "$RUN"/*.up; do
      user=${other##*/} user=${user%.up}
      [[ $user != "$IFACE" && -e /sys/class/net/$user ]] || continue
      [[ " $(<"$other") " != *" $name "* ]] || continue 2
    done
    restore_forwarding_by "$name"
  done
  [[ ! -e $SYSCTL/conf/$IFACE || $(<$SYSCTL/ip_forward) != 0 ]] || set_sysctl "conf/$IFACE/forwarding" 0
  rm -f "$RUN/$IFACE.up"
  rmdir "$RUN" 2>/dev/null || true
}

restore_forwarding_by() {
  local record=$RUN/$1.forwarding before
  [[ -r $record ]] || return 0
  read -r before <"$record" || true
  # Where the global switch is on by now, it is somebody's, and rules over the interface's own.
  if [[ ${before:-1} == 0 && $(<$SYSCTL/ip_forward) == 0 ]]; then
    [[ ! -e $SYSCTL/conf/$1 ]] || set_sysctl "conf/$1/forwarding" 0
  fi
  step restored-forwarding
  rm -f "$record"
}

# set_sysctl NAME VALUE
set_sysctl() {
  local now
  read -r now <"$SYSCTL/$1"
  [[ $now == "$2" ]] || echo "$2" 2>/dev/null >"$SYSCTL/$1" ||
    fail "could not set $SYSCTL/$1 to $2: on a VPS of the container kind, ask its provider"
}
