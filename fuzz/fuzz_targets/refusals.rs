//! See `src/lineprotocol/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slotline::lineprotocol::fuzz::refusals(input));
