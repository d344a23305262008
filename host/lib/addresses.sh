# Addresses: checks and arithmetic of IPv4, ports, names and keys.

is_slug() { [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9_-]{0,62}$ ]]; }

# As the kernel takes it, less what a shell, a path or a chain's name could stumble on.
is_interface() { [[ $1 =~ ^[A-Za-z0-9][A-Za-z0-9_.-]{0,14}$ ]]; }

is_port() { [[ $1 =~ ^[1-9][0-9]{0,4}$ ]] && (($1 <= 65535)); }

# parse_ports "443" or "27000-27037": into BEGIN and END
parse_ports() {
  BEGIN=${1%%-*} END=${1#*-}
  is_port "$BEGIN" && is_port "$END" && ((BEGIN <= END))
}

is_address() {
  [[ $1 =~ ^(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})\.(0|[1-9][0-9]{0,2})$ ]] &&
    ((BASH_REMATCH[1] < 256 && BASH_REMATCH[2] < 256 && BASH_REMATCH[3] < 256 && BASH_REMATCH[4] < 256))
}

# An address with a prefix length: 172.16.0.1/24
is_prefixed() {
  [[ $1 == */* ]] && is_address "${1%/*}" && [[ ${1#*/} =~ ^(0|[1-9][0-9]?)$ ]] && ((${1#*/} <= 32))
}

# A network without bits of a host, and not everything: 198.51.100.0/24
is_network() {
  local address
  is_prefixed "$1" && [[ ${1#*/} != 0 ]] || return 1
  network_bounds "${1%/*}/32"
  address=$FIRST
  network_bounds "$1"
  ((FIRST == address))
}

# A WireGuard key: 32 bytes in base64
is_key() { [[ $1 =~ ^[A-Za-z0-9+/]{42}[AEIMQUYcgkosw048]=$ ]]; }

# HOST:PORT as WireGuard dials it
is_endpoint() { [[ $1 =~ ^[A-Za-z0-9._-]{1,253}:([0-9]+)$ ]] && is_port "${BASH_REMATCH[1]}"; }

# network_bounds PREFIXED: its first and last address, as numbers, into FIRST and LAST
network_bounds() {
  local a b c d size
  IFS=. read -r a b c d <<<"${1%/*}"
  size=$((1 << (32 - ${1#*/})))
  FIRST=$((((a << 24) + (b << 16) + (c << 8) + d) / size * size))
  LAST=$((FIRST + size - 1))
}

# network_of PREFIXED: the network in its usual writing, into NETWORK
network_of() {
  network_bounds "$1"
  NETWORK=$((FIRST >> 24)).$((FIRST >> 16 & 255)).$((FIRST >> 8 & 255)).$((FIRST & 255))/${1#*/}
}

overlap() {
  local first last
  network_bounds "$1"
  first=$FIRST last=$LAST
  network_bounds "$2"
  ((first <= LAST && FIRST <= last))
}

# contains NETWORK ADDRESS
contains() { overlap "$1" "$2/32"; }
