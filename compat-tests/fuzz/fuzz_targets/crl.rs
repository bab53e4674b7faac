//! See `sim::targets::crl`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::crl(data));
