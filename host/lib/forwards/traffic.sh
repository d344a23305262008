# Traffic: the connections that each forward has, and what they have carried.

declare -A TRAFFIC=() # by name: "connections packets bytes packets bytes", to the target and from it

# read_traffic: into TRAFFIC, of the forwards that are loaded and have any. Connections that are open
# now; of UDP, those that were answered.
read_traffic() {
  TRAFFIC=()
  by_family read_family_traffic
}

read_family_traffic() {
  local name place
  local -a sum more
  while read -ra more; do
    name=${more[0]} more=("${more[@]:1}")
    read -ra sum <<<"${TRAFFIC[$name]-0 0 0 0 0}"
    for place in "${!sum[@]}"; do sum[place]=$((sum[place] + more[place])); done
    TRAFFIC[$name]=${sum[*]}
  done < <({
    tell_targets
    # Whoever ends connections says why not.
    list_flows --dst-nat 2>/dev/null || true
  } | add_up)
}

# tell_targets: of the family in use, a line for each thing that a forward leads to:
# "forward NAME PROTOCOL PORT END TARGET"
tell_targets() {
  local name proto target
  for name in "${!FORWARD[@]}"; do
    parse_text "${FORWARD[$name]}"
    [[ $PAUSED == no ]] || continue
    pick "$TARGETS"
    for proto in $PROTOS; do
      for target in "${PICKED[@]}"; do echo "forward $name $proto $PORT $PORT_END $target"; done
    done
  done
}

# add_up: from those lines and conntrack's, "NAME connections packets bytes packets bytes". There may
# be a hundred thousand connections and a thousand forwards, too many for bash.
add_up() {
  awk '
    $1 == "forward" {
      place = $3 " " $6
      number = ++forwards[place]
      name[place, number] = $2
      first[place, number] = $4 + 0
      last[place, number] = $5 + 0
      next
    }
    $1 == "tcp" && $4 !~ /^(ESTABLISHED|FIN_WAIT|CLOSE_WAIT)$/ { next }
    /\[UNREPLIED\]/ { next }
    {
      # Both halves have the same words, the one of the first packet before that of the answers.
      split("", seen)
      for (i = 3; i <= NF; i++) {
        split($i, word, "=")
        half = ++seen[word[1]]
        value[word[1], half] = word[2]
      }
      key = $1 " " value["src", 2] SUBSEP value["dport", 1]
      alike[key]++
      for (half = 1; half <= 2; half++) {
        packets[key, half] += seen["packets"] ? value["packets", half] : 0
        bytes[key, half] += seen["bytes"] ? value["bytes", half] : 0
      }
    }
    END {
      for (key in alike) {
        split(key, part, SUBSEP)
        part[2] += 0
        for (number = 1; number <= forwards[part[1]]; number++) {
          if (part[2] < first[part[1], number] || part[2] > last[part[1], number]) continue
          # By itself it would write a large number as 1e+13.
          printf "%s %.0f %.0f %.0f %.0f %.0f\n", name[part[1], number], alike[key], \
            packets[key, 1], bytes[key, 1], packets[key, 2], bytes[key, 2]
        }
      }
    }'
}
