# Packages: what the tunnel needs of the system, and installing what is missing.

readonly ROOM=200     # MiB for packages and apt's lists
readonly APT_WAIT=300 # seconds for another apt, such as the daily one, to end

# missing_packages: into MISSING, by the commands that are not there
missing_packages() {
  MISSING=()
  has wg && has wg-quick || MISSING+=(wireguard-tools)
  has iptables-save && has iptables-restore || MISSING+=(iptables)
  has ip && has ss || MISSING+=(iproute2)
  has conntrack || MISSING+=(conntrack)
  kernel_has_wireguard || has wireguard-go || MISSING+=(wireguard-go)
}

has() { command -v "$1" >/dev/null; }

# It loads the module, since the tunnel is about to need it; the probe's of the same name only asks.
kernel_has_wireguard() {
  [[ -e /sys/module/wireguard ]] || modprobe --quiet wireguard 2>/dev/null
}

# install_packages install|manual [ping]: that program comes along with what is missing, but is no must
install_packages() {
  local how=$1 asks=${2-} name=unknown lists=
  missing_packages
  ((${#MISSING[@]})) || return 0
  # shellcheck disable=SC1091
  name=$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME") || true
  [[ $how == install ]] ||
    refuse "missing on this host: ${MISSING[*]}; install them by hand ('packages: manual' is set)"
  has apt-get ||
    refuse "this system (${name:-unknown}) has no apt-get: install ${MISSING[*]} by hand" \
      "(Debian's names; conntrack is mostly conntrack-tools elsewhere)," \
      "set 'packages: manual' for this host, and run 'pulumi up' again; nothing was changed"
  [[ $asks != ping ]] || has ping || MISSING+=(iputils-ping)
  enough_room "$ROOM" /var /usr
  apt_install || {
    # Its lists may be old, or not there at all on a fresh host. What is wrong with one repository is no
    # matter where another has the packages.
    renew_lists || lists=$SAID
    apt_install
  } || fail "apt-get could not install ${MISSING[*]}: $SAID$lists." \
    "Install them by hand and set 'packages: manual' for this host, or mend apt, and run again"
  missing_packages
  ((${#MISSING[@]} == 0)) || fail "after apt-get, still missing: ${MISSING[*]}"
}

apt_install() {
  SAID=$(apt install --yes --no-install-recommends "${MISSING[@]}" 2>&1) && return
  SAID=$(grep -E '^[EW]:' <<<"$SAID" | head -n 3 | tr '\n' ' ') || true
  return 1
}

# renew_lists: false with what is wrong in SAID. For the lock of the lists apt itself does not wait.
renew_lists() {
  local until
  find_uptime
  until=$((UPTIME + APT_WAIT))
  while ! SAID=$(apt update 2>&1); do
    find_uptime
    if [[ $SAID != *"Could not get lock"* ]] || ((UPTIME >= until)); then
      SAID=$(grep '^E:' <<<"$SAID" | head -n 3 | tr '\n' ' ') || true
      return 1
    fi
    sleep 1
  done
}

# apt WORD...: never asks, keeps changed configuration files, restarts no service by itself
apt() {
  DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get -q "$@" \
    -o "DPkg::Lock::Timeout=$APT_WAIT" -o Dpkg::Options::=--force-confold </dev/null
}

# enough_room MIB FOLDER...
enough_room() {
  local need=$1 free folder
  shift
  for folder in "$@"; do
    free=$(df --output=avail -k "$folder" | tail -n 1)
    ((free >= need * 1024)) ||
      refuse "too little room on the disk of $folder: $((free / 1024)) MiB free, $need needed;" \
        "make room and run again; nothing was changed"
  done
}
