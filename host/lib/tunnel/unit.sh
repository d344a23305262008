# Unit: what the tunnel's unit is told beside its distribution's file, from its next start on.
#
# It tries again where its start has failed, as at boot, when a home router's name server may say that
# there is no such name. Before each it takes away what one that was killed has left of the interface, which
# wg-quick would refuse to make.
#
# It is not confined by AppArmor's profile of wg-quick, as in Ubuntu since 25.04, which lets it run nothing
# but a few programs, and so not the helper. That of wg alone remains.
#
# Of SELinux, as in Fedora and RHEL, it is told nothing, although it may not run the helper there either: where
# the rules do not let wg-quick into another domain (SELinuxContext=), no start would succeed. Its owner may
# let its own domain through.
#
# Where the kernel has no WireGuard, a program is the tunnel, and gets limits. It holds packets in
# large buffers, by the hundred, and under load grows to hundreds of megabytes before it tidies up:
# more than a small VPS has. So it gets a limit by the host's memory, which it keeps to by tidying up
# earlier, and which no larger host ever meets. And it hands each packet from thread to thread. Where
# these wake each other on all processors, that costs more than they gain, and takes them from everybody
# else: so it gets half of them.

readonly MEMORY_SHARE=6 # of the host's memory: 85 of 512 MB
readonly AGAIN_AFTER=15 # seconds
readonly DROP_IN=/etc/systemd/system/$UNIT.d/reverse-tunnel.conf
readonly DROP_IN_MARK="# Written by reverse-tunnel; changes here are overwritten."

write_drop_in() {
  local text kib processors
  text=$DROP_IN_MARK$'\n'"[Unit]"$'\n'
  text+="StartLimitIntervalSec=0"$'\n'"[Service]"$'\n'"AppArmorProfile=-unconfined"$'\n'
  text+="ExecStartPre=-/bin/sh -c '[ ! -e /sys/class/net/%i ] || ip link del dev %i'"$'\n'
  if may_start_again; then text+="Restart=on-failure"$'\n'"RestartSec=$AGAIN_AFTER"$'\n'; fi
  if ! kernel_has_wireguard; then
    kib=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
    processors=$(nproc)
    text+="Environment=GOMEMLIMIT=$((kib / MEMORY_SHARE))KiB"$'\n'
    text+="Environment=GOMAXPROCS=$(((processors + 1) / 2))"$'\n'
  fi
  # By the modes a run is known that was killed before it had told systemd.
  if has_text "$DROP_IN" "$text" && [[ $(stat -c %a "$DROP_IN" "${DROP_IN%/*}") == 644$'\n'755 ]]; then
    return 0
  fi
  make_folder "${DROP_IN%/*}"
  write_file "$DROP_IN" "$text"
  step wrote-drop-in
  chmod 0644 "$DROP_IN"
  systemctl daemon-reload
  chmod 0755 "${DROP_IN%/*}"
}

# may_start_again: before version 244 systemd takes no unit like wg-quick's that shall
may_start_again() {
  local version
  version=$(systemctl --version | sed -n '1s/^systemd \([0-9]*\).*/\1/p')
  ((${version:-0} >= 244))
}

# selinux_words: where it is in force, what shows whether it was the cause, and what lets the unit through
selinux_words() {
  local enforcing=0
  read -r enforcing 2>/dev/null </sys/fs/selinux/enforce || true
  [[ $enforcing == 1 ]] || return 0
  echo ". SELinux is in force on this host: if 'ausearch -m avc -ts recent' shows that it refused something to" \
    "wireguard_t, 'semanage permissive -a wireguard_t' (of policycoreutils-python-utils) lets it through"
}

# remove_drop_in: with what a killed run may have staged. The script for a server without ssh has one of
# the same name.
remove_drop_in() {
  local first=$DROP_IN_MARK
  [[ -e ${DROP_IN%/*} ]] || return 0
  [[ ! -e $DROP_IN ]] || read -r first <"$DROP_IN" || true
  [[ $first == "$DROP_IN_MARK" ]] || return 0
  rm -f "$DROP_IN" "${DROP_IN%/*}/.${DROP_IN##*/}.new"
  rmdir "${DROP_IN%/*}" 2>/dev/null || true
  step removed-drop-in
  systemctl daemon-reload
}
