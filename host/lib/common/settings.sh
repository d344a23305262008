# Settings of the interface: lines "key value", on standard input and in the file alike.

declare -A SETTING=() # by key, with _ for -
BEHIND=()             # the networks behind this server

# check_setting KEY VALUE: false, with what is allowed in ALLOWED
check_setting() {
  case $1 in
    owner)
      ALLOWED="project/stack"
      [[ $2 =~ ^[A-Za-z0-9._-]+/[A-Za-z0-9._-]+$ ]]
      ;;
    role)
      ALLOWED="vps, server"
      [[ $2 == vps || $2 == server ]]
      ;;
    address)
      ALLOWED="an IPv4 address with its network's prefix length, such as 172.16.0.1/24"
      [[ $2 != *:* ]] && is_prefixed "$2"
      ;;
    ipv6)
      ALLOWED="an IPv6 address with its network's prefix length, such as fd5c:91e2:7a3b::1/64"
      [[ $2 == *:* ]] && is_prefixed "$2"
      ;;
    listen-port)
      ALLOWED="1-65535"
      is_port "$2"
      ;;
    public-interface)
      ALLOWED="an interface's name, or auto"
      is_interface "$2"
      ;;
    mtu)
      ALLOWED="576-65535"
      [[ $2 =~ ^[1-9][0-9]{2,4}$ ]] && (($2 >= 576 && $2 <= 65535))
      ;;
    peer-public-key)
      ALLOWED="32 bytes in base64"
      is_key "$2"
      ;;
    peer-address)
      ALLOWED="an IPv4 address"
      is_address "$2"
      ;;
    peer-endpoint)
      ALLOWED="HOST:PORT"
      is_endpoint "$2"
      ;;
    keepalive)
      ALLOWED="seconds, 0-65535; 0 is off"
      [[ $2 =~ ^(0|[1-9][0-9]{0,4})$ ]] && (($2 <= 65535))
      ;;
    egress)
      ALLOWED="tunnel"
      [[ $2 == tunnel ]]
      ;;
    network)
      ALLOWED="an IPv4 network such as 192.168.1.0/24"
      [[ $2 != *:* ]] && is_network "$2"
      ;;
    *)
      ALLOWED="a newer helper may know this setting"
      return 1
      ;;
  esac
}

# parse_settings LINE...: into SETTING; false, with it empty and what is wrong in WRONG
parse_settings() {
  read_settings "$@" && return 0
  SETTING=() BEHIND=() FAMILIES=(4)
  return 1
}

read_settings() {
  local line key value needed
  SETTING=() BEHIND=() FAMILIES=(4)
  for line in "$@"; do
    key=${line%% *} value=${line#* }
    check_setting "$key" "$value" || {
      WRONG="setting '$line' is not valid (allowed: $ALLOWED)"
      return 1
    }
    if [[ $key == network ]]; then
      BEHIND+=("$value")
      continue
    fi
    WRONG="setting '$key' is given twice"
    [[ -z ${SETTING[${key//-/_}]-} ]] || return 1
    SETTING[${key//-/_}]=$value
  done
  needed=(owner role address mtu)
  case ${SETTING[role]-} in
    vps) needed+=(listen-port public-interface) ;;
    server) needed+=(peer-public-key peer-endpoint keepalive) ;;
  esac
  for key in "${needed[@]}"; do
    WRONG="setting '$key' is missing"
    [[ -n ${SETTING[${key//-/_}]-} ]] || return 1
  done
  [[ -z ${SETTING[ipv6]-} ]] || ! can_ipv6 || FAMILIES+=(6)
  use_family 4
}

# settings_text: SETTING as the file's lines, into TEXT
settings_text() {
  local key value
  TEXT=
  for key in owner role address ipv6 listen-port public-interface mtu \
    peer-public-key peer-address peer-endpoint keepalive egress; do
    value=${SETTING[${key//-/_}]-}
    [[ -z $value ]] || TEXT+="$key $value"$'\n'
  done
  for value in "${BEHIND[@]}"; do TEXT+="network $value"$'\n'; done
}

# load_settings: from the file, with what was found and chosen by them; false if the interface has
# not been set up, or if a newer helper or a person has written what is not understood: whatever
# takes down, removes or writes them anew goes on without
load_settings() {
  WRONG=
  [[ -s $OWN/settings ]] || return 1
  read_lines <"$OWN/settings"
  parse_settings "${LINES[@]}" || return 1
  load_mark
  load_public_interface
  load_line_address
  load_socket_match
}

# know_settings: false if the interface has not been set up
know_settings() {
  load_settings && return 0
  [[ -z $WRONG ]] || refuse "$OWN/settings: $WRONG; run 'pulumi up' with the newest program"
  return 1
}

need_settings() {
  know_settings || refuse "the tunnel's interface is not set up on this host: run 'pulumi up'"
}

# need_vps WORDS: what belongs there
need_vps() { [[ ${SETTING[role]} == vps ]] || refuse "$1 on the VPS, this is a server"; }

# setting_of TUNNEL KEY: of another tunnel on this host, into VALUE; empty if it has none
setting_of() {
  local key value
  VALUE=
  [[ -r $ETC/$1/settings ]] || return 0
  while read -r key value; do
    [[ $key != "$2" ]] || VALUE=$value
  done <"$ETC/$1/settings"
}

# owner_of TUNNEL: the stack that it belongs to, into VALUE; empty if unknown
owner_of() {
  VALUE=
  [[ ! -r $ETC/$1/owner ]] || read -r VALUE <"$ETC/$1/owner" || true
}
