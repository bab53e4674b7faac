# xauth.sh - Aggressive Mode, XAUTH, Mode Config: our pluto as server and as client, against libreswan, strongSwan and vpnc.
# Sourced inside the guest.  Addresses of our pool: 10.70.0.10 and up; of the peers' pools: 10.71.0.0/28.
XAUTH_HASH='$6$saltsalt$wN/p1JavPvTfJqcDcACe4dVARSQ9k247DD6WUAQte15aG.nAsRjAOByY8t5KQTfFDX02ozu9qC0Fam.QIsQ3o/' # secret-x

server_conn() { # server_conn NAME LINE...: loads a conn of the server under test; AUTHBY=secret unless it is set
  local name=$1
  shift
  { printf 'conn %s\n\tauthby=%s\n\tpfs=no\n\tauto=add\n\tleft=192.0.2.1\n' "$name" "${AUTHBY:-secret}"; printf '\t%s\n' "$@"; } >/n/server/etc/ipsec.d/L2TP-xauth.conf
  nx server timeout 10 ipsec auto --add "$name" >"$OUT/$name.log" 2>&1
}
server_conn_gone() { # server_conn_gone NAME: takes it away, with all that it left in the kernel
  nx server timeout 5 ipsec auto --delete "$1" >>"$OUT/$1.log" 2>&1
  rm -f /n/server/etc/ipsec.d/L2TP-xauth.conf
}
pool_server() { # pool_server NAME MORE...: XAUTH and Mode Config for road warriors
  echo "joe:$XAUTH_HASH:$1" >/n/server/etc/ipsec.d/passwd
  server_conn "$@" leftsubnet=192.168.1.0/24 right=%any leftxauthserver=yes rightxauthclient=yes leftmodecfgserver=yes \
    rightmodecfgclient=yes rightaddresspool=10.70.0.10-10.70.0.20 modecfgpull=yes modecfgdns=192.168.1.53 \
    modecfgdomains=example.com modecfgbanner=Welcome ike=aes128-sha1-modp2048,aes256-sha1-modp1024 rekey=no
}
peer_conn() { # peer_conn NODE LINE...: the peer's conn `x`, and its daemon with it
  local node=$1
  shift
  client_stop "$node"
  { printf 'conn x\n\tauto=add\n'; printf '\t%s\n' "$@"; } >"/n/$node/etc/ipsec.init.conf"
  client "$node" alice || return
  if [ "${SUITE[$node]}" = strongswan ]; then
    printf 'joe : XAUTH "secret-x"\n' >>"/n/$node/etc/ipsec.secrets"
    nx "$node" ipsec rereadsecrets >/dev/null 2>&1
  fi
}
peer_conn_gone() { : >"/n/$1/etc/ipsec.init.conf"; client_stop "$1"; }
# Nothing of ours but what waits for an answer to an acquire (SPI 0), which only the kernel's 30 seconds take away.
kernel_empty() {
  local l
  server_state
  for l in "${STATE[@]}"; do
    [[ $l != *'reqid 1132'* || $l == *'spi 0x00000000 '* ]] || { LEFT=${l:0:120}; return 1; }
  done
}

