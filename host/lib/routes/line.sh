# The line: a server's own, and the address by which it answers there. Kept, since at boot it may come later
# than the tunnel; it is asked for again whenever the tunnel comes up.

LINE=() # by family: that address
readonly LINE_FILES=([4]=$OWN/line-address [6]=$OWN/line-address-ipv6)

load_line_address() {
  local family
  LINE=()
  for family in 4 6; do
    [[ ! -s ${LINE_FILES[family]} ]] || read -r "LINE[$family]" <"${LINE_FILES[family]}"
  done
}

find_line_address() {
  local route
  # Where a visitor's packet would go; nothing is sent there.
  route=$(ip "-$FAMILY" route get "$SOMEWHERE" mark "$TABLE" 2>/dev/null) || return 0
  [[ $route =~ \ src\ ([0-9a-f.:]+) && ${BASH_REMATCH[1]} != "${LINE[FAMILY]-}" ]] || return 0
  # By the last way: the line has no address of this family, or none any more.
  if is_own "${BASH_REMATCH[1]}"; then
    unset "LINE[FAMILY]"
    rm -f "${LINE_FILES[FAMILY]}"
    return 0
  fi
  LINE[FAMILY]=${BASH_REMATCH[1]}
  # A note for the next boot: a full disk is no reason to stay without a tunnel.
  (write_file "${LINE_FILES[FAMILY]}" "${LINE[FAMILY]}"$'\n') || true
}
