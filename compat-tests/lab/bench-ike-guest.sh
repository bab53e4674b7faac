# bench-ike-guest.sh - runs inside the guest: handshakes through the real sockets against two responders, one after the
# other, in one boot: `ikeload` dials Cygnet's pluto on `server`, then libreswan's on `gw2`, both with the kernel's IPsec.
#
# libreswan runs without its updown script (leftupdown=%disabled): its fork and exec would be most of the figure.
. /lab/lib/node.sh
. /lab/lib/net.sh
. /lab/lib/server.sh
. /lab/lib/client.sh
. /lab/lib/judge.sh
GW2_LAYER=libreswan
SERVER=cygnet
topology cygnet || exit 1
ip -n inet route add local 10.99.0.0/16 dev lo
# gw2 stands on a link of its own; its address is the one its conn names
ip -n gw2 -batch - <<<$'addr flush dev eth0\nlink set dev eth0 down'
ip link add name wan netns gw2 type veth peer name s2 netns inet
ip -n gw2 -batch - <<<$'addr add 192.0.2.1/24 dev wan\nlink set dev wan up\nroute add default via 192.0.2.254'
load() { # load NAME NODE
  SERVER=$1
  server_config "$2"
  [ "$1" != libreswan ] || printf '\tleftupdown=%%disabled\n' >"/n/$2/etc/updown"
  [ "$1" != libreswan ] || sed -i '/rightsubnet=vhost/r /n/'"$2"'/etc/updown' "/n/$2/etc/ipsec.conf"
  ike_start "$2" || { say "$1 does not start"; return 1; }
  local pid= p c
  for p in $(ip netns pids "$2"); do
    read -r c <"/proc/$p/comm"
    [ "$c" != pluto ] || pid=$p
  done
  nsenter --net=/run/netns/inet "$IKELOAD" --count "${COUNT:-1000}" --pid "$pid" 192.0.2.1 >"$OUT/$1.load" 2>&1
  local rc=$?
  # a tenth as many again, each renewing its SA twenty times
  nsenter --net=/run/netns/inet "$IKELOAD" --count "$((${COUNT:-1000} / 10))" --rekeys 20 --prefix 10.99.64.0/18 --pid "$pid" \
    192.0.2.1 >"$OUT/$1.rekeys" 2>&1 || rc=1
  # and what a handshake costs while many SAs are up
  nsenter --net=/run/netns/inet "$IKELOAD" --hold "${HELD:-10000}" --count "$((${COUNT:-1000} / 2))" --prefix 10.99.128.0/17 \
    --pid "$pid" 192.0.2.1 >"$OUT/$1.held" 2>&1 || rc=1
  sig "$2" KILL pluto
  return $rc
}
rc=0
load cygnet server || rc=1
ip -n inet -batch - <<<$'link set dev s down\naddr flush dev s\naddr replace 192.0.2.254/24 dev s2\nlink set dev s2 up'
load libreswan gw2 || rc=1
exit $rc
