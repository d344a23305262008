# The lock: one per host, since tunnels share the firewall, and Pulumi runs resources in parallel.
#
# It is the helper's own folder, which only root can open, and which is there as long as there is
# anything to serialise. Never start or stop the unit while holding it: its PostUp wants it too.

LOCK_WAIT=${RT_LOCK_WAIT-300} # seconds; a thousand forwards made in one run wait for each other. Not 300 in tests
readonly LOCK_WAIT

LOCK=

# lock: once for the whole run; false if the folder is not there: no tunnel is installed
lock() {
  [[ -z $LOCK ]] || return 0
  while [[ -d $LIB ]]; do
    exec {LOCK}<"$LIB"
    flock --timeout "$LOCK_WAIT" "$LOCK" ||
      fail "another run has held the lock for $LOCK_WAIT s: see 'fuser -v $LIB', end it, run again"
    # The last tunnel's uninstall may have removed the folder while this run waited.
    [[ /dev/fd/$LOCK -ef $LIB ]] && return 0
    unlock
  done
  return 1
}

# need_lock tunnel|helper: the same, or refused by that word
need_lock() { lock || refuse "the $1 is not installed on this host: run 'pulumi up'"; }

# try_lock: the same, unless somebody else has it
try_lock() {
  [[ -d $LIB ]] || return 1
  exec {LOCK}<"$LIB"
  ! flock --nonblock "$LOCK" || [[ ! /dev/fd/$LOCK -ef $LIB ]] || return 0
  unlock
  return 1
}

unlock() {
  exec {LOCK}<&-
  LOCK=
}
