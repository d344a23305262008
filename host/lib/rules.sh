# Rules: what the firewall shall hold for this tunnel, and the way there from what it holds.
#
# Chains are ours alone (RT-<interface>-<WORD>) and hang in the built-in ones by one jump each. The
# rules are written as iptables-save prints them, so that the two can be compared: what is right
# already is not touched, and keeps its counters.
#
# Some chains hold the forwards, told apart by their comments; a change of one deletes and adds its
# own rules alone. Never name an existing chain as ":CHAIN" for it: that would flush the chain.
#
# All of this is of one family at a time, the one in use.

# "table built-in-chain chain place": first or last among others' rules, or within, for one that a chain
# of ours leads to, which comes after it here
CHAINS=()
declare -A WANTED=()  # "table chain" -> the fixed rules that it shall hold
declare -A PRESENT=() # "table chain" -> the fixed rules that it holds; set if the chain is there
declare -A JUMPS=()   # "table built-in-chain chain" -> the jumps to it, each first or later
declare -A ENDS=()    # "table built-in-chain" -> what its last rule goes to, other tunnels' aside
declare -A TAGGED=()  # "table chain name" -> the rules of that forward that are there
declare -A SHALL=()   # "table chain name" -> the rules of that forward that shall be there
UNSEEN=()             # tables of which iptables shows nothing

# holds_forwards CHAIN: GATE keeps out who may not, DNAT leads into the tunnel, SRC masquerades, OPEN lets
# pass on to what is behind a server.
holds_forwards() { [[ $1 =~ ^RT-$IFACE-(GATE|DNAT|SRC|OPEN)$ ]]; }

