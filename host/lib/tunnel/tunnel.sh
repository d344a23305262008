# The tunnel: what comes and goes with the interface. wg-quick calls up and down (PostUp, PreDown).

verb_up() {
  DOING=up
  need_lock helper
  need_settings
  undo_by take_down
  use_own_key
  by_family sync_address
  bring_up
  # A run may have been killed between the rules and this.
  by_family retire_untranslated
  if [[ ${SETTING[role]} == vps ]]; then
    call_peers
  else
    dial_by_ipv4
  fi
}

# bring_up: the kernel to what the files say. Nothing changes where it is so already.
bring_up() {
  local line=${LINE[*]}
  find_public_interface
  if [[ ${SETTING[role]} == server ]]; then
    load_line_address
    line=${LINE[*]}
    by_family find_line_address
  fi
  find_socket_match
  load_forwards
  # The rules keep others out: before anything is passed on.
  sync_rules
  step synced-rules
  [[ ${LINE[*]} == "$line" ]] || by_family retire_udp
  if [[ ${SETTING[role]} == vps ]]; then
    bring_firewall
    load_peers
    sync_peer_routes
    allow_forwarding "$PUBLIC"
    allow_accounting
    ((${#FAMILIES[@]} == 1)) || allow_ipv6_forwarding
  else
    add_routes
    find_behind
    allow_forwarding "${INTERFACES_BEHIND[@]}"
  fi
  ((${#FAMILIES[@]} == 2)) || drop_ipv6
  step opened
  finish_interrupted
  start_watcher
  start_unfinished
}

# drop_ipv6: what the tunnel had of it, if its stack had it until now
drop_ipv6() {
  [[ -e /proc/net/if_inet6 ]] || return 0
  # Whatever it is that this host lacks, nothing is lost.
  (remove_rules 6) 2>/dev/null || true
  remove_routes 6
  ip -6 route flush dev "$IFACE" proto "$ROUTES_OURS" 2>/dev/null || true
  restore_ipv6_forwarding
}

verb_down() {
  DOING=down
  lock || return 0
  # wg-quick would leave the interface up on an error: say it, go on.
  if load_settings && [[ ${SETTING[role]} == vps ]]; then
    (note_endpoints) || true
  fi
  take_down
}

RULES_LEFT= # or yes: take_down could not remove all of them, and has said why

# take_down: best effort, each part for itself
take_down() {
  local family
  RULES_LEFT=
  stop_watcher
  stop_beside
  rm -rf "$QUEUE"
  # What a killed run has staged there, of whatever tunnel: nobody else has the lock.
  rm -f "$RUN"/.*.new
  for family in 4 6; do
    # A host that can't have any may fail, too.
    (remove_rules "$family") || [[ ! -e ${BACKENDS[$family]} ]] || RULES_LEFT=yes
  done
  step removed-rules
  (restore_accounting) || true
  (restore_forwarding) || true
  (restore_ipv6_forwarding) || true
  step restored
  load_mark
  remove_routes 4 6 || true
}