# Aggressive Mode between two gateways that have names, begun by each end in turn.
aggressive() { # aggressive NODE LINE...: what the peer's conn needs beside what both have; ours: OUR_LINES, OUR_ID, PEER_ID, AUTH
  local node=$1 peer=${ADDR[$1]} who
  shift
  networks server 50 1
  networks "$node" 60 1
  peer_conn "$node" aggressive=yes "left=$peer" "leftid=${PEER_ID:-@road}" leftsubnet=10.60.1.0/24 right=192.0.2.1 \
    "rightid=${OUR_ID:-@head}" rightsubnet=10.50.1.0/24 "$@" || return
  server_conn aggr aggrmode=yes ike=aes128-sha1-modp2048 esp=aes128-sha1 "leftid=${OUR_ID:-@head}" leftsubnet=10.50.1.0/24 \
    "right=$peer" "rightid=${PEER_ID:-@road}" rightsubnet=10.60.1.0/24 "${OUR_LINES[@]}"
  pause 1
  for who in ours theirs; do
    mark server
    if [ $who = ours ]; then
      nx server timeout 15 ipsec auto --up aggr >>"$OUT/aggr.log" 2>&1 || { fail "--up failed"; return; }
      wait_for 15 logged server "STATE_AGGR_I2: sent AI2, ISAKMP SA established .auth=${AUTH:-OAKLEY_PRESHARED_KEY}" || { fail "no Aggressive Mode"; return; }
    else
      peer_up "$node" x || { fail "the peer cannot connect"; return; }
      wait_for 15 logged server "STATE_AGGR_R2: ISAKMP SA established .auth=${AUTH:-OAKLEY_PRESHARED_KEY}" || { fail "no Aggressive Mode of the peer"; return; }
    fi
    pause 0.3
    through 1 || { fail "$who: no ping"; return; }
    if [ $who = ours ]; then nx server timeout 5 ipsec auto --down aggr >>"$OUT/aggr.log" 2>&1; else peer_down "$node" x; fi
    wait_for 15 kernel_empty || { fail "$who: SAs left: $LEFT"; return; }
  done
  server_conn_gone aggr
  peer_conn_gone "$node"
}
sc_aggressive_libreswan() {
  SCENARIO=aggressive-libreswan
  aggressive publ authby=secret ikev2=no pfs=no 'ike=aes128-sha1;modp2048' esp=aes128-sha1
}
sc_aggressive_strongswan() {
  SCENARIO=aggressive-strongswan
  aggressive pub authby=secret keyexchange=ikev1 reauth=no ike=aes128-sha1-modp2048! esp=aes128-sha1!
}

# A client that has logged in: its address is of the pool, it reaches the LAN, the status names it, and when it has gone
# nothing is left.
logged_in() { # logged_in NAME NODE: after its connection is up, with CLIENT_IP[NODE]
  local name=$1 node=$2 text
  [[ ${CLIENT_IP[$node]} == 10.70.0.1? ]] || { fail "no address of the pool but '${CLIENT_IP[$node]}'"; return; }
  wait_for 15 logged server 'XAUTH: User joe: Authentication Successful' || { fail "no XAUTH"; return; }
  nx "$node" ping -n -c2 -i0.2 -W2 -I "${CLIENT_IP[$node]}" 192.168.1.10 >"$OUT/$name-ping.log" 2>&1 || { fail "no ping"; return; }
  text=$(nx server ipsec whack --trafficstatus)
  [[ $text == *' username=joe,'*"lease=${CLIENT_IP[$node]}/32"* ]] || { fail "--trafficstatus says $text"; return; }
  note "$node has ${CLIENT_IP[$node]}"
}
address_of() { # address_of NODE REGEX: CLIENT_IP[NODE] out of the server's log
  CLIENT_IP[$1]=
  wait_for 15 logged server 'MODECFG_R0\): ([0-9.]+)' && CLIENT_IP[$1]=${BASH_REMATCH[1]}
  [[ $REPLY =~ 'MODECFG_R0): '([0-9.]+) ]] && CLIENT_IP[$1]=${BASH_REMATCH[1]}
}
# peer_logs_in NAME NODE: the peer's conn `x` comes up with joe's password, is used, and goes
peer_logs_in() {
  local name=$1 node=$2
  mark server
  if [ "${SUITE[$node]}" = strongswan ]; then peer_up "$node" x
  else nx "$node" timeout 20 ipsec whack --name x --xauthname joe --xauthpass secret-x --initiate >"$OUT/x-up.log" 2>&1; fi ||
    { fail "${SUITE[$node]} cannot log in: $(tail -1 "$OUT/x-up.log")"; return; }
  address_of "$node"
  # whether its own script has set it or not
  ip -n "$node" addr add "${CLIENT_IP[$node]:-10.70.0.9}/32" dev lo 2>/dev/null
  logged_in "$name" "$node" || return
  peer_down "$node" x
  wait_for 15 kernel_empty || { fail "SAs left: $LEFT"; return; }
  ip -n "$node" addr del "${CLIENT_IP[$node]}/32" dev lo 2>/dev/null
}

