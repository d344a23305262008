# Chains: what the tunnel needs of the firewall beside the forwards, of the family in use.

# "table built-in-chain chain place": first or last among others' rules, or within, for one that a chain
# of ours leads to, which comes after it here
CHAINS=()
declare -A WANTED=() # "table chain" -> the fixed rules that it shall hold

# holds_forwards CHAIN: GATE keeps out who may not, DNAT leads into the tunnel, SRC masquerades, OPEN lets
# pass on to what is behind a server.
holds_forwards() { [[ $1 =~ ^RT-$IFACE-(GATE|DNAT|SRC|OPEN)$ ]]; }

# want_chains: from SETTING, into CHAINS and WANTED
want_chains() {
  local fwd=RT-$IFACE-FWD pre=RT-$IFACE-PRE mss=RT-$IFACE-MSS src=RT-$IFACE-SRC
  local syn="-p tcp -m tcp --tcp-flags SYN,RST SYN -j TCPMSS"
  # What somebody has translated goes on, as for another tunnel of ours.
  local elsewhere="-m conntrack --ctstate NEW -m conntrack ! --ctstate DNAT -j DROP"
  local known="-m conntrack --ctstate RELATED,ESTABLISHED"
  # What this host says to itself is not concerned.
  local itself="-i lo -j RETURN"
  # Nobody outside has one of its addresses, as whom a forward, too, would lead him to a server; nor this
  # host's own one there, which of IPv6 the kernel itself does not ask.
  local -a strangers=("-s $NETWORK ! -i $IFACE -j DROP")
  # What is published to this host alone (Docker's 127.0.0.1:5432) is translated before the kernel could
  # see that nobody outside may call there. Of IPv6 it looks at once.
  ((FAMILY == 6)) || strangers+=("-d 127.0.0.0/8 -i $IFACE -j DROP")
  WANTED=()
  if [[ ${SETTING[role]} == vps ]]; then want_vps_chains; else want_server_chains; fi
}

