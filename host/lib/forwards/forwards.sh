# Forwards: one file each, with the lines that the stack sent. On the VPS forwards.d/NAME:
#
#   tcp+udp 9000-9003 -> 172.16.0.4:8078-8081     what goes where; both ranges of one length
#   ipv6 fd5c:91e2:7a3b::4                        visitors of IPv6 are led there
#   paused                                        its file stays, and that is all of it
#   from 198.51.100.0/24,203.0.113.7/32           all others are dropped
#   limit-new 10                                  new connections a second, and
#   limit-concurrent 50                           connections at once, of each source address
#   source-address tunnel                         the target sees the VPS's tunnel address
#
# and on a server openings.d/NAME, of a forward to a host or container behind it:
#
#   tcp 192.168.1.30:22                           where the tunnel's packets may pass on to
#   paused
#   source-address tunnel                         the target sees the server's own address

CLAIMS=()             # "PROTO PORT END TARGETS TPORT SOURCE-ADDRESS FROM" of all that are not paused
declare -A FORWARD=() # by name: the lines of its file
declare -A ASKED=()   # by name: the text that its file shall have; of this run and those that joined it
declare -A PARSED=()  # by text: what parse_forward made of it, which a run asks several times

# parse_forward LINE...: into PROTOS PORT PORT_END TARGETS TPORT TPORT_END PAUSED FROM LIMIT_NEW
# LIMIT_CONCURRENT SOURCE_ADDRESS; false with what is wrong in WRONG
parse_forward() {
  local first=${1-} ports to
  PAUSED=no FROM='' LIMIT_NEW='' LIMIT_CONCURRENT='' SOURCE_ADDRESS=client
  if [[ ${SETTING[role]-vps} == vps ]]; then
    WRONG="its first line must be such as 'tcp 443 -> 172.16.0.4:8081'"
    [[ $first =~ ^(tcp|udp|tcp\+udp)\ ([0-9-]+)\ -\>\ ([0-9.]+):([0-9-]+)$ ]] || return 1
    ports=${BASH_REMATCH[2]} to=${BASH_REMATCH[4]}
    TARGETS=${BASH_REMATCH[3]}
  else
    WRONG="its first line must be such as 'tcp 192.168.1.30:22'"
    [[ $first =~ ^(tcp|udp|tcp\+udp)\ ([0-9.]+):([0-9-]+)$ ]] || return 1
    ports=${BASH_REMATCH[3]} to=${BASH_REMATCH[3]}
    TARGETS=${BASH_REMATCH[2]}
  fi
  PROTOS=${BASH_REMATCH[1]/+/ }
  WRONG="'$first': ports are 1-65535, or a range such as 27000-27037"
  parse_ports "$ports" || return 1
  PORT=$BEGIN PORT_END=$END
  parse_ports "$to" || return 1
  TPORT=$BEGIN TPORT_END=$END
  WRONG="'$first': both ranges must be of the same length"
  ((PORT_END - PORT == TPORT_END - TPORT)) || return 1
  WRONG="'$first': $TARGETS is not an IPv4 address"
  is_address "$TARGETS" || return 1
  shift
  while (($#)); do
    parse_condition "$1" || return 1
    shift
  done
}

# parse_condition LINE: one of the lines after the first
parse_condition() {
  local network
  WRONG="line '$1' is not known to this helper (version $HELPER_VERSION); a newer one may know it"
  case $1 in
    paused) PAUSED=yes ;;
    "source-address tunnel") SOURCE_ADDRESS=tunnel ;;
    "ipv6 "* | "from "* | "limit-"*)
      [[ ${SETTING[role]-vps} == vps ]] || return 1
      ;;&
    "ipv6 "*)
      WRONG="line '$1' is not valid: ${1#* } is not an IPv6 address"
      is_ipv6 "${1#* }" || return 1
      TARGETS+=,${1#* }
      ;;
    "from "*)
      FROM=${1#* }
      for network in ${FROM//,/ }; do
        WRONG="line '$1' is not valid: $network is not a network such as 198.51.100.0/24"
        is_network "$network" || return 1
      done
      ;;
    "limit-new "*)
      LIMIT_NEW=${1#* }
      WRONG="line '$1' is not valid: 1-10000 a second are allowed"
      [[ $LIMIT_NEW =~ ^[1-9][0-9]{0,4}$ ]] && ((LIMIT_NEW <= 10000))
      ;;
    "limit-concurrent "*)
      LIMIT_CONCURRENT=${1#* }
      WRONG="line '$1' is not valid: 1-65535 at once are allowed"
      is_port "$LIMIT_CONCURRENT"
      ;;
    *) return 1 ;;
  esac
}

