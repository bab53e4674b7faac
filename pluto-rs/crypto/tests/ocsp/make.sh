#!/bin/sh
# make.sh - makes the files beside it anew: a CA, two certificates of it, a responder it entitles, answers about them.
set -eu
cd "$(dirname "$0")"
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1.key"; }
key ca
openssl req -x509 -new -key ca.key -subj /O=Test/CN=ca -days 10000 -set_serial 1 -out ca.pem
n=10
for c in good bad signer stranger; do
  key $c
  n=$((n + 1))
  openssl req -new -key $c.key -subj /O=Test/CN=$c -out $c.csr
  case $c in signer) e='extendedKeyUsage=OCSPSigning' ;; *) e='authorityInfoAccess=OCSP;URI:http://127.0.0.1/ocsp' ;; esac
  printf 'basicConstraints=CA:FALSE\n%s\n' "$e" >ext
  openssl x509 -req -in $c.csr -CA ca.pem -CAkey ca.key -set_serial $n -days 10000 -extfile ext -out $c.pem
done
printf 'V\t490101000000Z\t\t0B\tunknown\t/O=Test/CN=good\nR\t490101000000Z\t260101000000Z,keyCompromise\t0C\tunknown\t/O=Test/CN=bad\n' >index
answer() { # answer OUT CERT SIGNER
  openssl ocsp -issuer ca.pem -cert $2.pem -reqout req -no_nonce
  openssl ocsp -index index -CA ca.pem -rsigner $3.pem -rkey $3.key -reqin req -respout $1.der -ndays 30
}
answer good good signer
answer bad bad signer
answer by-ca good ca
answer by-stranger good stranger
for c in ca good bad; do openssl x509 -in $c.pem -outform DER -out $c.cert.der; done
rm -f *.key *.csr *.pem ext req index
