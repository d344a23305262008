# The firewall: what may come in to this VPS, and from peer to peer, if the stack asks for one.
#
# A new one is on trial for a minute, then it is taken back, unless another login has kept it: so
# nobody is locked out. The kept one is a file like all others. The one on trial lies in /run: a
# reboot takes it back, and a full disk does not matter. Once its time is over it counts for nothing
# and is removed by whoever comes first: a timer, or the next run.
#
# It comes with the tunnel at boot, but stays when the tunnel goes down: a VPS that opens up because
# its tunnel is restarted would be a surprise. Only remove-firewall and uninstall take it away.

readonly KEPT=$OWN/firewall
readonly TRIAL=$RUN/$IFACE.firewall
readonly GIVEN_FIREWALL=$OWN/firewall.given # what tells the one that the stack gave from others, and no more
TRIAL_TIME=${RT_FIREWALL_WAIT-60}           # seconds; other than 60 in tests
readonly TRIAL_TIME
readonly PATIENCE=10 # seconds that taking back waits for the lock, before it opens the way without

FIREWALL= # "default-deny", and lines of what peers may

# parse_firewall LINE...: false with what is wrong in WRONG
parse_firewall() {
  local line source
  WRONG="its first line must be default-deny"
  [[ ${1-} == default-deny ]] || return 1
  shift
  for line in "$@"; do
    WRONG="line '$line' is not known to this helper (version $HELPER_VERSION)"
    parse_allow "$line" || return 1
    WRONG="'$line': protocol any has no ports"
    [[ $PROTOCOLS != any || -z $DPORTS ]] || return 1
    WRONG="'$line': ports are 1-65535, a range from the lower to the higher"
    [[ -z $DPORTS ]] || parse_ports "$DPORTS" || return 1
    for source in ${SOURCES//,/ } "$DESTINATION"; do
      WRONG="'$line': $source is not an address, or not of the others' family"
      if [[ $DESTINATION == *:* ]]; then is_ipv6 "$source"; else is_address "$source"; fi || return 1
    done
  done
}

# parse_allow LINE: "allow mount tcp 172.16.0.10 -> 172.16.0.4:445", or the same with the addresses of
# IPv6, "-> [fd5c:91e2:7a3b::4]:445", into PROTOCOLS, SOURCES, DESTINATION and DPORTS; false if it is
# no such line
parse_allow() {
  local words='^allow [A-Za-z0-9][A-Za-z0-9_-]* (any|tcp|udp|tcp\+udp) ([0-9a-f.:]+(,[0-9a-f.:]+)*) -> '
  words+='([0-9.]+|\[[0-9a-f:]+\])(:([0-9]+(-[0-9]+)?))?$'
  [[ $1 =~ $words ]] || return 1
  PROTOCOLS=${BASH_REMATCH[1]} SOURCES=${BASH_REMATCH[2]}
  DESTINATION=${BASH_REMATCH[4]} DPORTS=${BASH_REMATCH[6]}
  DESTINATION=${DESTINATION//[][]/}
}

# read_firewall FILE: into FIREWALL, SSH_PORTS and, of one on trial, UNTIL TRIAL_SINCE TIMER
read_firewall() {
  local line
  FIREWALL='' SSH_PORTS=() UNTIL=0 TRIAL_SINCE='' TIMER=''
  [[ -s $1 ]] || return 1
  read_lines <"$1"
  for line in "${LINES[@]}"; do
    case $line in
      "ssh-port "*) SSH_PORTS+=("${line#* }") ;;
      "until "*) UNTIL=${line#* } ;;
      "since "*) TRIAL_SINCE=${line#* } ;;
      "timer "*) TIMER=${line#* } ;;
      *) FIREWALL+=$line$'\n' ;;
    esac
  done
}

