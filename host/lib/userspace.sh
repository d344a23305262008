# Userspace: the program that is WireGuard where the kernel has none.
#
# It holds packets in large buffers, by the hundred, and under load grows to hundreds of megabytes before
# it tidies up: more than a small VPS has. So it gets a limit by the host's memory, which it keeps to
# by tidying up earlier, and which no larger host ever meets.
#
# It hands each packet from thread to thread. Where these wake each other on all processors, that costs
# more than they gain, and takes them from everybody else: so it gets half of them.

readonly MEMORY_SHARE=6 # of the host's memory: 85 of 512 MB
readonly LIMITS=/etc/systemd/system/$UNIT.d/reverse-tunnel.conf

# limit_userspace: from the unit's next start on
limit_userspace() {
  local text now='' kib processors
  if kernel_has_wireguard; then
    remove_limits
    return
  fi
  kib=$(sed -n 's/^MemTotal: *\([0-9]*\) kB$/\1/p' /proc/meminfo)
  processors=$(nproc)
  text="# Written by reverse-tunnel; changes here are overwritten."$'\n'"[Service]"$'\n'
  text+="Environment=GOMEMLIMIT=$((kib / MEMORY_SHARE))KiB"$'\n'
  text+="Environment=GOMAXPROCS=$(((processors + 1) / 2))"$'\n'
  [[ ! -e $LIMITS ]] || IFS= read -r -d '' now <"$LIMITS" || true
  [[ $text != "$now" ]] || return 0
  make_folder "${LIMITS%/*}"
  write_file "$LIMITS" "$text"
  step wrote-limits
  chmod 0755 "${LIMITS%/*}"
  chmod 0644 "$LIMITS"
  systemctl daemon-reload
}

# remove_limits: with what a killed run may have staged
remove_limits() {
  [[ -e ${LIMITS%/*} ]] || return 0
  rm -f "$LIMITS" "${LIMITS%/*}/.${LIMITS##*/}.new"
  rmdir "${LIMITS%/*}" 2>/dev/null || true
  step removed-limits
  systemctl daemon-reload
}
