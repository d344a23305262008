# Facts: what is, compared with the files, as key=value lines. Read only.

verb_facts() {
  local name key state table builtin chain position kind=forward
  local -A states=()
  DOING=facts
  lock || return 0
  echo "helper=$HELPER_VERSION"
  owner_of "$IFACE"
  echo "owner=$VALUE"
  load_settings || return 0
  echo "role=${SETTING[role]}"
  echo "public-interface=$PUBLIC"
  if tunnel_is_up; then echo up=yes; else echo up=no; fi
  if systemctl is-enabled --quiet "$UNIT" 2>/dev/null; then echo enabled=yes; else echo enabled=no; fi
  want_chains
  load_forwards
  SHALL=()
  for name in "${!FORWARD[@]}"; do want_forward "$name" "${FORWARD[$name]}"; done
  if load_trial; then
    echo firewall=pending
  else
    if read_firewall "$KEPT"; then echo firewall=kept; else echo firewall=none; fi
  fi
  read_rules
  for key in "${CHAINS[@]}"; do
    read -r table builtin chain position <<<"$key"
    state=ok
    hangs_well "$table" "$builtin" "$chain" "$position" || state=unhung
    [[ ${PRESENT["$table $chain"]-missing} == "${WANTED["$table $chain"]-}" ]] || state=differs
    echo "chain.$chain=$state"
  done
  # Of all its rules, in several chains.
  for name in "${!FORWARD[@]}"; do states[$name]=paused; done
  for key in "${!SHALL[@]}"; do states[${key##* }]=missing; done
  for key in "${!TAGGED[@]}"; do
    state=ok
    [[ ${states[${key##* }]-} == *[a-z]* && ${states[${key##* }]} != paused ]] || state=stray
    states[${key##* }]=$state
  done
  for key in "${!SHALL[@]}" "${!TAGGED[@]}"; do
    name=${key##* }
    [[ ${states[$name]} != ok || ${TAGGED[$key]-} == "${SHALL[$key]-}" ]] || states[$name]=differs
  done
  [[ ${SETTING[role]} == vps ]] || kind=opening
  for name in "${!states[@]}"; do echo "$kind.$name=${states[$name]}"; done
  load_peers
  for key in "${!NAMED[@]}"; do echo "peer.${NAMED[$key]}=$key"; done
}
