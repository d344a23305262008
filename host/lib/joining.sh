# Joining: who has its turn does the work of those who wait with the same verb, by one exchange of rules
# for all. A thousand forwards would else read and write the rules a thousand times.
#
# Whatever speaks against one that waits is for its own caller to hear: so it is left to it.

declare -A JOINED=() # by name: the process that waits

# join_waiting VERB: into ASKED and JOINED
join_waiting() {
  local verb=$1 request process name
  local -a words lines
  JOINED=()
  for request in "$QUEUE"/*; do
    process=${request##*/}
    [[ $process =~ ^[0-9]+$ && $process != "$$" ]] || continue
    # It may be gone, and another process have its number.
    { mapfile -d '' -t words <"/proc/$process/cmdline" && mapfile -t lines <"$request"; } 2>/dev/null ||
      continue
    [[ ${#words[@]} == 5 && ${words[1]} == "$HELPER" && ${words[3]} == "$verb" ]] || continue
    [[ ${lines[*]: -1} == . ]] || continue
    unset 'lines[-1]'
    name=${words[4]}
    is_slug "$name" && [[ -z ${ASKED[$name]+there} ]] || continue
    if [[ $verb == put-* ]]; then
      (may_join "$verb" "${lines[@]}") 2>/dev/null || continue
      printf -v "ASKED[$name]" '%s\n' "${lines[@]}"
    else
      ASKED[$name]=
    fi
    JOINED[$name]=$process
  done
}

# may_join VERB LINE...: not where there may be a port of a login, for it might be another login's
may_join() {
  parse_forward "${@:2}" || return 1
  [[ $1 == put-forward && $PAUSED == no ]] || return 0
  ! has_listener && check_tunnels_ports
}

# go_alone NAME: without those that have joined
go_alone() {
  local text=${ASKED[$1]}
  ASKED=([$1]=$text) JOINED=()
}

# tell_joined: that they have what they wait for
tell_joined() {
  local process
  for process in "${JOINED[@]}"; do
    # One that can't be told does it again.
    { printf 'done\n' >"$QUEUE/$process"; } 2>/dev/null || true
  done
  step told-joined
}
