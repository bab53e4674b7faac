//! See `sim::targets::http_answer`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::http_answer(data));
