# Texts: what the files here say of each entry, each told by what tells it from others and no more. The
# program compares that with what the stack file says. Read only.
#
# Private and preshared keys have files of their own, which nothing here reads. Left out is what the stack
# file does not say: public keys, and whose the tunnel is, which is told by itself.

# tell_texts: also while the tunnel is down
tell_texts() {
  local kind=forward line name file
  [[ ${SETTING[role]} == vps ]] || kind=opening
  forwards_folder
  # One process for all: there may be a thousand. Its lines have 64 digits, two signs and the name.
  while IFS= read -r line; do
    name=${line:66}
    ! is_slug "$name" || echo "text $kind $name ${line:0:16}"
  done < <(cd "$FOLDER" 2>/dev/null && sha256sum -- * 2>/dev/null || true)
  for file in "$OWN"/peers.d/*.conf; do
    # Another run may be removing it.
    read_lines 2>/dev/null <"$file" || continue
    name=${file##*/} name=${name%.conf}
    ! is_slug "$name" || tell_text peer "$name" "${LINES[@]}"
  done
  settings_text
  split_lines "$TEXT"
  tell_text interface - "${SPLIT[@]}"
  ! load_metrics || tell_text metrics - "${LINES[@]}"
  # One on trial is about to be kept, or taken back.
  ! load_trial && read_firewall "$KEPT" || return 0
  split_lines "$FIREWALL"
  tell_text firewall - "${SPLIT[@]}"
}

# tell_text KIND NAME LINE...: by one process, since there may be hundreds of peers
tell_text() {
  local line text='' digest
  for line in "${@:3}"; do
    case ${line%% *} in
      owner | public-key | peer-public-key) ;;
      *) text+=${text:+$'\n'}$line ;;
    esac
  done
  digest=$(digest_of "$text")
  echo "text $1 $2 ${digest:0:16}"
}
