//! Every answer over several groups is the one that a single InfluxDB with all the data gives, byte for byte (over split
//! measurements but for the last digits of floats), or a refusal with its reason: a long fixed list of statements and random ones, over three layouts of the same data.
//!
//! `support/differential/mod.rs` says how it is judged, and which variables repeat or widen a run; `perf/soak --statements`
//! is the long form.

#[path = "support/differential/mod.rs"]
mod differential;
mod support;

use differential::generate::Generator;
use differential::list::{SHAPES, entries};
use differential::nested::Nested;
use differential::{Ask, Layout, Trial, number};

/// Of the data and of the random statements, unless the environment has another: a change is judged by what the one
/// before it was judged by.
const SEED: u64 = 20_200_913;
/// Random statements a layout.
const STATEMENTS: u64 = 1_000;
/// Of a hundred random answers, so many may be left to chance by InfluxDB itself.
const UNDETERMINED_PERCENT: usize = 5;

/// Of a hundred answers of the list, so many at least are equal and have rows: refusals do not pass for answers.
fn answered_percent(layout: Layout) -> usize {
    match layout {
        Layout::OneGroup => 70,
        Layout::Whole => 68,
        Layout::Split => 58,
    }
}

fn seed() -> u64 {
    number("SLOTLINE_SEED").unwrap_or(SEED)
}

/// Shows the one request that the environment asks for, if it does.
fn shown_alone(trial: &Trial) -> bool {
    let Ok(text) = std::env::var("SLOTLINE_ASK") else { return false };
    trial.show(&Ask::parse(&text).expect("SLOTLINE_ASK is a request"));
    true
}

/// The whole list, each statement as it stands and in one more shape.
#[track_caller]
fn fixed_list(layout: Layout) {
    let mut trial = Trial::start(layout, seed());
    if shown_alone(&trial) {
        return;
    }
    for (number, entry) in entries().into_iter().enumerate() {
        trial.ask_listed(&entry, &entry.ask);
        if !entry.ask.writes && entry.ask == Ask::new(&entry.ask.q) {
            let shape = SHAPES[(number + layout as usize) % SHAPES.len()];
            trial.ask_listed(&entry, &entry.ask.with(shape));
        }
    }
    let tally = &trial.tally;
    let verdict = tally.finish(&format!("list {layout:?}"), &format!("SLOTLINE_SEED={}", seed()));
    verdict.unwrap_or_else(|why| panic!("{why}"));
    let (answered, compared) = (tally.with_rows(), tally.compared());
    assert!(answered * 100 >= compared * answered_percent(layout), "only {answered} of {compared} answered with rows");
}

/// Random statements of any kind.
fn random_statements(layout: Layout) -> Result<(), String> {
    let mut generator = Generator::new(seed());
    random(layout, "random", || generator.ask())
}

/// Random statements over subqueries.
fn random_nested(layout: Layout) -> Result<(), String> {
    let mut generator = Nested::new(seed());
    random(layout, "nested", || generator.ask())
}

/// An error when an answer differs, or too many are left to chance.
fn random(layout: Layout, name: &str, mut next: impl FnMut() -> Ask) -> Result<(), String> {
    let mut trial = Trial::start(layout, seed());
    if shown_alone(&trial) {
        return Ok(());
    }
    let count = number("SLOTLINE_STATEMENTS").unwrap_or(STATEMENTS);
    for _ in 0..count {
        trial.ask(&next());
    }
    let tally = &trial.tally;
    tally.finish(&format!("{name} {layout:?}"), &format!("SLOTLINE_SEED={} SLOTLINE_STATEMENTS={count}", seed()))?;
    let (undetermined, compared) = (tally.undetermined(), tally.compared());
    match undetermined * 100 <= compared * UNDETERMINED_PERCENT {
        true => Ok(()),
        false => Err(format!("{undetermined} of {compared} left to chance")),
    }
}

#[track_caller]
fn random_tier(layout: Layout) {
    random_statements(layout).unwrap_or_else(|why| panic!("{why}"));
}

/// All layouts, whatever comes of one. `perf/soak --statements` sets seed and length.
#[test]
#[ignore = "the long form, for perf/soak"]
fn soak() {
    let layouts = [Layout::OneGroup, Layout::Whole, Layout::Split];
    let verdicts = layouts.map(random_statements).into_iter().chain(layouts.map(random_nested));
    let failed: Vec<String> = verdicts.filter_map(Result::err).collect();
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}

#[test]
fn the_list_over_one_group() {
    fixed_list(Layout::OneGroup);
}

#[test]
fn the_list_over_three_groups() {
    fixed_list(Layout::Whole);
}

#[test]
fn the_list_over_split_measurements() {
    fixed_list(Layout::Split);
}

#[test]
fn random_statements_over_one_group() {
    random_tier(Layout::OneGroup);
}

#[test]
fn random_statements_over_three_groups() {
    random_tier(Layout::Whole);
}

#[test]
fn random_statements_over_split_measurements() {
    random_tier(Layout::Split);
}

#[test]
fn random_subqueries_over_three_groups() {
    random_nested(Layout::Whole).unwrap_or_else(|why| panic!("{why}"));
}

#[test]
fn random_subqueries_over_split_measurements() {
    random_nested(Layout::Split).unwrap_or_else(|why| panic!("{why}"));
}
