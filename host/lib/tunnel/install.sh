# Install: this copy of the helper into its place, on a host that can carry a tunnel.
#
# It is run as "incoming" in the tunnel's own folder, and leaves the host as it was if it fails.

# verb_install OWNER PACKAGES CLAIMANT TENANCY [ping]: the last where the host is to ask the VPS
verb_install() {
  local owner=${1-} packages=${2-install} claimant=${3-} tenancy=${4-} asks=${5-}
  DOING=install
  undo_by undo_install
  [[ ${BASH_SOURCE[0]} == */incoming ]] || refuse "install is run from $LIB/$IFACE/incoming"
  is_interface "$IFACE" || refuse "'$IFACE' is not an interface's name"
  check_setting owner "$owner" || refuse "'$owner' is not a stack (allowed: $ALLOWED)"
  [[ $packages == install || $packages == manual ]] ||
    refuse "packages '$packages' is not known (allowed: install, manual)"
  check_owner "$owner"
  [[ -d /run/systemd/system ]] ||
    refuse "this system does not run systemd, which starts the tunnel; nothing was changed"
  # Opening alone would make a file where there is no device.
  kernel_has_wireguard || { [[ -c /dev/net/tun ]] && : 2>/dev/null <>/dev/net/tun; } ||
    refuse "neither the kernel's WireGuard nor /dev/net/tun can be used on this host: switch on" \
      "TUN/TAP in the provider's panel, or take a VPS with its own kernel; nothing was changed"
  enough_room 1 "$LIB" /etc
  install_packages "$packages" "$asks"
  step checked-host

  lock
  check_owner "$owner"
  chmod 0700 "$LIB/$IFACE/incoming"
  step readied-helper
  mv -fT "$LIB/$IFACE/incoming" "$HELPER"
  step placed-helper
  make_folder "$OWN/forwards.d" "$OWN/peers.d"
  [[ -e $OWN/owner ]] || write_file "$OWN/owner" "$owner"$'\n'
  step wrote-owner
  [[ -z $claimant ]] || note_tenant "$claimant" "$tenancy"
  step wrote-claimant
  # A newer helper may see the same files another way. What it sees alike is not touched.
  load_settings || return 0
  note_old_keys
  write_drop_in
  # Without its key, which comes next, there is nothing to go on with.
  has_own_key || return 0
  write_conf
  tunnel_is_up || return 0
  # What watches has read the older one.
  stop_watcher
  bring_up
}

# note_tenant CLAIMANT TENANCY: with the tenancies that it had before, whose deletes may be still to come
note_tenant() {
  local now='' since='' each
  local -a before=()
  [[ ! -r $OWN/claimant ]] || read -r now since <"$OWN/claimant" || true
  if [[ $now == "$1" ]]; then
    for each in $since; do [[ $each == "$2" ]] || before+=("$each"); done
  fi
  write_file "$OWN/claimant" "$1${2:+ $2}${before[*]:+ ${before[*]}}"$'\n'
}

# note_old_keys: those that an older helper was given, which kept no note of it
note_old_keys() {
  load_own_keys
  [[ -e $GIVEN_KEYS || -z $NOW_KEY ]] || note_given "$NOW_KEY" "$NOW_SHARED"
}

undo_install() {
  rm -f "$LIB/$IFACE/incoming"
  # What was a tunnel before stays one.
  [[ -s $OWN/owner ]] || remove_files
}
