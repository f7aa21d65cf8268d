//! Every statement of the fuzz body over many points at random.

use super::TABLE;
use super::fuzz::{holds, statements};

#[test]
fn what_is_put_together_is_what_is_made_of_all_rows() {
    let seed =
        std::env::var("SLOTLINE_FUZZ_SEED").map_or_else(|_| fastrand::u64(..), |seed| seed.parse().expect("a number"));
    println!("SLOTLINE_FUZZ_SEED={seed}");
    let mut random = fastrand::Rng::with_seed(seed);
    for (text, way) in statements() {
        for _ in 0..8 {
            let points: Vec<u8> = (0..4 * random.usize(..150)).map(|_| random.u8(..)).collect();
            holds(&text, way, random.u8(..), &points);
        }
    }
}

#[test]
fn every_row_has_its_own_name() {
    for (at, row) in TABLE.iter().enumerate() {
        assert!(TABLE[at + 1..].iter().all(|other| other.name != row.name), "{}", row.name);
        assert!(!row.help.is_empty(), "{}", row.name);
    }
}
