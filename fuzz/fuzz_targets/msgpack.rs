//! See `src/merge/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slotline::merge::fuzz::msgpack(input));
