//! The properties of `fuzzing::link_headers`, for any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dependency_proxy::fuzzing::link_headers(bytes));
