#!/bin/bash
HELPER_VERSION=1
# reverse-tunnel's helper: what one tunnel needs on one host, done by plain commands.
#
# Put together from host/entry, host/lib and host/main.sh (host/build), installed by the stack as
# /usr/local/lib/reverse-tunnel/<interface>/reverse-tunnel. Changes made there are overwritten.
#
# The files in /etc/reverse-tunnel/<interface>/ are the truth; the kernel's rules, routes and peers
# are derived from them. Every verb may be killed at any point and run again.

set -eEuo pipefail

# A copy that was cut short in transit has functions but no end, and would succeed at nothing.
# shellcheck disable=SC2329 # called by the trap
incomplete() {
  echo "reverse-tunnel: this copy of the helper is incomplete: nothing was done" >&2
  exit 1
}
trap incomplete EXIT

umask 077
cd /
export LC_ALL=C
# A login without a terminal, and sudo, may come without the sbin folders.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

readonly HELPER_VERSION
readonly PROTOCOL=1 # the newest way of being called that this helper knows; all older ones work

readonly LIB=/usr/local/lib/reverse-tunnel # one folder per tunnel: its own copy of the helper
readonly ETC=/etc/reverse-tunnel           # one folder per tunnel: its files
readonly RUN=/run/reverse-tunnel           # what must be put back, forgotten with a reboot like it
readonly WIREGUARD=/etc/wireguard          # wg-quick's own folder

# The tunnel is known by where this copy lies, so that two tunnels may have two versions.
IFACE=${BASH_SOURCE[0]}
[[ $IFACE == "$LIB"/+([!/])/+([!/]) ]] || IFACE=$(realpath "$IFACE")
IFACE=${IFACE%/*} IFACE=${IFACE##*/}
readonly IFACE
readonly OWN=$ETC/$IFACE
readonly HELPER=$LIB/$IFACE/reverse-tunnel
readonly CONF=$WIREGUARD/$IFACE.conf
readonly UNIT=wg-quick@$IFACE.service

tunnel_is_up() { [[ -e /proc/sys/net/ipv4/conf/$IFACE ]]; }

# Set by the tests to the name or the number of a step: the helper dies there as by kill -9.
STEPS=0
step() {
  STEPS=$((STEPS + 1))
  case ${RT_CRASH_AT-} in
    "$1" | "$STEPS") kill -9 $$ ;;
  esac
}
