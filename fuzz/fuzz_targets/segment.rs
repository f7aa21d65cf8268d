//! See `src/spool/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slotline::spool::fuzz::segment(input));
