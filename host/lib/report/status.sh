# Status: how the tunnel is doing here, one thing a line, its words separated by blanks; "-" is
# nothing. Read only, and without the lock, which a long run may hold. Judging is the caller's.

readonly ANSWER_WAIT=3 # seconds until a target that says nothing counts as silent
readonly ASKED_AT_ONCE=20
ASK_FOR=${RT_ASK_FOR-15} # seconds; then the rest is left out, lest nothing at all is told in time. Not 15 in tests
readonly ASK_FOR

# verb_status [connect|uncounted]: with the first, the targets of forwards are asked whether they answer;
# with the other, nothing is told of connections, of which a host may have a hundred thousand
verb_status() {
  local name claimant=
  DOING=status
  echo "helper $HELPER_VERSION"
  echo "digest $(sha256sum <"$HELPER" | head -c 64)"
  owner_of "$IFACE"
  echo "owner ${VALUE:--}"
  [[ ! -r $OWN/claimant ]] || read -r claimant _ <"$OWN/claimant" || true
  echo "claimant ${claimant:--}"
  if load_settings; then
    echo "role ${SETTING[role]}"
    if is_enabled; then echo "unit enabled"; else echo "unit disabled"; fi
    find_firewall
    echo "firewall $VALUE"
    ! load_metrics || echo metrics
    [[ ${SETTING[role]} == server ]] || tell_shares
    if tunnel_is_up; then
      tell_interface
      judge_rules
      for name in "${!CHAIN_STATES[@]}"; do echo "chain $name ${CHAIN_STATES[$name]}"; done
      tell_forwards "${1-}"
    else
      echo "interface down -"
    fi
    tell_wrong
    tell_texts
  fi
  # The last line: without it, this was cut short.
  echo "end $EPOCHSECONDS"
}

is_enabled() { systemctl is-enabled --quiet "$UNIT" 2>/dev/null; }

# tell_shares: on one line whom there is a preshared key of, also if of nobody
tell_shares() {
  local file
  local -a names=()
  for file in "$PRESHARED"/*; do [[ ! -e $file ]] || names+=("${file##*/}"); done
  echo shares "${names[@]}"
}

# tell_interface: who carries it, and its peers by the names of their files
tell_interface() {
  local key endpoint handshake received sent name
  # A TUN device has flags, and the kernel's own WireGuard has none.
  if [[ -e /sys/class/net/$IFACE/tun_flags ]]; then
    running_wireguard_go
    echo "interface up userspace ${VALUE:--}"
  else
    echo "interface up kernel"
  fi
  load_ends
  while read -r key _ endpoint _ handshake received sent _; do
    # While a key is handed over, it is told of the one in use.
    [[ -z ${SPARE[$key]-} ]] || continue
    name=${NAMED[$key]--}
    [[ $endpoint != "(none)" ]] || endpoint=-
    echo "peer $name $endpoint $handshake $received $sent"
  done < <(wg show "$IFACE" dump | tail -n +2)
}

# running_wireguard_go: the version of the program that carries the tunnel, into VALUE; empty if it is not
# an installed one (any more). A process's own file is never asked: anybody may give one this name.
running_wireguard_go() {
  local folder program
  local -a words installed
  VALUE=
  mapfile -t installed < <(type -aP wireguard-go)
  for folder in /proc/[0-9]*; do
    mapfile -t -d '' words 2>/dev/null <"$folder/cmdline" || continue
    [[ ${words[0]-} == *wireguard-go && ${words[-1]} == "$IFACE" ]] || continue
    for program in "${installed[@]}"; do
      [[ $folder/exe -ef $program ]] || continue
      VALUE=$("$program" --version 2>/dev/null | sed -n 's/^wireguard-go v//p') || true
      return 0
    done
  done
}

# tell_forwards [connect|uncounted]
tell_forwards() {
  local name numbers until unknown='' none='0 0 0 0 0'
  local -A targets=()
  if [[ ${SETTING[role]} == server ]]; then
    for name in "${!FORWARD_STATES[@]}"; do echo "opening $name ${FORWARD_STATES[$name]}"; done
    return
  fi
  if [[ ${1-} == uncounted ]]; then none='- - - - -'; else read_traffic; fi
  is_accounting || unknown=yes
  for name in "${!FORWARD_STATES[@]}"; do
    numbers=${TRAFFIC[$name]-$none}
    [[ -z $unknown ]] || numbers="${numbers%% *} - - - -"
    echo "forward $name ${FORWARD_STATES[$name]} $numbers"
  done
  [[ ${1-} == connect ]] || return 0
  for name in "${!FORWARD[@]}"; do
    parse_text "${FORWARD[$name]}"
    [[ $PAUSED == yes || " $PROTOS " != *" tcp "* ]] || targets["${TARGETS%%,*} $TPORT"]=
  done
  find_uptime
  until=$((UPTIME + ASK_FOR))
  for name in "${!targets[@]}"; do
    while (($(jobs -rp | wc -l) >= ASKED_AT_ONCE)); do wait -n || true; done
    find_uptime
    if ((UPTIME < until)); then ask_target "$name" & else echo "target $name untested"; fi
  done
  wait
}

# ask_target "ADDRESS PORT": whether a TCP connection comes about
ask_target() {
  local answer=answers said
  # shellcheck disable=SC2016
  said=$(timeout "$ANSWER_WAIT" bash -c ': <"/dev/tcp/$0/$1"' "${1% *}" "${1#* }" 2>&1) ||
    case $said in
      *refused*) answer=refuses ;;
      *) answer=silent ;;
    esac
  echo "target $1 $answer"
}
