#!/usr/bin/env bash
# bench-l2tp.sh [ROUNDS] - our L2TP daemon and Debian's xl2tpd as LNS, side by side in one boot, turn and turn about, with
# one client (Debian's xl2tpd and pppd on the kernel's L2TP, so that it is the server's path that is measured).  Root.
#
#   native    without a guest, in a network namespace of this machine, with the load tool as client and in pppd's place:
#             frames through one call around packets of 64, 576 and 1400 octets, both ways, and the daemon's CPU time for
#             each; calls that are asked for and answered (no pppd in it).  A guest has one processor, which server and
#             load share, and its clock counts what this machine does besides.  A frame costs the load, which has a
#             sender and a pppd of its own, more than either server: the wall clock's ratio is a server's only where the
#             server was busy (told in a row of its own); CPU time for a frame is, always
#   pty       TCP through a call with pppds at both ends, both ways
#   frames    as native, in the guest, whose one processor the load has to share
#   kernel    TCP on the kernel's L2TP, with 5 times the rounds: nothing of either daemon is in it, so the median and
#             the spread are told
#   setup     calls a second and CPU time for each: with a program in pppd's place that only waits, and without
#   scale     ours alone: 10,000 tunnels with a call each and no pppd
#
# The machine may be busy with other things, which only ever makes a figure worse: the best of the rounds counts, for CPU
# time as for the rest.  CPU time is the daemon's alone, whatever the load takes.  PARTS=native,pty for some of it only.
set -u
cd "$(dirname "$0")" || exit 2
BIN=${CARGO_TARGET_DIR:-$(cd ../.. && pwd)/target}/release
./prepare.sh || exit 1
O=out/bench-l2tp
rm -rf "$O"
mkdir -p "$O"
: >"$O/results"
rc=0
PARTS=${PARTS:-native,pty,frames,kernel,setup,scale}
native() { # native NAME PROGRAM GLOBAL PPPD LOAD_OPTION...: the load tool against a server on loopback; its figures
  local d=$O/native-$1 name=$1 program=$2 global=$3 pppd=$4
  shift 4
  mkdir -p "$d"
  rm -f "$d/log"
  printf '[global]\nlisten-addr = 127.0.0.1\nforce userspace = yes\n%b[lns default]\n' "$global" >"$d/conf"
  printf 'ip range = 10.64.0.1-10.64.255.254\nlocal ip = 10.0.0.1\n' >>"$d/conf"
  cp "$BIN/l2tpload" "$d/pppd"
  # shellcheck disable=SC2016
  L2TPLOAD_PPPD=$pppd unshare -m -n bash -c 'ip link set lo up
    mount --bind "$2/pppd" /usr/sbin/pppd
    "$1" -D -c "$2/conf" -C "$2/control" -p "$2/pid" >"$2/log" 2>&1 &
    for ((i = 0; i < 100; i++)); do grep -q "Listening on" "$2/log" && break; sleep 0.05; done
    "${@:3}" --pid $! 127.0.0.1 >"$2/load" 2>&1
    kill $!; wait' - "$program" "$PWD/$d" "$BIN/l2tpload" "$@"
  TEXT=$(<"$d/load")
}
figure() { # figure SERVER KEY NAME
  [[ $TEXT =~ \"$2\":([0-9.]+) ]] && LC_ALL=C printf '%s %s %.2f\n' "$3" "$1" "${BASH_REMATCH[1]}" >>"$O/results" || rc=1
}
MANY='listen-plain = yes\nmax half open per peer = 30000\nmax half open = 30000\nmax calls = 30000\n'
case ,$PARTS, in *,native,*)
  for ((i = 0; i < ${1:-2}; i++)); do
    for s in "cygnet $BIN/xl2tpd $MANY" 'xl2tpd /usr/sbin/xl2tpd '; do
      n=${s%% *} p=${s#* }
      for size in 64 576 1400; do
        for w in "sink --up" "source:$size --down"; do
          native "$n" "${p%% *}" "${p#* }" ${w% *} ${w#* } $size
          figure "$n" mbit_s "frames-${w##*-}-$size-mbit/s"
          figure "$n" cpu_us_per_frame "frames-${w##*-}-$size-cpu-us"
          figure "$n" server_percent "frames-${w##*-}-$size-busy-%"
        done
      done
      native "$n" "${p%% *}" "${p#* }" '' --count 2000 --in-flight 64 --no-connect
      figure "$n" per_second native-calls/s
      figure "$n" cpu_us_per_call native-call-cpu-us
      figure "$n" rss_bytes_per_call native-octets/call
    done
  done ;;
esac
PARTS=$(tr , '\n' <<<"$PARTS" | grep -vx native | paste -sd,)
[ -z "$PARTS" ] || LAB_MEM=1536M LAB_TIMEOUT=900 ./uml.sh "$O" bench-l2tp-guest.sh "ROUNDS=${1:-2}" "CALLS=${CALLS:-100}" \
  "PARTS=$PARTS" "L2TPLOAD=$BIN/l2tpload" || rc=1
awk 'function spread(who,   n, a, i, j, t) { # median (least-most) of all rounds
    n = count[k, who]
    for (i = 1; i <= n; i++) a[i] = all[k, who, i]
    for (i = 2; i <= n; i++) for (j = i; j > 1 && a[j] < a[j - 1]; j--) { t = a[j]; a[j] = a[j - 1]; a[j - 1] = t }
    t = n % 2 ? a[(n + 1) / 2] : (a[n / 2] + a[n / 2 + 1]) / 2
    median[who] = t
    return sprintf("%s %.4g (%.4g-%.4g)", who, t, a[1], a[n])
  }
  $1 ~ /busy/ { busy[$1, $2] = $3 > busy[$1, $2] ? $3 : busy[$1, $2] }
  { less = $1 ~ /cpu|octets/
    if (!(($1, $2) in v) || (less ? $3 < v[$1, $2] : $3 > v[$1, $2])) v[$1, $2] = $3
    all[$1, $2, ++count[$1, $2]] = $3
    if (!($1 in seen)) { seen[$1] = 1; order[++n] = $1 } }
  END {
    printf "%-34s %10s %10s %7s\n", "", "cygnet", "xl2tpd", "ratio"
    for (i = 1; i <= n; i++) {
      k = order[i]; a = v[k, "cygnet"]; b = v[k, "xl2tpd"]
      printf "%-34s %10s %10s", k, a, b
      if (k ~ /busy/) { print ""; continue }
      if (a != "" && b > 0) printf " %7.2f", a / b
      s = k
      sub(/mbit\/s/, "busy-%", s)
      waits = ""
      if (s != k && (s, "cygnet") in busy) {
        if (busy[s, "cygnet"] < 80) waits = " cygnet"
        if (busy[s, "xl2tpd"] < 80) waits = waits " xl2tpd"
      }
      print waits == "" ? "" : "  waited for the load:" waits
      if (count[k, "cygnet"] < 5 || count[k, "xl2tpd"] < 5) continue
      printf "  medians: %s, %s", spread("cygnet"), spread("xl2tpd")
      printf ", ratio %.2f\n", median["cygnet"] / median["xl2tpd"]
    }
    if (!n) exit 1 }' "$O/results" || rc=1
[ $rc = 0 ] || [ -z "$PARTS" ] || tail -8 "$O/console.log"
exit $rc
