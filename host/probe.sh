#!/bin/sh
# The probe: what a host is, before anything is done to it. Read only; run as root by `sh -s`, on any
# system. Its word, if there is one, is the folder for metrics. One `key=value` a line; judging and
# wording them is the caller's.

set -u
export LC_ALL=C
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

has() { command -v "$1" >/dev/null 2>&1; }

# fact KEY WORD...: on one line, whatever the host's files hold
fact() {
  key=$1
  shift
  printf '%s=%s\n' "$key" "$(printf '%s' "$*" | tr '\n' ' ' | tr -d '[:cntrl:]')"
}

# The file is shell by its definition, but read as text here.
os() { sed -n "s/^$1=//p" /etc/os-release 2>/dev/null | head -n 1 | tr -d "\"'"; }

kernel_has_wireguard() {
  [ -e /sys/module/wireguard ] || modprobe --dry-run --quiet wireguard 2>/dev/null
}

# Of the bash that runs the helper, such as 5.2; none where there is none
bash_version() {
  # shellcheck disable=SC2016 # it is that bash which knows
  /bin/bash -c 'echo "${BASH_VERSINFO[0]}.${BASH_VERSINFO[1]}"' 2>/dev/null
}

missing_packages() {
  if ! has wg || ! has wg-quick; then echo wireguard-tools; fi
  if ! has iptables-save || ! has iptables-restore; then echo iptables; fi
  if ! has ip || ! has ss; then echo iproute2; fi
  has conntrack || echo conntrack
  kernel_has_wireguard || has wireguard-go || echo wireguard-go
}

# By TUN the userspace WireGuard works, where the kernel has none. Opening alone would make a file
# where there is no device.
can_carry_a_tunnel() {
  kernel_has_wireguard || { [ -c /dev/net/tun ] && (: <>/dev/net/tun) 2>/dev/null; }
}

# The version of the userspace WireGuard that wg-quick takes where the kernel has none, or that apt
# would install; wg-quick looks into its own folder before it looks where PATH says.
wireguard_go() {
  ! kernel_has_wireguard || return 0
  (
    ! has wg-quick || PATH=$(dirname "$(command -v wg-quick)"):$PATH
    if has wireguard-go; then
      wireguard-go --version 2>/dev/null
    elif has apt-cache; then
      apt-cache policy wireguard-go 2>/dev/null | sed -n 's/^ *Candidate: /v/p'
    fi
  ) | sed -n 's/^\(wireguard-go \)\{0,1\}v\([0-9.]*[0-9]\).*/\2/p' | head -n 1
}

yes_or_no() { if "$@"; then echo yes; else echo no; fi; }

# In MiB, the least of where something is put. Folders that are not there lie on the root's disk. Not by -m,
# which the df of Ubuntu since 25.10 does not know.
free_space() {
  for folder in /usr/local/lib /etc /var; do
    df -Pk "$folder" 2>/dev/null | awk 'NR == 2 { print int($4 / 1024) }'
  done | sort -n | head -n 1
}

# From /proc, since a fresh host may lack iproute2. A route that leads nowhere ("unreachable") has a star
# for its interface.
default_interface() {
  awk '$1 != "*" && $2 == "00000000" && $8 == "00000000" { print $7, $1 }' /proc/net/route 2>/dev/null |
    sort -n | awk 'NR == 1 { print $2 }'
}

interfaces() {
  for folder in /sys/class/net/*; do
    [ ! -e "$folder" ] || echo "${folder##*/}"
  done
}

