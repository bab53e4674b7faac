//! See `sim::targets::dn`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::dn(data));
