# Login: the connection that this run came by, and the processes and sockets that tell it.

readonly TICKS=100 # a second, in which the kernel tells when a process began

# read_process PID|self: into PARENT, GROUP and BEGAN, in ticks since the boot; false if it is gone
read_process() {
  local stat
  read -r stat 2>/dev/null <"/proc/$1/stat" || return 1
  # Its name stands in brackets, and may hold some.
  read -r _ PARENT GROUP _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ _ BEGAN _ <<<"${stat##*) }"
}

# sockets_of PID...: a line for each socket that these have, /proc/PID/fd/socket:[NUMBER]. ss can tell
# whose a socket is, too, but a program that calls itself `x",pid=1` is believed there.
sockets_of() {
  local -a folders=("${@/#//proc/}")
  # Of no folder find would take this one.
  (($# == 0)) || find "${folders[@]/%//fd}" -lname 'socket:*' -printf '%h/%l\n' 2>/dev/null || true
}

# tcp_sockets WORD...: by ss, with their numbers. It complains of each where no cgroup2 is mounted.
tcp_sockets() { ss -Htne "$@" 2>/dev/null; }

# now: ticks since the boot, as a process that begins now; into NOW
now() {
  NOW=$(read_process self && echo "$BEGAN")
}

# find_login: the connection by which this run was called, from the processes above it, since sudo
# forgets SSH_CONNECTION: when it was taken (LOGIN_BEGAN, empty for none: a console), at which port
# (LOGIN_PORT) of which address (LOGIN_TO), from where (LOGIN_FROM)
find_login() {
  local pid=$$ number line to from rest first='' nearest=''
  local -a above=() connections=()
  local -A began=() holders=()
  LOGIN_BEGAN='' LOGIN_PORT='' LOGIN_TO='' LOGIN_FROM=''
  while ((pid > 1)) && read_process "$pid"; do
    above+=("$pid") began[$pid]=$BEGAN
    pid=$PARENT
  done
  while IFS='/[]' read -r _ _ pid _ _ number _; do
    holders[$number]+=" $pid"
  done < <(sockets_of "${above[@]}")
  while read -r _ _ to from rest; do
    [[ $rest =~ ino:([0-9]+) && -n ${holders[${BASH_REMATCH[1]}]-} ]] || continue
    connections+=("$to $from${holders[${BASH_REMATCH[1]}]} ")
  done < <(tcp_sockets state established)
  for pid in "${above[@]}"; do
    [[ "${connections[*]}" != *" $pid "* ]] || { nearest=$pid && break; }
  done
  [[ -n $nearest ]] || return 0
  for line in "${connections[@]}"; do
    # It may hold others, for port forwarding. Of the connection itself there are two processes, one
    # of root's and one of the user's, unless the user is root.
    [[ $line == *" $nearest "* ]] || continue
    read -r to from rest <<<"$line"
    [[ -n $(ss -Hltn "sport = :${to##*:}") ]] || continue
    for pid in $rest; do
      [[ -z $first ]] || ((began[$pid] < first)) || continue
      first=${began[$pid]}
      LOGIN_BEGAN=$first LOGIN_PORT=${to##*:} LOGIN_TO=$to LOGIN_FROM=$from
    done
  done
  plain_address "$LOGIN_TO"
  LOGIN_TO=$VALUE
  plain_address "$LOGIN_FROM"
  LOGIN_FROM=$VALUE
}

# plain_address ADDRESS:PORT: as ss prints it, into VALUE without port, brackets and IPv6's guise
plain_address() {
  VALUE=${1%:*} VALUE=${VALUE#[} VALUE=${VALUE%]}
  VALUE=${VALUE#::ffff:} VALUE=${VALUE%%%*}
}
