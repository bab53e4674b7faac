# kernel.sh - the XFRM backend's own tests (pluto-rs/kernel/tests/xfrm_real.rs) against this kernel.  Sourced inside the guest.
# $KERNEL_TEST is the test program; it works on the IPsec tables of a network namespace of its own.
sc_kernel() {
  local log=$OUT/kernel-test.log ok
  # shellcheck disable=SC2016 # expanded by the inner shell
  CYGNET_KERNEL_TESTS=1 unshare -n -- bash -c 'ip link set lo up && exec "$KERNEL_TEST" --test-threads=1' >"$log" 2>&1
  local rc=$?
  ok=$(grep -c '^test .* ok$' "$log")
  note "$ok tests"
  [ $rc = 0 ] && [ "$ok" -gt 0 ] && ! grep -q '^skipped' "$log" ||
    fail "$(grep -m1 -E 'panicked|FAILED|skipped' "$log" || echo "exit $rc")"
}
