# The verbs, by the protocol of the caller: a recorded delete may be years older than this helper.

main() {
  trap finish EXIT
  trap 'unexpected "$LINENO" "$?"' ERR
  (($# >= 2)) || refuse "usage: $HELPER PROTOCOL VERB [NAME]; it is the stack that calls it"
  { [[ $1 =~ ^[1-9][0-9]{0,3}$ ]] && (($1 <= PROTOCOL)); } ||
    refuse "protocol '$1' is not known to this helper (version $HELPER_VERSION, up to $PROTOCOL):" \
      "run 'pulumi up' with the program that installed it, or a newer one"
  local verb=$2
  shift 2
  find_tools
  use_family 4
  case $verb in
    install) verb_install "$@" ;;
    uninstall) verb_uninstall "$@" ;;
    key) verb_key ;;
    switch-key) verb_switch_key ;;
    hand-over) verb_hand_over ;;
    interface) verb_interface ;;
    put-forward) verb_put_forward "$@" ;;
    remove-forward) verb_remove_forward "$@" ;;
    put-opening) verb_put_opening "$@" ;;
    remove-opening) verb_remove_opening "$@" ;;
    put-peer) verb_put_peer "$@" ;;
    remove-peer) verb_remove_peer "$@" ;;
    put-preshared-key) verb_put_preshared_key "$@" ;;
    remove-preshared-key) verb_remove_preshared_key "$@" ;;
    put-firewall) verb_put_firewall ;;
    confirm-firewall) verb_confirm_firewall ;;
    remove-firewall) verb_remove_firewall ;;
    revert-firewall) verb_revert_firewall ;;
    sync-firewall) verb_sync_firewall ;;
    wait-handshake) verb_wait_handshake ;;
    up) verb_up ;;
    down) verb_down ;;
    restore) verb_restore ;;
    redial) verb_redial ;;
    put-metrics) verb_put_metrics ;;
    remove-metrics) verb_remove_metrics ;;
    write-metrics) verb_write_metrics ;;
    status) verb_status "$@" ;;
    *) refuse "verb '$verb' is not known to this helper (version $HELPER_VERSION)" ;;
  esac
}

main "$@"
exit
