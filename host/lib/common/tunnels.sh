# Tunnels: those of this host, each of which has a folder of its files.

TUNNELS=() # those of this host, this one too, by name
USERS=()   # other tunnels that are up and use something of the whole host's, by name

# find_tunnels: into TUNNELS
find_tunnels() {
  local folder
  TUNNELS=()
  for folder in "$ETC"/*/; do
    folder=${folder%/}
    [[ ! -d $folder ]] || TUNNELS+=("${folder##*/}")
  done
}

# find_users SUFFIX: by their notes in the files of that ending, into USERS
find_users() {
  local file name
  USERS=()
  for file in "$RUN"/*."$1"; do
    name=${file##*/} name=${name%."$1"}
    [[ $name == "$IFACE" || ! -e /sys/class/net/$name ]] || USERS+=("$name")
  done
}

# other_tunnels: by name, with the stack that each belongs to
other_tunnels() {
  local name found=
  find_tunnels
  for name in "${TUNNELS[@]}"; do
    [[ $name != "$IFACE" ]] || continue
    owner_of "$name"
    found+="${found:+, }$name of ${VALUE:-an unknown stack}"
  done
  echo "${found:-none}"
}
