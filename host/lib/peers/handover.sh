# Hand-over: the far end gets another key, and its former one stays until the new one is heard.
#
# The former key lies in former.d/NAME, and behind it the second in which the new one was heard first,
# and that in which it came into use, while it is; its preshared key in former.d/NAME.preshared.
# WireGuard knows both meanwhile, and the networks belong to one of them: to the one that was heard
# last, since the far end may go back. A process of its own sees to that, and takes the former one away
# once it has seen the new one in use for a while.
#
# Somebody else may have the former key, and be heard with it for ever. But a server that the VPS has
# heard with its new key has taken it, and shakes hands again every two minutes: that ends the former
# one, too. The VPS itself may go back, as often as its last command is run.

readonly FORMER=$OWN/former.d
SETTLED=${RT_SETTLED-60} # seconds, longer than a far end tries its new key; other than 60 in tests
readonly SETTLED

declare -A SPARE=() # public key -> name, of the one of two that has no networks

# load_former NAME: into FORMER_KEY, FIRST_HEARD, empty before the new one was heard, and FORMER_SINCE, empty while
# the former is in use; false if there is none
load_former() {
  FORMER_KEY='' FIRST_HEARD='' FORMER_SINCE=''
  [[ -s $FORMER/$1 ]] || return 1
  read -r FORMER_KEY FIRST_HEARD FORMER_SINCE <"$FORMER/$1" || true
  is_key "$FORMER_KEY" && [[ $FIRST_HEARD$FORMER_SINCE =~ ^[0-9]*$ ]]
}

# keep_former NAME KEY NEW-KEY PRESHARED-FILE: before its new key is written down; there may have been none
keep_former() {
  if [[ -n $2 && $2 != "$3" ]]; then
    if load_former "$1" && [[ -z $FORMER_SINCE ]]; then
      # Of one that is not in use, the former still is.
      write_file "$FORMER/$1" "$FORMER_KEY"$'\n'
    else
      make_folder "$FORMER"
      rm -f "$FORMER/$1.preshared"
      [[ ! -s $4 ]] || write_file "$FORMER/$1.preshared" "$(<"$4")"$'\n'
      write_file "$FORMER/$1" "$2"$'\n'
      step kept-former
    fi
  fi
  # Back to the one before.
  ! load_former "$1" || [[ $FORMER_KEY != "$3" ]] || forget_former "$1"
}

# forget_former NAME
forget_former() {
  rm -f "$FORMER/$1" "$FORMER/$1.preshared"
  rmdir "$FORMER" 2>/dev/null || true
}

# add_former NAME KEY: beside the far end's key, into PEER, NAMED, SPARE and SHARED
add_former() {
  load_former "$1" && [[ -z ${PEER[$FORMER_KEY]+known} ]] || return 0
  PEER[$FORMER_KEY]='' SPARE[$FORMER_KEY]=$1
  [[ ! -s $FORMER/$1.preshared ]] || SHARED[$FORMER_KEY]=$FORMER/$1.preshared
  [[ -z $FORMER_SINCE ]] || return 0
  PEER[$FORMER_KEY]=${PEER[$2]} PEER[$2]=''
  unset -v "NAMED[$2]" "SPARE[$FORMER_KEY]"
  NAMED[$FORMER_KEY]=$1 SPARE[$2]=$1
}

