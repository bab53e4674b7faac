# demo-guest.sh - runs inside the guest: one client, step by step; what it says goes to /out/story.
. /lab/lib/node.sh
. /lab/lib/net.sh
. /lab/lib/server.sh
. /lab/lib/client.sh
. /lab/lib/judge.sh
tell() { echo "$*" >>"$OUT/story"; }
step() { STEP=${EPOCHREALTIME/./}; tell ""; tell "* $*"; }
took() { since "$STEP"; tell "  -> $* ($REPLY s)"; }
bad() { took "FAILED: $*"; tail -n 15 /n/server/var/log/syslog >>"$OUT/story"; collect failed; exit 1; }

SERVER=cygnet
step "Ten machines boot, joined by virtual cables"
topology cygnet || bad "no topology"
took "up"
step "The server starts: ipsec setup start; xl2tpd -c /etc/xl2tpd/xl2tpd.conf"
server_up || bad "$REPLY"
took "pluto listens on UDP 500 and 4500, xl2tpd on 1701"
step "The clients start: strongSwan, xl2tpd and pppd as Debian ships them"
client pub alice && client client1 bob || bad "$WHY"
took "ready"
capture demo
for c in pub client1; do
  case $c in
  pub) step "alice, on a public address, dials: Main Mode, Quick Mode, then L2TP and PPP inside of ESP" ;;
  *) step "bob, behind NAT, dials: the same, floated to UDP 4500" ;;
  esac
  connect "$c" || bad "$WHY"
  sec "$IKE_US"; a=$REPLY
  sec "$PPP_US"; b=$REPLY
  took "$c has ${CLIENT_IP[$c]}; IKE $a s, L2TP and PPP $b s, then the LAN answers"
done
capture_end
step "On the wire between the clients and the server"
count "$ESP_FILTER"; a=$REPLY
count "$ESP_UDP_FILTER"; b=$REPLY
count 'udp port 1701'
took "$a packets of ESP, $b of ESP in UDP, $REPLY of L2TP in clear"
tell ""
tell "server# ipsec auto --status"
nx server timeout 10 ipsec auto --status >>"$OUT/story" 2>&1
for c in pub client1; do
  tell ""
  tell "$c# ping -c3 192.168.1.10"
  nx "$c" ping -n -c3 -i0.3 -W2 192.168.1.10 >>"$OUT/story" 2>&1 || bad "no ping"
done
exit 0
