//! See `sim::targets::l2tp_protected`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::l2tp_protected(data));
