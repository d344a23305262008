# Files: written beside their place and renamed into it, so that each is whole or not there.

# write_file PATH TEXT
write_file() {
  stage_file "$1" "$2"
  commit_file "$1"
}

# renew_file PATH TEXT: unless that is what it has
renew_file() { has_text "$1" "$2" || write_file "$1" "$2"; }

# digest_of WORD...: what tells them from others, and no more
digest_of() { printf '%s\n' "$@" | sha256sum | head -c 64; }

# has_text PATH TEXT: whether that, and nothing else, is in the file
has_text() {
  local text=
  [[ -e $1 ]] || return 1
  # It succeeds at a zero byte alone: a power cut may leave such after the text, or in its place.
  ! IFS= read -r -d '' text <"$1" || return 1
  [[ $text == "$2" ]]
}

# stage_file PATH TEXT: on the disk, under another name
stage_file() {
  local staged=${1%/*}/.${1##*/}.new
  # bash reports a full disk itself; its words have the line, not the reason.
  # With -d it is this file in every coreutils; those of uutils would else write out all disks, and wait.
  if ! { printf '%s' "$2" >"$staged" && sync -d "$staged"; } 2>/dev/null; then
    rm -f "$staged"
    fail "could not write $1: $(why_unwritable "${1%/*}"); nothing was changed"
  fi
  step "staged-${1##*/}"
}

commit_file() {
  mv -fT "${1%/*}/.${1##*/}.new" "$1"
}

why_unwritable() {
  local free
  free=$(df --output=avail -k "$1" 2>/dev/null | tail -n 1) || free=
  if [[ -n $free ]] && ((free < 64)); then
    echo "the disk is full (${free// /} KiB free), make room and run again"
  else
    echo "see that the disk is sound and mounted for writing, and run again"
  fi
}

# make_folder PATH...: of root alone, by the umask
make_folder() {
  local folder
  local -a missing=()
  for folder in "$@"; do [[ -d $folder ]] || missing+=("$folder"); done
  ((${#missing[@]} == 0)) || mkdir -p "${missing[@]}" 2>/dev/null ||
    fail "could not make $*: $(why_unwritable "${1%/*}"); nothing was changed"
}

# What a killed run had staged. The dot keeps such files out of every listing, so they may stay where a disk
# with an error has become read-only.
remove_staged() {
  local file
  local -a files=()
  for file in "$OWN"/.*.new "$OWN"/*.d/.*.new "$WIREGUARD/.$IFACE.conf.new"; do
    [[ ! -e $file ]] || files+=("$file")
  done
  ((${#files[@]} == 0)) || rm -f "${files[@]}" || true
}
