# Rules: the way from what the firewall holds of this tunnel to what it shall hold (chains.sh and
# forward_rules.sh say that).
#
# Chains are ours alone (RT-<interface>-<WORD>) and hang in the built-in ones by one jump each. The
# rules are written as iptables-save prints them, so that the two can be compared: what is right
# already is not touched, and keeps its counters.
#
# Some chains hold the forwards, told apart by their comments; a change of one deletes and adds its
# own rules alone. Never name an existing chain as ":CHAIN" for it: that would flush the chain.
#
# All of this is of one family at a time, the one in use.

declare -A PRESENT=() # "table chain" -> the fixed rules that it holds; set if the chain is there
declare -A JUMPS=()   # "table built-in-chain chain" -> the jumps to it: how many rules but ours are before each
declare -A BANNED=()  # "table built-in-chain" -> how many rules but ours there are up to the last of its bans
declare -A FREE=()    # "table built-in-chain" -> how many are before the first that ours must not be behind
declare -A ENDS=()    # "table built-in-chain" -> what its last rule goes to, other tunnels' aside
declare -A TAGGED=()  # "table chain name" -> the rules of that forward that are there
UNSEEN=()             # tables of which iptables shows nothing

# is_ours CHAIN: no other tunnel's name can be followed by a word without a dash
is_ours() { [[ $1 == "RT-$IFACE-"* && ${1#"RT-$IFACE-"} =~ ^[A-Z0-9]+$ ]]; }

# read_rules [unseen-too]: what the firewall holds of this tunnel, of the family in use; fails if anything is
# in a table of which nothing is seen, unless those are wanted as UNSEEN
read_rules() {
  local saved line table='' chain name i
  local -a hooks=()
  PRESENT=() JUMPS=() BANNED=() FREE=() ENDS=() TAGGED=() UNSEEN=()
  saved=$("$IPTABLES-save") || fail "$IPTABLES-save failed: see what '$IPTABLES-save' says on this host"
  split_lines "$saved"
  for i in "${!SPLIT[@]}"; do
    line=${SPLIT[i]}
    case $line in
      '*'*) table=${line#\*} hooks=() STARTS=() WEIGHTS=() ;;
      COMMIT) read_hooks "$table" "${hooks[@]}" ;;
      ":RT-$IFACE-"*)
        chain=${line%% *} chain=${chain#:}
        ! is_ours "$chain" || PRESENT["$table $chain"]+=
        ;;
      ":RT-"*) ;;
      ":"*" - ["*)
        chain=${line%% *}
        STARTS[${chain#:}]=
        ;;
      *"\"rt:$IFACE:"*)
        name=${line#*\"rt:"$IFACE":} name=${name%%\"*}
        chain=${line#-A } chain=${chain%% *}
        TAGGED["$table $chain $name"]+=$line$'\n'
        ;;
      "-A RT-$IFACE-"*)
        chain=${line#-A } chain=${chain%% *}
        ! is_ours "$chain" || PRESENT["$table $chain"]+=$line$'\n'
        ;;
      "-A RT-"*) ;;
      "-A "*)
        chain=${line#-A } chain=${chain%% *}
        if [[ -z ${STARTS[$chain]+there} ]]; then
          hooks+=("$line")
        else
          STARTS[$chain]=${STARTS[$chain]:-$i}
          # Not to be there
          [[ $line != "-A $chain -j RT-$IFACE-"* ]] || hooks+=("$line")
        fi
        ;;
      "# Table "*" is incompatible"*)
        table=${line#*\`} table=${table%%\'*}
        case $table in
          filter) chain=FWD ;;
          mangle) chain=PRE ;;
          nat) chain=SRC ;;
          *) continue ;;
        esac
        is_unseen "$table" "RT-$IFACE-$chain" || continue
        [[ ${1-} == unseen-too ]] || fail "$SAID"
        UNSEEN+=("$table")
        ;;
    esac
  done
}

