//! See `sim::targets::feed_endpoint`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::feed_endpoint(data));
