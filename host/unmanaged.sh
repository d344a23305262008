#!/bin/sh
# Makes this server part of a tunnel by its WireGuard file, which stands at the end, or takes it out
# again: a server that `pulumi up` does not log in to. Run as root, as often as one likes:
#
#   install INTERFACE install|manual     the second word: who installs missing packages
#   uninstall INTERFACE
#
# Nothing is done before the last line, so that a copy that was cut short does nothing.

set -eu
umask 077
export LC_ALL=C
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# Its first line, by which the file is known as one of these.
MARK="# Written by reverse-tunnel's script for a server without ssh; changes here are overwritten."

TABLE=7031    # of replies, as the lines of its file say
START_WAIT=60 # seconds
APT_WAIT=300  # seconds for another apt, such as the daily one, to end

say() { printf 'reverse-tunnel: %s: %s\n' "$interface" "$*" >&2; }

die() {
  say "$*"
  exit 1
}

has() { command -v "$1" >/dev/null 2>&1; }

check_owner() {
  [ -e "$file" ] || [ ! -e "/sys/class/net/$interface" ] ||
    die "there is an interface of that name, which is somebody else's: nothing was changed"
  [ ! -e "$file" ] || [ "$(head -n 1 "$file")" = "$MARK" ] ||
    die "$file is somebody else's: nothing was changed. To have this tunnel, take that one down" \
      "(wg-quick down $interface) and move its file away first"
}

# The unit may count as running although its interface is gone.
is_up() { [ -e "/sys/class/net/$interface" ] && systemctl is-active --quiet "$unit"; }

# has_rules: whether all is there that the file puts into the firewall, but for what not every kernel can do
has_rules() {
  sed -n "s/%i/$interface/g; / || true\$/d; s/^PreUp = \(ip6\{0,1\}tables .*\) -[AI] /\1 -C /p" "$file" |
    while read -r line; do sh -c "$line" >/dev/null 2>&1 </dev/null || exit; done
}

missing_packages() {
  if ! has wg || ! has wg-quick; then echo wireguard-tools; fi
  has iptables || echo iptables
  has ip || echo iproute2
  has sysctl || echo procps
  [ -e /sys/module/wireguard ] || modprobe --dry-run --quiet wireguard 2>/dev/null ||
    has wireguard-go || echo wireguard-go
}

install_packages() {
  missing=$(missing_packages | tr '\n' ' ')
  # By it the VPS is asked, if it is to be; that is no must.
  if wireguard_file | grep -q " ping " && ! has ping; then
    if [ -n "$missing" ]; then
      missing="${missing}iputils-ping "
    else
      say "there is no ping here, by which it is noticed that the VPS has moved: install it (Debian's iputils-ping)"
    fi
  fi
  [ -n "$missing" ] || return 0
  { [ "$1" = install ] && has apt-get; } || die "install what is missing, and run this again: $missing"
  say "installing $missing"
  # Never asks, keeps changed configuration files, restarts no service by itself.
  # shellcheck disable=SC2086 # one word for each package
  { renew_lists && DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=l apt-get install -qy \
    -o "DPkg::Lock::Timeout=$APT_WAIT" -o Dpkg::Options::=--force-confold --no-install-recommends $missing; } \
    </dev/null >&2 || die "the packages could not be installed: $missing"
}

# renew_lists: as far as can be, since another repository may have the packages. For the lock of the lists apt
# itself does not wait.
renew_lists() {
  tries=$APT_WAIT
  until said=$(apt-get update -q 2>&1); do
    case $said in *"Could not get lock"*) ;; *) break ;; esac
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || break
    sleep 1
  done
  echo "$said"
}

# AppArmor's profile of wg-quick, as in Ubuntu since 25.04, would let it do little of what its file says.
# A start that fails, as at boot when a home router's name server knows nothing yet, is tried again: nobody
# could log in to do so. Before each goes what a stop that failed has left of the interface, which wg-quick
# would refuse to make. Before version 244 systemd takes no unit like wg-quick's that shall be tried again.
write_drop_in() {
  version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
  text=$(
    echo "$MARK"
    printf '[Unit]\nStartLimitIntervalSec=0\n[Service]\nAppArmorProfile=-unconfined\n'
    echo "ExecStartPre=-/bin/sh -c '[ ! -e /sys/class/net/%i ] || ip link del dev %i'"
    [ "${version:-0}" -lt 244 ] || printf 'Restart=on-failure\nRestartSec=15\n'
  )
  [ ! -e "$drop_in" ] || [ "$text" != "$(cat "$drop_in")" ] || return 0
  mkdir -p "${drop_in%/*}"
  printf '%s\n' "$text" >"$drop_in.new"
  mv -f "$drop_in.new" "$drop_in"
  chmod 0755 "${drop_in%/*}"
  chmod 0644 "$drop_in"
  systemctl daemon-reload
}

