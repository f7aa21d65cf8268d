//! The fuzz targets: a table of bodies that stand beside the parsers which they try, in `src/<module>/fuzz.rs`.
//!
//! A body takes any bytes and panics when something does not hold that should; where there is a slow twin or another
//! implementation it compares. `cargo fuzz` runs it through the file of its name in `fuzz/fuzz_targets`:
//!
//! ```sh
//! cargo +nightly fuzz run lines fuzz/found/lines fuzz/corpus/lines
//! ```
//!
//! which puts what it finds new into the first folder, left out of git (it must exist). Seeds that tell something go into
//! `fuzz/corpus/<target>`: `cargo test` runs those through the same bodies, and beside them inputs made from them at random,
//! from a seed that a failure prints (`SLOTLINE_FUZZ_SEED` takes one, `SLOTLINE_FUZZ_INPUTS` how many).
//!
//! To add one: a function `fn(&[u8])`, a row here, a file in `fuzz/fuzz_targets`, a `[[bin]]` in `fuzz/Cargo.toml`, seeds.
//! In inputs of several parts a byte 0xff, which no text holds, stands between them.
//!
//! Built for tests and under the feature `fuzzing` alone.

macro_rules! targets {
    ($($name:ident: $body:path,)*) => {
        /// Names and bodies.
        pub const TARGETS: &[(&str, fn(&[u8]))] = &[$((stringify!($name), $body)),*];

        #[cfg(test)]
        mod corpus {
            $(#[test] fn $name() { super::tests::corpus_holds(stringify!($name), $body); })*
        }

        #[cfg(test)]
        mod random {
            $(#[test] fn $name() { super::tests::random_inputs_hold(stringify!($name), $body); })*
        }
    };
}

targets! {
    lines: crate::lineprotocol::fuzz::lines,
    points: crate::lineprotocol::fuzz::points,
    refusals: crate::lineprotocol::fuzz::refusals,
    topology: crate::topology::fuzz::topology,
    udp: crate::topology::fuzz::udp,
    lexer: crate::influxql::fuzz::lexer,
    query: crate::influxql::fuzz::query,
    routes: crate::batch::fuzz::routes,
    answers: crate::batch::fuzz::answers,
    msgpack: crate::merge::fuzz::msgpack,
    combine: crate::merge::combine::fuzz::combine,
    segment: crate::spool::fuzz::segment,
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::fs;
    use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
    use std::path::{Path, PathBuf};

    use super::TARGETS;

    /// Inputs made at random, a target.
    const INPUTS: u64 = 2000;
    const INPUT_BYTES_MAX: usize = 4096;

    fn folder(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz").join(name)
    }

    /// What a folder holds, by name.
    fn entries(folder: &Path) -> Vec<PathBuf> {
        let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
        let mut paths: Vec<PathBuf> = entries.map(|entry| entry.expect("a folder can be listed").path()).collect();
        paths.sort();
        paths
    }

    fn corpus(target: &str) -> Vec<Vec<u8>> {
        let paths = entries(&folder("corpus").join(target));
        let seeds: Vec<Vec<u8>> = paths.iter().map(|path| fs::read(path).expect("a seed can be read")).collect();
        assert!(!seeds.is_empty(), "fuzz/corpus/{target} holds no seeds");
        seeds
    }

    /// Runs a body; `about` tells of the input when it panics.
    fn holds(body: fn(&[u8]), input: &[u8], about: impl FnOnce() -> String) {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(input))) {
            eprintln!("{}: input \"{}\"", about(), input.escape_ascii());
            resume_unwind(panic);
        }
    }

    pub fn corpus_holds(target: &str, body: fn(&[u8])) {
        corpus(target).iter().for_each(|seed| holds(body, seed, || format!("a seed of {target}")));
    }

    pub fn random_inputs_hold(target: &str, body: fn(&[u8])) {
        let number = |name: &str| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
        let seed = number("SLOTLINE_FUZZ_SEED").unwrap_or_else(|| fastrand::u64(..));
        let mut random = fastrand::Rng::with_seed(seed);
        let seeds = corpus(target);
        for _ in 0..number("SLOTLINE_FUZZ_INPUTS").unwrap_or(INPUTS) {
            let input = mutated(&seeds, &mut random);
            holds(body, &input, || format!("SLOTLINE_FUZZ_SEED={seed} cargo test --lib fuzz::random::{target}"));
        }
    }

    /// Some seed, pieces of it moved, dropped, doubled, overwritten or taken from others.
    fn mutated(seeds: &[Vec<u8>], random: &mut fastrand::Rng) -> Vec<u8> {
        let any = |random: &mut fastrand::Rng| &seeds[random.usize(..seeds.len())];
        let piece = |bytes: &[u8], random: &mut fastrand::Rng| {
            let start = random.usize(..=bytes.len());
            let end = (start + random.usize(..16)).min(bytes.len());
            start..end
        };
        let mut input = any(random).clone();
        for _ in 0..random.usize(1..8) {
            let from = any(random);
            let new = from[piece(from, random)].to_vec();
            let range = piece(&input, random);
            match random.u8(..5) {
                0 => drop(input.splice(range, new)),
                1 => drop(input.splice(range.start..range.start, new)),
                2 => drop(input.drain(range)),
                3 => range.into_iter().take(1).for_each(|at| input[at] = random.u8(..)),
                _ => range.into_iter().take(1).for_each(|at| input[at] ^= 1 << random.u8(..8)),
            }
        }
        input.truncate(INPUT_BYTES_MAX);
        input
    }

    #[test]
    fn every_target_is_there_and_every_file_has_a_row() {
        let names: BTreeSet<String> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
        let stems = |name: &str| -> BTreeSet<String> {
            let stem = |path: PathBuf| path.file_stem().expect("an entry has a name").to_string_lossy().into_owned();
            entries(&folder(name)).into_iter().map(stem).collect()
        };
        assert_eq!(stems("fuzz_targets"), names, "fuzz/fuzz_targets (left) and the table of src/fuzz.rs");
        assert_eq!(stems("corpus"), names, "fuzz/corpus (left) and the table of src/fuzz.rs");
        let manifest = fs::read_to_string(folder("Cargo.toml")).expect("the fuzz package has a manifest");
        for name in names {
            assert!(manifest.contains(&format!("name = \"{name}\"\n")), "fuzz/Cargo.toml has no [[bin]] for {name}");
        }
    }
}
