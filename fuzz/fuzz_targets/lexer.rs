//! See `src/influxql/fuzz.rs`.
#![no_main]

libfuzzer_sys::fuzz_target!(|input: &[u8]| slotline::influxql::fuzz::lexer(input));
