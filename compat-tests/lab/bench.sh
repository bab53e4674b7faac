#!/usr/bin/env bash
# bench.sh [RUNS] - start-to-ping with Cygnet and with libreswan + xl2tpd as the server: same boot, same clients, taking
# turns.  Prints the medians and the ratio ours/theirs for a client with a public address and one behind NAT.  Root.
set -u
cd "$(dirname "$0")" || exit 2
./prepare.sh || exit 1
O=out/bench
rm -rf "$O"
mkdir -p "$O"
: >"$O/results"
rc=0
./uml.sh "$O" bench-guest.sh "RUNS=${1:-5}" || rc=1
median() { # median PATH SERVER, in microseconds
  awk -v p="$1" -v s="$2" '$1 == p && $2 == s { print $3 }' "$O/results" | sort -n |
    awk '{ v[NR] = $1 } END { if (NR) print (v[int((NR + 1) / 2)] + v[int((NR + 2) / 2)]) / 2; else print 0 }'
}
for p in direct nat; do
  n=$(grep -c "^$p cygnet" "$O/results")
  awk -v p="$p" -v n="$n" -v a="$(median $p cygnet)" -v b="$(median $p libreswan)" 'BEGIN {
    if (a && b) printf "start-to-ping %-6s  cygnet %.2f s  libreswan+xl2tpd %.2f s  ratio %.2f  (median of %d)\n", p, a / 1e6, b / 1e6, a / b, n
    else { printf "start-to-ping %-6s  no figures\n", p; exit 1 } }' || rc=1
done
[ $rc = 0 ] || tail -5 "$O/console.log"
exit $rc
