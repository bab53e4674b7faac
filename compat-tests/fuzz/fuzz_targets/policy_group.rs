//! See `sim::targets::policy_group`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::policy_group(data));
