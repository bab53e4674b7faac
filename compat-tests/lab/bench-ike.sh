#!/usr/bin/env bash
# bench-ike.sh [COUNT [HELD]] - Main + Quick Mode (PSK, MODP 2048, AES-128, SHA1) of COUNT road warriors, with Cygnet and
# with libreswan as the responder, in one boot.  Prints handshakes a second, the responder's CPU time for each and its
# memory for each pair of SAs, and the ratios ours/theirs; the CPU time by that of two exponentiations as OpenSSL does
# them; the same for handshakes while HELD (10,000) others are up; and the CPU time for a renewal: a
# Quick Mode without PFS in an established ISAKMP SA, and the Delete of the old IPsec SA.  And handshakes with raw RSA keys
# of 2048 bits.  Nothing is given more than ten minutes; libreswan needs longer for 10,000 on a slow machine.  Root.
set -u
cd "$(dirname "$0")" || exit 2
BIN=${CARGO_TARGET_DIR:-$(cd ../.. && pwd)/target}/release
./prepare.sh libreswan pki cygnet || exit 1
O=out/bench-ike
rm -rf "$O"
mkdir -p "$O"
rc=0
LAB_MEM=2560M LAB_TIMEOUT=2400 ./uml.sh "$O" bench-ike-guest.sh "COUNT=${1:-1000}" "HELD=${2:-10000}" "IKELOAD=$BIN/ikeload" || rc=1
for s in cygnet libreswan; do
  echo "$s:"
  sed 's/^/  /' "$O/$s.load" 2>/dev/null || echo "  no figures"
  echo " with ${2:-10000} others held:"
  sed 's/^/  /' "$O/$s.held" 2>/dev/null || echo "  no figures"
  echo " with RSA keys:"
  sed 's/^/  /' "$O/$s.rsa" 2>/dev/null || echo "  no figures"
done
# CPU of a renewal: that of the second run without its handshakes
for s in cygnet libreswan; do
  awk -v n="$s" -v each="$(sed -n 's/.*"cpu_ms_per_handshake":\([0-9.]*\).*/\1/p' "$O/$s.load")" '
    match($0, /"cpu_ms":[0-9.]+/) { cpu = substr($0, RSTART + 9, RLENGTH - 9) }
    match($0, /"handshakes":[0-9]+/) { h = substr($0, RSTART + 13, RLENGTH - 13) }
    match($0, /"rekeys":[0-9]+/) { r = substr($0, RSTART + 9, RLENGTH - 9) }
    END { if (h * r && each) printf "%.6f\n", (cpu - h * each) / (h * r) }' "$O/$s.rekeys" >"$O/$s.renewal" 2>/dev/null
  echo "$s: $(cat "$O/$s.renewal" 2>/dev/null) ms CPU for each renewal"
done
figure() { sed -n "s/.*\"$2\":\([0-9.]*\).*/\1/p" "$O/$1"; }
ratio() { # ratio NAME FIELD [KIND]: ours by theirs
  awk -v n="$1" -v a="$(figure "cygnet.${3:-load}" "$2")" -v b="$(figure "libreswan.${3:-load}" "$2")" \
    'BEGIN { if (a && b) printf "%-28s ratio ours/theirs %.2f\n", n, a / b; else { print n, "no figures"; exit 1 } }' || rc=1
}
ratio "CPU for each handshake" cpu_ms_per_handshake
if [ -n "$(figure libreswan.held cpu_ms_per_handshake)" ]; then
  ratio "the same, others held" cpu_ms_per_handshake held
else
  echo "libreswan did not come to ${2:-10000} others within ten minutes"
fi
ratio "the same, RSA keys" cpu_ms_per_handshake rsa
for s in cygnet libreswan; do
  for k in load held rsa; do
    echo "$s, $k: $(figure $s.$k cpu_by_floor) times the arithmetic alone ($(figure $s.$k floor_ms) ms)"
  done
done
ratio "handshakes a second" per_second
ratio "memory for each pair" rss_bytes_per_pair
awk -v a="$(cat "$O/cygnet.renewal")" -v b="$(cat "$O/libreswan.renewal")" 'BEGIN {
  if (a > 0 && b > 0) printf "%-28s ratio ours/theirs %.2f\n", "CPU for each renewal", a / b
  else { print "CPU for each renewal: no figures"; exit 1 } }' || rc=1
[ $rc = 0 ] || tail -5 "$O/console.log"
exit $rc
