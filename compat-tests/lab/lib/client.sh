# client.sh - the clients: strongSwan or libreswan, xl2tpd as LAC, pppd.  Sourced inside the guest.
# All of them are Debian's own programs; nothing of the project runs on a client.
declare -A SUITE=([pub]=strongswan [client1]=strongswan [publ]=libreswan [client2]=libreswan)
declare -A CLIENT_KEY CLIENT_IP TOUCHED

# client NODE USER [PSK=...] [IKE=...] [PASSWORD=...] [PORTS=ours:theirs] [DIALS=ADDRESS] [ESP_HASH=WORD] [TRUNCBUG=yes]: configure and start; reused when unchanged
client() {
  local n=$1 user=$2 key="$*" PSK=keysharedbyallclients IKE='' PASSWORD='' PORTS=1701:1701 DIALS=192.0.2.1 TRUNCBUG='' ESP_HASH=sha1 a
  shift 2
  for a; do local "$a"; done
  case $user in alice) : "${PASSWORD:=secret-a}" ;; bob) : "${PASSWORD:=secret-b}" ;; esac
  TOUCHED[$n]=1
  if [ "${CLIENT_KEY[$n]:-}" = "$key" ] && procs "$n" xl2tpd && { procs "$n" charon || procs "$n" pluto; }; then return 0; fi
  client_stop "$n"
  "${SUITE[$n]}_config" "$n"
  lac_config "$n" "$user" "$PASSWORD"
  "${SUITE[$n]}_start" "$n" || { WHY="$n: IKE daemon does not start"; return 1; }
  l2tp_start "$n" || { WHY="$n: xl2tpd does not start"; return 1; }
  CLIENT_KEY[$n]=$key
}

