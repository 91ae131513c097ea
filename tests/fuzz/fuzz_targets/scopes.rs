//! The properties of `fuzzing::scopes`, for any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dependency_proxy::fuzzing::scopes(bytes));
