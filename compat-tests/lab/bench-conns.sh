#!/usr/bin/env bash
# bench-conns.sh [COUNT...] - loading COUNT conns and `auto --status` with them loaded, with Cygnet and with libreswan, in
# one boot.  Prints seconds, the daemon's memory for each conn, and the ratios ours/theirs.  Root.
set -u
cd "$(dirname "$0")" || exit 2
./prepare.sh || exit 1
O=out/bench-conns
rm -rf "$O"
mkdir -p "$O"
: >"$O/results"
COUNTS=${*:-1000 10000}
rc=0
LAB_MEM=1536M LAB_TIMEOUT=900 ./uml.sh "$O" bench-conns-guest.sh "COUNTS=${COUNTS// /,}" || rc=1
# a line of results: SERVER COUNT load_us status_us kib_before kib_after lines
for n in $COUNTS; do
  awk -v n="$n" '$2 == n { load[$1] = $3; status[$1] = $4; kib[$1] = $6 - $5 }
    END {
      if (!("cygnet" in load) || !("libreswan" in load)) { printf "%d conns: no figures\n", n; exit 1 }
      ratio("load", load, 1e6, "s"); ratio("status", status, 1e6, "s"); ratio("memory a conn", kib, n, "KiB")
    }
    function ratio(what, v, by, unit) {
      printf "%6d conns  %-14s cygnet %.3f %s  libreswan %.3f %s  ratio %.2f\n", n, what, v["cygnet"] / by, unit,
        v["libreswan"] / by, unit, v["libreswan"] ? v["cygnet"] / v["libreswan"] : 0
    }' "$O/results" || rc=1
done
[ $rc = 0 ] || tail -5 "$O/console.log"
exit $rc
