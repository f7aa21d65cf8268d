//! See `src/merge/combine/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slotline::merge::combine::fuzz::combine(input));
