//! The properties of `fuzzing::ranges`, for any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dependency_proxy::fuzzing::ranges(bytes));
