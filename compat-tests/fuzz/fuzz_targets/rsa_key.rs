//! See `sim::targets::rsa_key`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::rsa_key(data));
