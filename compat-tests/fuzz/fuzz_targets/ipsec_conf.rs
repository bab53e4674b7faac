//! See `sim::targets::ipsec_conf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::ipsec_conf(data));
