# Errors: one line on stderr that says what, where, and what to do. Never a secret.

DOING= # what is being done, for the messages: "put-forward https"
UNDO=: # what a failing run calls at its end, see undo_by

say() {
  printf 'reverse-tunnel: %s%s\n' "${DOING:+$IFACE: $DOING: }" "$*" >&2
}

# The caller asked for something that cannot be; nothing was changed.
refuse() {
  say "$*"
  exit 32
}

fail() {
  say "$*"
  exit 1
}

unexpected() {
  say "stopped in ${FUNCNAME[1]} (line $1) with status $2: run it again, which goes on from here"
}

# undo_by FUNCTION: what a run calls at its end to leave the host as it was, if it fails or is ended by a
# signal, with which its status would be 0 there
undo_by() {
  UNDO=$1
  trap 'ended 129' HUP
  trap 'ended 130' INT
  trap 'ended 143' TERM
}

# ended STATUS: by a signal. Another may follow, as systemd sends two to what a login has left; and bash, in
# `read`, may do this twice for one.
ended() {
  trap : HUP INT TERM
  exit "$1"
}

finish() {
  local status=$?
  trap - EXIT ERR
  trap : HUP INT TERM
  ((status == 0)) || "$UNDO"
  exit "$status"
}
