#!/bin/sh
# make.sh - makes the keys and certificates of the simulated hosts anew; valid from 2020 to 2099.
#   ca -- server, client, inter -- deep; ecca -- ecserver, ecclient; other: a CA nobody trusts, with client2
# crl.pem of ca revokes client; deep.p7b is PKCS#7 with deep and inter.
set -eu
cd "$(dirname "$0")"
rm -f *.pem *.key *.p7b
conf() {
  cat <<E
[ca]
default_ca=d
[d]
database=index
serial=serial
crlnumber=crlnumber
new_certs_dir=.
default_md=sha256
policy=p
unique_subject=no
default_crl_days=27000
[p]
C=optional
O=optional
OU=optional
CN=supplied
emailAddress=optional
E
}
conf >ca.conf
: >index
echo 10 >serial
echo 01 >crlnumber
key() {
  case $2 in
  rsa) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out "$1.key" ;;
  ec) openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key" ;;
  esac
}
make() { # make NAME rsa|ec ISSUER EXTENSIONS: ISSUER - is itself
  key "$1" "$2"
  printf "$4" >ext
  openssl req -new -key "$1.key" -subj "/C=CA/O=Sim/OU=hosts/CN=$1/emailAddress=$1@sim.example" -out "$1.csr"
  if [ "$3" = - ]; then set -- "$1" "$2" -selfsign -keyfile "$1.key"; else set -- "$1" "$2" -cert "$3.pem" -keyfile "$3.key"; fi
  n=$1
  shift 2
  openssl ca -batch -notext -config ca.conf -startdate 20200101000000Z -enddate 20991231235959Z -extfile ext "$@" -in "$n.csr" -out "$n.pem"
}
authority='basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign,cRLSign\n'
end='basicConstraints=CA:FALSE\nsubjectAltName=DNS:NAME.sim.example\n'
make ca rsa - "$authority"
make inter rsa ca "$authority"
make other rsa - "$authority"
make ecca ec - "$authority"
for pair in server:ca:rsa client:ca:rsa deep:inter:rsa client2:other:rsa ecserver:ecca:ec ecclient:ecca:ec; do
  name=${pair%%:*} rest=${pair#*:}
  make "$name" "${rest#*:}" "${rest%%:*}" "$(echo "$end" | sed "s/NAME/$name/")"
done
openssl ca -config ca.conf -cert ca.pem -keyfile ca.key -revoke client.pem -crl_reason superseded
openssl ca -config ca.conf -cert ca.pem -keyfile ca.key -gencrl -crl_lastupdate 20200101000000Z -crl_nextupdate 20990101000000Z -out crl.pem
openssl crl2pkcs7 -nocrl -certfile deep.pem -certfile inter.pem -outform DER -out deep.p7b
rm -f ca.conf index* serial* crlnumber* ext *.csr [0-9A-F]*.pem ca.key inter.key other.key ecca.key
