# certs.sh - phase 1 with signatures: a network each behind the server and a peer, begun by both.  Sourced inside the guest.
# What proves whom is in /lab/roots/pki (see pki.sh).
PKI=/lab/roots/pki

# keys NODE NAME...: the files of a program's own key and certificates
keys() {
  local node=$1 e=/n/$1/etc/ipsec.d n
  shift
  mkdir -p "$e"/{private,certs,cacerts,crls}
  for n; do
    case $n in
    *ca | inter | *crl) ;;
    *) cp "$PKI/$n.key" "$e/private/" ;;
    esac
  done
  for n; do
    case $n in
    crl) cp "$PKI/$n.pem" "$e/crls/" ;;
    *ca) cp "$PKI/$n.pem" "$e/cacerts/" ;;
    *) cp "$PKI/$n.pem" "$e/certs/" ;;
    esac
  done
  chmod 600 "$e"/private/* 2>/dev/null
  [ "${SUITE[$node]:-}" != libreswan ] || nss_import "$node" "$@"
}
nss_import() { # libreswan keeps everything in NSS
  local node=$1 db=sql:/var/lib/ipsec/nss n
  shift
  # a node does not see /lab
  mkdir -p "/n/$node/etc/pki"
  cp "$PKI"/*.{p12,pem,der} "/n/$node/etc/pki/"
  [ -e "/n/$node/var/lib/ipsec/nss/cert9.db" ] || nx "$node" ipsec initnss >/dev/null 2>&1
  for n; do
    case $n in
    *ca) nx "$node" certutil -A -d $db -n "$n" -t CT,, -i "/etc/pki/$n.pem" ;;
    inter) nx "$node" certutil -A -d $db -n "$n" -t ,, -i "/etc/pki/$n.pem" ;;
    crl) nx "$node" crlutil -I -d $db -i /etc/pki/crl.der -B ;;
    *) nx "$node" pk12util -i "/etc/pki/$n.p12" -d $db -W lab -K '' ;;
    esac
  done >>"$OUT/$node-nss.log" 2>&1
}

# sig_conn MORE...: conn s1 as all three programs read it
sig_conn() {
  printf 'conn s1\n\ttype=tunnel\n\tauto=add\n'
  printf '\tleft=192.0.2.1\n\tleftsubnet=10.50.1.0/24\n\tright=%s\n\trightsubnet=10.60.1.0/24\n' "$PEER_ADDR"
  printf '\t%s\n' "$@"
}
# sig_setup NODE SECRETS SERVER_SECRETS: both ends are told; the conns are in $OUT/ours.conf and $OUT/theirs.conf
sig_setup() {
  local node=$1
  networks server 50 1
  networks "$node" 60 1
  client_stop "$node"
  cp "$OUT/ours.conf" /n/server/etc/ipsec.d/L2TP-sig.conf
  printf '%s\n' "$3" >>/n/server/etc/ipsec.secrets
  cp "$OUT/theirs.conf" "/n/$node/etc/ipsec.init.conf"
  printf '%s\n' "$2" >/n/$node/etc/ipsec.more.secrets
  client "$node" alice || return
  pause 1
  nx server timeout 10 ipsec auto --rereadall >"$OUT/reread.log" 2>&1
  nx server timeout 10 ipsec auto --add s1 >"$OUT/add.log" 2>&1 || fail "--add says $(tail -1 "$OUT/add.log")"
}
sig_end() { # what was set up goes
  local rc=$?
  nx server timeout 5 ipsec auto --delete s1 >>"$OUT/add.log" 2>&1
  rm -f /n/server/etc/ipsec.d/L2TP-sig.conf /n/server/etc/ipsec.d/{private,certs,cacerts,crls}/*
  cp /lab/server/ipsec.secrets /n/server/etc/ipsec.secrets
  nx server timeout 10 ipsec auto --rereadall >>"$OUT/reread.log" 2>&1
  : >"/n/$1/etc/ipsec.init.conf"
  : >"/n/$1/etc/ipsec.more.secrets"
  client_stop "$1"
  return $rc
}
# both_ways NODE AUTH: the conn comes up begun by us, then by the peer; each time a ping goes through
both_ways() {
  local t
  t=${EPOCHREALTIME/./}
  nx server timeout 20 ipsec auto --up s1 >"$OUT/up.log" 2>&1 || { fail "begun by us: $(tail -1 "$OUT/up.log")"; return; }
  since "$t"
  note "ours ${REPLY}s"
  grep -q "$2" "$OUT/up.log" || { fail "not with $2"; return; }
  through 1 || { fail "no ping"; return; }
  nx server timeout 5 ipsec auto --down s1 >>"$OUT/up.log" 2>&1
  pause 0.5
  peer_down "$1" s1
  mark server
  t=${EPOCHREALTIME/./}
  peer_up "$1" s1 || { fail "begun by the peer: $(tail -1 "$OUT/s1-up.log")"; return; }
  since "$t"
  note "theirs ${REPLY}s"
  wait_for 3 logged server "STATE_MAIN_R3: sent MR3, ISAKMP SA established .auth=$2" || { fail "theirs not with $2"; return; }
  through 1 || { fail "no ping, begun by the peer"; return; }
  peer_down "$1" s1
}

raw_keys() { # raw_keys NODE
  local PEER_ADDR=${ADDR[$1]} server peer
  server=$(<"$PKI/server.raw") peer=$(<"$PKI/peer.raw")
  keys server server
  keys "$1" peer
  sig_conn authby=rsasig leftid=@server rightid=@peer "leftrsasigkey=$server" "rightrsasigkey=$peer" >"$OUT/ours.conf"
  if [ "${SUITE[$1]}" = strongswan ]; then
    sig_conn keyexchange=ikev1 authby=pubkey reauth=no leftid=@server rightid=@peer leftsendcert=never rightsendcert=never \
      "leftsigkey=\"dns:$server\"" "rightsigkey=\"dns:$peer\"" ike=aes128-sha1-modp2048! esp=aes128-sha1-modp2048!
  else
    sig_conn ikev2=no authby=rsasig leftid=@server rightid=@peer "leftrsasigkey=$server" "rightrsasigkey=$peer"
  fi >"$OUT/theirs.conf"
  sig_setup "$1" ': RSA peer.key' ': RSA server.key' && both_ways "$1" OAKLEY_RSA_SIG
  sig_end "$1"
}
sc_rsa_libreswan() { SCENARIO=rsa-libreswan; raw_keys publ; }
sc_rsa_strongswan() { SCENARIO=rsa-strongswan; raw_keys pub; }

# certificates NODE OURS THEIRS AUTH CAS: X.509 on both ends; the identities are the subjects
certificates() {
  local node=$1 ours=$2 theirs=$3 auth=$4 e
  local PEER_ADDR=${ADDR[$1]} name="C=CA, O=Lab, OU=hosts, CN=$theirs, E=$theirs@lab.example"
  shift 4
  keys server "$ours" "$1"
  keys "$node" "$theirs" "$@"
  # ours: another order and spelling, and wildcards
  sig_conn "authby=rsasig$([ "$auth" = OAKLEY_RSA_SIG ] || echo ,ecdsa)" "leftcert=$ours.pem" leftid=%fromcert \
    "rightid=\"emailAddress=*, CN=$theirs, OU=*, O=Lab, C=CA\"" "rightca=\"C=CA, O=Lab, CN=$1\"" rightrsasigkey=%cert \
    >"$OUT/ours.conf"
  if [ "${SUITE[$node]}" = strongswan ]; then
    sig_conn keyexchange=ikev1 authby=pubkey reauth=no "leftid=\"C=CA, O=Lab, OU=hosts, CN=$ours, E=$ours@lab.example\"" \
      "rightcert=$theirs.pem" "rightid=\"$name\"" ike=aes128-sha1-modp2048! esp=aes128-sha1-modp2048!
  else
    sig_conn ikev2=no authby=rsasig leftid=%fromcert leftrsasigkey=%cert "rightcert=$theirs" rightid=%fromcert rightsendcert=always
  fi >"$OUT/theirs.conf"
  e=RSA
  [ "$auth" = OAKLEY_RSA_SIG ] || e=ECDSA
  sig_setup "$node" ": $e $theirs.key" ": $e $ours.key" && both_ways "$node" "$auth" &&
    { nx server timeout 5 ipsec auto --listall >"$OUT/listall.log" 2>&1
      grep -q "subject: 'C=CA, O=Lab, CN=$1'" "$OUT/listall.log" && grep -q "ID_DER_ASN1_DN 'C=CA, O=Lab, OU=hosts, CN=$theirs" "$OUT/listall.log" ||
        fail "--listall lacks a certificate"; }
  sig_end "$node"
}
sc_x509_libreswan() { SCENARIO=x509-libreswan; certificates publ server peer OAKLEY_RSA_SIG ca; }
sc_x509_strongswan() { SCENARIO=x509-strongswan; certificates pub server deep OAKLEY_RSA_SIG ca inter; }
sc_ecdsa_strongswan() { SCENARIO=ecdsa-strongswan; certificates pub ecserver ecpeer OAKLEY_ECDSA_P256 ecca; }

# A peer whose certificate the CA has revoked is let in until the list is read, and not after that.
sc_crl_revoked() {
  SCENARIO=crl-revoked
  local node=publ PEER_ADDR=${ADDR[publ]}
  keys server server ca
  keys $node revoked ca
  sig_conn authby=rsasig leftcert=server.pem rightid="\"C=CA, O=Lab, OU=*, CN=revoked, E=*\"" rightrsasigkey=%cert >"$OUT/ours.conf"
  sig_conn ikev2=no authby=rsasig leftid=%fromcert leftrsasigkey=%cert rightcert=revoked rightid=%fromcert rightsendcert=always \
    keyingtries=1 >"$OUT/theirs.conf"
  sig_setup $node '' ': RSA server.key' && crl_revoked $node
  sig_end $node
}
crl_revoked() {
  mark server
  nx server timeout 15 ipsec auto --up s1 >"$OUT/up.log" 2>&1 || { fail "refused before the CRL is known: $(tail -1 "$OUT/up.log")"; return; }
  logged server 'no crl from issuer "C=CA, O=Lab, CN=ca" found .strict=no.' || { fail "the missing CRL is not told of"; return; }
  nx server timeout 5 ipsec auto --down s1 >>"$OUT/up.log" 2>&1
  cp "$PKI/crl.pem" /n/server/etc/ipsec.d/crls/
  nx server timeout 5 ipsec auto --rereadcrls >"$OUT/rereadcrls.log" 2>&1
  nx server timeout 5 ipsec auto --listcrls >"$OUT/listcrls.log" 2>&1
  grep -q 'revoked certs: 1' "$OUT/listcrls.log" || { fail "--listcrls says $(tail -1 "$OUT/listcrls.log")"; return; }
  mark server
  nx server timeout 6 ipsec auto --up s1 >>"$OUT/up.log" 2>&1
  logged server 'certificate was revoked on .*, reason: key compromise' || { fail "the revoked certificate was taken"; return; }
  logged server 'X.509 certificate rejected' || fail "no word of the rejection"
}