sc_xauth_libreswan() {
  SCENARIO=xauth-libreswan
  pool_server xl || { fail "the conn is not loaded"; return; }
  peer_conn publ ikev2=no authby=secret pfs=no left=203.0.113.20 leftxauthclient=yes leftmodecfgclient=yes \
    leftxauthusername=joe right=192.0.2.1 rightxauthserver=yes rightmodecfgserver=yes rightsubnet=192.168.1.0/24 \
    modecfgpull=yes 'ike=aes128-sha1;modp2048' esp=aes128-sha1 rekey=no || return
  mark server
  # the wrong password first
  nx publ timeout 20 ipsec whack --name x --xauthname joe --xauthpass wrong --initiate >"$OUT/x-wrong-up.log" 2>&1
  wait_for 15 logged server 'Authentication Failed: Incorrect Username or Password' || { fail "a wrong password is not noticed"; return; }
  ! logged server 'IPsec SA established' || { fail "a wrong password lets in"; return; }
  nx publ timeout 5 ipsec auto --down x >/dev/null 2>&1
  pause 1
  peer_logs_in xl publ || return
  server_conn_gone xl
  # The other way round: we log in at libreswan, with a password of ipsec.secrets.
  networks publ 60 1
  echo "joe:$XAUTH_HASH:x" >/n/publ/etc/ipsec.d/passwd
  peer_conn publ ikev2=no authby=secret pfs=no left=203.0.113.20 leftsubnet=10.60.1.0/24 leftxauthserver=yes \
    leftmodecfgserver=yes right=%any rightxauthclient=yes rightmodecfgclient=yes rightaddresspool=10.71.0.1-10.71.0.14 \
    modecfgpull=yes modecfgdns=10.60.1.53 xauthby=file 'ike=aes128-sha1;modp2048' esp=aes128-sha1 || return
  log_in publ 203.0.113.20
}
# log_in NODE ADDRESS LINE...: we as the client of the peer's conn `x`
log_in() {
  local node=$1 peer=$2
  shift 2
  echo '@joe : XAUTH "secret-x"' >>/n/server/etc/ipsec.secrets
  nx server ipsec auto --rereadsecrets >/dev/null 2>&1
  server_conn xc "right=$peer" rightsubnet=10.60.1.0/24 leftxauthclient=yes leftmodecfgclient=yes leftxauthusername=joe \
    rightxauthserver=yes rightmodecfgserver=yes modecfgpull=yes ike=aes128-sha1-modp2048 esp=aes128-sha1 "$@"
  mark server
  nx server timeout 20 ipsec auto --up xc >>"$OUT/xc.log" 2>&1 || { fail "our --up failed at $peer"; return; }
  wait_for 15 logged server 'XAUTH: Successfully Authenticated' || { fail "no XAUTH at $peer"; return; }
  wait_for 15 logged server 'setting client address to [0-9]'
  [[ $REPLY =~ 'setting client address to '([0-9.]+) ]] || { fail "no address of $peer"; return; }
  local mine=${BASH_REMATCH[1]}
  wait_for 15 eval "ip -n server addr | grep -q 'inet $mine/32'" || { fail "$mine is on no interface"; return; }
  nx server ping -n -c2 -i0.2 -W2 -I "$mine" 10.60.1.1 >"$OUT/xc-ping.log" 2>&1 || { fail "no ping from $mine"; return; }
  note "we have $mine of $peer"
  nx server timeout 5 ipsec auto --down xc >>"$OUT/xc.log" 2>&1
  wait_for 15 kernel_empty || { fail "SAs left of our own: $LEFT"; return; }
  server_conn_gone xc
  ip -n server addr del "$mine/32" dev lo 2>/dev/null
  ip -n server addr del "$mine/32" dev wan 2>/dev/null
  peer_conn_gone "$node"
}
sc_xauth_strongswan() {
  SCENARIO=xauth-strongswan
  pool_server xs aggrmode=yes || { fail "the conn is not loaded"; return; }
  local mode
  for mode in no yes; do
    peer_conn pub keyexchange=ikev1 aggressive=$mode left=203.0.113.10 leftsourceip=%config leftauth=psk leftauth2=xauth \
      xauth_identity=joe right=192.0.2.1 rightauth=psk rightsubnet=192.168.1.0/24 ike=aes128-sha1-modp2048! esp=aes128-sha1! || return
    peer_logs_in xs pub || return
  done
  server_conn_gone xs
  networks pub 60 1
  peer_conn pub keyexchange=ikev1 left=203.0.113.10 leftsubnet=10.60.1.0/24 leftauth=psk right=192.0.2.1 rightauth=psk \
    rightauth2=xauth rightsourceip=10.71.0.0/28 ike=aes128-sha1-modp2048! esp=aes128-sha1! || return
  log_in pub 203.0.113.10
}

