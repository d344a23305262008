# The socket match: whether this kernel can tell which sockets a packet would come to. Only trying tells;
# kept for those who must not try.

SOCKET_MATCH=no # or yes

load_socket_match() {
  SOCKET_MATCH=no
  [[ ! -s $OWN/socket-match ]] || read -r SOCKET_MATCH <"$OWN/socket-match"
}

find_socket_match() {
  local chain=RT-$IFACE-TRY found=no
  load_socket_match
  if printf '*nat\n:%s - [0:0]\n-A %s -p udp -m socket --nowildcard -j RETURN\nCOMMIT\n' "$chain" "$chain" |
    "$IPTABLES-restore" --noflush -w 60 2>/dev/null; then
    found=yes
  fi
  printf '*nat\n:%s - [0:0]\n-X %s\nCOMMIT\n' "$chain" "$chain" |
    "$IPTABLES-restore" --noflush -w 60 2>/dev/null || true
  # A note: a full disk is no reason to stay without a tunnel.
  [[ $found == "$SOCKET_MATCH" ]] || (write_file "$OWN/socket-match" "$found"$'\n') || true
  SOCKET_MATCH=$found
}
