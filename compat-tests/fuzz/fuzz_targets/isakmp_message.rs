//! See `sim::targets::isakmp_message`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::isakmp_message(data));
