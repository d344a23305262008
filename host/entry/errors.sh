# Errors: one line on stderr that says what, where, and what to do. Never a secret.

DOING= # what is being done, for the messages: "put-forward https"
UNDO=: # what a failing run calls at its end, to leave the host as it was

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

finish() {
  local status=$?
  trap - EXIT ERR
  ((status == 0)) || "$UNDO"
  exit "$status"
}
