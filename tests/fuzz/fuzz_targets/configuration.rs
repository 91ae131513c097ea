//! The properties of `fuzzing::configuration`, for any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dependency_proxy::fuzzing::configuration(bytes));
