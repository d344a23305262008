# Wrong: what of the tunnel on this host is not as the helper makes it, a word each. Read only. Rules
# are judged elsewhere (judging.sh), each forward's for itself.

tell_wrong() {
  local key ips name
  local -A there=() wanted=()
  # Files of root's alone: the private key is one of them.
  [[ -z $(find "$OWN" "$CONF" "$HELPER" \( -perm /077 -o ! -user root \) -print -quit 2>/dev/null) ]] ||
    echo "wrong modes"
  ! load_metrics || are_renewed || echo "wrong metrics"
  # It stays when the tunnel goes down.
  are_guarded || echo "wrong firewall"
  ! is_taken_back || echo "wrong taken-back"
  has_given_keys || echo "wrong key"
  has conntrack || echo "wrong conntrack"
  tunnel_is_up || return 0
  (($(<"/sys/class/net/$IFACE/flags") & 1)) || echo "wrong link"
  [[ $(<"/sys/class/net/$IFACE/mtu") == "${SETTING[mtu]}" ]] || echo "wrong mtu"
  WRONG=
  by_family check_addresses
  [[ -z $WRONG ]] || echo "wrong addresses"
  load_mark
  WRONG=
  ((TABLE == 0)) || by_family check_ways
  [[ -z $WRONG ]] || echo "wrong routes"
  passes_on || echo "wrong forwarding"
  is_watched || echo "wrong watcher"
  # Others may have changed them while targets were asked.
  load_ends
  # While a key is handed over, the networks belong to the one or the other.
  while read -r key ips; do
    name=${NAMED[$key]-${SPARE[$key]-}}
    [[ -z $name ]] || there[$name]+=" ${ips/"(none)"/}"
  done < <(wg show "$IFACE" allowed-ips)
  for key in "${!PEER[@]}"; do wanted[${NAMED[$key]-${SPARE[$key]}}]+=" ${PEER[$key]//,/ }"; done
  for name in "${!wanted[@]}"; do alike "${there[$name]-}" "${wanted[$name]}" || echo "wrong peer $name"; done
  tell_wrong_keys
}

# tell_wrong_keys: on the VPS, peers whose preshared key is not the one of their file. None is told.
tell_wrong_keys() {
  local key shared wanted
  [[ ${SETTING[role]} == vps ]] || return 0
  while read -r key shared; do
    wanted="(none)"
    # Of one that has just gone nothing can be said.
    [[ -z ${SHARED[$key]-} ]] || read -r wanted 2>/dev/null <"${SHARED[$key]}" || continue
    [[ -z ${SHALL_SHARE[$key]-} || $wanted != "(none)" ]] || wanted=
    [[ -z ${NAMED[$key]-} || $shared == "$wanted" ]] || echo "wrong preshared-key ${NAMED[$key]}"
  done < <(wg show "$IFACE" preshared-keys)
}

# check_addresses: of this family, that it has its own and no other; what is wrong into WRONG
check_addresses() {
  local now
  now=$(ip "-$FAMILY" -o address show dev "$IFACE" scope global | awk '{ print $4 }')
  [[ $now == "$PREFIXED" ]] || WRONG=addresses
}

# check_ways: of this family, that a server's answers go back by the tunnel, and what it begins itself
# goes where it shall; what is wrong into WRONG
check_ways() {
  [[ $(ip "-$FAMILY" route show table "$TABLE" 2>/dev/null) == "default dev $IFACE "* ]] || WRONG=routes
  has_back_rules && leads_back || WRONG=routes
  if ((FAMILY == 4)); then
    [[ $(<"$SYSCTL/conf/$IFACE/rp_filter") == 2 ]] || WRONG=routes
  else
    has_rule $((TABLE + LAST_WAY)) || WRONG=routes
  fi
  want_egress
  has_egress || WRONG=routes
}

# passes_on: whether the switches that bring_up has set are on
passes_on() {
  local name
  local -a names=()
  [[ ! -e $RUN/$IFACE.up6 || $(<"$SYSCTL6/conf/all/forwarding") != 0 ]] || return 1
  [[ -r $RUN/$IFACE.up ]] || return 0
  read -ra names <"$RUN/$IFACE.up" || true
  for name in "${names[@]}" "$IFACE"; do
    [[ ! -e $SYSCTL/conf/$name || $(<"$SYSCTL/conf/$name/forwarding") == 1 ]] || return 1
  done
}

# alike WORDS WORDS: in any order
alike() {
  # shellcheck disable=SC2086 # they are words
  [[ $(printf '%s\n' $1 | sort) == "$(printf '%s\n' $2 | sort)" ]]
}
