#!/usr/bin/env bash
# run.sh [SCENARIO...] - the lab: real clients against the server under test, in user-mode Linux.  Root; default: all.
#
#   SERVER=cygnet|libreswan   the server under test (default cygnet)
#   LANES=N                   guests side by side (default 2 when there are two processors and all scenarios are run)
#   KERNEL_TEST=PROGRAM       adds the scenario `kernel`: the XFRM backend's tests
#   LAB_TIMEOUT=SECONDS       bound for one guest (default 1500)
#   RETRY=N                   when at most N scenarios fail, each is run once more, in a guest of its own (default 0: the first
#                             verdict counts).  The real peers have races of their own, seen once in hundreds of runs.
#
# One line per scenario:  PASS|FAIL name seconds figures;  the last line: N passed, N failed.  Exit 0: all passed.
# A second verdict says "again:" before the name; the line of the first one stays.
# Logs, captures and kernel state: out/SERVER/LANE/SCENARIO/, of a second try out/SERVER/again/.   `run.sh --list` names the scenarios.
set -u
cd "$(dirname "$0")" || exit 2
SERVER=${SERVER:-cygnet}
LANE1=(verify verify-defects direct nat libreswan-direct libreswan-nat both nat-two refuse-psk refuse-proposal refuse-chap refuse-ports
  initiate-libreswan initiate-strongswan initiate-self rsa-libreswan rsa-strongswan x509-libreswan
  x509-strongswan ecdsa-strongswan crl-revoked crl-fetched l2tp-lns l2tp-auth l2tp-ipsec l2tp-radius l2tp-nm l2tp-log l2tp-many l2tp-networkmanager)
LANE2=(wire wire-clear ike-scan garbage bad-config reload teardown-hangup teardown-sigterm-xl2tpd teardown-kill9-xl2tpd teardown-auto-down teardown-delete
  teardown-sigterm-pluto teardown-kill9-pluto teardown-pool
  suites-libreswan suites-strongswan layers-libreswan layers-strongswan renewal-libreswan renewal-strongswan dead-peer policy-groups updown)
# what libreswan's own HOWTO files of the lab have no conns for
[ "$SERVER" != cygnet ] || LANE1+=(nat-server ocsp-strongswan l2tp-lac)
[ "$SERVER" != cygnet ] || LANE2+=(aggressive-libreswan aggressive-strongswan aggressive-rsa-libreswan
  aggressive-rsa-strongswan xauth-libreswan xauth-strongswan xauth-rsa-libreswan xauth-rsa-strongswan hybrid-strongswan
  modecfg-ipv6 vpnc vti-libreswan truncation-libreswan teardown-lost-news)
# `make check` names the program with the kernel backend's tests
[ -z "${KERNEL_TEST:-}" ] || LANE2+=(kernel)
[ "${1:-}" != --list ] || { printf '%s\n' "${LANE1[@]}" "${LANE2[@]}"; exit; }
for s; do
  case " ${LANE1[*]} ${LANE2[*]} " in *" $s "*) ;; *) echo "no such scenario: $s (see run.sh --list)" >&2; exit 2 ;; esac
done
case $SERVER in cygnet | libreswan) ;; *) echo "SERVER=$SERVER: cygnet or libreswan" >&2; exit 2 ;; esac

layers=(libreswan strongswan vpnc radius nm pki)
[ "$SERVER" != cygnet ] || layers+=(cygnet)
./prepare.sh "${layers[@]}" || { echo "the lab's packages cannot be prepared"; echo "0 passed, 1 failed"; exit 1; }

# the guest has a /tmp of its own: what is to run there lies in the lab's folder
if [ -n "${KERNEL_TEST:-}" ]; then
  install -m 755 "$KERNEL_TEST" roots/kernel-test || { echo "$KERNEL_TEST is not there"; echo "0 passed, 1 failed"; exit 1; }
  KERNEL_TEST=/lab/roots/kernel-test
fi

O=out/$SERVER
rm -rf "$O"
mkdir -p "$O"
if [ $# -gt 0 ] || [ "${LANES:-$(nproc)}" -lt 2 ]; then
  lanes=(1)
  mkdir "$O/1"
  if [ $# -gt 0 ]; then printf '%s\n' "$@"; else printf '%s\n' "${LANE1[@]}" "${LANE2[@]}"; fi >"$O/1/scenarios"
else
  lanes=(1 2)
  mkdir "$O/1" "$O/2"
  printf '%s\n' "${LANE1[@]}" >"$O/1/scenarios"
  printf '%s\n' "${LANE2[@]}" >"$O/2/scenarios"
fi

pids=()
stop() { for p in "${pids[@]}"; do kill "$p" 2>/dev/null; done; }
trap stop EXIT
trap 'exit 130' INT TERM
# the lines as they come
declare -A shown
show() { # show PREFIX LANE...
  local prefix=$1 l lines
  shift
  for l; do
    mapfile -t lines <"$O/$l/results"
    printf "$prefix%s\n" "${lines[@]:${shown[$l]:-0}}" | grep -v "^$prefix\$"
    shown[$l]=${#lines[@]}
  done
}
running() { local p; for p in "${pids[@]}"; do ! kill -0 "$p" 2>/dev/null || return 0; done; return 1; }
guests() { # guests PREFIX LANE...: a guest for each lane's list, side by side, until all have ended
  local l
  pids=()
  for l in "${@:2}"; do
    : >"$O/$l/results"
    LAB_TIMEOUT=${LAB_TIMEOUT:-1500} ./uml.sh "$O/$l" guest.sh "SERVER=$SERVER" "KERNEL_TEST=${KERNEL_TEST:-}" &
    pids+=($!)
  done
  while running; do show "$@"; sleep 0.5; done
  show "$@"
  pids=()
}

guests '' "${lanes[@]}"
# a scenario without a line (the guest died before it) is a failure
passed=0 failed=()
for l in "${lanes[@]}"; do
  while read -r s; do
    if grep -q "^PASS $s " "$O/$l/results"; then passed=$((passed + 1)); continue; fi
    grep -q "^FAIL $s " "$O/$l/results" || echo "FAIL $s 0s no verdict: the guest ended before it, see $O/$l/console.log"
    failed+=("$s")
  done <"$O/$l/scenarios"
done
if [ ${#failed[@]} -gt 0 ] && [ ${#failed[@]} -le "${RETRY:-0}" ]; then
  again=("${failed[@]}") failed=()
  for s in "${again[@]}"; do
    mkdir -p "$O/again/$s"
    echo "$s" >"$O/again/$s/scenarios"
    guests 'again: ' "again/$s"
    if grep -q "^PASS $s " "$O/again/$s/results"; then passed=$((passed + 1)); else failed+=("$s"); fi
  done
fi
echo "$passed passed, ${#failed[@]} failed"
[ ${#failed[@]} = 0 ]
