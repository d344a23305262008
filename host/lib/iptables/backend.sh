# Backend: by which of the two the rules of this tunnel are written, nft or legacy. "iptables" may be either, and
# somebody may let it be the other one while our rules are in force: that one shows nothing of them. So the
# tunnel stays with the one that has them until they are gone, with a reboot at the latest.

TOOLS=([4]=iptables [6]=ip6tables)                                     # what to call for either family
readonly BACKENDS=([4]=$RUN/$IFACE.iptables [6]=$RUN/$IFACE.ip6tables) # which one has rules of ours

# find_tools: into TOOLS
find_tools() {
  local family tool backend
  for family in 4 6; do
    tool=${TOOLS[$family]} backend=
    read -r backend 2>/dev/null <"${BACKENDS[$family]}" || continue
    # Also where that is gone by now: the other one would find nothing, and forget what is there.
    is_now "$tool" "$backend" || TOOLS[family]=$tool-$backend
  done
}

# is_now TOOL BACKEND: whether the plain name means that one
is_now() {
  hash "$1" "$1-$2" 2>/dev/null && [[ ${BASH_CMDS[$1]} -ef ${BASH_CMDS["$1-$2"]} ]]
}

# note_backend: that it has rules, of the family in use. One that takes none is never noted.
note_backend() {
  local note=${BACKENDS[$FAMILY]} backend
  [[ ! -e $note ]] || return 0
  for backend in nft legacy; do
    ! is_now "$IPTABLES" "$backend" || (make_folder "$RUN" && write_file "$note" "$backend"$'\n') || true
  done
}

# forget_backends FAMILY...: it has none any more
forget_backends() {
  local family
  for family in "$@"; do rm -f "${BACKENDS[$family]}"; done
  rmdir "$RUN" 2>/dev/null || true
}
