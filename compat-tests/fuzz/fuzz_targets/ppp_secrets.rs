//! See `sim::targets::ppp_secrets`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::ppp_secrets(data));
