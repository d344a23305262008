# Beside: what goes on when the run that began it, and the login of that run, have ended.

readonly BESIDE_UNIT=reverse-tunnel-$IFACE-beside

# start_beside VERB: as a process of its own, a unit that is started again if it is killed; until it is
# done, or the tunnel goes down, or it fails again and again. The verb sees to it that it is not done twice.
start_beside() {
  # One by that name that is just ending keeps another one from starting, as does a host that starts
  # none: then it is a plain process.
  timeout 30 systemd-run --quiet --no-block --collect --unit="$BESIDE_UNIT-$1" \
    --property=Restart=on-failure --property=RestartSec=1 \
    --property=StartLimitIntervalSec=600 --property=StartLimitBurst=20 \
    --description="Tunnel $IFACE: $1" "$HELPER" "$PROTOCOL" "$1" >/dev/null 2>&1 && return
  (
    [[ -z $LOCK ]] || unlock
    exec setsid "$HELPER" "$PROTOCOL" "$1" </dev/null >/dev/null 2>&1
  ) &
}

is_beside() { systemctl is-active --quiet "$BESIDE_UNIT-$1"; }

# start_unfinished: what a reboot has interrupted, or what has failed too often until now
start_unfinished() {
  [[ ! -d $FORMER ]] || is_beside hand-over || start_beside hand-over
  [[ ${SETTING[role]} != server || ! -s $NEXT_KEY ]] || is_beside switch-key || start_beside switch-key
}

stop_beside() { systemctl stop "$BESIDE_UNIT-*" >/dev/null 2>&1 || true; }

# next_second: handshakes are told by the second, so what shall be told apart must not share one
next_second() {
  local second=$EPOCHSECONDS
  while ((EPOCHSECONDS == second)); do sleep 0.05; done
}
