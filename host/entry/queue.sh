# The queue: Pulumi calls for many entries at once, and on a host each run waits for the one before.
#
# bash reads on as it goes, so these files come before all others: a run that waits here has read
# none of them yet, and takes a fifth of the memory, of which a small VPS has little.

GIVEN=() # the lines that such a run was given

case ${2-} in
  # Before it asks for the lock: a caller that does not go on must not hold up all others.
  put-forward | put-opening | put-peer)
    read_lines
    GIVEN=("${LINES[@]}")
    ;;&
  put-forward | remove-forward | put-opening | remove-opening | put-peer | remove-peer)
    trap - EXIT
    lock || true # where there is nothing to lock, the verb says so
    trap incomplete EXIT
    ;;
esac
