//! See `sim::targets::xl2tpd_addresses`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| sim::targets::xl2tpd_addresses(data));
