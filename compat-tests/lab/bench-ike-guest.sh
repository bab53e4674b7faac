# bench-ike-guest.sh - runs inside the guest: handshakes through the real sockets against two responders, one after the
# other, in one boot: `ikeload` dials Cygnet's pluto on `server`, then libreswan's on `gw2`, both with the kernel's IPsec.
#
# libreswan runs without its updown script (leftupdown=%disabled): its fork and exec would be most of the figure.
. /lab/lib/node.sh
. /lab/lib/net.sh
. /lab/lib/server.sh
. /lab/lib/client.sh
. /lab/lib/judge.sh
. /lab/scenarios/certs.sh
GW2_LAYER=libreswan
SERVER=cygnet
topology cygnet || exit 1
ip -n inet route add local 10.99.0.0/16 dev lo
# gw2 stands on a link of its own; its address is the one its conn names
ip -n gw2 -batch - <<<$'addr flush dev eth0\nlink set dev eth0 down'
ip link add name wan netns gw2 type veth peer name s2 netns inet
ip -n gw2 -batch - <<<$'addr add 192.0.2.1/24 dev wan\nlink set dev wan up\nroute add default via 192.0.2.254'
# start NAME NODE: the daemon with the conns it finds; PID
start() {
  SERVER=$1
  ike_start "$2" || { say "$1 does not start"; return 1; }
  local p c
  PID=
  for p in $(ip netns pids "$2"); do
    read -r c <"/proc/$p/comm"
    [ "$c" != pluto ] || PID=$p
  done
}
dial() { # dial FILE WORDS...; at most ten minutes
  local file=$OUT/$1
  shift
  nsenter --net=/run/netns/inet timeout 600 "$IKELOAD" --pid "$PID" "$@" 192.0.2.1 >"$file" 2>&1
}
load() { # load NAME NODE
  SERVER=$1
  server_config "$2"
  [ "$1" != libreswan ] || printf '\tleftupdown=%%disabled\n' >"/n/$2/etc/updown"
  [ "$1" != libreswan ] || sed -i '/rightsubnet=vhost/r /n/'"$2"'/etc/updown' "/n/$2/etc/ipsec.conf"
  start "$1" "$2" || return
  local rc=0
  dial "$1.load" --count "${COUNT:-1000}" || rc=1
  # a tenth as many again, each renewing its SA twenty times
  dial "$1.rekeys" --count "$((${COUNT:-1000} / 10))" --rekeys 20 --prefix 10.99.64.0/18 || rc=1
  sig "$2" KILL pluto
  load_rsa "$1" "$2" || rc=1
  return $rc
}
held() { # held NAME NODE: what a handshake costs while many SAs are up, with the conn of `load` again
  SERVER=$1
  server_config "$2"
  [ "$1" != libreswan ] || sed -i '/rightsubnet=vhost/r /n/'"$2"'/etc/updown' "/n/$2/etc/ipsec.conf"
  start "$1" "$2" || return
  local rc=0
  dial "$1.held" --hold "${HELD:-10000}" --count "$((${COUNT:-1000} / 2))" --prefix 10.99.128.0/17 || rc=1
  sig "$2" KILL pluto
  return $rc
}
# load_rsa NAME NODE: the same road warriors with raw RSA keys of 2048 bits; all say that they are @peer
load_rsa() {
  local e=/n/$2/etc rc=0 raw
  SUITE[$2]=$1
  keys "$2" server
  rm -f "$e"/ipsec.d/L2TP*.conf
  raw=$(<"$PKI/server.raw")
  {
    [ "$1" != libreswan ] || printf 'config setup\n\tuniqueids=no\n\tikev1-policy=accept\n'
    [ "$1" = libreswan ] || printf 'config setup\n\tuniqueids=no\n'
    printf 'conn L2TP-RSA\n\tauthby=rsasig\n\tpfs=no\n\trekey=no\n\ttype=transport\n\tauto=add\n\tleft=192.0.2.1\n\tright=%%any\n'
    printf '\t%s\n' leftid=@server rightid=@peer "rightsubnet=vhost:%no,%priv" leftprotoport=17/1701 rightprotoport=17/%any "leftrsasigkey=$raw" \
      "rightrsasigkey=$(<"$PKI/peer.raw")"
    if [ "$1" = libreswan ]; then printf '\t%s\n' ikev2=no 'ike=aes128-sha1;modp2048' esp=aes128-sha1 leftupdown=%disabled; fi
  } >"$e/ipsec.conf"
  [ "$1" = libreswan ] || printf ': RSA server.key\n' >"$e/ipsec.secrets"
  start "$1" "$2" || return
  dial "$1.rsa" --prefix 10.99.32.0/19 --count "$((${COUNT:-1000} / 2))" --own-key "$PKI/peer.key" --peer-key "$PKI/server.key" || rc=1
  sig "$2" KILL pluto
  [ $rc = 0 ] || tail -40 "/n/$2/var/log/syslog" >"$OUT/$1.rsa-log"
  return $rc
}
rc=0
load cygnet server || rc=1
held cygnet server || rc=1
ip -n inet -batch - <<<$'link set dev s down\naddr flush dev s\naddr replace 192.0.2.254/24 dev s2\nlink set dev s2 up'
load libreswan gw2 || rc=1
# last, and without it the rest counts: libreswan may need longer than it is given
held libreswan gw2
exit $rc