# forwards_folder: by the role, into FOLDER
forwards_folder() {
  FOLDER=$OWN/forwards.d
  [[ ${SETTING[role]-vps} == vps ]] || FOLDER=$OWN/openings.d
}

# load_forward NAME: its file's lines into FORWARD[name], unless there is none
load_forward() {
  local text=
  forwards_folder
  unset -v "FORWARD[$1]"
  [[ -e $FOLDER/$1 ]] || return 0
  IFS= read -r -d '' text <"$FOLDER/$1" || true
  # A damaged file is said by load_forwards.
  ! parse_text "$text" || FORWARD[$1]=${text%$'\n'}
}

# load_forwards: every file's lines into FORWARD[name], and CLAIMS from them. One process for all:
# there may be a thousand.
load_forwards() {
  local line name files
  forwards_folder
  files=("$FOLDER"/*)
  FORWARD=() CLAIMS=()
  [[ -e ${files[0]} ]] || return 0
  while IFS= read -r line; do
    name=${line%%:*} line=${line#*:}
    FORWARD[$name]+=${FORWARD[$name]:+$'\n'}$line
  done < <(cd "$FOLDER" && grep -H '' -- *)
  for name in "${files[@]##*/}"; do
    # A damaged file must not keep the whole tunnel down at boot.
    if ! parse_text "${FORWARD[$name]-}"; then
      say "forward $name is left out: $WRONG; run 'pulumi up'"
      unset -v "FORWARD[$name]"
      continue
    fi
    [[ $PAUSED == no ]] || continue
    for line in $PROTOS; do
      CLAIMS+=("$line $PORT $PORT_END $TARGETS $TPORT $SOURCE_ADDRESS $FROM")
    done
  done
}

# parse_text TEXT: a file's lines as one text
parse_text() {
  local lines text=:$1 # a file may be empty, and no key can be
  if [[ -n ${PARSED[$text]-} ]]; then
    IFS='|' read -r PROTOS PORT PORT_END TARGETS TPORT TPORT_END PAUSED FROM LIMIT_NEW LIMIT_CONCURRENT \
      SOURCE_ADDRESS <<<"${PARSED[$text]}"
    return
  fi
  mapfile -t lines <<<"${1%$'\n'}"
  parse_forward "${lines[@]}" || return 1
  PARSED[$text]="$PROTOS|$PORT|$PORT_END|$TARGETS|$TPORT|$TPORT_END|$PAUSED|"
  PARSED[$text]+="$FROM|$LIMIT_NEW|$LIMIT_CONCURRENT|$SOURCE_ADDRESS"
}

verb_put_forward() { put_forward forward "$@"; }

verb_remove_forward() { remove_forward forward "$@"; }

verb_put_opening() { put_forward opening "$@"; }

verb_remove_opening() { remove_forward opening "$@"; }

