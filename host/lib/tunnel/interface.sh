# Interface: set up once as a unit of wg-quick, then changed live, never by down and up.

readonly START_WAIT=60 # seconds; a name server may be slow, wg-quick would wait for it forever

verb_interface() {
  local old_role old_endpoint old_key
  local -a lines
  DOING=interface
  read_lines
  lines=("${LINES[@]}")
  parse_settings "${lines[@]}" || refuse "$WRONG"
  if [[ ${SETTING[role]} == server ]]; then check_endpoint; fi
  need_lock helper
  check_owner "${SETTING[owner]}"
  SETTING=()
  if load_settings; then finish_interrupted; fi
  old_role=${SETTING[role]-} old_endpoint=${SETTING[peer_endpoint]-} old_key=${SETTING[peer_public_key]-}
  parse_settings "${lines[@]}" || refuse "$WRONG"
  [[ -z $old_role || $old_role == "${SETTING[role]}" ]] ||
    refuse "$IFACE on this host is a $old_role's already: one host cannot be both in one tunnel"
  has_own_key || refuse "this host has no private key yet: run 'pulumi up'"
  close_files
  check_neighbours
  find_public_interface
  check_public_interface
  [[ -z ${SETTING[listen_port]-} ]] || check_listen_port
  [[ -z ${SETTING[ipv6]-} ]] || can_ipv6 ||
    say "this host has no IPv6, or has it switched off: its part of the tunnel is of IPv4 alone"
  # Failing to start for the first time leaves the host without an interface, as it was.
  [[ -n $old_role ]] || tunnel_is_up || undo_by forget_interface
  [[ ${SETTING[role]} == vps ]] || choose_mark
  make_folder "$OWN/forwards.d" "$OWN/peers.d"
  [[ ${SETTING[role]} == vps ]] || keep_former vps "$old_key" "${SETTING[peer_public_key]}" ""
  settings_text
  write_file "$OWN/settings" "$TEXT"
  step wrote-settings
  write_conf
  step wrote-conf
  if tunnel_is_up; then
    # Before WireGuard's packets lose their mark: the tunnel would be led into itself, and the VPS be told
    # to answer there, until the next keepalive.
    [[ ${SETTING[role]} == vps || ${SETTING[egress]-} == tunnel ]] || by_family remove_egress
    if [[ ${SETTING[peer_endpoint]-} == "$old_endpoint" ]]; then sync_wireguard; else sync_wireguard anew; fi
    sync_link
    bring_up
  fi
  write_drop_in
  unlock
  start_unit
  tell_other_firewalls
}

# close_files: to all but root, whoever has opened them
close_files() {
  local -a files=("$OWN" "$HELPER")
  [[ ! -e $CONF ]] || ! conf_is_ours || files+=("$CONF")
  chown -R root: "${files[@]}"
  chmod -R go= "${files[@]}"
}

# check_endpoint: said here in plain words, before wg says it in its own. Not where a way out is given up, which
# the VPS has ended by now, and the name server may be behind it.
check_endpoint() {
  local host=${SETTING[peer_endpoint]%:*}
  if grep -qsx "egress tunnel" "$OWN/settings" &&
    grep -qsxF "peer-endpoint ${SETTING[peer_endpoint]}" "$OWN/settings"; then return; fi
  is_address "$host" || getent ahostsv4 "$host" >/dev/null ||
    refuse "this host cannot resolve $host, the VPS's endpoint:" \
      "correct vps.endpoint or this host's name server; nothing was changed"
}

# start_unit: at every boot, and now. Without the lock, which the unit's PostUp takes. Whether it starts at boot
# is read at boot: systemd does not read all units of the host anew for it, seconds on a small VPS.
start_unit() {
  local said
  said=$(systemctl enable --quiet --no-reload "$UNIT" 2>&1) || fail "could not enable $UNIT: ${said//$'\n'/; }"
  step enabled-unit
  # Not start: the unit may count as running although its interface was deleted.
  if ! tunnel_is_up || start_hangs; then
    said=$(timeout "$START_WAIT" systemctl restart "$UNIT" 2>&1) ||
      fail "$UNIT did not start: ${said//$'\n'/; } ($(unit_log))$(selinux_words)"
    step started-unit
  fi
}

# start_hangs: whether the unit is still starting although the tunnel is there: wg-quick waits for a name
# server, with the file as it was. Another start may only have waited for this run's lock, and have it by now,
# for long where there are many forwards.
start_hangs() {
  local n
  for ((n = 0; n < 25; n++)); do
    [[ $(systemctl is-active "$UNIT") == activating ]] || return 1
    sleep 0.2
    ! lock || unlock
  done
}

unit_log() {
  journalctl --unit "$UNIT" --lines 12 --output cat --no-pager 2>/dev/null | without_keys |
    tr '\n' ';'
}

forget_interface() {
  systemctl disable --quiet --no-reload --now "$UNIT" 2>/dev/null || true
  systemctl reset-failed --quiet "$UNIT" 2>/dev/null || true
  rm -f "$OWN"/{settings,mark,public-interface,line-address,line-address-ipv6,socket-match,changed,endpoints}
  [[ ! -e $CONF ]] || ! conf_is_ours || rm -f "$CONF"
  remove_drop_in
}
