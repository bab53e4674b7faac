//! See `sim::targets::ip_xfrm`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::ip_xfrm(data));