# put_forward forward|opening NAME
put_forward() {
  local kind=$1 own=${2-} name text
  local -a names
  DOING="put-$kind $own"
  need_slug forward "$own"
  printf -v text '%s\n' "${GIVEN[@]}"

  need_lock tunnel
  need_settings
  has_kind "$kind" || refuse "${kind}s do not belong on a ${SETTING[role]}"
  parse_forward "${GIVEN[@]}" || refuse "$WRONG; nothing was changed"
  finish_interrupted
  forwards_folder
  make_folder "$FOLDER"
  ASKED=([$own]=$text)
  [[ $kind != forward ]] || is_written "$own" || check_ports "$text"
  # What is paused is taken away, by another order than others are put.
  parse_forward "${GIVEN[@]}"
  [[ $PAUSED == yes ]] || join_waiting "put-$kind"
  find_new
  until check_rules "${names[@]}"; do
    ((${#JOINED[@]})) || refuse "$WRONG; nothing was changed"
    go_alone "$own"
    find_new
  done
  stage_new "$own"
  for name in "${names[@]}"; do write_forward "$name"; done
  bring_forwards "${!ASKED[@]}"
  tell_joined
}

# find_new: those that are ASKED and not written yet, into names
find_new() {
  local name
  names=()
  for name in "${!ASKED[@]}"; do is_written "$name" || names+=("$name"); done
}

# is_written NAME: whether its file has the text that it shall have
is_written() { has_text "$FOLDER/$1" "${ASKED[$1]}"; }

# stage_new NAME: the texts of those in names, its own first; others for which there is no room are let
# go, to hear of it themselves. Nothing is changed by that.
stage_new() {
  local name
  local -a ready=()
  if ! is_written "$1"; then
    stage_file "$FOLDER/$1" "${ASKED[$1]}"
    ready=("$1")
  fi
  for name in "${names[@]}"; do
    [[ $name != "$1" ]] || continue
    if (stage_file "$FOLDER/$name" "${ASKED[$name]}") 2>/dev/null; then
      ready+=("$name")
    else
      let_go "$name"
    fi
  done
  names=("${ready[@]}")
}

# write_forward NAME: its file, which is staged
write_forward() {
  local path=$FOLDER/$1
  # Kept until the flows of the old mapping are gone, which a killed run makes up for by it.
  [[ ! -s $path ]] || ln -f "$path" "$FOLDER/.$1.was"
  step kept-old-forward
  commit_file "$path"
  step wrote-forward
}

# remove_forward forward|opening NAME
remove_forward() {
  local kind=$1 own=${2-} name
  DOING="remove-$kind $own"
  need_slug forward "$own"
  lock || return 0
  know_settings && has_kind "$kind" || return 0
  finish_interrupted
  forwards_folder
  ASKED=([$own]="")
  join_waiting "remove-$kind"
  for name in "${!ASKED[@]}"; do
    [[ ! -e $FOLDER/$name ]] || mv -fT "$FOLDER/$name" "$FOLDER/.$name.was"
    step unlisted-forward
  done
  bring_forwards "${!ASKED[@]}"
  tell_joined
}

# has_kind forward|opening: forwards are the VPS's, openings a server's
has_kind() {
  case ${SETTING[role]}-$1 in
    vps-forward | server-opening) ;;
    *) return 1 ;;
  esac
}

# bring_forwards NAME...: the kernel to what the files say; then the flows that no forward has now
bring_forwards() {
  local name was
  local -a texts=()
  for name in "$@"; do load_forward "$name"; done
  if tunnel_is_up; then
    sync_rules "$@"
    step synced-rules
    keep_forwarding
    for name in "$@"; do texts+=("${FORWARD[$name]-}"); done
  fi
  for name in "$@"; do
    was=$FOLDER/.$name.was
    [[ ! -s $was ]] || texts+=("$(<"$was")")
  done
  # Rules first: a flow deleted before would come back through the old one.
  retire_flows "${texts[@]}"
  step retired-flows
  # One that stays, on a disk that has become read-only, is done once more by the next run.
  for name in "$@"; do
    [[ ! -e $FOLDER/.$name.was ]] || rm -f "$FOLDER/.$name.was" || true
  done
}

# finish_interrupted: what a killed run left to do, before anything else is done. By the settings
# that are in force, so they are loaded by now.
finish_interrupted() {
  local left was name
  forwards_folder
  left=("$FOLDER"/.*.was)
  remove_staged
  [[ -e ${left[0]} ]] || return 0
  for was in "${left[@]}"; do
    name=${was##*/.}
    bring_forwards "${name%.was}"
  done
}
