# Addresses: checks and arithmetic of both families, ports, names and keys.

is_slug() { [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$ ]]; }

# need_slug KIND NAME: as the name of a forward, say
need_slug() { is_slug "$2" || refuse "'$2' is not a $1's name (letters, digits, - and _)"; }

# As the kernel takes it, less what a shell, a path or a chain's name could stumble on.
is_interface() { [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$ ]]; }

# By patterns: a regular expression takes three times as long, and a thousand forwards have four each.
is_port() { [[ $1 == [1-9]* && $1 != *[!0-9]* ]] && ((${#1} <= 5 && $1 <= 65535)); }

# parse_ports "443" or "27000-27037": into BEGIN and END
parse_ports() {
  BEGIN=${1%%-*} END=${1#*-}
  is_port "$BEGIN" && is_port "$END" && ((BEGIN <= END))
}

# An IPv4 address
is_address() {
  [[ $1 =~ ^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$ ]] &&
    ((BASH_REMATCH[1] < 256 && BASH_REMATCH[2] < 256 && BASH_REMATCH[3] < 256 && BASH_REMATCH[4] < 256))
}

# An IPv6 address in the writing in which ip and iptables print it, so that texts can be compared
is_ipv6() {
  [[ $1 == *:* ]] && digits_of "$1" || return 1
  address_of "$DIGITS"
  [[ $ADDRESS == "$1" ]]
}

# An address of either family with a prefix length: 172.16.0.1/24
is_prefixed() {
  local address=${1%/*} length=${1#*/}
  [[ $1 == */* && $length =~ ^(0|[1-9][0-9]{0,2})$ ]] || return 1
  if [[ $address == *:* ]]; then
    is_ipv6 "$address" && ((length <= 128))
  else
    is_address "$address" && ((length <= 32))
  fi
}

# A network of either family without bits of a host, and not everything: 198.51.100.0/24
is_network() {
  is_prefixed "$1" && [[ ${1#*/} != 0 ]] || return 1
  network_bounds "$1"
  digits_of "${1%/*}"
  [[ $FIRST == "$DIGITS" ]]
}

# A WireGuard key: 32 bytes in base64
is_key() { [[ $1 =~ ^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$ ]]; }

# HOST:PORT as WireGuard dials it
is_endpoint() { [[ $1 =~ ^[A-Za-z0-9._-]{1,253}:([0-9]+)$ ]] && is_port "${BASH_REMATCH[1]}"; }

readonly ZEROS=00000000000000000000000000000000 ONES=ffffffffffffffffffffffffffffffff

# digits_of ADDRESS: its hexadecimal digits, 8 or 32 by family, into DIGITS; false if it is none
digits_of() {
  local group zeros
  local -a head=() tail=()
  if [[ $1 != *:* ]]; then
    is_address "$1" || return 1
    printf -v DIGITS '%02x%02x%02x%02x' "${BASH_REMATCH[@]:1}"
    return
  fi
  IFS=: read -ra head <<<"${1%%::*}"
  [[ $1 != *::* ]] || IFS=: read -ra tail <<<"${1#*::}"
  # For as many groups as are missing there is "::", once.
  zeros=$((8 - ${#head[@]} - ${#tail[@]}))
  if [[ $1 == *::* ]]; then ((zeros > 0)); else ((zeros == 0)); fi || return 1
  DIGITS=
  for group in "${head[@]}" "" "${tail[@]}"; do
    if [[ -z $group ]]; then
      DIGITS+=${ZEROS:0:4*zeros}
    else
      [[ $group =~ ^[0-9a-f]{1,4}$ ]] || return 1
      printf -v group '%04x' "0x$group"
      DIGITS+=$group
    fi
  done
  ((${#DIGITS} == 32))
}

# address_of DIGITS: in its usual writing, into ADDRESS
address_of() {
  local i zeros
  ADDRESS=
  if ((${#1} == 8)); then
    for ((i = 0; i < 8; i += 2)); do ADDRESS+=${ADDRESS:+.}$((16#${1:i:2})); done
    return
  fi
  for ((i = 0; i < 32; i += 4)); do
    printf -v ADDRESS '%s%x' "${ADDRESS:+$ADDRESS:}" "0x${1:i:4}"
  done
  # The first of the longest runs of zeros, of two groups at least, is left out.
  for zeros in 0:0:0:0:0:0:0:0 0:0:0:0:0:0:0 0:0:0:0:0:0 0:0:0:0:0 0:0:0:0 0:0:0 0:0; do
    [[ :$ADDRESS: == *":$zeros:"* ]] || continue
    ADDRESS=:$ADDRESS:
    ADDRESS=${ADDRESS/":$zeros:"/::}
    # Of the colons put around it, those that stand alone.
    [[ $ADDRESS == ::* ]] || ADDRESS=${ADDRESS#:}
    [[ $ADDRESS == *:: ]] || ADDRESS=${ADDRESS%:}
    return
  done
}

# network_bounds PREFIXED: the digits of its first and last address, into FIRST and LAST; without a
# prefix length both are the address
network_bounds() {
  local whole bits digit low high
  digits_of "${1%/*}"
  FIRST=$DIGITS LAST=$DIGITS
  [[ $1 == */* ]] || return 0
  whole=$((${1#*/} / 4)) bits=$((${1#*/} % 4))
  FIRST=${DIGITS:0:whole} LAST=$FIRST
  if ((bits)); then
    digit=$((16#${DIGITS:whole:1}))
    printf -v low '%x' $((digit & 0xf0 >> bits & 15))
    printf -v high '%x' $((digit | 0xf >> bits))
    FIRST+=$low LAST+=$high
  fi
  FIRST+=${ZEROS:0:${#DIGITS}-${#FIRST}} LAST+=${ONES:0:${#DIGITS}-${#LAST}}
}

# network_of PREFIXED: the network in its usual writing, into NETWORK
network_of() {
  network_bounds "$1"
  address_of "$FIRST"
  NETWORK=$ADDRESS/${1#*/}
}

overlap() {
  local first last
  network_bounds "$1"
  first=$FIRST last=$LAST
  network_bounds "$2"
  [[ ${#first} == "${#FIRST}" && ! $first > $LAST && ! $FIRST > $last ]]
}

readonly PRIVATE="10.0.0.0/8 100.64.0.0/10 169.254.0.0/16 172.16.0.0/12 192.168.0.0/16 fc00::/7 fe80::/10"

# is_private NETWORK: whether all of it is nobody's on the internet
is_private() {
  local range
  for range in $PRIVATE; do
    ! overlap "$1" "$range" || ((${1#*/} < ${range#*/})) || return 0
  done
  return 1
}

# contains NETWORK ADDRESS
contains() { overlap "$1" "$2"; }