# want_chains: what the tunnel needs beside the forwards, from SETTING, into CHAINS and WANTED
want_chains() {
  local dnat=RT-$IFACE-DNAT pre=RT-$IFACE-PRE out=RT-$IFACE-OUT mss=RT-$IFACE-MSS
  local fwd=RT-$IFACE-FWD udp=RT-$IFACE-UDP gate=RT-$IFACE-GATE visit=RT-$IFACE-VISIT
  local src=RT-$IFACE-SRC open=RT-$IFACE-OPEN way=RT-$IFACE-WAY own=RT-$IFACE-OWN
  local here="-m addrtype --dst-type LOCAL -m conntrack --ctstate NEW -j $gate"
  local ips name network
  local syn="-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS"
  local known="-m conntrack --ctstate RELATED,ESTABLISHED"
  local marked="-m connmark --mark $MARK/$MARK"
  local astray="-i $PUBLIC -p tcp -m conntrack --ctstate INVALID -m addrtype --dst-type LOCAL"
  # Nobody outside has one of its addresses, as whom a forward, too, would lead him to a server; nor this
  # host's own one there, which of IPv6 the kernel itself does not ask. What this host says to itself is not
  # concerned.
  local itself="-i lo -j RETURN"
  local -a strangers=("-s $NETWORK ! -i $IFACE -j DROP")
  # The tunnel's own packets are no forward's: not even of one that is to go, and whose port it has now.
  local wireguard="-i $PUBLIC -p udp -m udp --dport ${SETTING[listen_port]-} -m addrtype --dst-type LOCAL -j RETURN"
  local -a rules=() begun=() stray=() spoofed=()
  local restore="-j CONNMARK --restore-mark --nfmask $MARK --ctmask $MARK"
  WANTED=()
  if [[ ${SETTING[role]} == vps ]]; then
    # What keeps others out comes into force first, what lets them in last.
    CHAINS=("filter FORWARD $fwd first" "mangle - $gate within" "mangle PREROUTING $pre first"
      "mangle FORWARD $mss first" "nat POSTROUTING $src first" "nat POSTROUTING $way first"
      "nat - $dnat within" "nat PREROUTING $visit first")
    load_peers
    # Nor has anybody an address of the private networks that peers lead to.
    for network in "${!TO_PEERS[@]}"; do
      if in_use "$network" && is_private "$network" && ! overlap "$network" "$NETWORK"; then
        strangers+=("-s $network ! -i $IFACE -j DROP")
      fi
    done
    # Into the tunnel only what a forward has translated, else the provider's neighbours could route
    # tunnel addresses through this host; out of it only answers, so that no tunnel address ever
    # leaves untranslated. A container of this host that is published to the tunnel is its own.
    # A peer's way out is masqueraded; so is what comes back to it by a forward, which would else
    # reach it from its own address.
    for ips in "${!WAYS_OUT[@]}"; do
      pick "$ips"
      [[ -z ${PICKED[0]-} ]] || rules+=("-s ${PICKED[0]} -i $IFACE -o $PUBLIC -j ACCEPT")
    done
    want "filter $fwd" \
      "-d $NETWORK -i $IFACE -o $IFACE -j ACCEPT" \
      "-o $IFACE -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT" \
      "-o $IFACE -j DROP" \
      "-i $IFACE $known -j ACCEPT" \
      "${rules[@]}" \
      "-i $IFACE ! -o $PUBLIC -m conntrack --ctstate DNAT -j RETURN" \
      "-i $IFACE -j DROP"
    # What comes so late or so far ahead that it counts for no connection is translated by nobody, and
    # this host would answer it with a reset, of a visitor's connection that is well.
    if [[ $SOCKET_MATCH == yes ]]; then
      stray=("$astray -m socket -j RETURN" "$astray -j DROP")
    fi
    # This host's own tunnel address, too, is reached through the tunnel only. What belongs to a known
    # connection, as nearly all does, is asked no more than whether its addresses may come from there.
    want "mangle $pre" \
      "$itself" \
      "-d $NETWORK ! -i $IFACE -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP" \
      "${strangers[@]}" \
      "$known -j RETURN" \
      "$wireguard" \
      "-i $PUBLIC $here" \
      "! -d $INSIDE/$WHOLE -i $IFACE $here" \
      "${stray[@]}"
    # Visitors from outside, and peers; who calls the VPS's tunnel address means its own services. Asked
    # here, once, and not by each forward: there may be a thousand.
    want "nat $visit" \
      "$wireguard" \
      "-i $PUBLIC -m addrtype --dst-type LOCAL -j $dnat" \
      "! -d $INSIDE/$WHOLE -i $IFACE -m addrtype --dst-type LOCAL -j $dnat"
    # Both directions: a lower MTU alone does not tell the far ends.
    want "mangle $mss" "-o $IFACE $syn --clamp-mss-to-pmtu" "-i $IFACE $syn --clamp-mss-to-pmtu"
    rules=()
    for ips in "${!WAYS_OUT[@]}"; do
      pick "$ips"
      name=${PICKED[0]-}
      [[ -z $name ]] || rules+=("-s $name -o $PUBLIC -j MASQUERADE")
      for network in "${PICKED[@]}"; do
        rules+=("-s $name -d $network -o $IFACE -m conntrack --ctstate DNAT -j MASQUERADE")
      done
    done
    want "nat $way" "${rules[@]}"
  else
    CHAINS=("filter - $open within" "filter FORWARD $fwd first" "mangle PREROUTING $pre first"
      "mangle OUTPUT $out first" "mangle POSTROUTING $mss first" "nat POSTROUTING $src first"
      "nat PREROUTING $udp last")
    if ((FAMILY == 4)); then
      # What others of the home network send by here stays out of the tunnel, where only we forward it.
      find_behind
      for name in "${INTERFACES_BEHIND[@]}"; do
        forwards_by_us "$name" || continue
        rules+=("-i $name -o $IFACE -j DROP")
        # Nor is this server their way to other networks, where it passes on for nobody but us: what
        # another tunnel of ours has translated goes on.
        [[ $(<"$SYSCTL/ip_forward") != 0 ]] ||
          rules+=("-i $name ! -o $name -m conntrack --ctstate NEW -m conntrack ! --ctstate DNAT -j DROP")
      done
    else
      # Where the line has no IPv6, answers find their way by the tunnel (add_last_way). What this
      # server begins itself gets the same word as without it, at once.
      CHAINS+=("filter OUTPUT $own first")
      [[ ${SETTING[egress]-} == tunnel ]] || begun=(
        "! -d $NETWORK -o $IFACE -m conntrack --ctstate NEW -j REJECT --reject-with icmp6-no-route"
      )
      want "filter $own" "${begun[@]}"
    fi
    # A UDP service bound to any address answers from the one that the main table picks, and no
    # connection would be known by that: so it is the one to which its visitors are sent. Where the
    # way out is the tunnel it is that already.
    local visitors="! -s $NETWORK -i $IFACE -p udp"
    local -a to_line=() stale=()
    if [[ -n ${LINE[FAMILY]-} && ${SETTING[egress]-} != tunnel ]]; then
      to_line=("$visitors -m addrtype --dst-type LOCAL -j DNAT --to-destination ${LINE[FAMILY]}")
      # Until the tunnel knows that this line has another address by now, the old one may be
      # somebody else's of the home network.
      stale=("-d ${LINE[FAMILY]}/$WHOLE -i $IFACE -p udp -m conntrack --ctstate DNAT -j DROP")
    fi
    # The VPS reaches this server and what it publishes itself (Docker's DNAT, whose own rules then
    # judge), not the home network behind it.
    want "filter $fwd" \
      "${stale[@]}" \
      "-i $IFACE $known -j ACCEPT" \
      "-o $IFACE $known -j ACCEPT" \
      "-i $IFACE -m conntrack --ctstate DNAT -j RETURN" \
      "-i $IFACE -j $open" \
      "-i $IFACE -j DROP" \
      "${rules[@]}"
    rules=()
    # Nobody comes by the tunnel who is of a network that this server is in: a service may trust those, and a
    # broken-into VPS would speak as them.
    find_own_networks
    for network in "${OWN_NETWORKS[@]}"; do spoofed+=("-s $network -i $IFACE -j DROP"); done
    # Connections are marked on their way in, and their answers find back by the mark; everything
    # else leaves by this server's own line. One that is known already, and was not to the tunnel's address,
    # came by that line: a broken-into VPS would lead it to itself by one packet in a visitor's name.
    # The MSS is set, not clamped: clamping looks at the way back, which the mark does not lead yet.
    want "mangle $pre" \
      "$itself" \
      "${strangers[@]}" \
      "${spoofed[@]}" \
      "-d $INSIDE/$WHOLE -i $IFACE -m conntrack --ctdir ORIGINAL -j CONNMARK --set-xmark $MARK/$MARK" \
      "! -d $INSIDE/$WHOLE -i $IFACE -m conntrack --ctstate NEW -j CONNMARK --set-xmark $MARK/$MARK" \
      "-i $IFACE $syn --set-mss $((SETTING[mtu] - HEADERS))" \
      "! -i $IFACE $marked $restore"
    want "mangle $out" "$marked $restore"
    # Last, after Docker's, whose containers need no such help. A service that is bound to the very
    # address answers from it.
    [[ $SOCKET_MATCH != yes ]] || rules+=("$visitors -m socket -j RETURN")
    want "nat $udp" "${rules[@]}" "${to_line[@]}"
    want "mangle $mss" "-o $IFACE $syn --clamp-mss-to-pmtu"
  fi
}

