# bench-guest.sh - runs inside the guest: start-to-ping of one client against two servers, turn and turn about.
#
# Both servers are up all the time, with the same addresses on links of their own: `server` runs Cygnet, `gw2` libreswan and
# xl2tpd; the links of one of them are down.  Measured: from `ipsec up` at the client to the first answer from the LAN.
. /lab/lib/node.sh
. /lab/lib/net.sh
. /lab/lib/server.sh
. /lab/lib/client.sh
. /lab/lib/judge.sh
GW2_LAYER=libreswan
SERVER=cygnet
topology cygnet || exit 1
# the second server: the same addresses, on links of its own that are up only when it is its turn
ip -n gw2 -batch - <<<$'addr del 203.0.113.30/24 dev eth0\nlink set dev eth0 name wan0'
cat >/run/l.batch <<'E'
link add name wan netns gw2 type veth peer name s2 netns inet
link add name lan netns gw2 type veth peer name eth1 netns lanhost
E
ip -batch /run/l.batch
ip -n gw2 -batch - <<<$'link set dev wan0 down\naddr add 192.0.2.1/24 dev wan\naddr add 192.168.1.1/24 dev lan\nlink set dev wan up\nlink set dev lan up\nroute add default via 192.0.2.254'
turn() { # turn NODE: the traffic for 192.0.2.1 and from the LAN goes through that server
  if [ "$1" = server ]; then
    ip -n inet -batch - <<<$'link set dev s2 down\naddr flush dev s2\naddr replace 192.0.2.254/24 dev s\nlink set dev s up'
    ip -n lanhost -batch - <<<$'link set dev eth1 down\naddr flush dev eth1\naddr replace 192.168.1.10/24 dev eth0\nlink set dev eth0 up\nroute replace default via 192.168.1.1 dev eth0'
  else
    ip -n inet -batch - <<<$'link set dev s down\naddr flush dev s\naddr replace 192.0.2.254/24 dev s2\nlink set dev s2 up'
    ip -n lanhost -batch - <<<$'link set dev eth0 down\naddr flush dev eth0\naddr replace 192.168.1.10/24 dev eth1\nlink set dev eth1 up\nroute replace default via 192.168.1.1 dev eth1'
  fi
}
begin() { # begin SERVER NODE
  SERVER=$1
  server_config "$2"
  ike_start "$2" && l2tp_start "$2" || { say "$1 does not start"; exit 1; }
}
turn server; begin cygnet server
turn gw2; begin libreswan gw2
client pub alice && client client1 bob || { say "$WHY"; exit 1; }
rc=0
for ((i = 1; i <= ${RUNS:-5}; i++)); do
  for s in cygnet:server libreswan:gw2; do
    turn "${s#*:}"
    for c in direct:pub nat:client1; do
      if connect "${c#*:}"; then
        echo "${c%:*} ${s%:*} $PING_US" >>"$OUT/results"
      else
        say "${c%:*} ${s%:*}: $WHY"
        rc=1
      fi
      hangup "${c#*:}"
      wait_for 10 gone "${s#*:}" pppd
    done
  done
done
exit $rc
