# tunnel.sh - networks behind gateways: every cipher and group both ends know, renewal under traffic, a peer that dies.
# Sourced inside the guest.  Network N: 10.50.N.1 at the server, 10.60.N.1 at the peer, both on lo.
#
# IKE | ESP, in the dialect of the peer; the server gets the same words. libreswan 4.10 aborts on AES-GMAC (CVE-2024-3652).
LIBRESWAN_SUITES=(
  'aes256-sha2_256;modp2048 | aes256-sha2_256'
  'aes128-sha1;modp1536 | aes128-sha1'
  '3des-sha1;modp3072 | 3des-md5'
  'aes256-sha2_512;dh19 | aes_gcm256-null'
  'aes192-sha2_384;dh20 | aes_ctr256-sha2_512'
  'aes128-sha2_256;dh21 | aes_ccm128-null'
  'aes256-sha1;modp4096 | aes128-aes_xcbc'
  'aes128-sha1;modp6144 | aes192-sha2_384'
  'aes128-md5;modp2048 | null-sha1'
  'aes128-sha1;modp2048 | aes128-aes_cmac'
)
STRONGSWAN_SUITES=(
  'aes256-sha256-modp2048 | aes256-sha256'
  '3des-md5-modp1024 | 3des-md5'
  'camellia192-sha384-ecp384 | camellia128-sha384'
  'aes192-sha512-ecp521 | aes256gcm16'
  'aes128-sha1-curve25519 | aes128ctr-sha1'
  'aes128-sha256-modp1536 | aes256ccm12'
  'aes256-sha256-modp768 | null-sha1'
  'aes256-sha256-modp8192 | aes128-aesxcbc'
  'aes128-sha256-modp2048s256 | aes128-sha512'
  'aes128-sha1-ecp256 | aes192gcm8'
  'aes128-sha1-modp3072 | des-md5'
  'aes256-sha256-modp2048 | aes128gmac'
)

tunnel_conn() { # tunnel_conn N IKE ESP MORE...: one conn as all three programs read it
  local n=$1
  printf 'conn t%s\n\tauthby=secret\n\ttype=tunnel\n\tauto=add\n' "$n"
  printf '\tleft=192.0.2.1\n\tleftsubnet=10.50.%s.0/24\n' "$n"
  printf '\tright=%s\n\trightsubnet=10.60.%s.0/24\n' "$PEER_ADDR" "$n"
  [ -z "$2" ] || printf '\tike=%s\n\tesp=%s\n' "$2" "$3"
  shift 3
  [ $# = 0 ] || printf '\t%s\n' "$@"
}
networks() { # networks NODE TENS COUNT
  local i
  for ((i = 1; i <= $3; i++)); do echo "addr add 10.$2.$i.1/24 dev lo"; done | ip -n "$1" -force -batch - 2>/dev/null
  return 0
}
through() { # through N: a ping goes, both ways in ESP as the kernel's policies have no other way
  nx server ping -n -c2 -i0.2 -W2 -I "10.50.$1.1" "10.60.$1.1" >"$OUT/t$1-ping.log" 2>&1
}
peer_up() {
  case ${SUITE[$1]} in
  strongswan) nx "$1" timeout 20 ipsec up "$2" >"$OUT/$2-up.log" 2>&1 && grep -q 'established successfully' "$OUT/$2-up.log" ;;
  libreswan) nx "$1" timeout 20 ipsec auto --up "$2" >"$OUT/$2-up.log" 2>&1 ;;
  esac
}
peer_down() {
  case ${SUITE[$1]} in
  strongswan) nx "$1" timeout 5 ipsec down "$2" >/dev/null 2>&1 ;;
  libreswan) nx "$1" timeout 5 ipsec auto --down "$2" >/dev/null 2>&1 ;;
  esac
}

