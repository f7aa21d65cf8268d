//! The data that both sides hold: a catalogue of measurements with many corners, and points for it from a seed.
//!
//! Names, tags and fields are fixed, so that statements can name them; values, gaps and which series exist come from the
//! seed. Over three groups every group has several measurements, and those that the rules split lie in all of them.

use fastrand::Rng;

use crate::support::client::Http;
use crate::support::{Facts, read_all};

/// A second of the time in which most points lie: 2020-09-13T12:26:40Z, no multiple of a minute.
pub const T0: i64 = 1_600_000_000;
pub const SECOND: i64 = 1_000_000_000;
/// Most series have so many points, ten seconds apart.
const STEPS: i64 = 24;
/// The first second of 2100.
const FUTURE: i64 = 4_102_444_800 * SECOND;
/// The policy beside the default one.
pub const SECOND_POLICY: &str = "second";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Float,
    Integer,
    Boolean,
    String,
}
use Kind::{Boolean, Float, Integer, String as Text};

/// A measurement of the catalogue; names are as InfluxDB stores them.
pub struct Measurement {
    pub db: &'static str,
    /// Empty: the default one.
    pub rp: &'static str,
    pub name: &'static str,
    /// Keys and values; a series may lack a tag: its value is empty then.
    pub tags: &'static [(&'static str, &'static [&'static str])],
    pub fields: &'static [(&'static str, Kind)],
    times: Times,
}

#[derive(Clone, Copy)]
enum Times {
    /// From [`T0`] on, equal over series, but for some that lie a little beside.
    Steps,
    /// Every twelve hours around [`T0`], over several storage shards.
    HalfDays,
    /// Some of the same half days, none at the time of another series: one comes and goes.
    Visits,
    /// Before 1970, at it and after it, and in the future.
    Past,
}

impl Measurement {
    /// What a server holds of it. Over several measurements at once influxd would leave out values of a field that has
    /// other types elsewhere.
    #[track_caller]
    pub fn read(&self, http: Http) -> Facts {
        let rp = if self.rp.is_empty() { "autogen" } else { self.rp };
        read_all(http, self.db, &format!("SELECT * FROM {}.{rp}.{:?} GROUP BY *", self.db, self.name))
    }
}

const fn measurement(
    name: &'static str,
    tags: &'static [(&'static str, &'static [&'static str])],
    fields: &'static [(&'static str, Kind)],
) -> Measurement {
    Measurement { db: "d", rp: "", name, tags, fields, times: Times::Steps }
}

const fn timed(measurement: Measurement, times: Times) -> Measurement {
    Measurement { times, ..measurement }
}

const fn elsewhere(db: &'static str, rp: &'static str, measurement: Measurement) -> Measurement {
    Measurement { db, rp, ..measurement }
}

