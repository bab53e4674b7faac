#!/bin/sh
# make.sh - makes the key files beside it anew: each with its name as the passphrase, plain.key without one.
set -eu
cd "$(dirname "$0")"
key() { openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"; }
openssl genrsa -aes128 -passout pass:one -traditional -out one.key 2048
key plain.key
key two.key
openssl pkcs8 -topk8 -in two.key -outform DER -passout pass:two -out two.der
key three.key
openssl req -x509 -new -key three.key -subj /O=Test/CN=three -days 10000 -out three.pem
openssl pkcs12 -export -inkey three.key -in three.pem -passout pass:three -out three.p12
rm -f two.key three.key three.pem
