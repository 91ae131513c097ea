//! The properties of `fuzzing::forwarded_headers`, for any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dependency_proxy::fuzzing::forwarded_headers(bytes));