strongswan_config() { # no rekey=no: charon then sends no lifetime, which libreswan takes as 0
  local e=/n/$1/etc right=${DIALS:-192.0.2.1}
  # a server behind a NAT says that its name is another
  [ "$right" = 192.0.2.1 ] || right+=$'\n    rightid=%any'
  cat >"$e/ipsec.conf" <<E
config setup
    uniqueids=no
conn l2tp
    keyexchange=ikev1
    authby=secret
    type=transport
    left=%defaultroute
    leftprotoport=17/${PORTS%:*}
    right=$right
    rightprotoport=17/${PORTS#*:}
    ike=${IKE:-aes128-sha1-modp2048}!
    esp=aes128-sha1!
    auto=add
include /etc/ipsec.init.conf
E
  : >>"$e/ipsec.init.conf"
  echo ": PSK \"$PSK\"" >"$e/ipsec.secrets"
  echo "include /etc/ipsec.more.secrets" >>"$e/ipsec.secrets"
  : >>"$e/ipsec.more.secrets"
  cat >"$e/strongswan.d/lab.conf" <<'E'
charon {
  # all plugins of the packages take 7 s to load here
  load_modular = no
  load = random nonce openssl aes sha1 sha2 hmac gmp pem pkcs1 pkcs8 pubkey dnskey x509 revocation constraints kernel-netlink socket-default stroke updown counters xauth-generic
  i_dont_care_about_security_and_use_aggressive_mode_psk = yes
  install_virtual_ip = no
  filelog { log { path = /var/log/charon.log
                  time_format = %H:%M:%S
                  time_add_ms = yes
                  default = 1
                  flush_line = yes } }
}
E
}
strongswan_start() {
  : >"/n/$1/var/log/charon.log"
  nx "$1" ipsec start --nofork </dev/null >>"/n/$1/var/log/starter.log" 2>&1 &
  disown
  wait_for 20 grep -q "added configuration 'l2tp'" "/n/$1/var/log/charon.log"
}
strongswan_up() { # by itself it waits for ever, and exits 0 when the server refuses
  nx "$1" timeout "${UP_TIMEOUT:-20}" ipsec up l2tp >"$OUT/$1-up.log" 2>&1 &&
    grep -q 'established successfully' "$OUT/$1-up.log"
}
strongswan_down() { nx "$1" timeout 5 ipsec down l2tp >>"$OUT/$1-up.log" 2>&1; }
strongswan_stop() { sig "$1" TERM starter; wait_for 5 gone "$1" starter charon; }

libreswan_config() {
  local e=/n/$1/etc
  cat >"$e/ipsec.conf" <<E
config setup
    uniqueids=no
    ikev1-policy=accept
conn l2tp
    auto=add
    ikev2=no
    authby=secret
    pfs=no
    type=transport
    rekey=no
    ike=aes128-sha1;modp2048
    sha2-truncbug=${TRUNCBUG:-no}
    esp=aes128-${ESP_HASH}
    left=%defaultroute
    leftprotoport=17/${PORTS%:*}
    right=192.0.2.1
    rightprotoport=17/${PORTS#*:}
include /etc/ipsec.init.conf
E
  : >>"$e/ipsec.init.conf"
  echo ": PSK \"$PSK\"" >"$e/ipsec.secrets"
  chmod 600 "$e/ipsec.secrets"
}
libreswan_start() {
  [ -e "/n/$1/var/lib/ipsec/nss/cert9.db" ] || nx "$1" ipsec initnss >/dev/null 2>&1
  rm -f "/n/$1/run/pluto/pluto.pid" "/n/$1/run/pluto/pluto.ctl"
  mark "$1"
  nx "$1" ipsec pluto --config /etc/ipsec.conf </dev/null >/dev/null 2>&1
  wait_for 20 logged "$1" 'loading secrets' && wait_for 10 logged "$1" 'added IKEv1 connection'
}
libreswan_up() { nx "$1" timeout "${UP_TIMEOUT:-20}" ipsec auto --up l2tp >"$OUT/$1-up.log" 2>&1; }
libreswan_down() { nx "$1" timeout 5 ipsec auto --down l2tp >>"$OUT/$1-up.log" 2>&1; }
libreswan_stop() { sig "$1" TERM pluto; wait_for 5 gone "$1" pluto; }

lac_config() { # lac_config NODE USER PASSWORD; lcp-restart 1: the first LCP request is always lost
  local e=/n/$1/etc
  cat >"$e/xl2tpd/xl2tpd.conf" <<E
[global]
port = ${PORTS%:*}
access control = no
[lac vpn]
lns = $DIALS
ppp debug = yes
pppoptfile = /etc/ppp/options.client
length bit = yes
E
  cat >"$e/ppp/options.client" <<E
ipcp-accept-local
ipcp-accept-remote
refuse-eap
noccp
noauth
mtu 1280
mru 1280
nodefaultroute
debug
name $2
password $3
connect-delay 5000
lcp-restart 1
E
}

# dial NODE: the L2TP part; 0 when the LAN behind the server is routed into ppp0.  CLIENT_IP[NODE] = its address.
# pppd's own "up" line counts: it sets the address, takes it away and sets it again, and a route of the first time
# would vanish.  The server's public address never goes into the tunnel.
dial() {
  mark "$1"
  echo "c vpn" >"/n/$1/run/xl2tpd/l2tp-control"
  wait_for "${DIAL_TIMEOUT:-20}" logged "$1" 'remote IP address' || { WHY="$1: no ppp"; return 1; }
  [[ $TEXT =~ 'local  IP address '([0-9.]+) ]] && CLIENT_IP[$1]=${BASH_REMATCH[1]}
  ip -n "$1" route replace 192.168.1.0/24 dev ppp0
}
ping_lan() {
  nx "$1" ping -n -c1 -W1 192.168.1.10 >"$OUT/$1-ping.log" 2>&1 || nx "$1" ping -n -c2 -W2 192.168.1.10 >"$OUT/$1-ping.log" 2>&1
}

# connect NODE: IKE, dial, ping.  Figures in microseconds: IKE_US, PPP_US, PING_US (start to ping); WHY on failure
connect() {
  local t0=${EPOCHREALTIME/./} t
  "${SUITE[$1]}_up" "$1" || { WHY="$1: IKE failed"; return 1; }
  t=${EPOCHREALTIME/./} IKE_US=$((t - t0))
  dial "$1" || return 1
  PPP_US=$((${EPOCHREALTIME/./} - t))
  ping_lan "$1" || { WHY="$1: no ping"; return 1; }
  PING_US=$((${EPOCHREALTIME/./} - t0))
}
sec() { printf -v REPLY '%d.%02d' $(($1 / 1000000)) $(($1 % 1000000 / 10000)); }
figures() { # figures NODE: note the figures of the connect just done
  local i p s
  sec "$IKE_US"; i=$REPLY
  sec "$PPP_US"; p=$REPLY
  sec "$PING_US"; s=$REPLY
  note "$1 ${CLIENT_IP[$1]} ike ${i}s ppp ${p}s start-to-ping ${s}s"
}

l2tp_hangup() { # as a user does: close the tunnel, wait until the interface is gone
  procs "$1" xl2tpd || return 0
  echo "d vpn" >"/n/$1/run/xl2tpd/l2tp-control"
  wait_for 5 gone "$1" pppd
  pause 0.3 # the answer to StopCCN
}
hangup() { # hangup NODE: L2TP first, then IKE, so that nothing of the client goes out in clear
  l2tp_hangup "$1"
  "${SUITE[$1]}_down" "$1"
}
client_stop() { # end the client's daemons, politely
  [ -n "${CLIENT_KEY[$1]:-}" ] || return 0
  CLIENT_KEY[$1]=
  sig "$1" TERM xl2tpd
  wait_for 3 gone "$1" xl2tpd pppd
  "${SUITE[$1]}_stop" "$1"
  if ! gone "$1" xl2tpd pppd charon pluto; then node_crash "$1"; fi
  xfrm_flush "$1"
}
client_crash() { # the client's machine dies without a word
  CLIENT_KEY[$1]=
  node_crash "$1"
}