pub const CATALOGUE: &[Measurement] = &[
    measurement(
        "cpu",
        &[("host", &["a", "b", "c", "d e", ""]), ("region", &["eu", "us", ""])],
        &[("usage", Float), ("n", Integer), ("ok", Boolean), ("msg", Text), ("v", Float)],
    ),
    measurement("mem", &[("host", &["a", "b", "é\"ö"])], &[("used", Integer), ("usage", Integer), ("v", Integer)]),
    measurement(
        "disk",
        &[("host", &["a", "b", "c", "f"]), ("path", &["/", "/var,log", "C:\\x=1", ""])],
        &[("usage", Float), ("n", Integer)],
    ),
    // `host` is a field here and a tag elsewhere.
    measurement(
        "net",
        &[("iface", &["eth0", "eth 1"]), ("region", &["eu", "us"])],
        &[("host", Text), ("rx", Integer), ("tx", Integer), ("v", Boolean)],
    ),
    // `kind` is both.
    measurement("twin", &[("kind", &["x", "y", ""])], &[("kind", Text), ("v", Text), ("n", Integer)]),
    timed(measurement("sparse", &[], &[("v", Float), ("n", Integer), ("msg", Text)]), Times::HalfDays),
    measurement("events", &[("level", &["info", "warn"])], &[("msg", Text), ("ok", Boolean)]),
    measurement(
        "wide",
        &[("host", &["a", "d e", "é"])],
        &[("w0", Float), ("w1", Float), ("w2", Integer), ("w3", Integer), ("w4", Boolean), ("w5", Text), ("v", Float)],
    ),
    measurement("whole", &[("host", &["a", "b"])], &[("usage", Float), ("n", Integer)]),
    measurement(
        "odd näme,=x",
        &[("t g", &["v,1", "é=ü", "a\"b'c"]), ("host", &["a", ""])],
        &[("f ld", Float), ("quo\"te", Integer)],
    ),
    timed(measurement("past", &[("host", &["a", "b"])], &[("v", Float), ("n", Integer)]), Times::Past),
    // `v` has another type in each.
    measurement("m1", &[("host", &["a", "b"])], &[("v", Float), ("only1", Integer)]),
    measurement("m2", &[("host", &["a", "b"]), ("dc", &["x"])], &[("v", Integer)]),
    measurement("m3", &[("host", &["a", "c"])], &[("v", Text), ("only3", Float)]),
    measurement("m4", &[("host", &["b"]), ("dc", &["x", "y"])], &[("v", Boolean)]),
    elsewhere(
        "d",
        SECOND_POLICY,
        measurement("cpu", &[("host", &["a", "g"])], &[("usage", Integer), ("extra", Float)]),
    ),
    elsewhere("d", SECOND_POLICY, measurement("only_second", &[("host", &["a"])], &[("v", Float)])),
    elsewhere("e", "", measurement("cpu", &[("host", &["a", "z", ""])], &[("usage", Float), ("n", Float)])),
    elsewhere("e", "", measurement("elsewhere", &[("kind", &["x"])], &[("v", Integer)])),
    elsewhere("e", "", measurement("mem", &[("host", &["a"])], &[("v", Text)])),
    timed(
        measurement(
            "weeks",
            &[("host", &["a", "b", "c", "d e", "é", ""]), ("dc", &["x", "y", ""])],
            &[("v", Float), ("n", Integer), ("msg", Text)],
        ),
        Times::Visits,
    ),
];

/// Lines for one database and retention policy.
pub struct Part {
    pub db: &'static str,
    pub rp: &'static str,
    pub lines: Vec<String>,
}

/// All points. The same seed makes the same.
pub fn points(seed: u64) -> Vec<Part> {
    let mut random = Rng::with_seed(seed);
    let mut parts: Vec<Part> = Vec::new();
    for measurement in CATALOGUE {
        let lines = lines_of(measurement, &mut random);
        match parts.iter_mut().find(|part| (part.db, part.rp) == (measurement.db, measurement.rp)) {
            Some(part) => part.lines.extend(lines),
            None => parts.push(Part { db: measurement.db, rp: measurement.rp, lines }),
        }
    }
    parts[0].lines.extend(EXTREMES.iter().map(|line| (*line).to_owned()));
    parts
}

/// Numbers and texts that are hard to print or to add up.
const EXTREMES: &[&str] = &[
    "extremes i=9223372036854775807i,f=1.7976931348623157e308,s=\"\" 1600000000000000000",
    "extremes i=-9223372036854775808i,f=5e-324,s=\"\\\"quoted\\\" \\\\ back\" 1600000000000000001",
    "extremes i=0i,f=-0,s=\"<a href='x'>&amp;</a>\" 1600000000000000002",
    "extremes i=9007199254740993i,f=9007199254740993,s=\"tab\there\" 1600000001000000000",
    "extremes i=-1i,f=1e21,s=\"line\nbreak\" 1600000002000000000",
    "extremes i=1i,f=123456789012345680000,s=\"é ü 漢字 😀\" 1600000003000000000",
    "extremes i=2i,f=1e-7,s=\"a,b=c d\" 1600000004000000000",
    "extremes i=3i,f=0.000001,s=\"\u{2028}\u{7f}\" 1600000005000000000",
    "extremes i=4i,f=0.1,b=true 1600000006000000000",
    "extremes i=5i,f=-1.5e-10,b=false 1600000007000000000",
    "extremes f=100 1600000008000000000",
    "extremes i=100i 1600000009000000000",
];

