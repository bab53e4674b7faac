//! See `sim::targets::whack_request`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::whack_request(data));
