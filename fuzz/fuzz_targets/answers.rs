//! See `src/batch/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slotline::batch::fuzz::answers(input));
