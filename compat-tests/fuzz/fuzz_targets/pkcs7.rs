//! See `sim::targets::pkcs7`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::pkcs7(data));
