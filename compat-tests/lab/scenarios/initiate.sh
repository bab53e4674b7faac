# initiate.sh - the server's pluto starts it: host to host, transport mode, PSK.  Sourced inside the guest.
init_conn() { # init_conn NODE NAME MY_ADDRESS PEER AUTO: a conn of the server under test (on the server or on gw2)
  local f=/n/$1/etc/ipsec.d/L2TP-init-$2.conf
  printf 'conn %s\n\tauthby=secret\n\tpfs=no\n\ttype=transport\n\tleft=%s\n\tright=%s\n\tauto=%s\n' "$2" "$3" "$4" "$5" >"$f"
  [ "$SERVER" = cygnet ] || printf '\tikev2=no\n\tike=aes128-sha1;modp2048\n\tesp=aes128-sha1\n' >>"$f"
}
initiate() { # initiate NAME PEER_NODE: --add, --up, ping; the ping must be in ESP on the wire
  local name=$1 peer=$2 rc t clear
  init_conn server "$name" 192.0.2.1 "${ADDR[$peer]}" ignore
  nx server timeout 10 ipsec auto --add "$name" >"$OUT/$name.log" 2>&1
  capture "$SCENARIO"
  t=${EPOCHREALTIME/./}
  nx server timeout 15 ipsec auto --up "$name" >>"$OUT/$name.log" 2>&1
  rc=$?
  since "$t"
  note "--up ${REPLY}s"
  cp "$OUT/$name.log" "$OUT/$name-up.log"
  [ $rc = 0 ] || fail "--up exits $rc" || return
  grep -q 'IPsec SA established' "$OUT/$name.log" || fail "--up does not say 'IPsec SA established'" || return
  nx server ping -n -c2 -i0.2 -W2 "${ADDR[$peer]}" >"$OUT/$name-ping.log" 2>&1 || fail "no ping to ${ADDR[$peer]}" || return
  capture_end
  count "icmp and host ${ADDR[$peer]}"; clear=$REPLY
  count "ip proto 50 and host ${ADDR[$peer]}"
  note "$REPLY ESP, $clear ICMP in clear"
  [ "$REPLY" -ge 4 ] && [ "$clear" = 0 ] || fail "the ping did not go through ESP" || return
  nx server timeout 5 ipsec auto --down "$name" >>"$OUT/$name.log" 2>&1
  nx server timeout 5 ipsec auto --delete "$name" >>"$OUT/$name.log" 2>&1
}
sc_initiate_libreswan() {
  SCENARIO=initiate-libreswan
  client_stop publ
  cat >/n/publ/etc/ipsec.init.conf <<'E'
conn host
    auto=add
    ikev2=no
    authby=secret
    pfs=no
    type=transport
    ike=aes128-sha1;modp2048,aes256-sha1;modp2048,3des-sha1;modp2048,3des-md5;modp1536
    esp=aes128-sha1,aes256-sha1,3des-sha1,3des-md5
    left=203.0.113.20
    right=192.0.2.1
E
  client publ alice && initiate init-libreswan publ
  local rc=$?
  : >/n/publ/etc/ipsec.init.conf
  client_stop publ
  return $rc
}
sc_initiate_strongswan() {
  SCENARIO=initiate-strongswan
  client_stop pub
  cat >/n/pub/etc/ipsec.init.conf <<'E'
conn host
    keyexchange=ikev1
    authby=secret
    type=transport
    left=203.0.113.10
    right=192.0.2.1
    ike=aes128-sha1-modp2048,aes256-sha1-modp2048,3des-sha1-modp2048,3des-md5-modp1536!
    esp=aes128-sha1,aes256-sha1,3des-sha1,3des-md5!
    auto=add
E
  client pub alice && initiate init-strongswan pub
  local rc=$?
  : >/n/pub/etc/ipsec.init.conf
  client_stop pub
  return $rc
}
sc_initiate_self() {
  SCENARIO=initiate-self
  server_config gw2
  echo '203.0.113.30 %any: PSK "keysharedbyallclients"' >/n/gw2/etc/ipsec.secrets
  init_conn gw2 init-self 203.0.113.30 192.0.2.1 add
  ike_start gw2 || fail "gw2: ipsec does not start" || return
  initiate init-self gw2
  local rc=$?
  sig gw2 TERM pluto
  wait_for 5 gone gw2 pluto
  return $rc
}
