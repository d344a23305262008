# Traffic: the connections that each forward has, and what they have carried.

declare -A TRAFFIC=() # by name: "connections packets bytes packets bytes", to the target and from it

# read_traffic: into TRAFFIC, of the forwards that are loaded and have any. Connections that are open
# now; of UDP, those that were answered.
read_traffic() {
  TRAFFIC=()
  by_family read_family_traffic
}

read_family_traffic() {
  local proto port target count name now
  local -a sum more
  # There may be a hundred thousand: awk adds up those that are alike.
  while read -r proto port target count; do
    for name in "${!FORWARD[@]}"; do
      parse_text "${FORWARD[$name]}"
      [[ $PAUSED == no && ,$TARGETS, == *",$target,"* && " $PROTOS " == *" $proto "* ]] || continue
      ((PORT <= port && port <= PORT_END)) || continue
      read -ra sum <<<"${TRAFFIC[$name]-0 0 0 0 0}"
      read -ra more <<<"$count"
      for now in "${!sum[@]}"; do sum[now]=$((sum[now] + more[now])); done
      TRAFFIC[$name]=${sum[*]}
    done
  done < <(conntrack -L -f "ipv$FAMILY" --dst-nat 2>/dev/null | awk '
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
      key = $1 " " value["dport", 1] " " value["src", 2]
      alike[key]++
      for (half = 1; half <= 2; half++) {
        packets[key, half] += seen["packets"] ? value["packets", half] : 0
        bytes[key, half] += seen["bytes"] ? value["bytes", half] : 0
      }
    }
    END {
      for (key in alike)
        print key, alike[key], packets[key, 1], bytes[key, 1], packets[key, 2], bytes[key, 2]
    }')
}
