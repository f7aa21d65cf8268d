//! See `src/topology/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slotline::topology::fuzz::udp(input));
