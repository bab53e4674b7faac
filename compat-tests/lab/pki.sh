#!/usr/bin/env bash
# pki.sh DIR - keys and certificates of the lab, made anew into DIR with the openssl program.
#
#   ca --- server          the server under test
#    |---- peer            a peer, RSA
#    |---- revoked         another, which crl.pem says is revoked
#    |---- distant         the same, and its certificate says where the CRL is: at gw2
#    `--- inter --- deep   a peer below an intermediate CA
#   ecca -- ecserver, ecpeer          P-256, below it also
#       `-- ec384server, ec384peer    P-384
#       `-- ec521server, ec521peer    P-521
#
# NAME.key, NAME.pem (of deep with the intermediate behind it), NAME.p12 (key, certificate and CAs; passphrase lab), NAME.raw (leftrsasigkey= of it), crl.pem;
# server.locked is server.key with the passphrase lab, ocsp.good and ocsp.revoked are what `openssl ocsp -index` is to say of peer.
set -euo pipefail
dir=$1
rm -rf "$dir"
mkdir -p "$dir"
cd "$dir"
exec 2>openssl.log

new_key() { # new_key NAME rsa|CURVE
  case $2 in
  rsa) openssl genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$1.key" ;;
  *) openssl genpkey -algorithm EC -pkeyopt "ec_paramgen_curve:$2" -out "$1.key" ;;
  esac
}
authority() { # authority NAME rsa|CURVE [ISSUER]
  new_key "$1" "$2"
  printf 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\nsubjectKeyIdentifier=hash\n' >"$1.ext"
  openssl req -new -key "$1.key" -subj "/C=CA/O=Lab/CN=$1" -out "$1.csr"
  sign "$1" "${3:-}"
}
end() { # end NAME rsa|CURVE ISSUER [EXTENSION]
  new_key "$1" "$2"
  printf 'basicConstraints=CA:FALSE\nkeyUsage=digitalSignature\nsubjectAltName=DNS:%s.lab.example\nauthorityKeyIdentifier=keyid\n%s\n' "$1" "${4:-}" >"$1.ext"
  openssl req -new -key "$1.key" -subj "/C=CA/O=Lab/OU=hosts/CN=$1/emailAddress=$1@lab.example" -out "$1.csr"
  sign "$1" "$3"
}
serial=100
sign() { # sign NAME [ISSUER]
  local by=(-signkey "$1.key")
  [ -z "$2" ] || by=(-CA "$2.pem" -CAkey "$2.key")
  serial=$((serial + 1))
  openssl x509 -req -in "$1.csr" "${by[@]}" -set_serial $serial -days 3650 -sha256 -extfile "$1.ext" -out "$1.pem"
}
raw() { # the RFC 3110 form of an RSA key with the exponent 65537
  { printf '\003\001\000\001'; openssl rsa -in "$1.key" -noout -modulus | sed 's/^Modulus=//' | perl -ne 'chomp; print pack "H*", $_'; } |
    openssl base64 -A | sed 's/^/0s/' >"$1.raw"
}
p12() { # p12 NAME CA...
  local n=$1
  shift
  cat /dev/null "${@/%/.pem}" >"$n.chain"
  openssl pkcs12 -export -inkey "$n.key" -in "$n.pem" -certfile "$n.chain" -name "$n" -passout pass:lab -out "$n.p12"
}

authority ca rsa
authority inter rsa ca
authority ecca P-256
for n in server peer revoked; do end $n rsa ca; raw $n; p12 $n ca; done
end distant rsa ca crlDistributionPoints=URI:http://203.0.113.30:8080/crl.der
p12 distant ca
end deep rsa inter
p12 deep inter ca
cat inter.pem >>deep.pem
for n in server peer; do
  end ec$n P-256 ecca
  end ec384$n P-384 ecca
  end ec521$n P-521 ecca
  p12 ec$n ecca
done
openssl rsa -aes256 -passout pass:lab -in server.key -out server.locked

printf '[ca]\ndefault_ca=d\n[d]\ndatabase=index\ncrlnumber=crlnumber\ndefault_md=sha256\ndefault_crl_days=3650\n' >ca.conf
: >index
echo 01 >crlnumber
for n in revoked distant; do openssl ca -config ca.conf -keyfile ca.key -cert ca.pem -revoke $n.pem -crl_reason keyCompromise; done
openssl ca -config ca.conf -keyfile ca.key -cert ca.pem -gencrl -out crl.pem
openssl crl -in crl.pem -outform DER -out crl.der
of_peer=$(printf '%s\tunknown\t/CN=peer' "$(openssl x509 -in peer.pem -noout -serial | sed 's/^serial=//')")
printf 'V\t350101000000Z\t\t%s\n' "$of_peer" >ocsp.good
printf 'R\t350101000000Z\t260101000000Z,keyCompromise\t%s\n' "$of_peer" >ocsp.revoked
touch .done