# Addresses of IPv6, in tunnels between IPv4 hosts: strongSwan gets one of us, then we one of it.
sc_modecfg_ipv6() {
  SCENARIO=modecfg-ipv6
  local mine
  { echo 'addr add fd00:50:1::1/64 dev lo'; echo 'route add fd00:70::/64 dev wan'; } | ip -6 -n server -force -batch - 2>/dev/null
  { echo 'addr add fd00:60:1::1/64 dev lo'; echo 'route add fd00:50:1::/64 dev eth0'; echo 'route add fd00:71::/64 dev eth0'; } |
    ip -6 -n pub -force -batch - 2>/dev/null
  server_conn v6 leftsubnet=fd00:50:1::/64 right=%any leftmodecfgserver=yes rightmodecfgclient=yes \
    rightaddresspool=fd00:70::10-fd00:70::20 modecfgpull=yes modecfgdns=fd00:50:1::53 ike=aes128-sha1-modp2048 rekey=no
  peer_conn pub keyexchange=ikev1 left=203.0.113.10 leftsourceip=%config6 authby=secret right=192.0.2.1 \
    rightsubnet=fd00:50:1::/64 ike=aes128-sha1-modp2048! esp=aes128-sha1! || return
  mark server
  peer_up pub x || { fail "strongSwan is not let in: $(tail -1 "$OUT/x-up.log")"; return; }
  wait_for 15 logged server 'MODECFG_R0\): fd00:70::10' || { fail "no address of the pool"; return; }
  ip -n pub addr add fd00:70::10/128 dev lo nodad 2>/dev/null
  nx pub ping -6 -n -c2 -i0.2 -W2 -I fd00:70::10 fd00:50:1::1 >"$OUT/v6-ping.log" 2>&1 || { fail "no ping"; return; }
  peer_down pub x
  wait_for 15 kernel_empty || { fail "SAs left: $LEFT"; return; }
  ip -n pub addr del fd00:70::10/128 dev lo
  server_conn_gone v6
  peer_conn pub keyexchange=ikev1 left=203.0.113.10 leftsubnet=fd00:60:1::/64 authby=secret right=%any rightid=@head \
    rightsourceip=fd00:71::/124 ike=aes128-sha1-modp2048! esp=aes128-sha1! || return
  # by its name strongSwan knows us from the client of its other conn
  server_conn v6c leftid=@head right=203.0.113.10 rightsubnet=fd00:60:1::/64 leftmodecfgclient=yes rightmodecfgserver=yes modecfgpull=yes \
    ike=aes128-sha1-modp2048 esp=aes128-sha1
  mark server
  nx server timeout 20 ipsec auto --up v6c >>"$OUT/v6c.log" 2>&1 || { fail "our --up failed"; return; }
  wait_for 15 logged server 'setting client address to fd00:71:'
  [[ $REPLY =~ 'setting client address to '([0-9a-f:]+)/128 ]] || { fail "no address of strongSwan"; return; }
  mine=${BASH_REMATCH[1]}
  wait_for 15 eval "ip -6 -n server addr | grep -q 'inet6 $mine/128'" || { fail "$mine is on no interface"; return; }
  nx server ping -6 -n -c2 -i0.2 -W2 -I "$mine" fd00:60:1::1 >"$OUT/v6c-ping.log" 2>&1 || { fail "no ping from $mine"; return; }
  note "pub has fd00:70::10, we have $mine of it"
  nx server timeout 5 ipsec auto --down v6c >>"$OUT/v6c.log" 2>&1
  wait_for 15 kernel_empty || { fail "SAs left of our own: $LEFT"; return; }
  server_conn_gone v6c
  peer_conn_gone pub
}