# want "TABLE CHAIN" RULE...
want() {
  local chain=${1#* } place=$1 rule
  shift
  WANTED[$place]=
  for rule in "$@"; do
    WANTED[$place]+="-A $chain $rule"$'\n'
  done
}

# want_forward NAME TEXT: its rules into SHALL, if it takes visitors of the family in use
#
# By interface and local address, not by the public address: a VPS behind 1:1 NAT never sees that.
# A new connection may be asked by a thousand rules of others: so what is the same for all is asked on
# the way to them, and each asks for the port first, which costs least.
want_forward() {
  parse_text "$2"
  pick "$TARGETS"
  [[ $PAUSED == no && -n ${PICKED[0]-} ]] || return 0
  TARGET=${PICKED[0]}
  if [[ ${SETTING[role]} == vps ]]; then
    want_gate "$1"
    want_dnat "$1"
  else
    want_opening "$1"
  fi
}

# want_rule CHAIN-WORD TABLE NAME RULE
want_rule() { SHALL["$2 RT-$IFACE-$1 $3"]+="-A RT-$IFACE-$1 $4"$'\n'; }

# as_dport PORT PORT_END: as iptables writes them, into DPORT
as_dport() {
  DPORT=$1
  (($1 == $2)) || DPORT=$1:$2
}

# want_gate NAME: who may use the forward that was parsed. What is dropped here was not translated.
#
# Limits come first, since the list of those who may ends by returning; each counts by visitor.
want_gate() {
  local name=$1 match rate limit network
  [[ -n $LIMIT_NEW$LIMIT_CONCURRENT$FROM ]] || return 0
  as_dport "$PORT" "$PORT_END"
  match="-p $PROTOS -m $PROTOS --dport $DPORT -m comment --comment \"rt:$IFACE:$name\""
  # Both protocols in one rule, that they count together.
  [[ $PROTOS != *" "* ]] ||
    match="! -p $ICMP -m conntrack --ctorigdstport $DPORT -m comment --comment \"rt:$IFACE:$name\""
  if [[ -n $LIMIT_NEW ]]; then
    # The kernel keeps the time between two, in millionths of a second.
    rate=$((1000000 / (1000000 / LIMIT_NEW)))
    # A table of the kernel's keeps its rate as long as any rule has its name: so the rate is in it.
    limit="-m hashlimit --hashlimit-above $rate/sec --hashlimit-burst $LIMIT_NEW"
    limit+=" --hashlimit-mode srcip --hashlimit-name rt-$IFACE-$name-$LIMIT_NEW"
    ((VISITOR == WHOLE)) || limit+=" --hashlimit-srcmask $VISITOR"
    want_rule GATE mangle "$name" "$match $limit -j DROP"
  fi
  if [[ -n $LIMIT_CONCURRENT ]]; then
    limit="-m connlimit --connlimit-above $LIMIT_CONCURRENT --connlimit-mask $VISITOR --connlimit-saddr"
    want_rule GATE mangle "$name" "$match $limit -j DROP"
  fi
  [[ -n $FROM ]] || return 0
  pick "$FROM"
  for network in "${PICKED[@]}"; do want_rule GATE mangle "$name" "-s $network $match -j RETURN"; done
  want_rule GATE mangle "$name" "$match -j DROP"
}

# want_dnat NAME: into the tunnel, by the forward that was parsed
want_dnat() {
  local name=$1 proto match host=$TARGET to
  ((FAMILY == 4)) || host=[$TARGET]
  to=$host:$TPORT
  if ((PORT != PORT_END)); then
    # From the first port on, one by one; the kernel would else take any that is free.
    to=$host:$TPORT-$TPORT_END/$PORT
    ((PORT != TPORT)) || to=$TARGET
  fi
  for proto in $PROTOS; do
    as_dport "$PORT" "$PORT_END"
    match="-p $proto -m $proto --dport $DPORT -m comment --comment \"rt:$IFACE:$name\""
    want_rule DNAT nat "$name" "$match -j DNAT --to-destination $to"
    [[ $SOURCE_ADDRESS == tunnel ]] || continue
    match="-m conntrack --ctstate DNAT --ctorigdstport $DPORT"
    as_dport "$TPORT" "$TPORT_END"
    match="-p $proto -m $proto --dport $DPORT $match -m comment --comment \"rt:$IFACE:$name\""
    want_rule SRC nat "$name" "-d $TARGET/$WHOLE -o $IFACE $match -j MASQUERADE"
  done
}

# want_opening NAME: out of the tunnel to what is behind this server, by the opening that was parsed
want_opening() {
  local proto match
  as_dport "$PORT" "$PORT_END"
  for proto in $PROTOS; do
    match="-m $proto --dport $DPORT -m comment --comment \"rt:$IFACE:$1\""
    want_rule OPEN filter "$1" "-d $TARGET/$WHOLE -p $proto $match -j ACCEPT"
    [[ $SOURCE_ADDRESS == client ]] || want_rule SRC nat "$1" \
      "-d $TARGET/$WHOLE -p $proto $match -m connmark --mark $MARK/$MARK -j MASQUERADE"
  done
}

# is_ours CHAIN: no other tunnel's name can be followed by a word without a dash
is_ours() { [[ $1 == "RT-$IFACE-"* && ${1#"RT-$IFACE-"} =~ ^[A-Z0-9]+$ ]]; }

# read_rules [unseen-too]: what the firewall holds of this tunnel, of the family in use; fails if anything is
# in a table of which nothing is seen, unless those are wanted as UNSEEN
read_rules() {
  local saved line table='' chain rest place name foreign=
  PRESENT=() JUMPS=() ENDS=() TAGGED=() UNSEEN=()
  saved=$("$IPTABLES-save") || fail "$IPTABLES-save failed: see what '$IPTABLES-save' says on this host"
  split_lines "$saved"
  for line in "${SPLIT[@]}"; do
    case $line in
      '*'*) table=${line#\*} foreign= ;;
      ":RT-$IFACE-"*)
        chain=${line%% *} chain=${chain#:}
        ! is_ours "$chain" || PRESENT["$table $chain"]+=
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
      "-A "*" -j RT-"*)
        chain=${line##* } rest=${line#-A } rest=${rest%% *} place="$table $rest $chain"
        # One with a condition is not of our making, and would not go by its name.
        is_ours "$chain" && [[ $line == "-A $rest -j $chain" ]] || continue
        ENDS["$table $rest"]=$chain
        if [[ $foreign == *" $rest "* ]]; then
          JUMPS[$place]+=" later"
        else
          JUMPS[$place]+=" first"
        fi
        ;;
      "-A "*)
        rest=${line#-A } rest=${rest%% *}
        ENDS["$table $rest"]=
        is_ban "$line" || foreign+=" $rest "
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

# is_unseen TABLE CHAIN: whether that chain is in a table of which iptables-save shows nothing, so that it would
# be made a second time, and lose what it has; what to do in SAID. Where it is not there yet, as at boot, all
# can be made as ever.
is_unseen() {
  SAID="iptables can't show what is in its table $1 (see '$IPTABLES-save'), for somebody has put a rule there"
  SAID+=" that only nft can write: move that to a table of its own (such as 'nft add table ip mine'), or write"
  SAID+=" it by iptables, and run again"
  "$IPTABLES" -w 60 -t "$1" -S "$2" >/dev/null 2>&1
}

# is_ban RULE: it keeps some out, and lets nobody in: such a one may stand before ours
is_ban() {
  [[ $1 == *" -s "*" -j DROP" || $1 == *" -s "*" -j REJECT"* || $1 == *" --match-set "*" -j DROP" ]]
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
}

# changes_of TABLE: lines for iptables-restore, into CHANGES. Empty if all is as it shall be. Of the
# forwards those in only, unless that is empty.
changes_of() {
  local table=$1 entry builtin chain position place key jumps=''
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
    jumps+=$UNHUNG
    if [[ $position == first ]]; then
      # Before what a neighbour may end with (a REJECT of all that is left).
      jumps+="-I $builtin 1 -j $chain"$'\n'
    else
      jumps+="-A $builtin -j $chain"$'\n'
    fi
  done
  # Where another version of this helper has hung them, or somebody.
  for place in "${!JUMPS[@]}"; do
    [[ $place == "$table "* ]] || continue
    is_stray "$place" || continue
    unhang "$place"
    jumps+=$UNHUNG
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
  CHANGES+=$jumps$DROPPED
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

# hangs_well TABLE BUILT-IN-CHAIN CHAIN POSITION: by one jump, in its place
hangs_well() {
  local jumps=${JUMPS["$1 $2 $3"]-}
  case $4 in
    within) ;;
    first) [[ $jumps == " first" ]] ;;
    last) [[ $jumps == " "[a-z]* && $jumps != " "*" "* && ${ENDS["$1 $2"]} == "$3" ]] ;;
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

# remove_rules 4|6...: everything of this tunnel out of the firewall, whichever version put it there
remove_rules() {
  local family
  for family in "$@"; do
    use_family "$family"
    ! has "$IPTABLES-save" || remove_family_rules
  done
  use_family 4
}

remove_family_rules() {
  local table place entry script='' lines
  read_rules unseen-too
  for table in "${UNSEEN[@]}"; do remove_unseen "$table"; done
  for table in nat mangle filter; do
    lines=
    for entry in "${!JUMPS[@]}"; do
      [[ $entry == "$table "* ]] || continue
      unhang "$entry"
      lines+=$UNHUNG
    done
    for place in "${!PRESENT[@]}"; do
      [[ $place != "$table "* ]] || lines+="-F ${place#* }"$'\n'
    done
    for place in "${!PRESENT[@]}"; do
      [[ $place != "$table "* ]] || lines+="-X ${place#* }"$'\n'
    done
    [[ -z $lines ]] || script+="*$table"$'\n'$lines"COMMIT"$'\n'
  done
  [[ -z $script ]] || apply_rules "$script"
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