matrix() { # matrix NODE SUITE...: each suite, begun by the peer; strongSwan is called with the first as well
  local node=$1 n=0 bad=() s ike esp mine=$OUT/tunnel.conf
  local PEER_ADDR=${ADDR[$1]}
  shift
  : >"$mine"
  for s; do
    n=$((n + 1)) ike=${s% |*} esp=${s#*| }
    # the group of phase 1 serves phase 2 as well
    tunnel_conn "$n" "$ike" "$esp" >>"$mine"
    if [ "${SUITE[$node]}" = strongswan ]; then
      tunnel_conn "$n" "$ike!" "$esp-${ike##*-}!" keyexchange=ikev1 reauth=no >>"$mine.peer"
    else
      tunnel_conn "$n" "$ike" "$esp" ikev2=no pfs=yes >>"$mine.peer"
    fi
  done
  networks server 50 $n
  networks "$node" 60 $n
  client_stop "$node"
  cp "$mine" /n/server/etc/ipsec.d/L2TP-tunnel.conf
  cp "$mine.peer" "/n/$node/etc/ipsec.init.conf"
  client "$node" alice || return
  pause 2
  for ((s = 1; s <= n; s++)); do
    nx server timeout 10 ipsec auto --add "t$s" >"$OUT/t$s.log" 2>&1
    # called, strongSwan goes by the first conn with our address, and libreswan by l2tp, whatever suite they have
    if [ "$s" -gt 1 ] || [ "${SUITE[$node]}" = libreswan ]; then :
    elif ! nx server timeout 15 ipsec auto --up "t$s" >>"$OUT/t$s.log" 2>&1; then bad+=("t$s:ours")
    elif ! through "$s"; then bad+=("t$s:no-ping"); fi
    nx server timeout 5 ipsec auto --down "t$s" >>"$OUT/t$s.log" 2>&1
    pause 0.3
    if ! peer_up "$node" "t$s"; then bad+=("t$s:theirs")
    elif ! through "$s"; then bad+=("t$s:no-ping-theirs"); fi
    peer_down "$node" "t$s"
    nx server timeout 5 ipsec auto --delete "t$s" >>"$OUT/t$s.log" 2>&1
  done
  rm -f /n/server/etc/ipsec.d/L2TP-tunnel.conf
  : >"/n/$node/etc/ipsec.init.conf"
  client_stop "$node"
  note "$n suites begun by the peer"
  [ ${#bad[@]} = 0 ] || fail "${bad[*]}"
}
sc_suites_libreswan() { SCENARIO=suites-libreswan; matrix publ "${LIBRESWAN_SUITES[@]}"; }
sc_suites_strongswan() { SCENARIO=suites-strongswan; matrix pub "${STRONGSWAN_SUITES[@]}"; }

# Both phases are renewed every few seconds under 100 pings a second: none may be lost.
# dropped: what the kernels threw away for our sake: all that the server's own XFRM dropped, and what came to the peer in an
# SA it did not have. libreswan 4.10 loses a packet of its own at times while it installs an SA.
# XfrmAcquireError is not ours: libreswan sends through the new SA as soon as it has made its second message, and nobody can
# have the keys before he has read that.
dropped() { # dropped NODE
  { nx server grep -v XfrmAcquireError /proc/net/xfrm_stat && nx "$1" grep XfrmInNoStates /proc/net/xfrm_stat; } |
    awk '{ n += $2 } END { print n + 0 }'
}
renewal() { # renewal NODE
  local node=$1 PEER_ADDR=${ADDR[$1]} text lost n before after
  local short=(ikelifetime=20s rekeymargin=5s rekeyfuzz=0% dpdaction=clear)
  networks server 50 1
  networks "$node" 60 1
  client_stop "$node"
  tunnel_conn 1 '' '' salifetime=10s "${short[@]}" >/n/server/etc/ipsec.d/L2TP-tunnel.conf
  if [ "${SUITE[$node]}" = strongswan ]; then
    tunnel_conn 1 aes128-sha1-modp2048 aes128-sha1-modp2048 keyexchange=ikev1 reauth=no lifetime=1h ikelifetime=1h
  else
    tunnel_conn 1 '' '' ikev2=no
  fi >"/n/$node/etc/ipsec.init.conf"
  client "$node" alice || return
  pause 1
  mark server
  nx server timeout 10 ipsec auto --add t1 >"$OUT/t1.log" 2>&1
  nx server timeout 15 ipsec auto --up t1 >>"$OUT/t1.log" 2>&1 || { fail "--up failed"; return; }
  pause 0.3 # ours is up before the peer has read QI2
  before=$(dropped "$node")
  nx server ping -n -D -c1800 -i0.01 -W2 -I 10.50.1.1 10.60.1.1 >"$OUT/t1-ping.log" 2>&1
  text=$(<"$OUT/t1-ping.log")
  [[ $text =~ ([0-9]+)\ packets\ transmitted,\ ([0-9]+)\ received ]] || { fail "no ping ran"; return; }
  lost=$((BASH_REMATCH[1] - BASH_REMATCH[2]))
  cp "$OUT/t1-ping.log" "$OUT/$SCENARIO-100hz.log"
  after=$(dropped "$node")
  nx server cat /proc/net/xfrm_stat >"$OUT/$SCENARIO-server.xfrm_stat"
  nx "$node" cat /proc/net/xfrm_stat >"$OUT/$SCENARIO-peer.xfrm_stat"
  slurp /n/server/var/log/syslog
  n=$(grep -c 'STATE_QUICK_I2: sent QI2, IPsec SA established' <<<"${TEXT:${MARK[server]:-0}}")
  note "${BASH_REMATCH[1]} pings, $lost lost ($((after - before)) dropped here or for our sake), $n IPsec SAs, $(grep -c 'STATE_MAIN_I4' <<<"${TEXT:${MARK[server]:-0}}") ISAKMP SAs"
  nx server timeout 5 ipsec auto --down t1 >>"$OUT/t1.log" 2>&1
  nx server timeout 5 ipsec auto --delete t1 >>"$OUT/t1.log" 2>&1
  rm -f /n/server/etc/ipsec.d/L2TP-tunnel.conf
  : >"/n/$node/etc/ipsec.init.conf"
  client_stop "$node"
  [ "$n" -ge 3 ] || { fail "only $n IPsec SAs"; return; }
  [ "$after" = "$before" ] && [ "$lost" -le 4 ] || fail "$lost pings lost, $((after - before)) by us"
}
sc_renewal_libreswan() { SCENARIO=renewal-libreswan; renewal publ; }
sc_renewal_strongswan() { SCENARIO=renewal-strongswan; renewal pub; }

# The peer's machine dies: it is noticed, a trap takes the place of the SAs, and the first packet calls the peer again.
sc_dead_peer() {
  SCENARIO=dead-peer
  local PEER_ADDR=${ADDR[publ]}
  networks server 50 1
  client_stop publ
  tunnel_conn 1 '' '' dpddelay=1 dpdtimeout=3 dpdaction=hold >/n/server/etc/ipsec.d/L2TP-tunnel.conf
  local peer_conf
  peer_conf=$(tunnel_conn 1 '' '' ikev2=no)
  networks publ 60 1
  echo "$peer_conf" >/n/publ/etc/ipsec.init.conf
  client publ alice || return
  mark server
  nx server timeout 10 ipsec auto --add t1 >"$OUT/t1.log" 2>&1
  nx server timeout 15 ipsec auto --up t1 >>"$OUT/t1.log" 2>&1 || { fail "--up failed"; return; }
  through 1 || { fail "no ping"; return; }
  client_crash publ
  wait_for 15 logged server 'declaring peer dead' || { fail "the death was not noticed"; return; }
  wait_for 15 logged server 'Putting connection into %trap' || { fail "no trap"; return; }
  server_state
  [[ "${STATE[*]}" == *'src 10.50.1.0/24 dst 10.60.1.0/24'* ]] || { fail "no policy is left"; return; }
  networks publ 60 1
  echo "$peer_conf" >/n/publ/etc/ipsec.init.conf
  client publ alice || return
  through 1
  wait_for 10 logged server 'initiate on demand' || { fail "nothing was initiated on demand"; return; }
  pause 1
  through 1 || { fail "no ping after the peer came back"; return; }
  nx server timeout 5 ipsec auto --delete t1 >>"$OUT/t1.log" 2>&1
  rm -f /n/server/etc/ipsec.d/L2TP-tunnel.conf
  : >/n/publ/etc/ipsec.init.conf
  client_stop publ
}

# AH, IPComp, and both: begun by each end in turn, with a ping that compresses and one too small for it.
layers() { # layers NODE
  local node=$1 n=0 bad=() kind text more mine=$OUT/tunnel.conf
  local PEER_ADDR=${ADDR[$1]}
  local kinds=('esp yes' 'ah no')
  [ "${SUITE[$node]}" != libreswan ] || kinds+=('ah yes')
  : >"$mine"
  : >"$mine.peer"
  for kind in "${kinds[@]}"; do
    n=$((n + 1))
    tunnel_conn "$n" '' '' "phase2=${kind% *}" "compress=${kind#* }" ike=aes128-sha1-modp2048 \
      "phase2alg=$([ "${kind% *}" = ah ] && echo sha1 || echo aes128-sha1)" >>"$mine"
    if [ "${SUITE[$node]}" = strongswan ]; then
      [ "${kind% *}" = ah ] && more=ah=sha1-modp2048! || more=esp=aes128-sha1-modp2048!
      tunnel_conn "$n" '' '' keyexchange=ikev1 reauth=no "compress=${kind#* }" ike=aes128-sha1-modp2048! "$more" >>"$mine.peer"
    else
      [ "${kind% *}" = ah ] && more=sha1 || more=aes128-sha1
      tunnel_conn "$n" '' '' ikev2=no pfs=yes "phase2=${kind% *}" "compress=${kind#* }" 'ike=aes128-sha1;modp2048' "phase2alg=$more" >>"$mine.peer"
    fi
  done
  networks server 50 $n
  networks "$node" 60 $n
  client_stop "$node"
  cp "$mine" /n/server/etc/ipsec.d/L2TP-tunnel.conf
  cp "$mine.peer" "/n/$node/etc/ipsec.init.conf"
  client "$node" alice || return
  pause 2
  for ((s = 1; s <= n; s++)); do
    kind=${kinds[s - 1]}
    nx server timeout 10 ipsec auto --add "t$s" >"$OUT/t$s.log" 2>&1
    for who in ours theirs; do
      if [ $who = ours ]; then
        # called, strongSwan goes by the first conn with our address, whatever that protects with
        [ "$s" = 1 ] || [ "${SUITE[$node]}" = libreswan ] || continue
        nx server timeout 15 ipsec auto --up "t$s" >>"$OUT/t$s.log" 2>&1 || { bad+=("$kind:ours"); continue; }
      else
        peer_up "$node" "t$s" || { bad+=("$kind:theirs"); continue; }
      fi
      pause 0.3
      text=$(ip -n server xfrm state)
      [[ $text == *"proto ${kind% *} "* ]] || bad+=("$kind:$who:not ${kind% *}")
      [ "${kind#* }" = no ] || [[ $text == *'proto comp '* ]] || bad+=("$kind:$who:not compressed")
      ip -n server -s xfrm state >"$OUT/layers-$s-$who.state"
      through "$s" || bad+=("$kind:$who:no-ping")
      nx server ping -n -c2 -i0.2 -W2 -s 1200 -p 00 -I "10.50.$s.1" "10.60.$s.1" >>"$OUT/t$s-ping.log" 2>&1 || bad+=("$kind:$who:no-big-ping")
      if [ $who = ours ]; then nx server timeout 5 ipsec auto --down "t$s" >>"$OUT/t$s.log" 2>&1
      # strongSwan names an IKE SA by the first conn between the same ends
      elif [ "${SUITE[$node]}" = strongswan ]; then nx "$node" timeout 5 ipsec down "t$s{*}" >/dev/null 2>&1
      else peer_down "$node" "t$s"; fi
      wait_for 15 kernel_empty || bad+=("$kind:$who:SAs left: $LEFT")
    done
    nx server timeout 5 ipsec auto --delete "t$s" >>"$OUT/t$s.log" 2>&1
  done
  rm -f /n/server/etc/ipsec.d/L2TP-tunnel.conf
  : >"/n/$node/etc/ipsec.init.conf"
  client_stop "$node"
  note "${kinds[*]}"
  [ ${#bad[@]} = 0 ] || fail "${bad[*]}"
}
sc_layers_libreswan() { SCENARIO=layers-libreswan; layers publ; }
sc_layers_strongswan() { SCENARIO=layers-strongswan; layers pub; }

# Policy groups: `clear` leaves in clear though a tunnel would take it, `block` does not leave, and the first packet to a
# host of `private` calls it.
sc_policy_groups() {
  SCENARIO=policy-groups
  local e=/n/server/etc/ipsec.d
  client_stop publ
  mkdir -p $e/policies
  echo "${ADDR[publ]}/32 # libreswan" >$e/policies/private
  echo '10.77.0.0/16' >$e/policies/block
  printf '10.78.0.0/16\n10.79.0.1\n' >$e/policies/clear
  cat >$e/L2TP-tunnel.conf <<'C'
conn private
	authby=secret
	type=tunnel
	left=192.0.2.1
	right=%opportunisticgroup
	failureshunt=drop
	auto=route
conn block
	type=reject
	authby=never
	left=192.0.2.1
	right=%group
	auto=route
conn clear
	type=passthrough
	authby=never
	left=192.0.2.1
	right=%group
	auto=route
C
  printf 'conn hosts\n\tikev2=no\n\tauthby=secret\n\ttype=tunnel\n\tauto=add\n\tleft=%s\n\tright=192.0.2.1\n' "${ADDR[publ]}" >/n/publ/etc/ipsec.init.conf
  client publ alice || return
  local c text
  nx server ipsec auto --ready >"$OUT/groups.log" 2>&1
  grep -q 'loading group "/etc/ipsec.d/policies/private"' "$OUT/groups.log" || { fail "the groups are not read"; return; }
  for c in private block clear; do
    nx server ipsec auto --add $c >>"$OUT/groups.log" 2>&1
    nx server ipsec auto --route $c >>"$OUT/groups.log" 2>&1
  done
  text=$(ip -n server xfrm policy)
  [[ $text == *'dst 10.77.0.0/16 '*'action block'* && $text == *'dst 10.79.0.1/32'* ]] || { fail "no shunts"; return; }
  nx server ping -n -c1 -W1 10.77.0.1 >"$OUT/groups-block.log" 2>&1 && { fail "a blocked packet left"; return; }
  mark server
  nx server ping -n -c6 -i0.5 -W1 "${ADDR[publ]}" >"$OUT/groups-ping.log" 2>&1
  grep -q 'IPsec SA established' "/n/server/var/log/syslog" || { fail "no SA"; return; }
  logged server 'private#[0-9./]*"\[1\] .*initiate on demand' || { fail "the packet called nobody"; return; }
  nx server ping -n -c2 -i0.2 -W1 "${ADDR[publ]}" >"$OUT/groups-ping.log" 2>&1 || { fail "no ping"; return; }
  nx server ipsec whack --shuntstatus >"$OUT/groups-shunts.log" 2>&1
  grep -q '10.77.0.0/16:0 => %reject' "$OUT/groups-shunts.log" || { fail "--shuntstatus does not tell"; return; }
  for c in private block clear; do nx server ipsec auto --delete $c >>"$OUT/groups.log" 2>&1; done
  text=$(ip -n server xfrm policy)
  rm -rf $e/L2TP-tunnel.conf $e/policies
  : >/n/publ/etc/ipsec.init.conf
  client_stop publ
  [[ $text != *10.77.0.0* && $text != *10.79.0.1* && $text != *"${ADDR[publ]}"* ]] || { fail "policies are left"; return; }
}

# The built-in updown script, in the daemon and at the end of a script of old: a route with a source, the source on the
# interface, rules in the firewall; all but the address go again.
sc_updown() {
  SCENARIO=updown
  local script=/n/server/usr/local/sbin/my-updown iptables rc
  iptables=$(readlink /n/server/usr/sbin/iptables)
  ln -sfn iptables-legacy /n/server/usr/sbin/iptables
  updown_of "$script"
  rc=$?
  # a failure too must not leave the firewall shut for those that come after
  nx server iptables -P FORWARD ACCEPT
  ln -sfn "$iptables" /n/server/usr/sbin/iptables
  ip -n server addr del 10.50.1.99/32 dev wan 2>/dev/null
  rm -f /n/server/etc/ipsec.d/L2TP-tunnel.conf /n/server/var/log/my-updown $script
  : >/n/publ/etc/ipsec.init.conf
  client_stop publ
  return $rc
}
updown_of() { # updown_of SCRIPT
  local PEER_ADDR=${ADDR[publ]} n text script=$1
  networks server 50 2
  networks publ 60 2
  client_stop publ
  mkdir -p /n/server/usr/local/sbin
  # shellcheck disable=SC2016
  printf '#!/bin/sh\nenv | sort >>/var/log/my-updown\nexec ipsec _updown --route yes --iproute "metric 77" "$@"\n' >$script
  chmod +x $script
  {
    tunnel_conn 1 '' '' leftsourceip=10.50.1.99 leftfirewall=yes lefthostaccess=yes
    tunnel_conn 2 '' '' leftupdown=/usr/local/sbin/my-updown mtu=1400
  } >/n/server/etc/ipsec.d/L2TP-tunnel.conf
  { tunnel_conn 1 '' '' ikev2=no; tunnel_conn 2 '' '' ikev2=no; } >/n/publ/etc/ipsec.init.conf
  client publ alice || return
  nx server iptables -P FORWARD DROP
  for n in 1 2; do
    nx server timeout 10 ipsec auto --add t$n >"$OUT/updown-t$n.log" 2>&1
    nx server timeout 15 ipsec auto --up t$n >>"$OUT/updown-t$n.log" 2>&1 || { fail "t$n: --up failed"; return; }
  done
  # scripts run beside pluto's own work
  wait_for 15 eval 'ip -n server route | grep -q "metric 77"'
  { ip -n server addr show dev wan; ip -n server route; nx server iptables -S; } >"$OUT/updown-up.txt" 2>&1
  text=$(<"$OUT/updown-up.txt")
  [[ $text == *'inet 10.50.1.99/32 scope global wan'* ]] || { fail "the source address is not on the interface"; return; }
  [[ $text == *'10.60.1.0/24 via '*' dev wan src 10.50.1.99'* ]] || { fail "no route with a source"; return; }
  [[ $text == *'10.60.2.0/24 via '*' dev wan metric 77 mtu 1400'* ]] || { fail "no route by the script"; return; }
  [[ $text == *'-A FORWARD -s 10.60.1.0/24 -d 10.50.1.0/24 -m policy --dir in --pol ipsec -j ACCEPT'* &&
    $text == *'-A OUTPUT -s 10.50.1.0/24 -d 10.60.1.0/24 -m policy --dir out --pol ipsec -j ACCEPT'* ]] ||
    { fail "the firewall is not open"; return; }
  nx server ping -n -c2 -i0.2 -W2 10.60.1.1 >"$OUT/updown-ping.log" 2>&1 || { fail "no ping from the source address"; return; }
  # what the kernel has, in the form of KLIPS; and no key of it is shown
  { nx server ipsec eroute; nx server ipsec spi; nx server ipsec spigrp; nx server ipsec policy --out; } >"$OUT/updown-klips.txt" 2>&1
  text=$(<"$OUT/updown-klips.txt")
  [[ $text =~ 10\.50\.1\.0/24\ +-\>\ 10\.60\.1\.0/24\ +=\>\ esp0x[0-9a-f]+@$PEER_ADDR && $text =~ esp0x[0-9a-f]+@192\.0\.2\.1\ ESP_ ]] ||
    { fail "eroute and spi do not tell"; return; }
  { nx server ipsec look; nx server ipsec barf --maxlines 200; } >"$OUT/updown-barf.txt" 2>&1
  slurp "$OUT/updown-barf.txt"
  [[ $TEXT == *'+ _________________________ plog'*'IPsec SA established'* && $TEXT == *'enc cbc(aes) [...]'* ]] || { fail "barf does not tell"; return; }
  ! grep -qE '0x[0-9a-f]{32}|PSK "[^[]' "$OUT/updown-barf.txt" || { fail "barf shows a key"; return; }
  grep -q '^PLUTO_VERB=up-client$' /n/server/var/log/my-updown || { fail "the script was not told"; return; }
  through 2 || { fail "no ping through t2"; return; }
  for n in 1 2; do
    nx server timeout 5 ipsec auto --down t$n >>"$OUT/updown-t$n.log" 2>&1
    nx server timeout 5 ipsec auto --delete t$n >>"$OUT/updown-t$n.log" 2>&1
  done
  wait_for 15 eval '! { ip -n server route; nx server iptables -S; } | grep -q "10\.60\.[12]\.0/24"'
  { ip -n server route; nx server iptables -S; } >"$OUT/updown-down.txt" 2>&1
  text=$(<"$OUT/updown-down.txt")
  cp /n/server/var/log/my-updown "$OUT/updown-env.txt"
  grep -q '^PLUTO_INBYTES=[1-9]' "$OUT/updown-env.txt" && grep -q '^PLUTO_OUTBYTES=[1-9]' "$OUT/updown-env.txt" ||
    { fail "the script was not told what went through"; return; }
  [[ $text != *10.60.[12].0/24* ]] || fail "routes or rules are left"
}
