# The watcher: the process that watches (see entry/watch.sh) is a unit of its own, which comes and goes
# with the tunnel and of which no file stays. When the tunnel's unit is stopped it ends, too, also where
# wg-quick does not come to say so.

readonly WATCHER=reverse-tunnel-$IFACE-watch.service

start_watcher() {
  ! systemctl is-active --quiet "$WATCHER" || return 0
  # Nothing is wrong yet without it, so nothing is said; and a busy boot is not waited for.
  timeout 30 systemd-run --quiet --no-block --collect --unit="$WATCHER" --property=Restart=always \
    --property=RestartSec=1 --property=StartLimitIntervalSec=0 --property=KillSignal=SIGKILL \
    --property=PartOf="$UNIT" \
    --description="Tunnel $IFACE: puts back rules that others flush" \
    "$HELPER" "$PROTOCOL" watch >/dev/null 2>&1 || true
}

# stop_watcher: before the rules go, which it would put back
stop_watcher() {
  systemctl stop "$WATCHER" >/dev/null 2>&1 || true
}

# is_watched: whether the watcher runs, or will by itself; or nobody can know, as while the unit starts or stops,
# or where systemd starts nothing for others
is_watched() {
  has systemd-run || return 0
  [[ $(systemctl is-active "$WATCHER" 2>/dev/null) != @(inactive|failed) ]] ||
    [[ $(systemctl is-active "$UNIT" 2>/dev/null) == *activating ]]
}

# What the watcher calls: the kernel to what the files say, if the tunnel is up.
verb_restore() {
  DOING=restore
  lock || return 0
  load_settings || return 0
  ! tunnel_is_up || bring_up
}