fn lines_of(measurement: &Measurement, random: &mut Rng) -> Vec<String> {
    let mut lines = Vec::new();
    let all = tag_sets(measurement.tags);
    let many = all.len() > 6;
    for (number, tags) in all.into_iter().enumerate() {
        // A series that lacks its first tag, and the very first one, always exist.
        if many && number > 0 && !tags[0].1.is_empty() && random.f64() < 0.2 {
            continue;
        }
        let mut key = escape(measurement.name, &[',', ' ']);
        for (name, value) in tags.iter().filter(|(_, value)| !value.is_empty()) {
            key.push_str(&format!(",{}={}", escape(name, &[',', '=', ' ']), escape(value, &[',', '=', ' '])));
        }
        for time in times(measurement.times, random) {
            lines.push(format!("{key} {} {time}", fields(measurement.fields, random)));
        }
    }
    lines
}

/// Every combination of tag values.
fn tag_sets(tags: &[(&'static str, &[&'static str])]) -> Vec<Vec<(&'static str, &'static str)>> {
    let mut sets = vec![Vec::new()];
    for (name, values) in tags {
        let longer = |set: &Vec<_>| values.iter().map(|value| [set.as_slice(), &[(*name, *value)]].concat()).collect();
        sets = sets.iter().flat_map(|set| -> Vec<Vec<_>> { longer(set) }).collect();
    }
    sets
}

fn times(times: Times, random: &mut Rng) -> Vec<i64> {
    let every: Vec<i64> = match times {
        Times::Steps => {
            let beside = if random.f64() < 0.3 { random.i64(1..4 * SECOND) } else { 0 };
            (0..STEPS).map(|step| (T0 + 10 * step) * SECOND + beside).collect()
        }
        Times::HalfDays => (-20..20).map(|step| (T0 + 43_200 * step) * SECOND).collect(),
        Times::Visits => {
            let (first, beside) = (random.i64(-20..18), random.i64(0..43_200 * SECOND));
            let steps = first..(first + random.i64(1..16)).min(20);
            steps.map(|step| (T0 + 43_200 * step) * SECOND + beside).collect()
        }
        Times::Past => vec![-86_400 * SECOND, -10 * SECOND, -1, 0, 1, SECOND, 60 * SECOND, 3_600 * SECOND, FUTURE],
    };
    let (first, others) = every.split_first().expect("every kind has times");
    let kept = others.iter().filter(|_| random.f64() < 0.8);
    [*first].into_iter().chain(kept.copied()).collect()
}

const WORDS: [&str; 8] = ["x", "y", "a", "some text", "x 1", "é", "quo\\\"te", ""];

fn fields(all: &[(&str, Kind)], random: &mut Rng) -> String {
    let sure = random.usize(..all.len());
    let mut texts = Vec::new();
    for (number, (name, kind)) in all.iter().enumerate() {
        if number != sure && random.f64() < 0.15 {
            continue;
        }
        let value = match kind {
            // Quarters add up to the same in any order; tenths do not.
            Float if random.f64() < 0.9 => format!("{}", f64::from(random.i32(-8..40)) / 4.0),
            Float => format!("{}", f64::from(random.i32(-50..200)) / 10.0),
            Integer => format!("{}i", random.i32(-5..20)),
            Boolean => format!("{}", random.bool()),
            Text => format!("\"{}\"", WORDS[random.usize(..WORDS.len())]),
        };
        texts.push(format!("{}={value}", escape(name, &[',', '=', ' '])));
    }
    texts.join(",")
}

fn escape(name: &str, special: &[char]) -> String {
    let mut escaped = String::new();
    for char in name.chars() {
        if special.contains(&char) {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}
