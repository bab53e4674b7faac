# vti.sh - two tunnels from everywhere to everywhere on one server, apart by marks, each with a tunnel device.
# Sourced inside the guest.

vti_conn() { # vti_conn N PEER_ADDR MORE...: network 10.52.N.0/24 at the server, 10.62.N.0/24 at the peer, on the devices
  printf 'conn v%s\n\tauthby=secret\n\tauto=add\n\tleft=192.0.2.1\n\tright=%s\n' "$1" "$2"
  printf '\tleftsubnet=0.0.0.0/0\n\trightsubnet=0.0.0.0/0\n\tmark=%s/0xffffffff\n' "$1"
  printf '\tvti-interface=vti0%s\n\tvti-routing=no\n\tleftvti=10.52.%s.1/24\n\trightvti=10.62.%s.1/24\n' "$1" "$1" "$1"
  shift 2
  [ $# = 0 ] || printf '\t%s\n' "$@"
}
# The peer's device is made by libreswan's own script, and by ours.
sc_vti_libreswan() {
  SCENARIO=vti-libreswan
  local rc
  vti_of
  rc=$?
  rm -f /n/server/etc/ipsec.d/L2TP-vti.conf /n/gw2/etc/ipsec.d/L2TP-vti.conf
  : >/n/publ/etc/ipsec.init.conf
  client_stop publ
  sig gw2 TERM pluto
  wait_for 15 gone gw2 pluto
  ip -n publ link del vti01 2>/dev/null
  return $rc
}
vti_of() {
  local n node esp
  client_stop publ
  server_config gw2
  echo '203.0.113.30 %any: PSK "keysharedbyallclients"' >/n/gw2/etc/ipsec.secrets
  { vti_conn 1 "${ADDR[publ]}"; vti_conn 2 "${ADDR[gw2]}"; } >/n/server/etc/ipsec.d/L2TP-vti.conf
  vti_conn 1 "${ADDR[publ]}" ikev2=no >/n/publ/etc/ipsec.init.conf
  vti_conn 2 "${ADDR[gw2]}" >/n/gw2/etc/ipsec.d/L2TP-vti.conf
  client publ alice || return
  ike_start gw2 || fail "gw2: ipsec does not start" || return
  for n in 1 2; do
    nx server timeout 10 ipsec auto --add v$n >"$OUT/vti-v$n.log" 2>&1
    nx server timeout 15 ipsec auto --up v$n >>"$OUT/vti-v$n.log" 2>&1 || fail "v$n: --up failed" || return
    node=publ
    [ $n = 1 ] || node=gw2
    # scripts run beside pluto's own work
    wait_for 15 eval "ip -n server addr show dev vti0$n | grep -q 'inet 10.52.$n.1/24'" || fail "v$n: no device with an address" || return
    wait_for 15 eval "ip -n $node addr show dev vti0$n | grep -q 'inet 10.62.$n.1/24'" || fail "v$n: no device at $node" || return
    ip -n server route replace 10.62.$n.0/24 dev vti0$n
    ip -n $node route replace 10.52.$n.0/24 dev vti0$n
  done
  ip -n server xfrm policy >"$OUT/vti-policies.txt"
  capture vti
  for n in 1 2; do
    wait_for 15 nx server ping -n -c1 -W1 -I 10.52.$n.1 10.62.$n.1 || fail "v$n: no ping through the tunnel" || return
    nx server ping -n -c3 -i0.2 -W2 -I 10.52.$n.1 10.62.$n.1 >"$OUT/vti-ping-$n.log" 2>&1 || fail "v$n: no ping" || return
  done
  # whoever goes another way than through a device goes in clear, although the tunnels are to everywhere
  nx server ping -n -c2 -i0.2 -W2 "${ADDR[pub]}" >"$OUT/vti-clear.log" 2>&1 || fail "no ping in clear" || return
  capture_end
  count "$ESP_FILTER and host ${ADDR[publ]}"; esp=$REPLY
  count "$ESP_FILTER and host ${ADDR[gw2]}"
  [ "$esp" -ge 6 ] && [ "$REPLY" -ge 6 ] || fail "$esp and $REPLY ESP packets" || return
  note "$esp and $REPLY ESP packets"
  count "icmp and host ${ADDR[pub]}"
  [ "$REPLY" = 4 ] || fail "$REPLY pings in clear" || return
  for n in 1 2; do
    nx server timeout 5 ipsec auto --down v$n >>"$OUT/vti-v$n.log" 2>&1
    nx server timeout 5 ipsec auto --delete v$n >>"$OUT/vti-v$n.log" 2>&1
    wait_for 15 eval "! ip -n server link show dev vti0$n" || fail "v$n: the device stays" || return
  done
  ip -n server xfrm policy | grep -q ' mark 0x[12]' && fail "policies with marks are left"
  return 0
}