# Debian's vpnc, as for a Cisco concentrator: Aggressive Mode with a group's name and key, XAUTH, Mode Config, ESP in its
# own process.  Direct, and behind the NAT.
sc_vpnc() {
  SCENARIO=vpnc
  local node mode
  server_conn v aggrmode=yes leftsubnet=0.0.0.0/0 right=%any 'rightid=@[phones]' leftxauthserver=yes rightxauthclient=yes \
    leftmodecfgserver=yes rightmodecfgclient=yes rightaddresspool=10.70.0.10-10.70.0.20 modecfgpull=yes \
    modecfgdns=192.168.1.53 modecfgdomains=example.com modecfgbanner=Welcome cisco-split=192.168.1.0/24 \
    ike=aes256-sha1-modp1024 rekey=no || { fail "the conn is not loaded"; return; }
  echo "joe:$XAUTH_HASH:" >/n/server/etc/ipsec.d/passwd
  for node in pub client1; do
    client_stop "$node"
    mode=natt
    # its own script would rewrite the host's resolv.conf as well: addresses and routes are enough here
    mkdir -p "/n/$node/etc/vpnc" "/n/$node/run/vpnc"
    # shellcheck disable=SC2016
    printf '%s\n' '#!/bin/sh' 'env | grep -E "^(INTERNAL|CISCO|TUN|reason)" >/run/vpnc/env' \
      '[ "$reason" = connect ] || exit 0' 'ip link set "$TUNDEV" up mtu 1300' \
      'ip addr add "$INTERNAL_IP4_ADDRESS/32" dev "$TUNDEV"' 'ip route add 192.168.1.0/24 dev "$TUNDEV"' >"/n/$node/etc/vpnc/script"
    chmod +x "/n/$node/etc/vpnc/script"
    printf '%s\n' 'IPSec gateway 192.0.2.1' 'IPSec ID phones' 'IPSec secret keysharedbyallclients' 'Xauth username joe' \
      'Xauth password secret-x' "NAT Traversal Mode $mode" 'Local Port 0' 'Script /etc/vpnc/script' \
      'Perfect Forward Secrecy nopfs' >"/n/$node/etc/vpnc/lab.conf"
    mark server
    nx "$node" timeout 20 vpnc --non-inter /etc/vpnc/lab.conf >"$OUT/vpnc-$node-up.log" 2>&1 || { fail "$node: vpnc cannot log in"; return; }
    address_of "$node"
    logged_in v "$node" || return
    grep -q 'INTERNAL_IP4_DNS=192.168.1.53' "/n/$node/run/vpnc/env" || { fail "$node: no DNS"; return; }
    grep -q 'CISCO_DEF_DOMAIN=example.com' "/n/$node/run/vpnc/env" || { fail "$node: no domain"; return; }
    grep -q 'CISCO_BANNER=Welcome' "/n/$node/run/vpnc/env" || { fail "$node: no banner"; return; }
    grep -q 'CISCO_SPLIT_INC_0_ADDR=192.168.1.0' "/n/$node/run/vpnc/env" || { fail "$node: no split network"; return; }
    sig "$node" TERM vpnc
    wait_for 15 kernel_empty || { fail "$node: SAs left: $LEFT"; return; }
  done
  server_conn_gone v
}
