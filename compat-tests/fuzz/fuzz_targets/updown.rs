//! See `sim::targets::updown`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::updown(data));
