//! The properties of `fuzzing::digests`, for any bytes.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| dependency_proxy::fuzzing::digests(bytes));
