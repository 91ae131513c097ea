//! The properties of `fuzzing::jwts`, for any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dependency_proxy::fuzzing::jwts(bytes));
