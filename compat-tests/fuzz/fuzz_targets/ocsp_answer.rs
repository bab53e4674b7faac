//! See `sim::targets::ocsp_answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::ocsp_answer(data));
