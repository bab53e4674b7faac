//! See `sim::targets::l2tp_feed_endpoint`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::l2tp_feed_endpoint(data));
