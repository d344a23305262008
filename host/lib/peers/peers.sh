# Peers: one file each, peers.d/NAME.conf, with the lines that the stack sent. A change touches
# that peer of the running interface alone.

# parse_peer LINE...: into KEY, ALLOWED_IPS (its own address is the first of its family), EGRESS, MTU
# SHARES (a preshared key, which comes by itself) and HAND_OVER; false with what is wrong in WRONG
parse_peer() {
  local line ip
  KEY='' ALLOWED_IPS='' EGRESS=own MTU='' SHARES=no HAND_OVER=no
  for line in "$@"; do
    case $line in
      "public-key "*)
        KEY=${line#* }
        WRONG="'$line': a public key is 32 bytes in base64"
        is_key "$KEY" || return 1
        ;;
      "allowed-ips "*)
        ALLOWED_IPS=${line#* }
        for ip in ${ALLOWED_IPS//,/ }; do
          WRONG="'$line': $ip is not a network such as 172.16.0.4/32 or 192.168.1.0/24, without bits"
          WRONG+=" of a host behind its prefix length"
          is_network "$ip" || return 1
        done
        ;;
      "egress tunnel") EGRESS=tunnel ;;
      "preshared") SHARES=yes ;;
      "hand-over") HAND_OVER=yes ;;
      "mtu "*)
        MTU=${line#* }
        WRONG="'$line': 576-65535 are allowed"
        check_setting mtu "$MTU" || return 1
        ;;
      *)
        WRONG="line '$line' is not known to this helper (version $HELPER_VERSION)"
        return 1
        ;;
    esac
  done
  WRONG="public-key and allowed-ips are both needed"
  [[ -n $KEY && -n $ALLOWED_IPS ]]
}

# load_peers: PEER[public key] = its networks, NAMED[public key] = its name; while a key is handed over
# its name has two, of which SPARE has the one without networks. EGRESS_PEERS = the
# networks of those that go to the internet by here; TO_PEERS[network] = the MTU, or empty, for what
# needs a route beside the tunnel's own; SHARED[public key] = the file of its preshared key, where
# there is one; SHALL_SHARE[public key], where there shall be
declare -A PEER=() NAMED=() TO_PEERS=() EGRESS_PEERS=() SHARED=() SHALL_SHARE=()
load_peers() {
  local file name ip
  PEER=() NAMED=() SPARE=() TO_PEERS=() EGRESS_PEERS=() SHARED=() SHALL_SHARE=()
  for file in "$OWN"/peers.d/*.conf; do
    # Another run may be removing it, which status does not wait for.
    read_lines 2>/dev/null <"$file" || continue
    name=${file##*/} name=${name%.conf}
    if ! parse_peer "${LINES[@]}"; then
      # A damaged file must not keep the whole tunnel down at boot.
      say "peer $name is left out: $WRONG; run 'pulumi up'"
      continue
    fi
    PEER[$KEY]=$ALLOWED_IPS NAMED[$KEY]=$name
    [[ ! -s $PRESHARED/$name ]] || SHARED[$KEY]=$PRESHARED/$name
    [[ $SHARES == no ]] || SHALL_SHARE[$KEY]=$name
    add_former "$name" "$KEY"
    [[ $EGRESS == own ]] || EGRESS_PEERS[$ALLOWED_IPS]=$name
    for ip in ${ALLOWED_IPS//,/ }; do
      [[ -z $MTU ]] && is_inside "${ip%/*}" || TO_PEERS[$ip]=$MTU
    done
  done
}

