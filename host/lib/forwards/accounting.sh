# Accounting: whether the kernel counts what each connection carries (nf_conntrack_acct).
#
# It costs each packet the same, however many forwards there are; rules that count would cost each
# packet more with every forward. It is one switch for the whole host, put back by the last tunnel to
# leave. A host of the container kind may not let us have it: then nobody is told of any traffic.

readonly ACCOUNTING=/proc/sys/net/netfilter/nf_conntrack_acct

# allow_accounting: of the connections that come about from now on
allow_accounting() {
  local before
  [[ -r $ACCOUNTING ]] || return 0
  read -r before <"$ACCOUNTING"
  make_folder "$RUN"
  [[ -e $RUN/accounting ]] || write_file "$RUN/accounting" "$before"
  renew_file "$RUN/$IFACE.counts" ""
  step noted-accounting
  { echo 1 >"$ACCOUNTING"; } 2>/dev/null || true
}

is_accounting() { [[ -r $ACCOUNTING && $(<"$ACCOUNTING") == 1 ]]; }

# restore_accounting: as it was, if no other tunnel wants it
restore_accounting() {
  local before
  rm -f "$RUN/$IFACE.counts"
  find_users counts
  ((${#USERS[@]} == 0)) || return 0
  [[ -r $RUN/accounting ]] || return 0
  read -r before <"$RUN/accounting" || true
  [[ ${before:-1} != 0 ]] || { echo 0 >"$ACCOUNTING"; } 2>/dev/null || true
  step restored-accounting
  rm -f "$RUN/accounting"
  rmdir "$RUN" 2>/dev/null || true
}
