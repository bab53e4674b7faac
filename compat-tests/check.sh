#!/usr/bin/env bash
# check.sh - every layer of checks in turn (`make check`).  A layer that fails does not stop the next one.
# Last line: N passed, N failed, summed over all layers; exit 0 when nothing failed.
set -u
cd "$(dirname "$0")/.." || exit 2
LOG=$(mktemp)
trap 'rm -f "$LOG"' EXIT
CARGO=${CARGO:-cargo}
passed=0 failed=0
ok() { passed=$((passed + 1)); echo "PASS $1"; }
bad() { failed=$((failed + 1)); echo "FAIL $1"; }
layer() { # layer NAME COMMAND...
  local name=$1
  shift
  echo "== $name"
  if "$@"; then ok "$name"; else bad "$name"; fi
}

layer fmt "$CARGO" fmt --all --check
layer clippy "$CARGO" clippy --workspace --all-targets --locked -- -D warnings

echo "== tests"
"$CARGO" test --workspace --locked --no-fail-fast 2>&1 | tee "$LOG"
test_rc=${PIPESTATUS[0]}
read -r p f < <(awk '/^test result:/ { p += $4; f += $6 } END { print p + 0, f + 0 }' "$LOG")
passed=$((passed + p)) failed=$((failed + f))
[ "$test_rc" = 0 ] || [ "$f" -gt 0 ] || bad "tests: cargo test exits $test_rc"

# keys on tokens, which a default build leaves out
command -v softhsm2-util >/dev/null || { apt-get update -qq && apt-get install -y -qq --no-install-recommends softhsm2; } >/dev/null ||
  bad "softhsm2 cannot be installed"
layer clippy-pkcs11 "$CARGO" clippy -p pluto --features pkcs11 --all-targets --locked -- -D warnings
layer pkcs11 "$CARGO" test -p pluto --features pkcs11 --locked tokens

command -v cargo-deny >/dev/null || "$CARGO" install cargo-deny --locked --quiet
layer deny "$CARGO" deny check licenses bans sources

shopt -s nullglob
pages=(man/*.[1-8])
[ ${#pages[@]} = 0 ] || layer man mandoc -T lint -W warning "${pages[@]}"

echo "== lab"
# the kernel backend's tests, which skip themselves outside of the lab
KERNEL_TEST=$("$CARGO" test -p ipsec-kernel --test xfrm_real --no-run --locked 2>&1 | sed -n 's/.*(\(.*xfrm_real-[^)]*\)).*/\1/p')
KERNEL_TEST=$(readlink -f "$KERNEL_TEST") || bad "the kernel backend's tests cannot be built"
export KERNEL_TEST
if "$CARGO" build --release --workspace --locked; then
  RETRY=2 compat-tests/lab/run.sh 2>&1 | tee "$LOG"
  lab_rc=${PIPESTATUS[0]}
  read -r p f < <(awk '/^[0-9]+ passed, [0-9]+ failed$/ { p = $1; f = $3 } END { print p + 0, f + 0 }' "$LOG")
  passed=$((passed + p)) failed=$((failed + f))
  [ "$lab_rc" = 0 ] || [ "$f" -gt 0 ] || bad "lab: exits $lab_rc"
else
  bad "release build"
fi

echo "$passed passed, $failed failed"
[ "$failed" = 0 ]