# selinux_words: where it is in force, what shows whether it was the cause, and what lets the unit through
selinux_words() {
  [ "$(cat /sys/fs/selinux/enforce 2>/dev/null)" = 1 ] || return 0
  echo ". SELinux is in force here: if 'ausearch -m avc -ts recent' shows that it refused something to" \
    "wireguard_t, 'semanage permissive -a wireguard_t' (of policycoreutils-python-utils) lets it through"
}

remove_drop_in() {
  [ -e "$drop_in" ] && [ "$(head -n 1 "$drop_in")" = "$MARK" ] || return 0
  rm -f "$drop_in" "$drop_in.new"
  rmdir "${drop_in%/*}" 2>/dev/null || true
  systemctl daemon-reload
}

# stop_tunnel: whatever was lost of it. wg-quick does nothing where the interface is gone, and by a file of
# before it ended at the first rule that was. What names no interface is another tunnel's, where that has the
# table of replies: this one never came up.
stop_tunnel() {
  [ -e "$file" ] || return 0
  # First: where the interface was lost, the loop that asks the VPS starts the tunnel anew.
  systemctl stop "reverse-tunnel-$interface-redial" 2>/dev/null || true
  systemctl stop "$unit" 2>/dev/null || true
  [ ! -e "/sys/class/net/$interface" ] || ip link del dev "$interface"
  others=$(ip route show default table "$TABLE" 2>/dev/null || true)
  sed -n 's/^PreDown = //p' "$file" | sed "s/%i/$interface/g" | while read -r line; do
    case $line in *"$interface"*) ;; *) [ -z "$others" ] || continue ;; esac
    sh -c "$line" >/dev/null 2>&1 </dev/null || true
  done
}

set_up() {
  [ -d /run/systemd/system ] || die "this system does not run systemd, which starts the tunnel"
  [ ! -e "/etc/reverse-tunnel/$interface" ] ||
    die "this tunnel is set up here by \`pulumi up\` already: nothing was changed"
  check_owner
  install_packages "$1"
  write_drop_in
  new=$(echo "$MARK" && wireguard_file)
  if [ -e "$file" ] && [ "$new" = "$(cat "$file")" ] && is_up && has_rules; then
    systemctl enable --quiet --no-reload "$unit"
    say "all is in place already"
    return
  fi
  # By the old file, which knows what the old one has set up.
  stop_tunnel
  mkdir -p "${file%/*}"
  printf '%s\n' "$new" >"$file.new"
  mv -f "$file.new" "$file"
  systemctl enable --quiet --no-reload "$unit"
  # wg-quick waits for a name server forever.
  timeout "$START_WAIT" systemctl restart "$unit" ||
    die "it does not start; \`journalctl -u $unit\` says why. Mostly this host can't resolve the endpoint's" \
      "name, or another tunnel of this kind is up here$(selinux_words)"
  say "the tunnel is up"
}

take_away() {
  if [ ! -e "$file" ]; then
    remove_drop_in
    say "nothing is here"
    return
  fi
  check_owner
  systemctl disable --quiet --no-reload "$unit" || true # it may have gone with its package
  stop_tunnel
  systemctl reset-failed "$unit" 2>/dev/null || true
  remove_drop_in
  rm -f "$file" "$file.new"
  say "the tunnel is gone; packages stay"
}

main() {
  verb=$1 interface=$2
  file=/etc/wireguard/$interface.conf
  unit=wg-quick@$interface.service
  drop_in=/etc/systemd/system/$unit.d/reverse-tunnel.conf
  [ "$(id -u)" = 0 ] || die "run this as root"
  # The login may come through the very tunnel that is started anew.
  trap '' HUP PIPE
  case $verb in
    install) set_up "$3" ;;
    uninstall) take_away ;;
    *) die "'$verb' is not known (install, uninstall)" ;;
  esac
}

wireguard_file() {
  cat <<'END-OF-FILE'
@FILE@
END-OF-FILE
}

main "$@"
exit