# read_hooks TABLE RULE...: where ours hang, of the rules of a table's built-in chains and all jumps to ours
read_hooks() {
  local table=$1 line hook place chain
  local -A others=()
  shift
  for line in "$@"; do
    hook=${line#-A } hook=${hook%% *} place="$table $hook" chain=${line##* }
    : "${others[$hook]=0}"
    # One with a condition is not of our making, and would not go by its name.
    if is_ours "$chain" && [[ $line == "-A $hook -j $chain" ]]; then
      JUMPS["$place $chain"]+=" ${others[$hook]}"
      ENDS[$place]=$chain
      continue
    fi
    others[$hook]=$((${others[$hook]} + 1))
    [[ $line != *" -j RT-"* ]] || continue
    ENDS[$place]=
    [[ -z ${FREE[$place]-} ]] || continue
    weigh "$line"
    case $WEIGHT in
      "$BAN") BANNED[$place]=${others[$hook]} ;;
      "$FENCE") ;; # stays on whichever side of ours it was put
      *)
        # One that only notes may tell of a ban behind it.
        [[ $WEIGHT == "$HARMLESS" && $line == *" -j "@(LOG|NFLOG)* ]] || FREE[$place]=$((${others[$hook]} - 1))
        ;;
    esac
  done
}

# is_unseen TABLE CHAIN: whether that chain is in a table of which iptables-save shows nothing, so that it would
# be made a second time, and lose what it has; what to do in SAID. Where it is not there yet, as at boot, all
# can be made as ever.
is_unseen() {
  SAID="iptables can't show what is in its table $1 (see '$IPTABLES-save'), for somebody has put a rule there"
  SAID+=" that only nft can write: move that to a table of its own (such as 'nft add table ip mine'), or write"
  SAID+=" it by iptables, and run again"
  "$IPTABLES" -w 60 -t "$1" -S "$2" >/dev/null 2>&1
}

# sync_rules [NAME...]: the firewall to what the files say, for all forwards or these
sync_rules() { by_family sync_family_rules "$@"; }