# sockets: who listens where: protocol, address, port, and the program's name, if it is known
sockets() {
  has ss || return 0
  ss -Hltunp 2>/dev/null | awk '{
    port = $5; sub(/.*:/, "", port)
    address = substr($5, 1, length($5) - length(port) - 1)
    gsub(/[][]/, "", address); sub(/^::ffff:/, "", address)
    who = ""
    if (match($0, /\(\("[^"]+"/)) who = substr($0, RSTART + 3, RLENGTH - 4)
    gsub(/[^!-~]/, "_", who) # one word, whatever a program calls itself
    if (port ~ /^[0-9]+$/ && $1 ~ /^(tcp|udp)$/) print $1, address, port, who
  }'
}

# udp_ports SOCKETS: port:who, where who is a tunnel's interface or the program
udp_ports() {
  {
    ! has wg || wg show all listen-port 2>/dev/null
    echo "$1"
  } | awk '
    NF == 2 { tunnel[$2] = $1 }
    $1 == "udp" && !seen[$3]++ { print $3 ":" (($3 in tunnel) ? tunnel[$3] : $4) }'
}

# listeners SOCKETS: PROTOCOL:port:interface:program, of what others can come to: by any interface ("*"), or by the
# one that has the address. Ports that the kernel gives to who asks for any are not told of UDP: mostly somebody
# waits for an answer there.
listeners() {
  {
    ip -o address show scope global 2>/dev/null | awk '{ sub("/.*", "", $4); print $4, $2 }'
    echo "$1"
  } | awk -v given="$(cat /proc/sys/net/ipv4/ip_local_port_range)" '
    BEGIN {
      by["*"] = by["0.0.0.0"] = by["::"] = "*"
      split(given, range, " ")
    }
    NF == 2 { by[$1] = $2 }
    NF < 3 || !($2 in by) || seen[$1, $3, by[$2]]++ { next }
    $1 == "udp" && $3 + 0 >= range[1] + 0 && $3 + 0 <= range[2] + 0 { next }
    { print $1 ":" $3 ":" by[$2] ":" $4 }'
}

# network@interface, with :beyond behind it unless the host itself is part of that network or another
# tunnel of this project leads there; without the default route, and of IPv6 the unique local ones
# alone, which a tunnel may want. What makes the route that comes with an address is the kernel, or
# the program that has asked for the address.
routes() {
  has ip || return 0
  {
    ip -4 route show
    ip -6 route show
  } 2>/dev/null | awk '
    $1 ~ /^([0-9.]+|f[cd][0-9a-f:]+)(\/[0-9]+)?$/ {
      whole = $1 ~ /:/ ? "/128" : "/32"
      beyond = / via / || !/ proto (kernel|dhcp|ra|171)( |$)/ ? ":beyond" : ""
      for (i = 2; i < NF; i++) if ($i == "dev") {
        print ($1 ~ /\// ? $1 : $1 whole) "@" $(i + 1) beyond
        break
      }
    }'
}

setting() { sed -n "s/^$2 //p" "/etc/reverse-tunnel/$1/settings" 2>/dev/null | head -n 1; }

# public_ports TUNNEL: of its forwards that are not paused, NAME:PROTOCOL:PORTS. One process for all: there
# may be a thousand.
public_ports() {
  awk '
    function tell() {
      if (forward ~ /^[A-Za-z0-9_-]+:(tcp|udp|tcp[+]udp):[0-9]+(-[0-9]+)?$/) print forward
    }
    FNR == 1 {
      tell()
      forward = FILENAME
      sub(".*/", "", forward)
      forward = forward ":" $1 ":" $2
    }
    $0 == "paused" { forward = "" }
    END { tell() }' "/etc/reverse-tunnel/$1/forwards.d"/* 2>/dev/null
}

# Of a VPS's tunnel with its public interface, and what it forwards there
tunnels() {
  for folder in /etc/reverse-tunnel/*/; do
    [ -d "$folder" ] || continue
    name=${folder%/}
    name=${name##*/}
    owner=$(head -n 1 "$folder/owner" 2>/dev/null)
    port=$(setting "$name" listen-port)
    network=$(setting "$name" address)
    public=$(setting "$name" public-interface)
    [ "$public" != auto ] || public=$(head -n 1 "$folder/public-interface" 2>/dev/null)
    fact tunnel "$name ${owner:--} ${port:--} ${network:--}${public:+ $public $(public_ports "$name")}"
  done
  # One that is up, and from which somebody has removed its files, is still that stack's.
  for file in /etc/wireguard/*.conf; do
    name=${file##*/}
    name=${name%.conf}
    owner=$(sed -n '1s/^# Written by reverse-tunnel for the stack \([^ ;]*\);.*/\1/p' "$file" 2>/dev/null)
    [ -z "$owner" ] || [ -d "/etc/reverse-tunnel/$name" ] || [ ! -e "/sys/class/net/$name" ] ||
      fact tunnel "$name $owner - -"
  done
}

# What of other firewalls, if they are active, lets in everybody: PORT/PROTOCOL, ports as FIRST:LAST
# too; `any` for either. Not what is let in from some addresses alone.
firewalls() {
  if grep -qs '^ENABLED=yes' /etc/ufw/ufw.conf; then
    # In its own notes: `### tuple ### allow udp 51820 0.0.0.0/0 any 0.0.0.0/0 in`, with `allow_log` or
    # `allow_log-all` where it logs, and ` comment=576972654775617264` behind
    fact firewall ufw "$(cat /etc/default/ufw /etc/ufw/user.rules 2>/dev/null | awk '
      /^DEFAULT_INPUT_POLICY="?ACCEPT/ { print "any/any" }
      { sub(/ comment=.*/, "") }
      $2 == "tuple" && $4 ~ /^(allow|limit)(_log(-all)?)?$/ && $9 == "0.0.0.0/0" && $NF ~ /^in/ {
        count = split($6, ports, ",")
        for (i = 1; i <= count; i++) print ports[i] "/" $5
      }')"
  fi
  if systemctl is-active --quiet firewalld 2>/dev/null; then
    zones=$(firewall-cmd --get-active-zones 2>/dev/null)
    fact zoned "$(echo "$zones" | sed -n 's/^ *interfaces: //p')"
    zone=$(echo "$zones" | awk -v name="$(default_interface)" '
      /^[^ ]/ { zone = $1 }
      $1 == "interfaces:" { for (i = 2; i <= NF; i++) if ($i == name) print zone }')
    fact firewall firewalld "$(
      firewall-cmd ${zone:+--zone="$zone"} --list-all 2>/dev/null | awk '
        $1 == "target:" && $2 == "ACCEPT" { print "any/any" }
        $1 == "services:" && /wireguard/ { print "51820/udp" }
        $1 == "ports:" { for (i = 2; i <= NF; i++) { sub("-", ":", $i); print $i } }'
    )"
  fi
}

# Base chains of nftables that drop what none of their rules accepts, but for those of iptables and of
# firewalld: HOOK FAMILY TABLE CHAIN and the words of its rules that may let the tunnel pass: ports,
# interfaces (`wg*` are all that begin so), dnat. What others forbid, no rule of ours can allow.
dropping_chains() {
  has nft || return 0
  nft list ruleset 2>/dev/null | awk '
    function tell() {
      if (hook != "" && place ~ /^[a-z0-9]+ [A-Za-z0-9_-]+ [A-Za-z0-9_-]+$/) print hook, place words
      hook = ""; words = ""
    }
    $1 == "table" {
      table = $2 " " $3
      foreign = $3 != "firewalld" && !($2 ~ /^ip6?$/ && $3 ~ /^(filter|nat|mangle|raw|security)$/)
    }
    $1 == "chain" { tell(); place = table " " $2 }
    $1 == "type" && / hook (input|forward) / && /policy drop/ && foreign {
      hook = / hook input / ? "input" : "forward"
    }
    hook != "" && $1 != "type" {
      # One interface or a set; nft writes them in quotes. Not by `!=`: that is all but those.
      rest = $0
      while (match(rest, /(^|[ \t])[io]if(name)?[ a-z.]*("[^"]*"|[{][^}]*[}])/)) {
        count = split(substr(rest, RSTART, RLENGTH), part, "\"")
        for (i = 2; i <= count; i += 2) if (part[i] ~ /^[A-Za-z0-9_.-]+[*]?$/) words = words " " part[i]
        rest = substr(rest, RSTART + RLENGTH)
      }
      gsub(/"[^"]*"/, " ") # comments, too
      gsub(/[{},]/, " ")
      for (i = 1; i <= NF; i++) if ($i ~ /^([0-9]+(-[0-9]+)?|dnat)$/) words = words " " $i
    }
    END { tell() }' | while read -r line; do fact dropping "$line"; done
}

fact os-id "$(os ID)"
fact os-name "$(os PRETTY_NAME)"
fact systemd "$(yes_or_no test -d /run/systemd/system)"
fact bash "$(bash_version)"
fact apt "$(yes_or_no has apt-get)"
fact missing "$(missing_packages)"
fact ping "$(yes_or_no has ping)"
fact tun "$(yes_or_no can_carry_a_tunnel)"
fact wireguard-go "$(wireguard_go)"
fact disk "$(free_space)"
fact default-interface "$(default_interface)"
fact interfaces "$(interfaces)"
sockets=$(sockets)
fact udp-ports "$(udp_ports "$sockets")"
fact listeners "$(listeners "$sockets")"
fact routes "$(routes)"
[ "$#" = 0 ] || fact metrics-folder "$(yes_or_no test -d "$1")"
tunnels
firewalls
dropping_chains
fact end yes
