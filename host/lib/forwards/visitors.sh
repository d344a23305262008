# Visitors: of the tuples that were a forward's, those who may go on are told from those who may not.

MIXED=() # tuples of which some flows go on: their lines for find_visitors

# end_visitors: of the tuples that are MIXED, the flows that nobody has who may
end_visitors() {
  local found line family proto dst port source sport visitor back
  ((${#MIXED[@]})) || return 0
  found=$(printf '%s\n' "${MIXED[@]}" | find_visitors)
  split_lines "$found"
  for line in "${SPLIT[@]}"; do
    read -r family proto dst port source sport visitor back <<<"$line"
    use_family "$family"
    if [[ -n $back ]]; then
      end_flows --orig-src "$visitor" --reply-dst "$back"
    else
      network_bounds "$visitor"
      address_of "$FIRST"
      end_flows --orig-src "$ADDRESS/${visitor#*/}"
    fi
  done
}

# find_visitors: from the lines of MIXED, whose flows to end, each "FAMILY TUPLE VISITOR/LENGTH" or
# "FAMILY TUPLE VISITOR WAY-BACK"
#
# By whole networks, as wide as they can be without a peer or anybody who may. One of these, who has come
# by another way back (sourceAddress was changed), must be told from itself: exactly.
#
# An address is written in bits, a network is as many of them as it is long, and all beginnings of those
# that stay are kept: so a visitor costs the same however many networks and other visitors there are.
find_visitors() {
  awk '
    BEGIN {
      split("0000 0001 0010 0011 0100 0101 0110 0111 1000 1001 1010 1011 1100 1101 1110 1111", bits_of_digit, " ")
      zeros = sprintf("%0128d", 0)
      another["client"] = "tunnel"
      another["tunnel"] = "client"
    }
    /^(client|tunnel|peers) ./ {
      split($2, part, "/")
      network = substr(bits_of(part[1]), 1, part[2])
      stays[$1, network] = 1
      for (size = 0; size <= part[2]; size++) beginning[substr(network, 1, size)] = 1
    }
    /^tuple / { tuple = substr($0, 7) }
    /^ends / {
      # Not by fields, of which some awks have room for a few thousand.
      count = split(substr($0, 6), ends, ",")
      for (i = 1; i < count; i++) {
        split(ends[i], end, " ")
        judge(end[1], end[2])
      }
      split("", stays)
      split("", beginning)
      split("", ended)
    }
    function judge(visitor, back, bits, as, size, network, peer, other) {
      bits = bits_of(visitor)
      as = back == visitor ? "client" : "tunnel"
      for (size = 0; size <= length(bits); size++) {
        network = substr(bits, 1, size)
        if (!(network in beginning)) break
        if ((as, network) in stays) return
        if (("peers", network) in stays) peer = 1
        if ((another[as], network) in stays) other = 1
        # The way back of a peer to itself is masqueraded in any case.
        if (peer && other) return
      }
      if (peer || other) print tuple, visitor, back
      else if (!ended[network]++) print tuple, visitor "/" size
    }
    function bits_of(address, part, i, bits, rest) {
      if (address ~ /:/) {
        i = index(address, "::")
        if (!i) return bits_of_groups(address)
        bits = bits_of_groups(substr(address, 1, i - 1))
        rest = bits_of_groups(substr(address, i + 2))
        return bits substr(zeros, 1, 128 - length(bits) - length(rest)) rest
      }
      split(address, part, ".")
      for (i = 1; i <= 4; i++) bits = bits bits_of_digit[int(part[i] / 16) + 1] bits_of_digit[part[i] % 16 + 1]
      return bits
    }
    function bits_of_groups(groups, part, i, count, digit, bits) {
      count = split(groups, part, ":")
      for (i = 1; i <= count; i++) {
        part[i] = substr("000" part[i], length(part[i]))
        for (digit = 1; digit <= 4; digit++)
          bits = bits bits_of_digit[index("0123456789abcdef", substr(part[i], digit, 1))]
      }
      return bits
    }'
}
