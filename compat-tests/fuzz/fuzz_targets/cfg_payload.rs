//! See `sim::targets::cfg_payload`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::cfg_payload(data));