# want_vps_chains: by what want_chains has set
want_vps_chains() {
  local dnat=RT-$IFACE-DNAT gate=RT-$IFACE-GATE visit=RT-$IFACE-VISIT way=RT-$IFACE-WAY
  local here="-m addrtype --dst-type LOCAL -m conntrack --ctstate NEW -j $gate"
  local astray="-i $PUBLIC -p tcp -m conntrack --ctstate INVALID -m addrtype --dst-type LOCAL"
  # The tunnel's own packets are no forward's: not even of one that is to go, and whose port it has now.
  local wireguard="-i $PUBLIC -p udp -m udp --dport ${SETTING[listen_port]-} -m addrtype --dst-type LOCAL -j RETURN"
  local ips name network
  # Of most clouds, of Azure and of Alibaba
  local -a metadata=(169.254.0.0/16 168.63.129.16/32 100.100.100.200/32)
  local -a rules=() stray=() router=() inside=()
  # What keeps others out comes into force first, what lets them in last.
  CHAINS=("filter FORWARD $fwd first" "mangle - $gate within" "mangle PREROUTING $pre first"
    "mangle FORWARD $mss first" "nat POSTROUTING $src first" "nat POSTROUTING $way first"
    "nat - $dnat within" "nat PREROUTING $visit first")
  ((FAMILY == 4)) || metadata=(fc00::/7)
  load_peers
  # Nor has anybody an address of the private networks that peers lead to.
  for network in "${!TO_PEERS[@]}"; do
    if in_use "$network" && is_private "$network" && ! overlap "$network" "$NETWORK"; then
      strangers+=("-s $network ! -i $IFACE -j DROP")
    fi
  done
  # Into the tunnel only what a forward has translated, else the provider's neighbours could route
  # tunnel addresses through this host; out of it only answers, so that no tunnel address ever
  # leaves untranslated. A container of this host that is published to the tunnel is its own.
  # A peer's way out is masqueraded; so is what comes back to it by a forward, which would else
  # reach it from its own address. What counts for no connection is translated by nobody.
  for ips in "${!EGRESS_PEERS[@]}"; do
    pick "$ips"
    [[ -z ${PICKED[0]-} ]] || rules+=("-s ${PICKED[0]} -i $IFACE -o $PUBLIC -m conntrack --ctstate NEW -j ACCEPT")
  done
  # The way out is one to the internet, not to what clouds tell each machine alone: who it is, and keys.
  if ((${#rules[@]})); then
    for network in "${metadata[@]}"; do inside+=("-d $network -i $IFACE -o $PUBLIC -j DROP"); done
  fi
  # Nor is this host a router for others, into networks that it is in or back to where they are, where it
  # passes on for nobody but us.
  ! forwards_for_nobody_else "$PUBLIC" || router=("-i $PUBLIC $elsewhere")
  want "filter $fwd" \
    "-d $NETWORK -i $IFACE -o $IFACE -j ACCEPT" \
    "-o $IFACE -m conntrack --ctstate RELATED,ESTABLISHED,DNAT -j ACCEPT" \
    "-o $IFACE -j DROP" \
    "-i $IFACE $known -j ACCEPT" \
    "${inside[@]}" \
    "${rules[@]}" \
    "-i $IFACE ! -o $PUBLIC -m conntrack --ctstate DNAT -j RETURN" \
    "-i $IFACE -j DROP" \
    "${router[@]}"
  # What comes so late or so far ahead that it counts for no connection is translated by nobody, and
  # this host would answer it with a reset, of a visitor's connection that is well.
  if [[ $SOCKET_MATCH == yes ]]; then
    stray=("$astray -m socket -j RETURN" "$astray -j DROP")
  fi
  # This host's own tunnel address, too, is reached through the tunnel only. What belongs to a known
  # connection, as nearly all does, is asked no more than whether its addresses may come from there.
  want "mangle $pre" \
    "$itself" \
    "-d $NETWORK ! -i $IFACE -m conntrack ! --ctstate RELATED,ESTABLISHED -j DROP" \
    "${strangers[@]}" \
    "$known -j RETURN" \
    "$wireguard" \
    "-i $PUBLIC $here" \
    "! -d $INSIDE/$WHOLE -i $IFACE $here" \
    "${stray[@]}"
  # Visitors from outside, and peers; who calls the VPS's tunnel address means its own services. Asked
  # here, once, and not by each forward: there may be a thousand.
  want "nat $visit" \
    "$wireguard" \
    "-i $PUBLIC -m addrtype --dst-type LOCAL -j $dnat" \
    "! -d $INSIDE/$WHOLE -i $IFACE -m addrtype --dst-type LOCAL -j $dnat"
  # Both directions: a lower MTU alone does not tell the far ends.
  want "mangle $mss" "-o $IFACE $syn --clamp-mss-to-pmtu" "-i $IFACE $syn --clamp-mss-to-pmtu"
  rules=()
  for ips in "${!EGRESS_PEERS[@]}"; do
    pick "$ips"
    name=${PICKED[0]-}
    [[ -z $name ]] || rules+=("-s $name -o $PUBLIC -j MASQUERADE")
    for network in "${PICKED[@]}"; do
      rules+=("-s $name -d $network -o $IFACE -m conntrack --ctstate DNAT -j MASQUERADE")
    done
  done
  want "nat $way" "${rules[@]}"
}

# want_server_chains: by what want_chains has set
want_server_chains() {
  local out=RT-$IFACE-OUT udp=RT-$IFACE-UDP open=RT-$IFACE-OPEN own=RT-$IFACE-OWN
  # Answers alone: what a router says to a container about one of its own packets (too large, for one)
  # belongs to the connection as well, and must stay here.
  local marked="-m conntrack --ctdir REPLY -m connmark --mark $MARK/$MARK"
  local restore="-j CONNMARK --restore-mark --nfmask $MARK --ctmask $MARK"
  local visitors="! -s $NETWORK -i $IFACE -p udp"
  local name network
  local -a rules=() begun=() spoofed=() to_line=() stale=()
  CHAINS=("filter - $open within" "filter FORWARD $fwd first" "mangle PREROUTING $pre first"
    "mangle OUTPUT $out first" "mangle POSTROUTING $mss first" "nat POSTROUTING $src first"
    "nat PREROUTING $udp last")
  if ((FAMILY == 4)); then
    # What others of the home network send by here stays out of the tunnel, where only we forward it.
    find_behind
    for name in "${INTERFACES_BEHIND[@]}"; do
      forwards_by_us "$name" || continue
      rules+=("-i $name -o $IFACE -j DROP")
      # Nor is this server their way to other networks.
      ! forwards_for_nobody_else "$name" || rules+=("-i $name ! -o $name $elsewhere")
    done
  else
    # Where the line has no IPv6, answers find their way by the tunnel (add_last_way). What this
    # server begins itself gets the same word as without it, at once.
    CHAINS+=("filter OUTPUT $own first")
    [[ ${SETTING[egress]-} == tunnel ]] || begun=(
      "! -d $NETWORK -o $IFACE -m conntrack --ctstate NEW -j REJECT --reject-with icmp6-no-route"
    )
    want "filter $own" "${begun[@]}"
  fi
  # A UDP service bound to any address answers from the one that the main table picks, and no
  # connection would be known by that: so it is the one to which its visitors are sent. Where the
  # way out is the tunnel it is that already.
  if [[ -n ${LINE[FAMILY]-} && ${SETTING[egress]-} != tunnel ]]; then
    to_line=("$visitors -m addrtype --dst-type LOCAL -j DNAT --to-destination ${LINE[FAMILY]}")
    # Until the tunnel knows that this line has another address by now, the old one may be
    # somebody else's of the home network.
    stale=("-d ${LINE[FAMILY]}/$WHOLE -i $IFACE -p udp -m conntrack --ctstate DNAT -j DROP")
  fi
  want_unasked
  # The VPS reaches this server and what it publishes itself (Docker's DNAT, whose own rules then
  # judge), not the home network behind it.
  want "filter $fwd" \
    "${stale[@]}" \
    "-i $IFACE $known -j ACCEPT" \
    "-o $IFACE $known -j ACCEPT" \
    "-i $IFACE -m conntrack --ctstate DNAT -j RETURN" \
    "-i $IFACE -j $open" \
    "-i $IFACE -j DROP" \
    "${rules[@]}"
  rules=()
  # Nobody comes by the tunnel who is of a network that this server is in: a service may trust those, and a
  # broken-into VPS would speak as them.
  find_own_networks
  for network in "${OWN_NETWORKS[@]}"; do spoofed+=("-s $network -i $IFACE -j DROP"); done
  # Connections are marked on their way in, and their answers find back by the mark; everything
  # else leaves by this server's own line. One that is known already, and was not to the tunnel's address,
  # came by that line: a broken-into VPS would lead it to itself by one packet in a visitor's name.
  # The MSS is set, not clamped: clamping looks at the way back, which the mark does not lead yet.
  want "mangle $pre" \
    "$itself" \
    "${strangers[@]}" \
    "${spoofed[@]}" \
    "-d $INSIDE/$WHOLE -i $IFACE -m conntrack --ctdir ORIGINAL -j CONNMARK --set-xmark $MARK/$MARK" \
    "! -d $INSIDE/$WHOLE -i $IFACE -m conntrack --ctstate NEW -j CONNMARK --set-xmark $MARK/$MARK" \
    "-i $IFACE $syn --set-mss $((SETTING[mtu] - HEADERS))" \
    "! -i $IFACE $marked $restore"
  want "mangle $out" "$marked $restore"
  # Last, after Docker's, whose containers need no such help. A service that is bound to the very
  # address answers from it.
  [[ $SOCKET_MATCH != yes ]] || rules+=("$visitors -m socket -j RETURN")
  want "nat $udp" "${rules[@]}" "${to_line[@]}"
  want "mangle $mss" "-o $IFACE $syn --clamp-mss-to-pmtu"
}

# want_unasked: what no service of a server's waits for does not become a connection. A broken-into VPS
# would send packets from a name server to each port by which the server may ask it one day, and the
# question, taken for the answer, would be led to the VPS. Of TCP such a connection ends at once, by the
# server's reset. Of UDP it is asked only where the kernel gives questions their ports: at others somebody
# may serve without a socket, as IPVS does.
want_unasked() {
  local chain=RT-$IFACE-UNASKED ports
  local -a udp=("-p udp -j RETURN")
  if [[ $SOCKET_MATCH == yes ]]; then
    # Of both families; there is always one, but in a container that shows nothing of it.
    read -r ports 2>/dev/null </proc/sys/net/ipv4/ip_local_port_range || ports=$'32768\t60999'
    udp=("-p udp -m udp ! --dport ${ports/$'\t'/:} -j RETURN" "-p udp -m socket --nowildcard -j RETURN")
  fi
  # Where nobody's rules let it in before.
  CHAINS+=("mangle INPUT $chain first")
  want "mangle $chain" \
    "! -i $IFACE -j RETURN" \
    "-s $NETWORK -j RETURN" \
    "-m conntrack ! --ctstate NEW -j RETURN" \
    "-p tcp -j RETURN" \
    "${udp[@]}" \
    "-j DROP"
}

# want "TABLE CHAIN" RULE...
want() {
  local chain=${1#* } place=$1 rule
  shift
  WANTED[$place]=
  for rule in "$@"; do
    WANTED[$place]+="-A $chain $rule"$'\n'
  done
}
