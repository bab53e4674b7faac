# teardown.sh - however a connection ends, nothing of it is left and nothing of anybody else is touched.
# Sourced inside the guest.
#
# BEFORE is the server when idle (with a foreign SA and policy in it), UP the server with the client connected; what UP
# has more than BEFORE must be gone afterwards.  Where only the IKE side ended, the L2TP side has fifteen seconds: pppd
# says goodbye for six of them.
teardown_begin() { # teardown_begin NODE [USER]
  client "$1" "${2:-alice}" || return
  foreign_add
  server_state
  BEFORE=("${STATE[@]}")
  connect "$1" || return
  FIRST_IP=${CLIENT_IP[$1]}
  server_state
  UP=("${STATE[@]}")
  minus UP BEFORE
  [ ${#REST[@]} -ge 5 ] || fail "the connection left no trace in the kernel: ${#REST[@]} things" || return
  EVENT=${EPOCHREALTIME/./}
}
event_done() { since "$EVENT"; note "clean ${REPLY}s after it"; }
again() { # again NODE: the client gets in again; a pool address that was given back is the first free one
  connect "$1" || { WHY="again: $WHY"; return 1; }
  sec "$PING_US"
  note "again ${CLIENT_IP[$1]} ${REPLY}s"
}
same_address() { [ "${CLIENT_IP[$1]}" = "$FIRST_IP" ] || fail "the address $FIRST_IP was not given back: now ${CLIENT_IP[$1]}"; }
foreign_judge() { foreign_kept || fail "the foreign SA or policy is gone"; }

sc_teardown_hangup() {
  teardown_begin pub || return
  hangup pub
  left_over BEFORE UP 5 || return
  event_done
  foreign_judge && again pub && same_address pub
}

# The daemon dies, with or without a word: its pppds, interfaces, routes and addresses go with it.
l2tp_death() { # l2tp_death SIGNAL
  teardown_begin pub || return
  sig server "$1" xl2tpd
  if [ "$1" = KILL ]; then
    wait_for 2 gone server xl2tpd
    client_crash pub
    l2tp_start server || fail "xl2tpd does not start again" || return
    left_over BEFORE UP 10 '^(pppd|[0-9]+: ppp|[0-9.]+ )' || return # SAs stay: pluto has not noticed anything
  else
    wait_for 10 gone server xl2tpd || fail "xl2tpd does not end" || return
    left_over BEFORE UP 10 '^(pppd|[0-9]+: ppp|[0-9.]+ )' || return
    l2tp_start server || fail "xl2tpd does not start again" || return
    client_stop pub
    left_over BEFORE UP 5 || return
  fi
  event_done
  foreign_judge || return
  client pub alice && again pub && same_address pub
}
sc_teardown_sigterm_xl2tpd() { l2tp_death TERM; }
sc_teardown_kill9_xl2tpd() { l2tp_death KILL; }

# The IKE side ends.  The client's machine dies with it, so that only the server can tidy up.
ike_side_ended() { # ike_side_ended NODE [USER]
  left_over BEFORE UP 15 || return
  event_done
  foreign_judge || return
  client_crash "$1"
  client "$1" "${2:-alice}" && again "$1" && same_address "$1"
}
sc_teardown_auto_down() {
  teardown_begin pub || return
  nx server timeout 10 ipsec auto --down L2TP-PSK >"$OUT/auto-down.log" 2>&1 # its exit code is not part of this
  ike_side_ended pub
}
sc_teardown_delete() {
  teardown_begin publ || return
  libreswan_down publ
  ike_side_ended publ
}
# The news of what was deleted are lost, because xl2tpd reads none while those of others fill what may wait: it has to ask.
sc_teardown_lost_news() {
  local i t
  teardown_begin publ || return
  for ((i = 1; i <= 3000; i++)); do
    printf 'xfrm state add src 203.0.113.99 dst 192.0.2.1 proto esp spi 0x%x reqid 77 mode transport enc cbc(aes) 0x%032x auth hmac(sha1) 0x%040x\n' \
      $((0x100000 + i)) $i $i
    # `deleteall` does not take so many
    printf 'xfrm state delete src 203.0.113.99 dst 192.0.2.1 proto esp spi 0x%x\n' $((0x100000 + i)) >&4
  done >"$OUT/news.batch" 4>"$OUT/news.undo"
  sig server STOP xl2tpd
  t=${EPOCHREALTIME/./}
  ip -n server -batch "$OUT/news.batch" >"$OUT/news.log" 2>&1
  i=$?
  since "$t"
  note "3000 SAs in ${REPLY}s"
  libreswan_down publ
  wait_for 15 client_sas_gone publ
  t=$?
  ip -n server -batch "$OUT/news.undo" >>"$OUT/news.log" 2>&1
  EVENT=${EPOCHREALTIME/./}
  sig server CONT xl2tpd
  [ $i = 0 ] || fail "no SAs: $(tail -1 "$OUT/news.log")" || return
  [ $t = 0 ] || fail "the client's SAs stay" || return
  ike_side_ended publ
}
client_sas_gone() { # client_sas_gone NODE: the server has none of its
  local l
  mapfile -t l < <(ip -n server xfrm state list src "${ADDR[$1]}")
  [ ${#l[@]} = 0 ]
}
sc_teardown_sigterm_pluto() {
  teardown_begin client1 bob || return
  sig server TERM pluto
  wait_for 10 gone server pluto || fail "pluto does not end" || return
  left_over BEFORE UP 5 "$IKE_LINES" || return
  foreign_judge || return
  ike_start server || fail "ipsec does not start again" || return
  ike_side_ended client1 bob
}
sc_teardown_kill9_pluto() {
  teardown_begin client2 || return
  sig server KILL pluto
  wait_for 2 gone server pluto
  ike_restart server || fail "ipsec does not start again" || return
  ike_side_ended client2
}
# last: after all of the above no address is held by a call that is gone. A client that returns gets the address it had, and
# never more than two of the pool were in use at once.
sc_teardown_pool() {
  client pub alice && connect pub || return
  case ${CLIENT_IP[pub]} in
  192.168.1.128 | 192.168.1.129) ;;
  *) fail "addresses of the pool are lost: ${CLIENT_IP[pub]}" || return ;;
  esac
  note "${CLIENT_IP[pub]}"
}
