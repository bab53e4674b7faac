# wire.sh - what a third node sees between the clients and the server.  Sourced inside the guest.
sc_wire() {
  local l
  client pub alice && client client1 bob || return
  capture wire
  connect pub || return
  connect client1 || return
  hangup pub
  hangup client1
  pause 0.5
  capture_end
  count "$ESP_FILTER"; note "$REPLY ESP"
  [ "$REPLY" -gt 10 ] || fail "hardly any ESP" || return
  count "$ESP_UDP_FILTER"; note "$REPLY ESP in UDP"
  [ "$REPLY" -gt 10 ] || fail "hardly any ESP in UDP" || return
  count 'udp port 500'; note "$REPLY ISAKMP"
  count 'udp port 1701'
  [ "$REPLY" = 0 ] || fail "$REPLY packets of L2TP in clear, first: ${PACKETS[0]}" || return
  count 'ip and not ip proto 50 and not udp port 500 and not udp port 4500'
  [ "$REPLY" = 0 ] || fail "$REPLY other packets, first: ${PACKETS[0]}" || return
}

# An SCCRQ in clear: no answer whatever, and a line in the log.
SCCRQ='\xc8\x02\x00\x43\x00\x00\x00\x00\x00\x00\x00\x00\x80\x08\x00\x00\x00\x00\x00\x01\x80\x08\x00\x00\x00\x02\x01\x00\x80\x0a\x00\x00\x00\x03\x00\x00\x00\x03\x80\x0d\x00\x00\x00\x07outside\x80\x08\x00\x00\x00\x09\x12\x34\x80\x08\x00\x00\x00\x0a\x00\x04'
sc_wire_clear() {
  mark server
  capture wire-clear
  # through a file: the shell's own printf would cut the datagram at the byte 0x0a
  printf "$SCCRQ" >/n/outside/tmp/sccrq
  nx outside bash -c 'cat /tmp/sccrq >/dev/udp/192.0.2.1/1701'
  pause 2
  capture_end
  count 'src 198.18.0.20 and udp port 1701'
  [ "$REPLY" -gt 0 ] || fail "the probe did not leave" || return
  count 'dst 198.18.0.20'
  [ "$REPLY" = 0 ] || fail "answered: ${PACKETS[0]}" || return
  case $SERVER in cygnet) logged server 'xl2tpd[^'$'\n'']* in clear' || fail "no line in the log" || return
    note "no answer, '${REPLY#* }'" ;;
  *) note "no answer" ;; esac
}