# load_vps: on a server, the VPS's keys as load_peers does it
load_vps() {
  local key=${SETTING[peer_public_key]} anywhere=0.0.0.0/0
  # Visitors come with their own addresses, so any source is let in.
  ((${#FAMILIES[@]} == 1)) || anywhere+=,::/0
  PEER=(["$key"]="$anywhere") NAMED=(["$key"]=vps) SPARE=() SHARED=()
  add_former vps "$key"
  for key in "${!PEER[@]}"; do
    [[ ! -s $OWN/preshared.key ]] || SHARED[$key]=$OWN/preshared.key
  done
}

load_ends() { if [[ ${SETTING[role]} == vps ]]; then load_peers; else load_vps; fi; }

# keepalive_of KEY: on a server, into VALUE. A key that is not in use yet must be dialled to be heard.
keepalive_of() {
  VALUE=${SETTING[keepalive]}
  [[ -z ${SPARE[$1]-} || $VALUE != 0 ]] || VALUE=25
}

# sync_end NAME: its keys in the running interface, as the files say
sync_end() {
  local key
  load_ends
  for key in "${!PEER[@]}"; do
    [[ ${NAMED[$key]-${SPARE[$key]-}} == "$1" ]] || continue
    wg set "$IFACE" peer "$key" allowed-ips "${PEER[$key]}"
    step set-peer
    share_key "$key" "${SHARED[$key]-}"
    [[ ${SETTING[role]} == server ]] || continue
    keepalive_of "$key"
    wg set "$IFACE" peer "$key" persistent-keepalive "$VALUE"
  done
}

# verb_hand_over: runs as long as there is something to hand over
verb_hand_over() {
  local alone file name quick
  DOING=hand-over
  [[ -d $FORMER ]] || return 0
  exec {alone}<"$FORMER"
  flock --nonblock "$alone" || return 0
  finish_turns
  find_uptime
  quick=$((UPTIME + 300))
  while [[ -d $FORMER ]] && load_settings && tunnel_is_up; do
    find_uptime
    find_heard
    for file in "$FORMER"/*; do
      name=${file##*/}
      [[ $name == *.preshared ]] || ! find_turn "$name" || turn_over "$name"
    done
    # A far end that is off may come back next year.
    if ((UPTIME < quick)); then sleep 0.1; else sleep 2; fi
  done
}

# find_heard: when each key was heard last, into HEARD
declare -A HEARD=()
find_heard() {
  local key time
  HEARD=()
  while read -r key time; do
    # By a clock that was set back since: when it was is not known.
    ((time <= EPOCHSECONDS)) || time=0
    HEARD[$key]=$time
  done < <(wg show "$IFACE" latest-handshakes)
}

declare -A IN_USE=() # by name: the UPTIME at which this run saw first that the new key is in use

# find_turn NAME: into TURN, what its handshakes ask for: new, former, or over; or "again", where it was
# written down by a clock that was ahead, and "lost", where nobody can read it; false for nothing
find_turn() {
  local new former
  TURN=lost
  load_former "$1" || return 0
  TURN=
  find_key "$1" || return 1
  new=${HEARD[$KEY]-0} former=${HEARD[$FORMER_KEY]-0}
  if [[ -z $FORMER_SINCE ]]; then unset -v "IN_USE[$1]"; else : "${IN_USE[$1]:=$UPTIME}"; fi
  if ((FIRST_HEARD > EPOCHSECONDS)); then
    TURN=again
  elif [[ ${SETTING[role]} == vps && -n $FIRST_HEARD ]] && ((new >= FIRST_HEARD + SETTLED)); then
    TURN=over
  elif [[ -z $FORMER_SINCE ]]; then
    ((new == 0 || new < former)) || TURN=new
  elif ((new < former)); then
    TURN=former
  elif ((UPTIME >= IN_USE[$1] + SETTLED)); then
    TURN=over
  fi
  [[ -n $TURN ]]
}

# find_key NAME: the key that the stack has given it, into KEY
find_key() {
  KEY=${SETTING[peer_public_key]-}
  [[ ${SETTING[role]} == vps ]] || return 0
  [[ -s $OWN/peers.d/$1.conf ]] || return 1
  read_lines <"$OWN/peers.d/$1.conf"
  parse_peer "${LINES[@]}"
}

# turn_over NAME: what find_turn says, after the lock was waited for
turn_over() {
  lock || return 0
  find_heard
  if load_settings && tunnel_is_up && find_turn "$1"; then
    case $TURN in
      new) write_file "$FORMER/$1" "$FORMER_KEY ${FIRST_HEARD:-$EPOCHSECONDS} $EPOCHSECONDS"$'\n' ;;
      again) write_file "$FORMER/$1" "$FORMER_KEY $EPOCHSECONDS${FORMER_SINCE:+ $EPOCHSECONDS}"$'\n' ;;
      former) write_file "$FORMER/$1" "$FORMER_KEY $FIRST_HEARD"$'\n' ;;
      lost) rm -f "$FORMER/$1" "$FORMER/$1.preshared" ;;
      over)
        # First of all, lest anybody who looks meanwhile takes it for a stranger's.
        wg set "$IFACE" peer "$FORMER_KEY" remove
        step dropped-former
        rm -f "$FORMER/$1" "$FORMER/$1.preshared"
        ;;
    esac
    step "turned-$TURN"
    bring_ends "$1"
  fi
  unlock
}

# finish_turns: what a killed run has left of them
finish_turns() {
  local file
  local -a names=()
  lock || return 0
  if load_settings && tunnel_is_up; then
    for file in "$FORMER"/*; do names+=("${file##*/}"); done
    bring_ends "${names[@]}"
  fi
  unlock
}

# bring_ends NAME...: the running interface first, since somebody waits for it, then its file
bring_ends() {
  local name
  for name in "$@"; do sync_end "$name"; done
  drop_stray_peers
  step synced-ends
  write_conf
  # As long as it is there, a killed run is made up for.
  rmdir "$FORMER" 2>/dev/null || true
}
