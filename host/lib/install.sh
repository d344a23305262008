# Install: this copy of the helper into its place, on a host that can carry a tunnel.
#
# It is run as "incoming" in the tunnel's own folder, and leaves the host as it was if it fails. Its
# lines are:
#
#   helper SHA-256            of this copy, which was brought here just before
#   owner PROJECT/STACK       whose tunnel it is
#   packages install|manual   who installs what is missing
#   claimant NAME:MACHINE     the host's name there; a removal by another one's is none of this tunnel

verb_install() {
  local line owner='' packages=install claimant='' digest='' unknown=''
  DOING=install
  read_lines
  for line in "${LINES[@]}"; do
    case $line in
      "helper "*) digest=${line#* } ;;
      "owner "*) owner=${line#* } ;;
      "packages "*) packages=${line#* } ;;
      "claimant "*) claimant=${line#* } ;;
      *) unknown=$line ;;
    esac
  done
  [[ ${BASH_SOURCE[0]} == */incoming ]] || refuse "install is run from $LIB/$IFACE/incoming"
  [[ $(sha256sum <"${BASH_SOURCE[0]}") == "$digest "* ]] ||
    refuse "another 'pulumi up' has brought another helper here meanwhile: run 'pulumi up' again"
  # From here on what was brought is this run's own.
  UNDO=undo_install
  [[ -z $unknown ]] || refuse "line '$unknown' is not known (allowed: helper, owner, packages, claimant)"
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
  install_packages "$packages"
  step checked-host

  lock
  check_owner "$owner"
  mv -fT "$LIB/$IFACE/incoming" "$HELPER"
  chmod 0700 "$HELPER"
  step placed-helper
  make_folder "$OWN/forwards.d" "$OWN/peers.d"
  [[ -e $OWN/owner ]] || write_file "$OWN/owner" "$owner"$'\n'
  step wrote-owner
  [[ -z $claimant ]] || write_file "$OWN/claimant" "$claimant"$'\n'
  step wrote-claimant
  # A newer helper may see the same files another way. What it sees alike is not touched.
  load_settings || return 0
  note_old_keys
  write_conf
  write_drop_in
  tunnel_is_up || return 0
  # What watches has read the older one.
  stop_watcher
  bring_up
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
