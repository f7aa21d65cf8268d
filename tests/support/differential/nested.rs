//! Statements from a seed whose sources are subqueries: over split and whole measurements, beside each other, up to three
//! levels deep.
//!
//! Left out, since InfluxDB's own answer hangs on its storage shards: OFFSET without LIMIT of raw rows, top and bottom of
//! measurements with LIMIT. So is one name in several databases: the order of rows at one time hangs on them.

use fastrand::Rng;

use super::ask::Ask;
use super::data::T0;

/// What a statement around can name of a subquery: numbers, texts, tags.
struct Columns {
    numbers: Vec<&'static str>,
    texts: Vec<&'static str>,
    tags: Vec<&'static str>,
}

pub struct Nested {
    random: Rng,
    /// Of tz() alone: the rest of a statement is the same with and without.
    zones: Rng,
}

impl Nested {
    pub fn new(seed: u64) -> Nested {
        Nested { random: Rng::with_seed(seed), zones: Rng::with_seed(!seed) }
    }

    /// The next request.
    pub fn ask(&mut self) -> Ask {
        let levels = self.one(&[1, 1, 1, 1, 2, 2]);
        let order = if self.percent(20) { " ORDER BY time DESC" } else { "" };
        let (_, mut text) = self.outer(levels, true);
        text.push_str(order);
        if self.percent(25) {
            text.push_str(&format!(" LIMIT {}", self.random.u32(1..9)));
        }
        self.series_limits(&mut text);
        self.zone(&mut text);
        let ask = Ask::new(&text);
        let shape = self.one(&[
            "",
            "",
            "",
            "epoch=ns",
            "chunked=true chunk_size=3",
            "accept=application/x-msgpack",
            "accept=text/csv",
        ]);
        ask.with(shape)
    }

    fn series_limits(&mut self, text: &mut String) {
        if self.percent(15) {
            text.push_str(&format!(" SLIMIT {}", self.random.u32(1..4)));
            if self.percent(40) {
                text.push_str(&format!(" SOFFSET {}", self.random.u32(1..3)));
            }
        }
    }

    fn zone(&mut self, text: &mut String) {
        if self.zones.u32(..100) < 8 {
            let zones = ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe"];
            text.push_str(&format!(" TZ('{}')", zones[self.zones.usize(..zones.len())]));
        }
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.usize(..all.len())]
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    fn sources(&mut self, levels: usize) -> (Columns, String) {
        let (columns, first) = self.subquery(levels);
        match self.random.usize(..8) {
            0 => {
                let (_, second) = self.subquery(levels);
                (columns, format!("{first}, {second}"))
            }
            1 => (columns, format!("{first}, {}", self.one(&["cpu", "mem", "disk", "whole"]))),
            _ => (columns, first),
        }
    }

    fn subquery(&mut self, levels: usize) -> (Columns, String) {
        let (columns, mut text) = if levels > 1 { self.outer(levels - 1, false) } else { self.inner() };
        self.zone(&mut text);
        (columns, format!("({text})"))
    }

    /// A SELECT over measurements, with columns `x` and `y` of numbers.
    fn inner(&mut self) -> (Columns, String) {
        let (from, fields, tags): (_, [&str; 2], &[&str]) = self.one(&[
            ("cpu", ["usage", "n"], &["host", "region"]),
            ("cpu", ["v", "usage"], &["host", "region"]),
            ("disk", ["usage", "n"], &["host", "path"]),
            ("disk, mem", ["usage", "n"], &["host", "path"]),
            ("wide", ["w0", "w2"], &["host"]),
            ("mem", ["usage", "used"], &["host"]),
            ("/^m[12]$/", ["v", "only1"], &["host", "dc"]),
            ("cpu, whole", ["usage", "n"], &["host", "region"]),
            ("weeks", ["v", "n"], &["host", "dc"]),
        ]);
        let [x, y] = fields;
        let mut columns = Columns { numbers: vec!["x"], texts: Vec::new(), tags: tags.to_vec() };
        let aggregates = self.percent(60);
        let by_time = aggregates && self.percent(60);
        let mut text = if aggregates {
            let call = |name: &str, field: &str| format!("{name}({field})");
            match self.random.usize(..8) {
                0 if by_time => format!("SELECT derivative(mean({x}), 10s) AS x"),
                1 => format!("SELECT top({x}, {}, 2) AS x", tags[0]),
                2 => format!("SELECT {}({x}) AS x, {} AS z", self.one(&["max", "min"]), tags[0]),
                3 => format!("SELECT difference({x}) AS x"),
                4 => {
                    columns.numbers.push("y");
                    let (one, other) = (self.one(&["mean", "sum", "max"]), self.one(&["count", "min", "last"]));
                    format!("SELECT {} AS x, {} AS y", call(one, x), call(other, y))
                }
                _ => format!(
                    "SELECT {} AS x",
                    call(self.one(&["mean", "sum", "count", "max", "min", "first", "last", "spread"]), x)
                ),
            }
        } else {
            columns.numbers.push("y");
            match self.random.usize(..4) {
                0 => {
                    columns.texts.push("z");
                    format!("SELECT {x} AS x, {y} AS y, {} AS z", tags[0])
                }
                1 => format!("SELECT {x} + 1 AS x, {y} / 2 AS y"),
                _ => format!("SELECT {x} AS x, {y} AS y"),
            }
        };
        let transforms = text.contains("difference");
        text.push_str(&format!(" FROM {from}"));
        let mut terms = Vec::new();
        if by_time && !transforms {
            terms.push(self.bounds());
        }
        if self.percent(25) {
            terms.push(
                self.one(&["host != 'b'", "host =~ /[ac]/", "region = 'eu'", "host = 'a' OR host = 'c'"]).to_owned(),
            );
        }
        if self.percent(20) {
            terms.push(format!("{x} > 2"));
        }
        self.finish(&mut text, terms, by_time && !transforms, tags);
        if !text.contains("top(") && self.percent(15) {
            text.push_str(&format!(" LIMIT {}", self.random.u32(1..9)));
        }
        self.series_limits(&mut text);
        (columns, text)
    }

