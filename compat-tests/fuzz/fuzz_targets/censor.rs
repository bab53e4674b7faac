//! See `sim::targets::censor`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::censor(data));
