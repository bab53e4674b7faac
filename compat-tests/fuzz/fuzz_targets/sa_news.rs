//! See `sim::targets::sa_news`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::sa_news(data));