sync_family_rules() {
  local table name script=''
  local -a names=("$@") tables=(filter mangle nat)
  local -A only=()
  want_chains
  SHALL=()
  (($#)) || names=("${!FORWARD[@]}")
  for name in "$@"; do only[$name]=1; done
  for name in "${names[@]}"; do
    [[ -z ${FORWARD[$name]-} ]] || want_forward "$name" "${FORWARD[$name]}"
  done
  # What leads in comes last, and goes first: each table is exchanged for itself.
  (($# == 0 || ${#SHALL[@]} > 0)) || tables=(nat mangle filter)
  # On a server what came before the rules is known by having no mark, until they set it.
  [[ ${SETTING[role]} == vps ]] || (($#)) || tables=(nat filter mangle)
  read_rules
  for table in "${tables[@]}"; do
    changes_of "$table"
    [[ -n $CHANGES ]] || continue
    script+="*$table"$'\n'$CHANGES"COMMIT"$'\n'
    [[ $table == nat && $# == 0 ]] || continue
    apply_rules "$script"
    script=
    retire_untranslated
  done
  [[ -z $script ]] || apply_rules "$script"
  note_backend
}

# changes_of TABLE: lines for iptables-restore, into CHANGES. Empty if all is as it shall be. Of the
# forwards those in only, unless that is empty.
changes_of() {
  local table=$1 entry builtin chain position place key gone='' jumps=''
  CHANGES=
  for entry in "${CHAINS[@]}"; do
    [[ $entry == "$table "* ]] || continue
    read -r _ builtin chain position <<<"$entry"
    place="$table $chain"
    if holds_forwards "$chain" && [[ -n ${PRESENT[$place]+there} ]]; then
      # Whatever is in it without a forward's tag is nobody's.
      unlist "${PRESENT[$place]}"
      CHANGES+=$UNLISTED
    elif [[ ${PRESENT[$place]-missing} != "${WANTED[$place]-}" ]]; then
      # Flushed if it is there, and filled again, in one commit.
      CHANGES+=":$chain - [0:0]"$'\n'${WANTED[$place]-}
    fi
    ! hangs_well "$table" "$builtin" "$chain" "$position" || continue
    unhang "$table $builtin $chain"
    gone+=$UNHUNG
    if [[ $position == first ]]; then
      # Before what a neighbour may end with (a REJECT of all that is left).
      jumps+="-I $builtin $((${BANNED["$table $builtin"]-0} + 1)) -j $chain"$'\n'
    else
      jumps+="-A $builtin -j $chain"$'\n'
    fi
  done
  # Where another version of this helper has hung them, or somebody.
  for place in "${!JUMPS[@]}"; do
    [[ $place == "$table "* ]] || continue
    is_stray "$place" || continue
    unhang "$place"
    gone+=$UNHUNG
  done
  for key in "${!TAGGED[@]}"; do
    [[ $key == "$table "* ]] || continue
    ((${#only[@]} == 0)) || [[ -n ${only[${key##* }]-} ]] || continue
    [[ ${TAGGED[$key]} != "${SHALL[$key]-}" ]] || continue
    unlist "${TAGGED[$key]}"
    CHANGES+=$UNLISTED
  done
  for key in "${!SHALL[@]}"; do
    [[ $key != "$table "* || ${SHALL[$key]} == "${TAGGED[$key]-}" ]] || CHANGES+=${SHALL[$key]}
  done
  drop_chains "$table"
  # None of ours is left before the last ban when places are counted.
  CHANGES+=$gone$jumps$DROPPED
}

# drop_chains TABLE: the lines that remove chains that another version of this helper has made and that
# hang nowhere any more, into DROPPED
drop_chains() {
  local place
  DROPPED=
  for place in "${!PRESENT[@]}"; do
    [[ $place == "$1 "* ]] || continue
    ! is_wanted "$1" "${place#* }" || continue
    DROPPED+="-F ${place#* }"$'\n'"-X ${place#* }"$'\n'
  done
}

# is_wanted TABLE CHAIN
is_wanted() {
  local entry
  for entry in "${CHAINS[@]}"; do
    [[ $entry != "$1 "*" $2 "* ]] || return 0
  done
  return 1
}

# is_stray "TABLE BUILT-IN-CHAIN CHAIN": whether that is a place where no chain of ours shall hang
is_stray() {
  local entry
  for entry in "${CHAINS[@]}"; do
    [[ $entry != "$1 "* ]] || return 1
  done
}

# unhang "TABLE BUILT-IN-CHAIN CHAIN": the lines that delete its jumps, into UNHUNG
unhang() {
  local builtin chain
  read -r _ builtin chain <<<"$1"
  UNHUNG=
  for _ in ${JUMPS[$1]-}; do UNHUNG+="-D $builtin -j $chain"$'\n'; done
}

# hangs_well TABLE BUILT-IN-CHAIN CHAIN POSITION: by one jump, in its place; which is behind the bans, if first
hangs_well() {
  local jumps=${JUMPS["$1 $2 $3"]-}
  [[ $4 == within ]] || [[ $jumps == " "+([0-9]) ]] || return 1
  case $4 in
    within) ;;
    first) ((jumps >= ${BANNED["$1 $2"]-0} && jumps <= ${FREE["$1 $2"]-jumps})) ;;
    last) [[ ${ENDS["$1 $2"]} == "$3" ]] ;;
  esac
}

# unlist RULES: the lines that delete them, into UNLISTED
unlist() {
  local rule
  UNLISTED=
  while IFS= read -r rule; do
    [[ -z $rule ]] || UNLISTED+="-D ${rule#-A }"$'\n'
  done <<<"$1"
}

# check_rules NAME...: whether iptables takes the forwards that are ASKED; what it does not, in WRONG
check_rules() {
  local family refused=
  (($#)) || return 0
  for family in "${FAMILIES[@]}"; do
    use_family "$family"
    takes_family_rules "$@" || refused=$IPTABLES
  done
  use_family 4
  WRONG="$refused does not take '${ASKED[$1]%%$'\n'*}' on this host"
  [[ -z $refused ]]
}

takes_family_rules() {
  local name table chain key script=''
  local -A of_table=()
  SHALL=()
  for name in "$@"; do want_forward "$name" "${ASKED[$name]}"; done
  for key in "${!SHALL[@]}"; do
    read -r table chain _ <<<"$key"
    [[ ${of_table[$table]-} == *":$chain "* ]] || of_table[$table]+=":$chain - [0:0]"$'\n'
    of_table[$table]+=${SHALL[$key]}
  done
  for table in "${!of_table[@]}"; do
    script+="*$table"$'\n'${of_table[$table]}COMMIT$'\n'
  done
  printf '%s' "$script" | "$IPTABLES-restore" --test --noflush -w 60 2>/dev/null
}

apply_rules() {
  local said
  step computed-rules
  said=$(printf '%s' "$1" | "$IPTABLES-restore" --noflush -w 60 2>&1) ||
    fail "$IPTABLES-restore failed: ${said//$'\n'/; }"
}

# remove_rules 4|6: everything of this tunnel out of the firewall, whichever version put it there; the run's end
# if something stays
remove_rules() {
  use_family "$1"
  if has "$IPTABLES-save"; then
    remove_family_rules
  elif [[ -e ${BACKENDS[$FAMILY]} ]]; then
    fail "rules of this tunnel may still be in force, and there is no $IPTABLES any more: install it, or restart" \
      "this host, and run again"
  fi
  use_family 4
}

remove_family_rules() {
  local table place entry script='' lines drops='' drop
  read_rules unseen-too
  for table in "${UNSEEN[@]}"; do remove_unseen "$table"; done
  for table in nat mangle filter; do
    lines=
    for entry in "${!JUMPS[@]}"; do
      [[ $entry == "$table "* ]] || continue
      unhang "$entry"
      lines+=$UNHUNG
    done
    drop=
    for place in "${!PRESENT[@]}"; do
      [[ $place == "$table "* ]] || continue
      lines+="-F ${place#* }"$'\n' drop+="-X ${place#* }"$'\n'
    done
    [[ -z $lines ]] || script+="*$table"$'\n'$lines"COMMIT"$'\n'
    [[ -z $drop ]] || drops+="*$table"$'\n'$drop"COMMIT"$'\n'
  done
  [[ -z $script ]] || apply_rules "$script"
  step emptied-chains
  [[ -z $drops ]] || printf '%s' "$drops" | "$IPTABLES-restore" --noflush -w 60 2>/dev/null || drop_singly
  # The firewall stays when the tunnel goes down.
  [[ -e $KEPT || -e $TRIAL ]] || forget_backends "$FAMILY"
}

# drop_singly: the chains that were read, which are empty by now
drop_singly() {
  local place chain table kept=''
  for place in "${!PRESENT[@]}"; do
    table=${place% *} chain=${place#* }
    "$IPTABLES" -w 60 -t "$table" -S "$chain" >/dev/null 2>&1 || continue
    "$IPTABLES" -w 60 -t "$table" -X "$chain" 2>/dev/null || kept+=" $chain ('$IPTABLES -t $table -S')"
  done
  [[ -z $kept ]] || fail "rules that somebody has made lead into chains of this tunnel:$kept; delete those rules," \
    "and run again"
}

# remove_unseen TABLE: by the chains that this version makes
remove_unseen() {
  local entry builtin chain
  local -a chains=()
  want_chains
  for entry in "${CHAINS[@]}"; do
    [[ $entry == "$1 "* ]] || continue
    read -r _ builtin chain _ <<<"$entry"
    chains+=("$chain")
    [[ $builtin != - ]] || continue
    while "$IPTABLES" -w 60 -t "$1" -D "$builtin" -j "$chain"; do :; done
  done 2>/dev/null
  for chain in "${chains[@]}"; do "$IPTABLES" -w 60 -t "$1" -F "$chain" || true; done 2>/dev/null
  for chain in "${chains[@]}"; do "$IPTABLES" -w 60 -t "$1" -X "$chain" || true; done 2>/dev/null
}
