# SSH ports: by which one logs in to this host, and which the firewall leaves open.

SSH_PORTS=()

# find_ssh_ports: into SSH_PORTS, beside those that are there: of the running sshd, of its settings,
# of the socket that systemd opens for it, and of this login, whoever serves it
find_ssh_ports() {
  local line key value pid name rest
  local -a servers=()
  local -A ports=() held=()
  for value in "${SSH_PORTS[@]}" ${LOGIN_PORT:+"$LOGIN_PORT"}; do ports[$value]=1; done
  while IFS=/ read -r _ _ pid _; do
    # Anybody may give a program this name; who runs it is the owner of its folder.
    { [[ -O /proc/$pid ]] && read_process "$pid"; } || continue
    # Not what an sshd opens for somebody's port forwarding: that one is the child of another.
    name=
    read -r name 2>/dev/null <"/proc/$PARENT/comm" || true
    [[ $name == sshd* ]] || servers+=("$pid")
  done < <(grep -ls '^sshd' /proc/[0-9]*/comm || true)
  while IFS='/[]' read -r _ _ _ _ _ value _; do held[$value]=1; done < <(sockets_of "${servers[@]}")
  while read -r _ _ _ line _ rest; do
    [[ $line != 127.* && $line != "[::1]"* && $rest =~ ino:([0-9]+) ]] || continue
    # Root's have no uid there. One of somebody else's may have been left to a program of root's that
    # anybody may start, by whatever name: su, say.
    [[ -z ${held[${BASH_REMATCH[1]}]-} || " $rest" == *" uid:"* ]] || ports[${line##*:}]=1
  done < <(tcp_sockets -l)
  # At boot it may not run yet. Its own words for a port: "port 22", "listenaddress [::]:22".
  while read -r key value; do
    [[ $key != port && $key != listenaddress ]] || ports[${value##*:}]=1
  done < <(sshd -T 2>/dev/null || true)
  for line in ssh.socket sshd.socket; do
    [[ $(systemctl is-active "$line" 2>/dev/null) == active ]] || continue
    while read -r value _; do
      ports[${value##*:}]=1
    done < <(systemctl show --property=Listen --value "$line" 2>/dev/null || true)
  done
  SSH_PORTS=()
  for value in "${!ports[@]}"; do
    ! is_port "$value" || SSH_PORTS+=("$value")
  done
  mapfile -t SSH_PORTS < <(printf '%s\n' "${SSH_PORTS[@]}" | sort -nu)
  [[ -n ${SSH_PORTS[0]} ]] || SSH_PORTS=()
}
