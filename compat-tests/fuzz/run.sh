#!/bin/bash
# Fuzzes every target, or those named, for TIME seconds each, one after another. Prints a line for each: what was run,
# how much of the program was reached, what was found. Ends with 1 when an input made a target fail.
set -uo pipefail
cd "$(dirname "$0")" || exit 1
time=${TIME:-60}
sanitizer=${SANITIZER:-none}
base=${CARGO_TARGET_DIR:-$PWD/target}
export CARGO_TARGET_DIR=$base/fuzz CARGO_INCREMENTAL=0
out=$CARGO_TARGET_DIR/found

if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
  echo "fuzz: needs Rust's nightly toolchain and cargo-fuzz, see compat-tests/fuzz/README.md" >&2
  exit 1
fi
cargo +nightly fuzz build --fuzz-dir . -s "$sanitizer" --codegen-units 16 || exit 1

# Longest input, in octets: messages and files are longer than scripts.
longest() {
  case $1 in
    *_conversation) echo 512 ;;
    isakmp_message | feed_endpoint) echo 16384 ;;
    *) echo 4096 ;;
  esac
}

failed=0
printf '%-20s %12s %8s %9s %6s\n' target executions coverage features new
for source in fuzz_targets/*.rs; do
  target=$(basename "$source" .rs)
  [ $# = 0 ] || [[ " $* " = *" $target "* ]] || continue
  mkdir -p "$out/$target/corpus" "$out/$target/failed"
  log=$out/$target/log
  "$CARGO_TARGET_DIR/x86_64-unknown-linux-gnu/release/$target" "$out/$target/corpus" "../corpora/$target" \
    -max_total_time="$time" -max_len="$(longest "$target")" -len_control=0 -timeout=5 -rss_limit_mb=1024 \
    -print_final_stats=1 -artifact_prefix="$out/$target/failed/" >"$log" 2>&1
  status=$?
  stat() { sed -n "s/^stat::$1: *//p" "$log" | tail -1; }
  last=$(grep -aE '^#[0-9]+.* ft: ' "$log" | tail -1)
  printf '%-20s %12s %8s %9s %6s' "$target" "$(stat number_of_executed_units)" \
    "$(sed -n 's/.* cov: \([0-9]*\).*/\1/p' <<<"$last")" "$(sed -n 's/.* ft: \([0-9]*\).*/\1/p' <<<"$last")" \
    "$(stat new_units_added)"
  if [ $status != 0 ]; then
    failed=1
    printf '  FAILED: %s' "$(sed -n 's/.*Test unit written to //p' "$log" | tail -1), told in $log"
  fi
  echo
done
exit $failed
