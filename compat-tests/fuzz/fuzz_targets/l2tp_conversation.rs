//! See `sim::targets::l2tp_conversation`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::l2tp_conversation(data));
