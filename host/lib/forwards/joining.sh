# Joining: who has its turn does the work of those who wait with the same verb, by one exchange of rules
# for all. A thousand forwards would else read and write the rules a thousand times.
#
# Whatever speaks against one that waits is for its own caller to hear: so it is left to it.

declare -A JOINED=() # by name: the process that waits, and what it asks

declare -A WAITING=() # by name: the process and the verb of each run that waits with it

# join_waiting VERB: into ASKED and JOINED
join_waiting() {
  local verb=$1 process name waits asks
  local -a lines
  JOINED=()
  [[ $verb != put-forward ]] || find_listened
  find_waiting "${verb#*-}"
  for name in "${!WAITING[@]}"; do
    # Of several with one name the later has the last word, and which that is cannot be seen.
    read -r process waits <<<"${WAITING[$name]}"
    [[ $waits == "$verb" && -z ${ASKED[$name]+there} ]] || continue
    asks=
    { IFS= read -r -d '' asks <"$QUEUE/$process"; } 2>/dev/null || true # it has no zero byte to end at
    [[ $asks == "$verb $name"$'\n'* && $asks == *$'\n.\n' ]] || continue
    mapfile -t lines <<<"$asks"
    lines=("${lines[@]:1:${#lines[@]}-3}")
    if [[ $verb == put-* ]]; then
      (may_join "$verb" "${lines[@]}") 2>/dev/null || continue
      printf -v "ASKED[$name]" '%s\n' "${lines[@]}"
    else
      ASKED[$name]=
    fi
    JOINED[$name]="$process $asks"
  done
}

# find_waiting forward|opening: into WAITING
find_waiting() {
  local request process
  local -a words
  WAITING=()
  for request in "$QUEUE"/*; do
    process=${request##*/}
    [[ $process =~ ^[0-9]+$ && $process != "$$" ]] || continue
    # It may be gone, and another process have its number.
    { mapfile -d '' -t words <"/proc/$process/cmdline"; } 2>/dev/null || continue
    [[ ${#words[@]} == 5 && ${words[1]} == "$HELPER" && ${words[3]} == @(put|remove)-"$1" ]] || continue
    ! is_slug "${words[4]}" || WAITING[${words[4]}]+="$process ${words[3]} "
  done
}

# may_join VERB LINE...: not what is taken away, which goes by another order; and not where there may be
# a port of a login, for it might be another login's
may_join() {
  parse_forward "${@:2}" && [[ $PAUSED == no ]] || return 1
  [[ $1 == put-forward ]] || return 0
  ! has_listener && check_tunnels_ports
}

# go_alone NAME: without those that have joined
go_alone() {
  local text=${ASKED[$1]}
  ASKED=([$1]=$text) JOINED=()
}

# let_go NAME: one that has joined
let_go() { unset -v "ASKED[$1]" "JOINED[$1]"; }

# tell_joined: that they have what they wait for
tell_joined() {
  local joined process asks
  for joined in "${JOINED[@]}"; do
    process=${joined%% *} asks=
    # One that can't be told does it again; so does one that wants something else by now.
    { IFS= read -r -d '' asks <"$QUEUE/$process"; } 2>/dev/null || true
    [[ "$process $asks" == "$joined" ]] || continue
    { printf 'done\n' >"$QUEUE/$process"; } 2>/dev/null || true
  done
  step told-joined
}
