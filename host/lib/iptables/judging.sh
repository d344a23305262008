# Judging: what the firewall holds against what the files say. Read only.

declare -A CHAIN_STATES=()   # by chain: ok, unhung or differs
declare -A FORWARD_STATES=() # by name: ok, missing, differs, paused, or stray, which no file has

# judge_rules: what the firewall holds against what the files say, into CHAIN_STATES, FORWARD_STATES
judge_rules() {
  local name
  CHAIN_STATES=() FORWARD_STATES=()
  load_forwards
  for name in "${!FORWARD[@]}"; do FORWARD_STATES[$name]=paused; done
  by_family judge_family_rules
}

# judge_family_rules: what is wrong in one family is so, whatever the other is like
judge_family_rules() {
  local name key state table builtin chain position
  local -A states=()
  want_chains
  SHALL=()
  for name in "${!FORWARD[@]}"; do want_forward "$name" "${FORWARD[$name]}"; done
  read_rules
  for key in "${CHAINS[@]}"; do
    read -r table builtin chain position <<<"$key"
    state=ok
    hangs_well "$table" "$builtin" "$chain" "$position" || state=unhung
    [[ ${PRESENT["$table $chain"]-missing} == "${WANTED["$table $chain"]-}" ]] || state=differs
    [[ ${CHAIN_STATES[$chain]-ok} != ok ]] || CHAIN_STATES[$chain]=$state
  done
  # Somewhere else it would get what is not for it.
  for key in "${!JUMPS[@]}"; do
    ! is_stray "$key" || CHAIN_STATES[${key##* }]=unhung
  done
  # Of all its rules, in several chains.
  for key in "${!SHALL[@]}"; do states[${key##* }]=missing; done
  for key in "${!TAGGED[@]}"; do
    state=ok
    [[ ${states[${key##* }]-} == *[a-z]* ]] || state=stray
    states[${key##* }]=$state
  done
  for key in "${!SHALL[@]}" "${!TAGGED[@]}"; do
    name=${key##* }
    [[ ${states[$name]} != ok || ${TAGGED[$key]-} == "${SHALL[$key]-}" ]] || states[$name]=differs
  done
  for name in "${!states[@]}"; do
    [[ ${FORWARD_STATES[$name]-ok} != @(ok|paused) ]] || FORWARD_STATES[$name]=${states[$name]}
  done
}
