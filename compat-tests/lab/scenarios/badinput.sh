# badinput.sh - what strangers and slips of the pen send: nothing dies, nothing is lost.  Sourced inside the guest.

# 3,000 datagrams from outside: random octets, random octets behind good headers, cut-off first messages.
sc_garbage() {
  local before after n
  procs server pluto && procs server xl2tpd || fail "the daemons do not run" || return
  before="$(pids_of server)"
  mark server
  nx outside python3 -c '
import random, socket
random.seed(1)
r = lambda n: bytes(random.getrandbits(8) for _ in range(n))
s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
mm1 = r(8) + bytes(8) + b"\x01\x10\x02\x00" + bytes(4)
for i in range(1000):
    n = random.randrange(0, 600)
    port = (500, 4500, 1701)[i % 3]
    s.sendto(r(n), ("192.0.2.1", port))
    body = r(n)
    s.sendto((b"\0\0\0\0" if port == 4500 else b"") + (mm1 + (28 + n).to_bytes(4, "big") + body if port != 1701
        else b"\xc8\x02" + (12 + n).to_bytes(2, "big") + r(8) + body), ("192.0.2.1", port))
    s.sendto(mm1[:random.randrange(28)], ("192.0.2.1", 500))
' || fail "the probe did not run" || return
  pause 1
  after="$(pids_of server)"
  [ "$before" = "$after" ] || fail "the daemons are not the same any more: $before, then $after" || return
  slurp /n/server/var/log/syslog
  n=$(grep -c . <<<"${TEXT:${MARK[server]:-0}}")
  note "3000 datagrams, $n log lines"
  [ "$SERVER" != cygnet ] || [ "$n" -lt 400 ] || fail "$n log lines" || return
  client pub alice && connect pub || return
  figures pub
}
# ike-scan's probes: Main and Aggressive Mode, vendor IDs, spoilt headers.  No hash is given away, the log stays readable.
# Before `garbage`: after that its lines are among those of strangers that are not logged.
sc_ike_scan() {
  local before after n out=$OUT/ike-scan.log
  procs server pluto && procs server xl2tpd || fail "the daemons do not run" || return
  before="$(pids_of server)"
  mark server
  scan() { nx outside timeout 20 ike-scan --nodns --sport=0 --retry=1 --timeout=150 "$@" 192.0.2.1; }
  local scans=()
  aside() { scan "$@" & scans+=($!); }
  rm -f /tmp/psk /n/outside/tmp/psk
  {
    # side by side: each waits for an answer that mostly does not come
    aside --trans=7/256,2,1,14 --trans=5,2,1,2 --showbackoff
    aside --trans=7/256,2,65001,14
    aside --aggressive --id=vpn --pskcrack=/tmp/psk
    aside --aggressive --id=192.0.2.7 --idtype=1 --trans=5,2,1,2 --noncelen=4 --dhgroup=1 --pskcrack=/tmp/psk
    aside --vendor=4048b7d56ebce88525e7de7f00d6c2d3 --vendor=afcad71368a1f1c96b8696fc77570100 --vendor=4a131c81070358455c5728f20e95452f
    aside --ikev2
    aside --nat-t
    aside --cookie=0123456789abcdef --rcookie=fedcba9876543210
    wait "${scans[@]}"
    for o in --headerlen=27 --headerlen=9999 --nextpayload=14 --headerver=0x30 --hdrflags=255 --hdrmsgid=7 --mbz=255 --exchange=5 \
      --exchange=32 --spisize=200 --situation=255 --protocol=9 --transid=255 --doi=7 --noncelen=4000; do
      aside "$o"
    done
    wait "${scans[@]}"
  } >"$out" 2>&1
  grep -q 'Starting ike-scan' "$out" || fail "ike-scan did not run: $(tail -1 "$out")" || return
  pause 1
  after="$(pids_of server)"
  [ "$before" = "$after" ] || fail "the daemons are not the same any more: $before, then $after" || return
  ! grep -q 'Aggressive Mode Handshake returned' "$out" || fail "Aggressive Mode was answered" || return
  [ ! -s /n/outside/tmp/psk ] && [ ! -s /tmp/psk ] || fail "a hash was given away" || return
  grep -q 'Main Mode Handshake returned' "$out" || fail "no answer to Main Mode" || return
  slurp /n/server/var/log/syslog
  local log=${TEXT:${SC_MARK[server]:-0}}
  n=$(grep -c . <<<"$log")
  note "$(grep -c 'Starting ike-scan' "$out") runs, $(grep -c 'Handshake returned' "$out") answers, $n log lines"
  if [ "$SERVER" = cygnet ]; then
    [ "$n" -lt 400 ] || fail "$n log lines" || return
    grep -q 'responding to Main Mode from unknown peer' <<<"$log" || fail "no line about Main Mode" || return
    grep -q 'Aggressive Mode' <<<"$log" || fail "no line about Aggressive Mode" || return
  fi
  client pub alice && connect pub || return
  figures pub
}
pids_of() { procs "$1" pluto; local p=$REPLY; procs "$1" xl2tpd; echo "$p $REPLY"; }