# firewall_text [LINE...]: FIREWALL and SSH_PORTS as a file's lines, after others, into TEXT
firewall_text() {
  printf -v TEXT '%s\n' "$@" "${SSH_PORTS[@]/#/ssh-port }"
  TEXT+=$FIREWALL
}

write_trial() {
  make_folder "$RUN"
  firewall_text "until $UNTIL" "timer $TIMER" ${TRIAL_SINCE:+"since $TRIAL_SINCE"}
  write_file "$TRIAL" "$TEXT"
}

# load_trial: false if there is none, or its time is over
load_trial() {
  read_firewall "$TRIAL" || return 1
  now
  # A damaged file is over, too.
  [[ $UNTIL =~ ^[1-9][0-9]*$ ]] && ((NOW < UNTIL))
}

# load_firewall [without-trial]: the one that counts, on trial or kept, into FIREWALL and SSH_PORTS; false if
# there is none, or with what is wrong with it in WRONG
load_firewall() {
  local -a lines
  WRONG=
  { [[ ${1-} != without-trial ]] && load_trial; } || read_firewall "$KEPT" || return 1
  mapfile -t lines <<<"${FIREWALL%$'\n'}"
  parse_firewall "${lines[@]}" || return 1
  find_ssh_ports
}

# find_firewall: whether there is one, into VALUE: none, pending (on trial) or kept
find_firewall() {
  VALUE=none
  ! read_firewall "$KEPT" || VALUE=kept
  ! load_trial || VALUE=pending
}

# note_firewall TEXT: that it was given. A full disk is no reason not to put it on trial.
note_firewall() {
  local digest
  digest=$(digest_of "$1")
  (renew_file "$GIVEN_FIREWALL" "$digest"$'\n') 2>/dev/null || true
}

# is_taken_back: whether the kept firewall is not the one that was given last, and that is on trial no more. A
# host of before has no note of what it was given.
is_taken_back() {
  [[ -s $GIVEN_FIREWALL ]] && ! load_trial && read_firewall "$KEPT" || return 1
  [[ $(<"$GIVEN_FIREWALL") != "$(digest_of "$FIREWALL")" ]]
}

bring_firewall() {
  sync_firewall || fail "the firewall could not be put into force: ${SAID//$'\n'/; }"
  [[ $WAS_OPEN == yes ]] || return 0
  end_strangers_flows
  end_peers_flows
}

# sync_firewall [without-trial]: the kernel to the firewall on trial, or the kept one, or none;
# false with why in SAID
sync_firewall() {
  if load_firewall "$@"; then
    sync_guards
    return
  fi
  # A damaged file must not keep the whole tunnel down, or anybody out.
  [[ -z $WRONG ]] ||
    say "the firewall is left out: $WRONG; set vps.firewall to none, run 'pulumi up', set it again"
  remove_guards
}

