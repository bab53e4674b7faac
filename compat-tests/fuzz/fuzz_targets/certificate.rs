//! See `sim::targets::certificate`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::certificate(data));
