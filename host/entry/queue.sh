# The queue: Pulumi calls for many entries at once, and on a host each run waits for the one before.
#
# bash reads on as it goes, so these files come before all others: a run that waits here has read
# none of them yet, and takes a fifth of the memory, of which a small VPS has little.
#
# Who waits leaves its lines, so that the run before may do its work too (host/lib/forwards/joining.sh).

GIVEN=() # the lines that such a run was given

# Of those who wait: a file by the number of each process, with its verb and name, its lines, and a dot for
# their end; or "done"
readonly QUEUE=$RUN/$IFACE.queue

# wait_turn VERB NAME: false if another run has done it all meanwhile
wait_turn() {
  local said=
  ! try_lock || return 0
  trap leave_queue EXIT
  case $1 in
    # Where it can't be left, it waits and does it itself.
    *-forward | *-opening)
      [[ -d $QUEUE ]] || mkdir -p "$QUEUE" 2>/dev/null || true
      { printf '%s\n' "$1 $2" "${GIVEN[@]}" . >"$QUEUE/$$"; } 2>/dev/null || true
      ;;
  esac
  lock || true # where there is nothing to lock, the verb says so
  [[ ! -s $QUEUE/$$ ]] || read -r said <"$QUEUE/$$" || true
  leave_queue
  [[ $said != "done" ]]
}

# shellcheck disable=SC2329 # called by the trap, too
leave_queue() {
  [[ ! -e $QUEUE/$$ ]] || rm -df "$QUEUE/$$" "$QUEUE" 2>/dev/null || true
}

leave_queue # what a process of this number has left there, once

case ${2-} in
  # Before it asks for the lock: a caller that does not go on must not hold up all others.
  put-forward | put-opening | put-peer)
    read_lines
    GIVEN=("${LINES[@]}")
    ;;&
  put-forward | remove-forward | put-opening | remove-opening | put-peer | remove-peer)
    trap - EXIT
    wait_turn "$2" "${3-}" || exit 0
    trap incomplete EXIT
    ;;
esac
