//! See `sim::targets::hdlc`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::hdlc(data));
