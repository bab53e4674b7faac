# connect.sh - clients get in.  Sourced inside the guest.
one_client() { # one_client NODE USER FILTER: connect, ping, and the capture has enough ESP and no L2TP in clear
  local esp clear
  client "$1" "$2" || return
  capture "$SCENARIO"
  connect "$1" || return
  [ "$2" != bob ] || [ "${CLIENT_IP[$1]}" = 192.168.1.200 ] || fail "bob has ${CLIENT_IP[$1]} instead of his own address" || return
  [ "$2" != alice ] || [[ ${CLIENT_IP[$1]} =~ ^192\.168\.1\.(12[89]|1[3-9][0-9]|2[0-4][0-9]|25[0-4])$ ]] ||
    fail "${CLIENT_IP[$1]} is outside of ip range" || return
  capture_end
  figures "$1"
  count "$3"; esp=$REPLY
  count 'udp port 1701'; clear=$REPLY
  note "$esp ESP packets, $clear L2TP in clear"
  [ "$esp" -gt 10 ] || fail "only $esp packets '$3' on the wire" || return
  [ "$clear" = 0 ] || fail "$clear packets of L2TP in clear" || return
}
sc_direct() { SCENARIO=direct; one_client pub alice "$ESP_FILTER"; }
sc_nat() { SCENARIO=nat; one_client client1 bob "$ESP_UDP_FILTER"; }
sc_libreswan_direct() { SCENARIO=libreswan-direct; one_client publ alice "$ESP_FILTER"; }
sc_libreswan_nat() { SCENARIO=libreswan-nat; one_client client2 bob "$ESP_UDP_FILTER"; }

sc_both() {
  client pub alice && client client1 bob || return
  capture both
  connect pub || return
  figures pub
  connect client1 || return
  figures client1
  ping_lan pub || fail "pub: no ping any more once client1 is in" || return
  ping_lan client1 || fail "client1: no ping" || return
  [ "${CLIENT_IP[pub]}" != "${CLIENT_IP[client1]}" ] || fail "both have ${CLIENT_IP[pub]}" || return
}

# Two clients behind one NAT, both from UDP 1701: the same selector for the kernel, the same peer for the L2TP daemon.
sc_nat_two() {
  client client1 bob && client client2 alice || return
  connect client1 || return
  figures client1
  connect client2 || return
  figures client2
  ping_lan client1 || fail "client1: no ping any more once client2 is in" || return
  ping_lan client2 || fail "client2: no ping" || return
}

# The server behind a NAT: clients dial an address of the router's, which hands on to the server.  One client is behind a NAT of
# its own.  Then with leftnat-hide=yes: to the client the server is not behind a NAT, but itself.
sc_nat_server() {
  SCENARIO=nat-server
  local rule='PREROUTING -d 192.0.2.77 -j DNAT --to-destination 192.0.2.1' conf=/n/server/etc/ipsec.d/L2TP-PSK.conf rc
  # shellcheck disable=SC2086
  nx inet iptables-legacy -w -t nat -A $rule || { fail "no DNAT"; return; }
  nat_server
  rc=$?
  # shellcheck disable=SC2086
  nx inet iptables-legacy -w -t nat -D $rule
  cp /lab/server/ipsec.d/L2TP-PSK.conf $conf
  nx server timeout 10 ipsec auto --replace L2TP-PSK >>"$OUT/hide.log" 2>&1
  client_stop pub
  client_stop client1
  return $rc
}
nat_server() {
  client pub alice DIALS=192.0.2.77 && client client1 bob DIALS=192.0.2.77 || return
  connect pub || { fail "$WHY"; return; }
  figures pub
  grep -q 'remote host is behind NAT' /n/pub/var/log/charon.log || { fail "the client does not see the server's NAT"; return; }
  connect client1 || { fail "both behind NAT: $WHY"; return; }
  figures client1
  hangup client1
  hangup pub
  printf '\tleftnat-hide=yes\n' >>"$conf"
  nx server timeout 10 ipsec auto --replace L2TP-PSK >"$OUT/hide.log" 2>&1 || { fail "leftnat-hide: not loaded"; return; }
  client_stop pub
  client pub alice DIALS=192.0.2.77 || return
  connect pub || { fail "hidden: $WHY"; return; }
  figures pub
  grep -q 'local host is behind NAT' /n/pub/var/log/charon.log || { fail "hidden: the client does not believe in a NAT of its own"; return; }
  ! grep -q 'remote host is behind NAT' /n/pub/var/log/charon.log || { fail "the server is not hidden"; return; }
}

# SHA2-256 cut to 96 bits, as Android to version 7 has it, and to the 128 of the RFC, from one conn of the server's that says
# neither: what the client's packets show decides.
sc_truncation_libreswan() {
  SCENARIO=truncation-libreswan
  local cut line='SHA2-256 is cut to 96 bits for it now'
  for cut in yes no; do
    client_stop publ
    client publ alice ESP_HASH=sha2_256 TRUNCBUG=$cut || return
    mark server
    connect publ || { WHY="sha2-truncbug=$cut: $WHY"; return 1; }
    figures publ
    case $cut in
    yes) logged server "$line" || fail "the log does not tell of the other truncation" || return ;;
    no) ! logged server "$line" || fail "the truncation was changed for a client that has the right one" || return ;;
    esac
    ip -n server xfrm state >"$OUT/truncation-$cut.txt"
    [ "$(grep -c "hmac(sha256).* $([ $cut = yes ] && echo 96 || echo 128)$" "$OUT/truncation-$cut.txt")" = 2 ] ||
      fail "sha2-truncbug=$cut: not two SAs with that truncation" || return
  done
}
