# Bans: rules by which others keep some out, and let nobody in. Ours stand behind them, else a forward would let in
# whom they keep out.
#
# fail2ban and CrowdSec have theirs in chains of their own, and jump there. So rules are weighed by the worst that
# they do to a forward's visitors, and a chain is as heavy as the heaviest of its rules. Only what the built-in
# chains begin with is weighed, and no chain twice: there may be thousands of rules.

readonly HARMLESS=0 # goes on behind it
readonly BAN=1      # some are kept out, whom it names
readonly FENCE=2    # all but some are kept out
readonly WALL=3     # whoever comes there is kept out
readonly OTHER=4    # lets in, leads elsewhere, or who knows

declare -A STARTS=()  # chain of others, of one table -> where in SPLIT its rules begin; empty if it has none
declare -A WEIGHTS=() # the same chains, as far as they are weighed

# weigh RULE: as iptables-save prints it, into WEIGHT
weigh() {
  local rule=$1 target quoted='^([^"]*)"([^"\]|\\.)*"(.*)$'
  # What somebody noted there is none of its words.
  while [[ $rule == *\"* && $rule =~ $quoted ]]; do rule=${BASH_REMATCH[1]}${BASH_REMATCH[3]}; done
  target=${rule##* -j } target=${target%% *} WEIGHT=$OTHER
  case $target in
    RETURN | LOG | NFLOG) WEIGHT=$HARMLESS ;;
    DROP | REJECT) WEIGHT=$WALL ;;
    *) [[ -z ${STARTS[$target]+there} ]] || weigh_chain "$target" ;;
  esac
  ((WEIGHT == FENCE || WEIGHT == WALL)) || return 0
  if [[ $rule == *[^!]" -s "* || $rule == *[^!]" --match-set "+([^ ])" src"* ]]; then
    WEIGHT=$BAN
  elif [[ $rule == *" -s "* || $rule == *" --match-set "* ]]; then
    WEIGHT=$FENCE
  fi
}

# weigh_chain CHAIN: into WEIGHT
weigh_chain() {
  local chain=$1 heaviest=$HARMLESS i rest before=''
  if [[ -z ${WEIGHTS[$chain]-} ]]; then
    for ((i = ${STARTS[$chain]:-${#SPLIT[@]}}; i < ${#SPLIT[@]} && heaviest < OTHER; i++)); do
      rest=${SPLIT[i]#"-A $chain "}
      [[ $rest != "${SPLIT[i]}" ]] || break
      # Of thousands, nearly all differ from the one before by whom they name alone.
      [[ $rest != "-s "* ]] || rest="-s ${rest#-s * }"
      [[ $rest != "$before" ]] || continue
      before=$rest
      weigh "${SPLIT[i]}"
      ((WEIGHT <= heaviest)) || heaviest=$WEIGHT
    done
    # Nobody is banned yet. Others' that are as empty may let in tomorrow, as those of Docker and ufw.
    [[ $heaviest != "$HARMLESS" || $chain != @(f2b-*|fail2ban-*|CROWDSEC_CHAIN) ]] || heaviest=$BAN
    WEIGHTS[$chain]=$heaviest
  fi
  WEIGHT=${WEIGHTS[$chain]}
}