verb_put_peer() {
  local name=${1-} file key ips egress shares hand_over text
  DOING="put-peer $name"
  need_slug peer "$name"
  file=$OWN/peers.d/$name.conf
  parse_peer "${GIVEN[@]}" || refuse "$WRONG; nothing was changed"
  key=$KEY ips=$ALLOWED_IPS egress=$EGRESS shares=$SHARES hand_over=$HAND_OVER
  printf -v text '%s\n' "${GIVEN[@]}"

  need_lock tunnel
  need_settings
  finish_interrupted
  need_vps "peers belong"
  check_peer_routes "$ips"
  if ! has_text "$file" "$text"; then
    keep_or_forget_former "$name" "$key" "$hand_over"
    write_file "$file" "$text"
    step wrote-peer
  fi
  # The former key has its own. A new one that has none could not be heard by the one of before.
  [[ $shares == yes || ! -e $FORMER/$name ]] || rm -f "$PRESHARED/$name"
  write_conf
  step wrote-conf
  if tunnel_is_up; then
    sync_end "$name"
    [[ ! -e $FORMER/$name ]] || start_beside hand-over
    drop_stray_peers
    give_out
    sync_ways
    [[ $egress == tunnel ]] || end_egress "$ips"
  fi
}

# keep_or_forget_former NAME KEY yes|no: before the file of that peer is written; whether its old key is
# handed over to the new one
keep_or_forget_former() {
  local old=
  ! find_key "$1" || old=$KEY
  if [[ $3 == no ]]; then
    [[ $old == "$2" ]] || forget_former "$1"
    return
  fi
  keep_former "$1" "$old" "$2" "$PRESHARED/$1"
}

verb_remove_peer() {
  local name=${1-} file ips=
  DOING="remove-peer $name"
  need_slug peer "$name"
  lock || return 0
  know_settings || return 0
  finish_interrupted
  file=$OWN/peers.d/$name.conf
  if [[ -s $file ]]; then
    read_lines <"$file"
    ! parse_peer "${LINES[@]}" || ips=$ALLOWED_IPS
  fi
  rm -f "$file"
  forget_former "$name"
  step unlisted-peer
  write_conf
  if tunnel_is_up; then
    drop_stray_peers
    give_out
    sync_ways
    [[ -z $ips ]] || end_egress "$ips"
  fi
}

# give_out: the networks by the files, which are loaded, to keys that have others. A network that goes from
# one to another is with the last that WireGuard was told of, which may have gone since. What two files have
# stays with the one that has it: the other one is about to change.
give_out() {
  local key ip held wanted odd
  local -A there=() holder=()
  while read -r key held; do
    there[$key]=${held/"(none)"/}
    for ip in ${there[$key]}; do
      [[ ,${PEER[$key]-}, != *,"$ip",* ]] || holder[$ip]=$key
    done
  done < <(wg show "$IFACE" allowed-ips)
  for key in "${!PEER[@]}"; do
    # What it has and shall not have, and what it lacks.
    wanted='' odd=" ${there[$key]-} "
    for ip in ${PEER[$key]//,/ }; do
      [[ ${holder[$ip]-"$key"} == "$key" ]] || continue
      holder[$ip]=$key wanted+=${wanted:+,}$ip
      if [[ $odd == *" $ip "* ]]; then odd=${odd/" $ip "/ }; else odd+="$ip "; fi
    done
    [[ -n ${odd// /} ]] || continue
    wg set "$IFACE" peer "$key" allowed-ips "$wanted"
    step gave-networks
    # It may be another name's by now.
    share_key "$key" "${SHARED[$key]-}"
  done
}

# end_egress ALLOWED-IPS: unless a peer of another name has the address by now
end_egress() {
  local ips
  for ips in "${!EGRESS_PEERS[@]}"; do
    [[ ${ips%%/*} != "${1%%/*}" ]] || return 0
  done
  retire_egress "$1"
}

# sync_ways: routes and rules by what the peers' files say. Forwards are not touched.
sync_ways() {
  sync_peer_routes
  step synced-routes
  sync_rules -
  step synced-rules
  keep_forwarding
}

# drop_stray_peers: those of the interface that no file has: removed ones, and old keys
drop_stray_peers() {
  local key
  load_ends
  while read -r key; do
    [[ -n ${PEER[$key]+known} ]] || wg set "$IFACE" peer "$key" remove
    step dropped-peer
  done < <(wg show "$IFACE" peers)
}