# A configuration with a slip: an error with its place, and the daemon that runs goes on with what it has.
sc_bad_config() {
  local before conn=/n/server/etc/ipsec.d/L2TP-PSK.conf
  [ "$SERVER" = cygnet ] || { note "not for $SERVER"; return 0; }
  procs server pluto; before=$REPLY
  cp /n/server/etc/ipsec.conf /n/server/tmp/ipsec.conf.good
  # a line that belongs to no section: the file cannot be used
  printf 'left 192.0.2.1\n' >>/n/server/etc/ipsec.conf
  refused restart || return
  # a line of the conn in use that cannot be understood: this conn cannot be used
  cp "$conn" /n/server/tmp/conn.good
  sed -i 's/^\([[:blank:]]*\)left=/\1left /' "$conn"
  refused reload || return
  procs server pluto && [ "$REPLY" = "$before" ] || fail "pluto is not the same any more" || return
  client pub alice && connect pub
}
# refused ACTION: `ipsec setup ACTION' says where the slip is, and fails; afterwards the files are as they were
refused() {
  local rc
  nx server timeout 20 ipsec setup "$1" >"$OUT/bad-config-$1.log" 2>&1
  rc=$?
  cp /n/server/tmp/ipsec.conf.good /n/server/etc/ipsec.conf
  [ ! -e /n/server/tmp/conn.good ] || cp /n/server/tmp/conn.good /n/server/etc/ipsec.d/L2TP-PSK.conf
  [ $rc != 0 ] || fail "ipsec setup $1 exits 0" || return
  grep -q '/etc/ipsec.*conf:[0-9]' "$OUT/bad-config-$1.log" || fail "no place in: $(tail -1 "$OUT/bad-config-$1.log")" || return
  note "$1: exit $rc, $(grep -m1 -o '/etc/ipsec[^ ]*conf:[0-9:]*[^(]*' "$OUT/bad-config-$1.log")"
}

# A reload, by command and by signal: what is new comes, what is gone goes, and a client that is in does not notice; a file
# that cannot be read changes nothing.
sc_reload() {
  local before more=/n/server/etc/ipsec.d/L2TP-more.conf
  [ "$SERVER" = cygnet ] || { note "not for $SERVER"; return 0; }
  client pub alice && connect pub || return
  figures pub
  before=$(spis)
  printf 'conn more\n\tleft=%%defaultroute\n\tright=203.0.113.99\n\tauthby=secret\n\tauto=add\n' >"$more"
  nx server timeout 20 ipsec setup reload >"$OUT/reload.log" 2>&1 || fail "reload exits $?" || return
  nx server ipsec connectionstatus more >>"$OUT/reload.log" 2>&1 || fail "the new conn has not come" || return
  cp /n/server/etc/ipsec.conf /n/server/tmp/ipsec.conf.good
  rm -f /n/server/tmp/conn.good "$more"
  printf 'left 192.0.2.1\n' >>/n/server/etc/ipsec.conf
  refused reload || return
  nx server ipsec connectionstatus more >>"$OUT/reload.log" 2>&1 || fail "a file that cannot be read changed something" || return
  sig server HUP pluto
  wait_for 10 no_conn more || fail "the conn that is gone has stayed" || return
  [ "$(spis)" = "$before" ] || fail "the SAs of the client are not the same any more" || return
  ping_lan pub || fail "the client is cut off"
}
spis() { ip -n server xfrm state | grep -o 'spi 0x[0-9a-f]*' | sort; }
no_conn() { ! nx server ipsec connectionstatus "$1" >/dev/null 2>&1; }
