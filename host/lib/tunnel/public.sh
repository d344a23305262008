# The public interface, of a VPS alone. What "auto" meant is kept: at boot the default route may come later
# than the tunnel.

PUBLIC= # its name

load_public_interface() {
  PUBLIC=${SETTING[public_interface]-}
  [[ $PUBLIC != auto ]] || read -r PUBLIC <"$OWN/public-interface" || true
}

find_public_interface() {
  local name to metric mask best=
  if [[ ${SETTING[public_interface]-} == auto ]]; then
    while read -r name to _ _ _ _ metric mask _; do
      # A route that leads nowhere ("unreachable") has a star for its interface.
      [[ $to == 00000000 && $mask == 00000000 && $name != "$IFACE" && $name != "*" ]] || continue
      [[ -n $best ]] && ((metric >= best)) || best=$metric PUBLIC=$name
    done </proc/net/route
    if [[ -n $best ]]; then
      # A note for the next boot: a full disk is no reason to stay without a tunnel.
      (renew_file "$OWN/public-interface" "$PUBLIC"$'\n') || true
    elif [[ ! -s $OWN/public-interface ]]; then
      refuse "this host has no default route to find the public interface by: set vps.publicInterface"
    fi
  fi
  [[ -n $best ]] || load_public_interface
}

# check_public_interface: at boot it may come later than the tunnel, but not when it is set up
check_public_interface() {
  [[ -z $PUBLIC || -e $SYSCTL/conf/$PUBLIC ]] ||
    refuse "this host has no interface $PUBLIC (it has: $(interfaces)): correct vps.publicInterface"
}

interfaces() {
  local folder found=
  for folder in "$SYSCTL"/conf/*; do
    case ${folder##*/} in
      all | default) ;;
      *) found+="${found:+ }${folder##*/}" ;;
    esac
  done
  echo "$found"
}