verb_put_firewall() {
  local text before
  DOING=put-firewall
  read_lines
  parse_firewall "${LINES[@]}" || refuse "$WRONG; nothing was changed"
  printf -v text '%s\n' "${LINES[@]}"
  need_lock tunnel
  need_settings
  need_vps "the firewall belongs"
  finish_interrupted
  rm -f "$RUN/.${TRIAL##*/}.new"
  read_firewall "$KEPT" || true
  find_login
  if [[ $FIREWALL == "$text" ]]; then
    note_firewall "$text"
    drop_left_ports
    end_trial
    # Rules that somebody has changed are put right without a trial: it would end with the same.
    bring_firewall
    return
  fi
  SSH_PORTS=()
  find_ssh_ports
  ((${#SSH_PORTS[@]})) ||
    refuse "no SSH server is found on this host (see 'ss -ltnp'): nobody could log in any more;" \
      "nothing was changed"
  FIREWALL=$text
  login_stays_allowed
  check_guards
  note_firewall "$text"
  step noted-firewall
  undo_by end_trial
  before=$(read_firewall "$TRIAL" && echo "$TIMER") || before=
  now
  UNTIL=$((NOW + TRIAL_TIME * TICKS)) TRIAL_SINCE=''
  # First of all, so that a run that is killed at any later point is taken back.
  set_timer
  step set-timer
  write_trial
  step wrote-trial
  # The one before let others in, or a run was killed before it had ended their flows.
  WAS_OPEN=yes
  bring_firewall
  # A login counts if it comes later than this.
  now
  TRIAL_SINCE=$NOW
  write_trial
  TIMER=$before
  forget_timer
}

# drop_left_ports: out of the kept firewall, which was read, go those that sshd has left, whatever may listen
# there by now: once this login has come by one that sshd has, and not before. One by the tunnel shows nothing:
# `allow` lets it in.
drop_left_ports() {
  ! is_inside "$LOGIN_TO" || return 0
  SSH_PORTS=()
  LOGIN_PORT='' find_ssh_ports
  [[ -n $LOGIN_PORT && " ${SSH_PORTS[*]} " == *" $LOGIN_PORT "* ]] || return 0
  firewall_text
  renew_file "$KEPT" "$TEXT"
  step dropped-ports
}

# login_stays_allowed: a login by the tunnel comes from a peer, whom FIREWALL must let in
login_stays_allowed() {
  local line source
  [[ -n $LOGIN_TO ]] && is_inside "$LOGIN_TO" || return 0
  while IFS= read -r line; do
    parse_allow "$line" && [[ ,$SOURCES, == *",$LOGIN_FROM,"* && $DESTINATION == "$LOGIN_TO" ]] ||
      continue
    [[ $PROTOCOLS == any || $PROTOCOLS == tcp* ]] || continue
    [[ -z $DPORTS ]] || ((${DPORTS%-*} <= LOGIN_PORT && LOGIN_PORT <= ${DPORTS#*-})) || continue
    return 0
  done <<<"$FIREWALL"
  refuse "this login came through the tunnel, from $LOGIN_FROM, which the firewall keeps out:" \
    "let it in with vps.allow (to: vps, protocol: tcp, port: $LOGIN_PORT), or set vps.ssh.host to" \
    "the public address; nothing was changed"
}

# end_peers_flows: what peers had open among each other and with this host is judged anew
end_peers_flows() { by_family end_family_flows; }

end_family_flows() {
  delete_flows --orig-src "$NETWORK" --orig-dst "$NETWORK"
}

verb_confirm_firewall() {
  local text
  DOING=confirm-firewall
  read_lines
  printf -v text '%s\n' "${LINES[@]}"
  need_lock tunnel
  need_settings
  finish_interrupted
  if ! load_trial; then
    end_trial
    read_firewall "$KEPT" || true
    [[ $FIREWALL != "$text" ]] || return 0
    refuse "the firewall was taken back: no new login came through in $TRIAL_TIME s, or the VPS" \
      "was restarted meanwhile. See that vps.ssh.host and vps.ssh.port lead to an SSH server of" \
      "the VPS itself ('ss -ltnp' there), and run 'pulumi up' again. With lookUp: false set" \
      "vps.firewall to none, run 'pulumi up', set it again, run 'pulumi up'"
  fi
  [[ $FIREWALL == "$text" ]] ||
    refuse "another firewall than this is on trial, and will be taken back: set vps.firewall to" \
      "none, run 'pulumi up', set it again, run 'pulumi up'"
  find_login
  [[ -n $LOGIN_BEGAN ]] ||
    refuse "this run did not come by a login over the network, which would prove that one gets in"
  { [[ -n $TRIAL_SINCE ]] && ((LOGIN_BEGAN >= TRIAL_SINCE)); } ||
    refuse "this login is older than the firewall, and does not prove that one still gets in:" \
      "log in anew"
  firewall_text
  write_file "$KEPT" "$TEXT"
  step kept-firewall
  end_trial
}

# end_trial: the kernel to the kept firewall, or none. The trial's file goes last: as long as it is
# there a killed run is made up for.
end_trial() {
  local timer=
  ! read_firewall "$TRIAL" || timer=$TIMER
  sync_firewall without-trial || unhook_guards
  step ended-trial
  rm -f "$TRIAL" "$RUN/.${TRIAL##*/}.new"
  step removed-trial
  rmdir "$RUN" 2>/dev/null || true
  TIMER=$timer
  forget_timer
}

# set_timer: in a while the trial is taken back, by a process outside of this login, into TIMER
set_timer() {
  local unit=reverse-tunnel-$IFACE-firewall-$NOW words
  # Until it is done; nothing is left to do where the helper is gone. The unit is begun anew where the kernel has
  # killed anything of it, for want of memory: systemd then ends all of it.
  # shellcheck disable=SC2016
  words='while [ -x "$0" ] && ! "$0" 1 revert-firewall; do sleep 1; done'
  if timeout 10 systemd-run --quiet --collect --unit="$unit" --on-active="$TRIAL_TIME" \
    --timer-property=AccuracySec=100ms --property=Restart=on-failure --property=RestartSec=1 \
    --property=StartLimitIntervalSec=0 bash -c "$words" "$HELPER" >/dev/null 2>&1 &&
    systemctl is-active --quiet "$unit.timer"; then
    TIMER=$unit.timer
    return
  fi
  (
    unlock
    exec setsid bash -c "sleep $TRIAL_TIME; $words" "$HELPER" </dev/null >/dev/null 2>&1
  ) &
  read_process "$!" ||
    fail "no process could be started to take the firewall back: see 'free' and 'ulimit -u' there"
  TIMER="process $! $BEGAN"
}

# forget_timer: TIMER has nothing left to do
forget_timer() {
  local word pid began
  [[ $TIMER != *.timer ]] || systemctl stop "$TIMER" 2>/dev/null || true
  read -r word pid began <<<"$TIMER"
  TIMER=
  # Itself called by it, or the number is another process's by now.
  [[ $word == process ]] && read_process "$pid" && [[ $BEGAN == "$began" ]] || return 0
  read_process $$
  [[ $GROUP == "$pid" ]] || kill -- "-$pid" 2>/dev/null || true
}

# What the timer calls: fails as long as there is something to take back.
verb_revert_firewall() {
  local waiting
  DOING=revert-firewall
  [[ -e $TRIAL ]] || return 0
  ! load_trial || exit 1
  # Whatever hangs there, and be it this helper: first of all one must get in.
  if [[ -d $LIB ]]; then
    exec {waiting}<"$LIB"
    flock --timeout "$PATIENCE" "$waiting" || unhook_guards
    exec {waiting}<&-
  fi
  lock || return 0
  # Another one may have been put to the trial meanwhile.
  ! load_trial || exit 1
  (need_settings) || {
    unhook_guards
    rm -f "$TRIAL"
    return 0
  }
  need_settings
  end_trial
}

verb_remove_firewall() {
  DOING=remove-firewall
  lock || return 0
  if load_settings; then finish_interrupted; fi
  remove_firewall
}

remove_firewall() {
  rm -f "$KEPT" "$GIVEN_FIREWALL"
  step unlisted-firewall
  end_trial
}

# verb_sync_firewall: called by another tunnel of this host, when it is changed
verb_sync_firewall() {
  DOING=sync-firewall
  lock || return 0
  load_settings || return 0
  bring_firewall
}

# tell_other_firewalls: that this tunnel came, went, or changed its port. Without the lock.
tell_other_firewalls() {
  local file name
  for file in "$ETC"/*/firewall "$RUN"/*.firewall; do
    [[ -e $file ]] || continue
    name=${file%/firewall} name=${name##*/} name=${name%.firewall}
    # That helper may be an older one than this: every one knows the first protocol.
    [[ $name == "$IFACE" ]] || "$LIB/$name/reverse-tunnel" 1 sync-firewall || true
  done
}
