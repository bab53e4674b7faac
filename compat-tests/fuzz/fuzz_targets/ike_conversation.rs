//! See `sim::targets::ike_conversation`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::ike_conversation(data));
