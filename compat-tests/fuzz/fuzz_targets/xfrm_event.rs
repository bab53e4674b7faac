//! See `sim::targets::xfrm_event`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::xfrm_event(data));
