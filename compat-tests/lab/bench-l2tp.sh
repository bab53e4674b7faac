#!/usr/bin/env bash
# bench-l2tp.sh [ROUNDS] - our L2TP daemon and Debian's xl2tpd as LNS, side by side in one boot, turn and turn about, with
# one client (Debian's xl2tpd and pppd on the kernel's L2TP, so that it is the server's path that is measured).  Root.
#
#   pty       UDP of 64, 576 and 1400 octets (IP packets) as fast as it goes, and TCP, both directions; CPU time of the
#             daemon for a packet at a rate both can do
#   kernel    TCP, both directions
#   setup     calls a second and CPU time for each: with a program in pppd's place that only waits, then up to the ICRP,
#             which is without any
#   scale     ours alone: 10,000 tunnels with a call each and no pppd
#
# The machine may be busy with other things, which only ever makes a figure worse: the best of the rounds counts.
# PARTS=pty,setup for some of it only.
set -u
cd "$(dirname "$0")" || exit 2
BIN=${CARGO_TARGET_DIR:-$(cd ../.. && pwd)/target}/release
./prepare.sh libreswan strongswan radius cygnet || exit 1
O=out/bench-l2tp
rm -rf "$O"
mkdir -p "$O"
: >"$O/results"
rc=0
LAB_MEM=1536M LAB_TIMEOUT=900 ./uml.sh "$O" bench-l2tp-guest.sh "ROUNDS=${1:-2}" "CALLS=${CALLS:-100}" \
  "PARTS=${PARTS:-pty,kernel,setup,scale}" "L2TPLOAD=$BIN/l2tpload" || rc=1
awk '{ less = $1 ~ /cpu|octets/
    if (!(($1, $2) in v) || (less ? $3 < v[$1, $2] : $3 > v[$1, $2])) v[$1, $2] = $3
    if (!($1 in seen)) { seen[$1] = 1; order[++n] = $1 } }
  END {
    printf "%-34s %10s %10s %7s\n", "", "cygnet", "xl2tpd", "ratio"
    for (i = 1; i <= n; i++) {
      k = order[i]; a = v[k, "cygnet"]; b = v[k, "xl2tpd"]
      printf "%-34s %10s %10s", k, a, b
      if (a != "" && b > 0) printf " %7.2f", a / b
      print ""
    }
    if (!n) exit 1 }' "$O/results" || rc=1
[ $rc = 0 ] || tail -8 "$O/console.log"
exit $rc
