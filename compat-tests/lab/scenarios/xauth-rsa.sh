# xauth-rsa.sh - Aggressive Mode, XAUTH and Hybrid where signatures prove who the ends are; what xauth.sh does with keys.
# Sourced inside the guest, after certs.sh (keys) and xauth.sh.
SERVER_DN='"C=CA, O=Lab, OU=hosts, CN=server, E=server@lab.example"'
PEER_DN='"C=CA, O=Lab, OU=hosts, CN=peer, E=peer@lab.example"'

# signing NODE: both ends have their key, their certificate and the CA's
signing() {
  keys server server ca
  keys "$1" peer ca
  echo ': RSA server.key' >>/n/server/etc/ipsec.secrets
  nx server timeout 10 ipsec auto --rereadall >"$OUT/reread.log" 2>&1
  [ "${SUITE[$1]}" != strongswan ] || echo ': RSA peer.key' >"/n/$1/etc/ipsec.more.secrets"
}
signing_end() { # signing_end NODE
  local rc=$?
  rm -f /n/server/etc/ipsec.d/{private,certs,cacerts}/*
  cp /lab/server/ipsec.secrets /n/server/etc/ipsec.secrets
  nx server timeout 10 ipsec auto --rereadall >>"$OUT/reread.log" 2>&1
  : >"/n/$1/etc/ipsec.more.secrets"
  return $rc
}

# RSA keys that are written in the conns
sc_aggressive_rsa_libreswan() {
  SCENARIO=aggressive-rsa-libreswan
  local AUTHBY=rsasig AUTH=OAKLEY_RSA_SIG OUR_ID=@server PEER_ID=@peer OUR_LINES ours theirs
  ours=$(<"$PKI/server.raw") theirs=$(<"$PKI/peer.raw")
  OUR_LINES=("leftrsasigkey=$ours" "rightrsasigkey=$theirs")
  signing publ
  aggressive publ authby=rsasig ikev2=no pfs=no "leftrsasigkey=$theirs" "rightrsasigkey=$ours" 'ike=aes128-sha1;modp2048' esp=aes128-sha1
  signing_end publ
}
# certificates
sc_aggressive_rsa_strongswan() {
  SCENARIO=aggressive-rsa-strongswan
  local AUTHBY=rsasig AUTH=OAKLEY_RSA_SIG OUR_ID=$SERVER_DN PEER_ID=$PEER_DN OUR_LINES
  OUR_LINES=(leftcert=server.pem rightrsasigkey=%cert)
  signing pub
  aggressive pub authby=pubkey leftcert=peer.pem keyexchange=ikev1 reauth=no ike=aes128-sha1-modp2048! esp=aes128-sha1!
  signing_end pub
}

sc_xauth_rsa_libreswan() {
  SCENARIO=xauth-rsa-libreswan
  local AUTHBY=rsasig
  signing publ
  xauth_rsa_libreswan
  signing_end publ
}
xauth_rsa_libreswan() {
  pool_server xl leftcert=server.pem leftid=%fromcert rightrsasigkey=%cert rightca=%same || { fail "the conn is not loaded"; return; }
  local mine=(ikev2=no authby=rsasig pfs=no left=203.0.113.20 leftcert=peer leftid=%fromcert leftrsasigkey=%cert
    leftsendcert=always rightrsasigkey=%cert modecfgpull=yes 'ike=aes128-sha1;modp2048' esp=aes128-sha1)
  peer_conn publ "${mine[@]}" leftxauthclient=yes leftmodecfgclient=yes leftxauthusername=joe right=192.0.2.1 \
    "rightid=$SERVER_DN" rightxauthserver=yes rightmodecfgserver=yes rightsubnet=192.168.1.0/24 rekey=no || return
  peer_logs_in xl publ || return
  logged server 'ISAKMP SA established .auth=XAUTHInitRSA' || { fail "not with XAUTHInitRSA"; return; }
  server_conn_gone xl
  networks publ 60 1
  echo "joe:$XAUTH_HASH:x" >/n/publ/etc/ipsec.d/passwd
  peer_conn publ "${mine[@]}" leftsubnet=10.60.1.0/24 leftxauthserver=yes leftmodecfgserver=yes right=%any rightid=%fromcert \
    rightxauthclient=yes rightmodecfgclient=yes rightaddresspool=10.71.0.1-10.71.0.14 modecfgdns=10.60.1.53 xauthby=file || return
  log_in publ 203.0.113.20 leftcert=server.pem leftid=%fromcert "rightid=$PEER_DN" rightrsasigkey=%cert
}

# strongSwan as the client, in Main or in Aggressive Mode, then as the server.  Hybrid: only the server signs.
by_signature() { # by_signature AUTH MODE WORD...: aggressive=MODE; WORDs say in strongSwan's conn how the end proves itself that is asked
  local auth=$1 mode=$2
  shift 2
  pool_server xs aggrmode=yes leftcert=server.pem leftid=%fromcert rightrsasigkey=%cert || { fail "the conn is not loaded"; return; }
  peer_conn pub keyexchange=ikev1 "aggressive=$mode" left=203.0.113.10 leftsourceip=%config leftcert=peer.pem "${@/#/left}" \
    xauth_identity=joe right=192.0.2.1 rightauth=pubkey "rightid=$SERVER_DN" rightsubnet=192.168.1.0/24 \
    ike=aes128-sha1-modp2048! esp=aes128-sha1! || return
  peer_logs_in xs pub || return
  logged server "ISAKMP SA established .auth=$auth" || { fail "not with $auth"; return; }
  server_conn_gone xs
  networks pub 60 1
  peer_conn pub keyexchange=ikev1 left=203.0.113.10 leftsubnet=10.60.1.0/24 leftauth=pubkey leftcert=peer.pem right=%any \
    "${@/#/right}" rightsourceip=10.71.0.0/28 ike=aes128-sha1-modp2048! esp=aes128-sha1!
}
sc_xauth_rsa_strongswan() {
  SCENARIO=xauth-rsa-strongswan
  local AUTHBY=rsasig
  signing pub
  by_signature XAUTHInitRSA yes auth=pubkey auth2=xauth &&
    log_in pub 203.0.113.10 leftcert=server.pem leftid=%fromcert "rightid=$PEER_DN" rightrsasigkey=%cert
  signing_end pub
}
sc_hybrid_strongswan() {
  SCENARIO=hybrid-strongswan
  local AUTHBY=hybrid
  signing pub
  by_signature HybridInitRSA no auth=xauth && log_in pub 203.0.113.10 "rightid=$PEER_DN" rightrsasigkey=%cert
  signing_end pub
}
