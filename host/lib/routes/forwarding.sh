# Forwarding: whether this host passes on packets that come in by an interface.
#
# Of IPv4 not net.ipv4.ip_forward: the kernel asks the incoming interface's own switch, and the global
# one would open every interface and change accept_redirects with it. So at the end nobody has to
# guess who else needs ip_forward by then: if it is on, another program (Docker) or a person set it.

readonly SYSCTL=/proc/sys/net/ipv4 SYSCTL6=/proc/sys/net/ipv6

# allow_forwarding INTERFACE...: by them, and by the tunnel, whose switch goes with it
allow_forwarding() {
  local name before=''
  # They may have become others.
  [[ ! -e $RUN/$IFACE.up || $(<"$RUN/$IFACE.up") == "$*" ]] || restore_forwarding
  (($#)) || return 0
  make_folder "$RUN"
  for name in "$@"; do
    # At boot it may come later than the tunnel.
    [[ -e $SYSCTL/conf/$name ]] || continue
    read -r before <"$SYSCTL/conf/$name/forwarding"
    # Another tunnel, or this one before it was killed, has noted what was there before. Who had it on then
    # may have switched it off since.
    [[ -e $RUN/$name.forwarding && ($before != 0 || $(<"$RUN/$name.forwarding") == 0) ]] ||
      write_file "$RUN/$name.forwarding" "$before"
  done
  renew_file "$RUN/$IFACE.up" "$*"
  step noted-forwarding
  for name in "$@" "$IFACE"; do
    [[ ! -e $SYSCTL/conf/$name ]] || set_sysctl "conf/$name/forwarding" 1
  done
}

# keep_forwarding: as it was allowed, by interfaces that were made anew meanwhile or have only just come, too
keep_forwarding() {
  local -a names
  [[ ! -e $RUN/$IFACE.up6 ]] || allow_ipv6_forwarding
  [[ -r $RUN/$IFACE.up ]] || return 0
  read -ra names <"$RUN/$IFACE.up" || true
  allow_forwarding "${names[@]}"
}

# forwards_by_us INTERFACE: whether nobody else wants it to
forwards_by_us() {
  local file
  # It may come later than the tunnel.
  [[ -e $SYSCTL/conf/$1 ]] || return 0
  for file in "$RUN/$1.forwarding" "$SYSCTL/conf/$1/forwarding"; do
    [[ ! -e $file || $(<"$file") != 0 ]] || return 0
  done
  return 1
}

# forwards_for_nobody_else INTERFACE: whether what comes in there is passed on for us alone. Of IPv6 that can't
# be known: who wants it, and finds the host's switch on, may leave it at that.
forwards_for_nobody_else() {
  ((FAMILY == 4)) && forwards_by_us "$1" && [[ $(<"$SYSCTL/ip_forward") == 0 ]]
}

# restore_forwarding: as it was, where no other tunnel needs it
restore_forwarding() {
  local name names user
  find_users up
  if [[ -e $RUN/$IFACE.up ]]; then
    read -ra names <"$RUN/$IFACE.up" || true
    for name in "${names[@]}"; do
      for user in "${USERS[@]}"; do
        [[ " $(<"$RUN/$user.up") " != *" $name "* ]] || continue 2
      done
      restore_forwarding_by "$name"
    done
    [[ ! -e $SYSCTL/conf/$IFACE || $(<$SYSCTL/ip_forward) != 0 ]] || set_sysctl "conf/$IFACE/forwarding" 0
    rm -f "$RUN/$IFACE.up"
  fi
  # Of a run that was killed before it had noted for whom.
  ((${#USERS[@]})) || rm -f "$RUN"/*.forwarding
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

# IPv6 has no such switch of each interface: there a packet is passed on if the host's own is on. With
# it the kernel sets that of every interface and of those to come, which make routers of them and say
# nothing about passing on; so these are put back at once to what they were. Then it shows at the end
# whether another program has switched it on meanwhile: the one of interfaces to come is on, too.

readonly NOTE6=$RUN/forwarding6     # lines "INTERFACE VALUE" as they were; "all" is the host's own
readonly SWITCHING6=$RUN/switching6 # there while they are not yet put back

# allow_ipv6_forwarding: by this host
allow_ipv6_forwarding() {
  local file name text=''
  make_folder "$RUN"
  [[ -e $RUN/$IFACE.up6 ]] || write_file "$RUN/$IFACE.up6" ''
  [[ $(<"$SYSCTL6/conf/all/forwarding") == 0 || -e $SWITCHING6 ]] || return 0
  keep_advertised_routes
  if [[ ! -e $NOTE6 ]]; then
    for file in "$SYSCTL6"/conf/*/forwarding; do
      name=${file%/forwarding}
      text+="${name##*/} $(<"$file")"$'\n'
    done
    write_file "$NOTE6" "$text"
  fi
  step noted-ipv6-forwarding
  switch_ipv6_forwarding 1
}

# switch_ipv6_forwarding 0|1: the host's own switch alone, by the note
switch_ipv6_forwarding() {
  local name before
  write_file "$SWITCHING6" ''
  set_switch "$SYSCTL6/conf/all/forwarding" "$1"
  step switched-ipv6-forwarding
  while read -r name before; do
    [[ $name == all || ! -e $SYSCTL6/conf/$name ]] || set_switch "$SYSCTL6/conf/$name/forwarding" "$before"
  done <"$NOTE6"
  rm -f "$SWITCHING6"
}

# keep_advertised_routes: a router takes no default route from another, and loses those that it has;
# unless accept_ra is 2. 0 means that nobody, or a program of its own, sees to them.
keep_advertised_routes() {
  local name
  for name in "$PUBLIC" $(advertised_by); do
    [[ $(<"$SYSCTL6/conf/$name/accept_ra") == 1 ]] || continue
    write_file "$RUN/$name.accept_ra" 1
    step noted-accept-ra
    set_switch "$SYSCTL6/conf/$name/accept_ra" 2
  done
}

# advertised_by: the interfaces by which a default route was advertised
advertised_by() { ip -6 route show default proto ra | sed -n 's/.* dev \([^ ]*\).*/\1/p' | sort -u; }

# restore_ipv6_forwarding: as it was, where no other tunnel and no other program needs it
restore_ipv6_forwarding() {
  local record name before=0
  [[ -e $RUN/$IFACE.up6 ]] || return 0
  find_users up6
  if ((${#USERS[@]})); then
    rm -f "$RUN/$IFACE.up6"
    return 0
  fi
  if [[ -e $NOTE6 ]]; then
    while read -r name before; do
      [[ $name != default ]] || break
    done <"$NOTE6"
    [[ ! -e $SWITCHING6 && $(<"$SYSCTL6/conf/default/forwarding") != "$before" ]] ||
      switch_ipv6_forwarding 0
  fi
  step restored-ipv6-forwarding
  for record in "$RUN"/*.accept_ra; do
    name=${record##*/} name=${name%.accept_ra}
    # A router still, by somebody else: it needs it still. Or it is another program's by now.
    [[ ! -e $record || ! -e $SYSCTL6/conf/$name || $(<"$SYSCTL6/conf/$name/forwarding") != 0 ]] ||
      [[ $(<"$SYSCTL6/conf/$name/accept_ra") != 2 ]] || echo 1 >"$SYSCTL6/conf/$name/accept_ra"
    rm -f "$record"
  done
  rm -f "$NOTE6" "$RUN/$IFACE.up6"
  rmdir "$RUN" 2>/dev/null || true
}

# set_sysctl NAME VALUE: of IPv4
set_sysctl() { set_switch "$SYSCTL/$1" "$2"; }

# set_switch FILE VALUE: unless it has that already, as where nobody may set it
set_switch() {
  local now
  read -r now <"$1"
  [[ $now == "$2" ]] || echo "$2" 2>/dev/null >"$1" ||
    fail "could not set $1 to $2: on a VPS of the container kind, ask its provider"
}
