# Uninstall: everything of this tunnel, the helper last, so that a killed run can be run again.

# verb_uninstall [OWNER [CLAIMANT [TENANCY]]]: unless another stack has it by now, or this one by another
# name, or once more: on a rename the new one is made before the old one is deleted, and so it is where a host
# is left and come back to. Programs of before there were claimants name none; they have lost a host that has
# one since. Those of before there were tenancies have not; nor has one whose helper never came.
verb_uninstall() {
  DOING=uninstall
  may_go "$@" || return 0
  if comes_by_tunnel && uninstall_later "$@"; then return 0; fi
  stop_unit
  if lock; then
    step stopped-unit
    # Somebody may have come meanwhile, who shall find the tunnel as it was.
    if ! may_go "$@"; then
      unlock
      ! load_settings || start_unit
      return 0
    fi
    load_settings || true
    take_down
    step took-down
    remove_firewall
    remove_metrics
    ((${#SETTING[@]} == 0)) || retire_all_flows
    # Without this helper nobody could. But where it has been told that all is well, nobody would come again.
    [[ -z $RULES_LEFT ]] || systemctl is-active --quiet "$LATER" || exit 1
    forget_backends 4 6
    remove_files
    unlock
  fi
  tell_other_firewalls
}

# may_go [OWNER [CLAIMANT [TENANCY]]]: whether it is theirs still; else it is said whose it is
may_go() {
  local owner=${1-} claimant=${2-} tenancy=${3-} now='' since='' former=''
  [[ -n $owner ]] || return 0
  owner_of "$IFACE"
  [[ ! -r $OWN/claimant ]] || read -r now since former <"$OWN/claimant" || true
  if [[ -n $VALUE && $VALUE != "$owner" ]]; then
    say "$IFACE on this host belongs to the stack $VALUE: nothing was removed"
  elif [[ -n $now && $now != "$claimant" ]]; then
    say "$IFACE on this host is $now by now, and not ${claimant:-an older one}: nothing was removed"
  elif [[ -n $tenancy && " $former " == *" $tenancy "* ]]; then
    say "$IFACE on this host was left, and is $now once more by now: nothing was removed"
  else
    return 0
  fi
  return 1
}

# comes_by_tunnel: whether this login does, which then ends with it: from a peer, to whatever address of
# this host, or by a forward to this host's address in the tunnel
comes_by_tunnel() {
  load_settings || return 1
  find_login
  [[ -n $LOGIN_TO ]] && { is_inside "$LOGIN_FROM" || is_inside "$LOGIN_TO"; }
}

readonly LATER=reverse-tunnel-$IFACE-uninstall.service

# uninstall_later OWNER CLAIMANT TENANCY: when this login has heard that all is well and has ended; what it
# hears may be lost on the way, and be sent again, once or twice. Again if that is killed or fails, since nobody
# else would come; unless nothing of the helper is left.
uninstall_later() {
  [[ $(systemctl is-active "$LATER") != @(active|activating) ]] || return 0
  # shellcheck disable=SC2016
  systemd-run --quiet --collect --unit="$LATER" --description="Tunnel $IFACE: is taken away" \
    --property=Restart=on-failure --property=RestartSec=5 \
    --property=StartLimitIntervalSec=600 --property=StartLimitBurst=20 \
    bash -c 'timeout 10 tail --pid="$0" -f /dev/null; sleep 5; [[ ! -x $1 ]] || exec "$@"' \
    "$PPID" "$HELPER" "$PROTOCOL" uninstall "$@" >/dev/null 2>&1
}

# stop_unit: whatever state it is in. Without the lock, which its PreDown takes.
stop_unit() {
  # Only ours: a file of the same name may be somebody's own tunnel. Somebody may have removed it.
  if [[ -e $CONF ]]; then conf_is_ours || return 0; else [[ -e $OWN/owner ]] || return 0; fi
  systemctl disable --quiet --no-reload "$UNIT" 2>/dev/null || true
  step disabled-unit
  systemctl stop "$UNIT" 2>/dev/null || true
  systemctl reset-failed "$UNIT" 2>/dev/null || true
  # It may have been started by hand, or have been killed half-way.
  ! tunnel_is_up || ip link del "$IFACE" 2>/dev/null || true
}

# remove_files: with the helper last, by which a killed run is run again
remove_files() {
  [[ ! -e $CONF ]] || ! conf_is_ours || rm -f "$CONF"
  rm -f "$WIREGUARD/.$IFACE.conf.new"
  step removed-conf
  remove_drop_in
  rm -rf "${OWN:?}"
  rmdir "$ETC" 2>/dev/null || true
  step removed-settings
  rm -rf "${LIB:?}/${IFACE:?}"
  rmdir "$LIB" 2>/dev/null || true
}
