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
    *ca | inter) cp "$PKI/$n.pem" "$e/cacerts/" ;;
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
  wait_for 15 logged server "STATE_MAIN_R3: sent MR3, ISAKMP SA established .auth=$2" || { fail "theirs not with $2"; return; }
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

# cert_conns NODE OURS THEIRS AUTH CA: the conns for X.509 on both ends; the identities are the subjects
cert_conns() {
  local PEER_ADDR=${ADDR[$1]} name="C=CA, O=Lab, OU=hosts, CN=$3, E=$3@lab.example"
  # ours: another order and spelling, and wildcards
  sig_conn "authby=rsasig$([ "$4" = OAKLEY_RSA_SIG ] || echo ,ecdsa)" "leftcert=$2.pem" leftid=%fromcert \
    "rightid=\"emailAddress=*, CN=$3, OU=*, O=Lab, C=CA\"" "rightca=\"C=CA, O=Lab, CN=$5\"" rightrsasigkey=%cert \
    >"$OUT/ours.conf"
  if [ "${SUITE[$1]}" = strongswan ]; then
    sig_conn keyexchange=ikev1 authby=pubkey reauth=no "leftid=\"C=CA, O=Lab, OU=hosts, CN=$2, E=$2@lab.example\"" \
      "rightcert=$3.pem" "rightid=\"$name\"" ike=aes128-sha1-modp2048! esp=aes128-sha1-modp2048!
  else
    sig_conn ikev2=no authby=rsasig leftid=%fromcert leftrsasigkey=%cert "rightcert=$3" rightid=%fromcert rightsendcert=always
  fi >"$OUT/theirs.conf"
}
# listed THEIRS CA: what has been seen is in the lists
listed() {
  nx server timeout 5 ipsec auto --listall >"$OUT/listall.log" 2>&1
  grep -q "subject: 'C=CA, O=Lab, CN=$2'" "$OUT/listall.log" && grep -q "ID_DER_ASN1_DN 'C=CA, O=Lab, OU=hosts, CN=$1" "$OUT/listall.log" ||
    fail "--listall lacks a certificate"
}
# certificates NODE OURS THEIRS CAS: RSA.  OURS_AS says how our key comes: nothing is a plain file, `import` a container by
# `ipsec import`, `locked` a file with a passphrase
certificates() {
  local node=$1 ours=$2 theirs=$3 pass=
  shift 3
  keys server "$ours" "$1"
  case ${OURS_AS:-} in
  import)
    rm /n/server/etc/ipsec.d/{private,certs,cacerts}/*
    cp "$PKI/$ours.p12" /n/server/etc/
    nx server timeout 10 ipsec import --password lab "/etc/$ours.p12" >"$OUT/import.log" 2>&1 || fail "import says $(tail -1 "$OUT/import.log")" || return
    rm "/n/server/etc/$ours.p12"
    ;;
  locked)
    cp "$PKI/$ours.locked" "/n/server/etc/ipsec.d/private/$ours.key"
    pass=' "lab"'
    ;;
  esac
  keys "$node" "$theirs" "$@"
  cert_conns "$node" "$ours" "$theirs" OAKLEY_RSA_SIG "$1"
  sig_setup "$node" ": RSA $theirs.key" ": RSA $ours.key$pass" && both_ways "$node" OAKLEY_RSA_SIG && listed "$theirs" "$1"
  sig_end "$node"
}
# how our own key comes is our matter: another server takes it as it is
only_ours() { [ "$SERVER" != cygnet ] || OURS_AS=$1; }
# each end has an intermediate CA above it in turn, which the other must be told of
sc_x509_libreswan() {
  SCENARIO=x509-libreswan
  local OURS_AS=
  only_ours import
  certificates publ deep peer ca
}
sc_x509_strongswan() {
  SCENARIO=x509-strongswan
  local OURS_AS=
  only_ours locked
  certificates pub server deep ca inter
}
# P-256, then the others: both daemons go on, the conn is replaced
sc_ecdsa_strongswan() {
  SCENARIO=ecdsa-strongswan
  keys server ecserver ec384server ec521server ecca
  keys pub ecpeer ec384peer ec521peer ecca
  cert_conns pub ecserver ecpeer OAKLEY_ECDSA_P256 ecca
  sig_setup pub "$(printf ': ECDSA %s.key\n' ecpeer ec384peer ec521peer)" "$(printf ': ECDSA %s.key\n' ecserver ec384server ec521server)" &&
    both_ways pub OAKLEY_ECDSA_P256 && listed ecpeer ecca && curve 384 && curve 521
  sig_end pub
}
curve() { # curve BITS
  local log=/n/pub/var/log/charon.log had
  cert_conns pub "ec$1server" "ec$1peer" "OAKLEY_ECDSA_P$1" ecca
  cp "$OUT/ours.conf" /n/server/etc/ipsec.d/L2TP-sig.conf
  cp "$OUT/theirs.conf" /n/pub/etc/ipsec.init.conf
  had=$(grep -c "added configuration 's1'" $log)
  nx pub timeout 5 ipsec update >>"$OUT/update.log" 2>&1
  wait_for 15 more_than "$had" || { fail "the peer does not take P-$1"; return; }
  nx server timeout 10 ipsec auto --replace s1 >>"$OUT/add.log" 2>&1
  both_ways pub "OAKLEY_ECDSA_P$1" && listed "ec$1peer" ecca
}
more_than() { [ "$(grep -c "added configuration 's1'" /n/pub/var/log/charon.log)" -gt "$1" ]; }

# revocation PEER: a peer on publ with a certificate that the CA has revoked
revocation_setup() {
  PEER_ADDR=${ADDR[publ]}
  keys server server ca
  keys publ "$1" ca
  sig_conn authby=rsasig leftcert=server.pem rightid="\"C=CA, O=Lab, OU=*, CN=$1, E=*\"" rightrsasigkey=%cert >"$OUT/ours.conf"
  sig_conn ikev2=no authby=rsasig leftid=%fromcert leftrsasigkey=%cert "rightcert=$1" rightid=%fromcert rightsendcert=always \
    >"$OUT/theirs.conf"
  sig_setup publ '' ': RSA server.key'
}
let_in() { # let_in WORDS: nothing is known of the revocation, and the log says so
  nx server timeout 15 ipsec auto --up s1 >"$OUT/up.log" 2>&1 || { fail "refused: $(tail -1 "$OUT/up.log")"; return; }
  logged server 'no crl from issuer "C=CA, O=Lab, CN=ca" found .strict=no.' || { fail "the missing CRL is not told of"; return; }
  nx server timeout 5 ipsec auto --down s1 >>"$OUT/up.log" 2>&1
  pause 0.3
}
kept_out() {
  nx server timeout 5 ipsec auto --listcrls >"$OUT/listcrls.log" 2>&1
  grep -q 'revoked certs: 2' "$OUT/listcrls.log" || { fail "--listcrls says $(tail -1 "$OUT/listcrls.log")"; return; }
  mark server
  nx server timeout 6 ipsec auto --up s1 >>"$OUT/up.log" 2>&1
  logged server 'certificate was revoked on .*, reason: key compromise' || { fail "the revoked certificate was taken"; return; }
  logged server 'X.509 certificate rejected' || fail "no word of the rejection"
}
# It is let in until the list is read, and not after that.
sc_crl_revoked() {
  SCENARIO=crl-revoked
  local PEER_ADDR
  mark server
  revocation_setup revoked && let_in &&
    { cp "$PKI/crl.pem" /n/server/etc/ipsec.d/crls/
      nx server timeout 5 ipsec auto --rereadcrls >"$OUT/rereadcrls.log" 2>&1
      kept_out; }
  sig_end publ
}
# The list is on a web server that does not run, then it does.
sc_crl_fetched() {
  SCENARIO=crl-fetched
  local PEER_ADDR
  mark server
  revocation_setup distant && let_in && crl_fetched
  sig gw2 TERM python3
  sig_end publ || return
  # what was fetched is kept, and nobody after this is to have it
  server_reset || fail "server: $REPLY"
}
crl_fetched() {
  wait_for 10 logged server 'fetching crl from "http://203.0.113.30:8080/crl.der" failed: Connection refused' || { fail "no word of the web server"; return; }
  mkdir -p /n/gw2/srv/crl
  cp "$PKI/crl.der" /n/gw2/srv/crl/
  nx gw2 python3 -m http.server 8080 --directory /srv/crl </dev/null >"$OUT/gw2-http.log" 2>&1 &
  disown
  pause 10
  let_in || return
  wait_for 10 logged server 'fetched crl from "http://203.0.113.30:8080/crl.der", revoked certs: 2' || { fail "nothing was fetched"; return; }
  kept_out
}

# OCSP, with `openssl ocsp` on gw2 as the responder; a ca section says where it is, and where a list would be.  The peer's
# certificate does not.
sc_ocsp_strongswan() {
  SCENARIO=ocsp-strongswan
  local PEER_ADDR=${ADDR[pub]} subject='C=CA, O=Lab, OU=hosts'
  mark server
  keys server server ca
  keys pub peer ca
  {
    printf 'ca lab\n\tcacert=ca.pem\n\tocspuri=http://203.0.113.30:8888/\n\tcrluri=http://203.0.113.30:8080/ca.crl\n\tauto=add\n'
    sig_conn authby=rsasig leftcert=server.pem "rightid=\"$subject, CN=peer, E=*\"" rightrsasigkey=%cert ike=aes128-sha1-modp2048
  } >"$OUT/ours.conf"
  sig_conn keyexchange=ikev1 authby=pubkey reauth=no "leftid=\"$subject, CN=server, E=server@lab.example\"" \
    rightcert=peer.pem "rightid=\"$subject, CN=peer, E=peer@lab.example\"" ike=aes128-sha1-modp2048! esp=aes128-sha1-modp2048! \
    >"$OUT/theirs.conf"
  sig_setup pub ': RSA peer.key' ': RSA server.key' && responder_away && responder_says good && believed &&
    responder_says revoked && disbelieved
  local rc=$?
  sig gw2 TERM openssl
  cp /lab/server/ipsec.conf /n/server/etc/ipsec.conf
  (exit $rc)
  sig_end pub
  rc=$?
  nx server timeout 10 ipsec setup reload >>"$OUT/reload.log" 2>&1
  # nobody after this is to know what was said of peer
  nx server timeout 5 ipsec auto --purgeocsp >>"$OUT/reread.log" 2>&1
  return $rc
}
crl_policy() { # crl_policy yes|ifuri|no
  sed -i "/strictcrlpolicy/d; s/^config setup/&\n\tstrictcrlpolicy=$1/" /n/server/etc/ipsec.conf
  nx server timeout 10 ipsec setup reload >>"$OUT/reload.log" 2>&1
  mark server
}
comes_up() { # comes_up POLICY
  crl_policy "$1"
  nx server timeout 15 ipsec auto --up s1 >>"$OUT/up.log" 2>&1 || { fail "refused with strictcrlpolicy=$1: $(tail -1 "$OUT/up.log")"; return; }
  nx server timeout 5 ipsec auto --down s1 >>"$OUT/up.log" 2>&1
}
is_refused() { # is_refused POLICY REASON
  crl_policy "$1"
  nx server timeout 5 ipsec auto --asynchronous --up s1 >>"$OUT/up.log" 2>&1
  wait_for 15 logged server 'X.509 certificate rejected' || { fail "let in with strictcrlpolicy=$1"; return; }
  wait_for 15 logged server "$2" || { fail "strictcrlpolicy=$1: the reason is not '$2'"; return; }
  nx server timeout 5 ipsec auto --down s1 >>"$OUT/up.log" 2>&1
}
responder_away() {
  comes_up no || return
  wait_for 10 logged server 'ocsp request to "http://203.0.113.30:8888/" failed: Connection refused' || { fail "no word of the responder"; return; }
  wait_for 10 logged server 'fetching crl from "http://203.0.113.30:8080/ca.crl" failed: Connection refused' || { fail "no word of the list"; return; }
  is_refused ifuri 'certificate status unknown' && is_refused yes 'certificate status unknown'
}
responder_says() { # responder_says good|revoked: from now on, and what it said before is forgotten
  local d=/n/gw2/srv/ocsp
  sig gw2 TERM openssl
  wait_for 15 gone gw2 openssl
  mkdir -p $d
  cp "$PKI"/ca.{key,pem} $d
  cp "$PKI/ocsp.$1" $d/index
  nx gw2 openssl ocsp -port 8888 -index /srv/ocsp/index -CA /srv/ocsp/ca.pem -rsigner /srv/ocsp/ca.pem -rkey /srv/ocsp/ca.key -nmin 60 \
    </dev/null >"$OUT/gw2-ocsp.log" 2>&1 &
  disown
  wait_for 10 grep -q 'waiting for OCSP client connections' "$OUT/gw2-ocsp.log" || { fail "the responder does not start: $(tail -1 "$OUT/gw2-ocsp.log")"; return; }
  nx server timeout 5 ipsec auto --purgeocsp >>"$OUT/reread.log" 2>&1
}
believed() {
  comes_up no || return
  wait_for 10 logged server 'ocsp responder says of a certificate: good' || { fail "no answer came"; return; }
  comes_up yes || return
  nx server timeout 5 ipsec auto --listocsp >"$OUT/listocsp.log" 2>&1
  grep -q ', good$' "$OUT/listocsp.log" || { fail "--listocsp says $(tail -1 "$OUT/listocsp.log")"; return; }
}
disbelieved() {
  is_refused ifuri 'certificate status unknown' || return
  wait_for 10 logged server 'ocsp responder says of a certificate: revoked' || { fail "no answer came"; return; }
  is_refused no 'certificate was revoked on Jan 01 .*, reason: key compromise'
}