    /// A SELECT over subqueries, without order and limits.
    fn outer(&mut self, levels: usize, outermost: bool) -> (Columns, String) {
        let (mut inside, from) = self.sources(levels);
        let tags = inside.tags.clone();
        let number = self.one(&inside.numbers.clone());
        let mut columns = Columns { numbers: vec!["x"], texts: Vec::new(), tags: tags.clone() };
        let aggregates = self.percent(60);
        let by_time = aggregates && self.percent(35);
        let fields = if aggregates {
            match self.random.usize(..12) {
                0 => format!("max({number}) - min({number}) AS x"),
                1 => format!("top({number}, 2) AS x"),
                2 => format!("{}({number}) AS x, {}", self.one(&["max", "min"]), tags[0]),
                3 => format!("median({number}) AS x, count({number}) AS y"),
                4 if by_time => format!("difference(mean({number})) AS x"),
                5 => format!("cumulative_sum({number}) AS x"),
                6 => format!("count(distinct({number})) AS x"),
                _ => format!(
                    "{}({number}) AS x",
                    self.one(&["mean", "sum", "count", "max", "min", "first", "last", "spread", "stddev"])
                ),
            }
        } else {
            match self.random.usize(..6) {
                0 if outermost => "*".to_owned(),
                1 => format!("{number} AS x, {}", tags[0]),
                2 => format!("{number} * 2 AS x"),
                3 if outermost => "/x|y/".to_owned(),
                4 => format!("{number} AS x, missing"),
                _ => format!("{number} AS x"),
            }
        };
        if fields.contains(tags[0]) {
            columns.texts.push(tags[0]);
        }
        let mut text = format!("SELECT {fields} FROM {from}");
        let transforms = fields.contains("cumulative_sum");
        let mut terms = Vec::new();
        if by_time && !transforms || self.percent(40) {
            terms.push(self.bounds());
        }
        if self.percent(35) {
            let tag = self.one(&tags);
            let term = match self.random.usize(..5) {
                0 => format!("{number} > 3"),
                1 => format!("{number} <= 5 OR {tag} = 'a'"),
                2 => format!("{tag} != 'a'"),
                3 => format!("{tag} =~ /[ab]/"),
                _ => format!("{} != 2", inside.numbers.pop().unwrap_or("x")),
            };
            terms.push(if term.contains(" OR ") { format!("({term})") } else { term });
        }
        self.finish(&mut text, terms, by_time && !transforms, &tags);
        (columns, text)
    }

    fn bounds(&mut self) -> String {
        let (from, to) = (T0 - self.random.i64(0..60), T0 + self.random.i64(60..300));
        format!("time >= {from}s AND time < {to}s")
    }

    fn finish(&mut self, text: &mut String, terms: Vec<String>, by_time: bool, tags: &[&str]) {
        if !terms.is_empty() {
            let terms: Vec<String> = terms
                .iter()
                .map(|term| if term.contains(" OR ") { format!("({term})") } else { term.clone() })
                .collect();
            text.push_str(&format!(" WHERE {}", terms.join(" AND ")));
        }
        let mut dimensions = Vec::new();
        if by_time {
            dimensions.push(self.one(&["time(1m)", "time(30s)", "time(17s)", "time(1m, 10s)"]).to_owned());
        }
        match self.random.usize(..8) {
            0 | 1 => dimensions.push(tags[0].to_owned()),
            2 => dimensions.push(self.one(tags).to_owned()),
            3 => dimensions.push(tags.join(", ")),
            4 => dimensions.push("*".to_owned()),
            _ => {}
        }
        if !dimensions.is_empty() {
            text.push_str(&format!(" GROUP BY {}", dimensions.join(", ")));
            if by_time && self.percent(40) {
                text.push_str(self.one(&[" fill(none)", " fill(0)", " fill(previous)", " fill(linear)"]));
            }
        }
    }
}
