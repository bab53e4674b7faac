//! See `sim::targets::packet_filter`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::packet_filter(data));
