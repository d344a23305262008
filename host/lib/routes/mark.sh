# The mark: by it a server knows which answers go back through the tunnel.
#
# One bit of the mark and one table, of this tunnel alone; chosen once and kept.

MARK=0 TABLE=0

readonly FIRST_BIT=24 BITS=7 # of 32; lower ones are taken by Docker's, Tailscale's and Kubernetes' kind
readonly MULLVAD=0x6d6f6c65  # has all of these but two: its own packets would be led here, were it installed later
readonly TABLES=7000         # 7024-7030: free of names in every distribution; also the priorities,
#                              which must come before main's (32766); see find_front (routes.sh)

# load_mark: 0 if none was chosen, as on a VPS
load_mark() {
  [[ ! -s $OWN/mark ]] || read -r MARK TABLE <"$OWN/mark"
}

# choose_mark: the first that is free, beginning at one derived from the tunnel's name
choose_mark() {
  local i code hash=0 bit
  local -a bits=() later=()
  load_mark
  ((MARK == 0)) || return 0
  for ((i = 0; i < ${#IFACE}; i++)); do
    printf -v code '%d' "'${IFACE:i:1}"
    hash=$(((hash * 31 + code) % BITS)) # of a long name it would be too large a number
  done
  for ((i = 0; i < BITS; i++)); do
    bit=$((FIRST_BIT + (hash + i) % BITS))
    if ((MULLVAD >> bit & 1)); then later+=("$bit"); else bits+=("$bit"); fi
  done
  bits+=("${later[@]}")
  take_mark mark_was_ours "${bits[@]}" || take_mark mark_is_free "${bits[@]}" ||
    refuse "no firewall mark is free on this host among the bits $FIRST_BIT-$((FIRST_BIT + BITS - 1))" \
      "(see 'ip rule' and 'iptables-save'; other tunnels here: $(other_tunnels)); nothing was changed"
  write_file "$OWN/mark" "$MARK $TABLE"$'\n'
}

# take_mark CONDITION BIT...: the first of which that is true, into MARK and TABLE
take_mark() {
  local condition=$1 bit
  shift
  for bit in "$@"; do
    printf -v MARK '0x%x' $((1 << bit))
    TABLE=$((TABLES + bit))
    ! "$condition" || return 0
  done
  return 1
}

# mark_was_ours: of a tunnel that is up, and from which somebody has removed its files
mark_was_ours() { [[ "$(ip -4 route show table "$TABLE" 2>/dev/null) " == "default dev $IFACE "* ]]; }

mark_is_free() {
  local mark mask family
  ! grep -qs " $TABLE$" "$ETC"/*/mark || return 1
  for family in 4 6; do
    [[ -z $(ip "-$family" rule show priority "$TABLE" 2>/dev/null) ]] || return 1
    [[ -z $(ip "-$family" route show table "$TABLE" 2>/dev/null) ]] || return 1
  done
  while IFS=/ read -r mark mask; do
    # A value with its mask; the mask of all ones says nothing about who owns which bit.
    ((mark & MARK || (${mask:-0xffffffff} != 0xffffffff && ${mask:-0} & MARK))) && return 1
  done < <({
    ip -4 rule show
    ip -6 rule show
    iptables-save
    ip6tables-save
  } 2>/dev/null | sed -nE 's/.*(fwmark|--mark|--set-xmark|--set-mark) (0x[0-9a-f]+(\/0x[0-9a-f]+)?).*/\2/p')
  return 0
}
