//! Statements from a seed, over the catalogue's names: mostly sound ones, with every clause now and then.
//!
//! `GROUP BY time` always has both bounds of time and not too many windows, so that no answer gets long, and nothing
//! depends on the moment at which it is asked.

use fastrand::Rng;

use super::ask::Ask;
use super::data::{CATALOGUE, Kind, Measurement, T0};

pub struct Generator {
    random: Rng,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { random: Rng::with_seed(seed) }
    }

    /// The next request.
    pub fn ask(&mut self) -> Ask {
        let statement = match self.random.usize(..20) {
            0 => format!("{}; {}", self.statement(), self.statement()),
            1 => format!("{}; {}; {}", self.statement(), self.statement(), self.statement()),
            _ => self.statement(),
        };
        self.shape(Ask::new(&statement))
    }

    fn shape(&mut self, ask: Ask) -> Ask {
        let settings: &[&str] = match self.random.usize(..16) {
            0..8 => &[""],
            8 => &["epoch=ns", "epoch=s", "epoch=ms", "epoch=h"],
            9 => &["chunked=true", "chunked=true chunk_size=1", "chunked=true chunk_size=5 epoch=u"],
            10 => &["chunked=true chunk_size=7", "chunk_size=3", "chunked=true chunk_size=1000"],
            11 => &[
                "accept=application/csv",
                "accept=text/csv epoch=s",
                "accept=application/csv chunked=true chunk_size=4",
            ],
            12 => &["accept=application/x-msgpack", "accept=application/x-msgpack chunked=true chunk_size=4"],
            13 => &["pretty=true", "pretty=true epoch=ms", "pretty=true chunked=true chunk_size=3"],
            14 => &["method=POST", "method=POST epoch=ms", "method=POST chunked=true"],
            _ => &["db=e", "rp=second", "db=d rp=autogen", "db=e epoch=s"],
        };
        ask.with(self.one(settings))
    }

    fn statement(&mut self) -> String {
        match self.random.usize(..10) {
            0..8 => self.select(0),
            _ => self.show(),
        }
    }

    fn one<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.random.usize(..all.len())]
    }

    fn percent(&mut self, percent: u32) -> bool {
        self.random.u32(..100) < percent
    }

    /// A measurement of `d` under the default policy, now and then one from elsewhere.
    fn measurement(&mut self) -> &'static Measurement {
        let near: Vec<&Measurement> = CATALOGUE.iter().filter(|m| m.db == "d" && m.rp.is_empty()).collect();
        if self.percent(5) { &CATALOGUE[self.random.usize(..CATALOGUE.len())] } else { self.one(&near) }
    }

    /// A measurement that shares a field's name with this one, or any.
    fn kin(&mut self, main: &Measurement) -> &'static Measurement {
        let shares =
            |other: &Measurement| main.fields.iter().any(|(name, _)| other.fields.iter().any(|(own, _)| own == name));
        let kin: Vec<&Measurement> = CATALOGUE.iter().filter(|other| other.db == "d" && shares(other)).collect();
        if self.percent(25) { self.measurement() } else { self.one(&kin) }
    }

    // SELECT

    fn select(&mut self, depth: usize) -> String {
        let main = self.measurement();
        let inner = depth < 2 && self.percent(12);
        // What the outer statement of a subquery can name: the columns of the inner one.
        let (names, from) = match inner {
            true => self.subquery(depth),
            false => (Names::of(main), self.sources(main)),
        };
        let aggregates = self.percent(60);
        let by_time = aggregates && self.percent(35);
        let fields = self.fields(&names, aggregates, by_time);
        let mut text = format!("SELECT {fields} FROM {from}");
        let condition = self.condition(&names, by_time);
        if !condition.is_empty() {
            text.push_str(&format!(" WHERE {condition}"));
        }
        text.push_str(&self.group_by(&names, by_time));
        text.push_str(&self.order_and_limits());
        if depth == 0 && self.percent(4) {
            text.push_str(&format!(
                " TZ('{}')",
                self.one(&["Europe/Berlin", "America/New_York", "UTC", "Asia/Kolkata"])
            ));
        }
        text
    }

    fn subquery(&mut self, depth: usize) -> (Names, String) {
        let inner = self.measurement();
        let mut names = Names::of(inner);
        if self.percent(30) {
            return (names, format!("({})", self.select(depth + 1)));
        }
        let by_time = self.percent(30);
        let call = self.numeric_aggregate(&names);
        let condition = self.condition(&names, by_time);
        let condition = if condition.is_empty() { condition } else { format!(" WHERE {condition}") };
        let group = self.group_by(&names, by_time);
        let from = self.sources(inner);
        names.fields = vec![("x".to_owned(), Kind::Float)];
        (names, format!("(SELECT {call} AS x FROM {from}{condition}{group})"))
    }

    fn sources(&mut self, main: &Measurement) -> String {
        let name = qualified(main);
        match self.random.usize(..10) {
            0..6 => name,
            6 => format!("{name}, {}", qualified(self.kin(main))),
            7 => format!("{}, {name}, {}", qualified(self.kin(main)), qualified(self.kin(main))),
            8 => self
                .one(&["/^m[1-4]$/", "/^m/", "/mem|whole/", "/cpu|mem/", "/^w/", "/.*/", "/e/", "/nothing/"])
                .to_owned(),
            _ => format!("{}, {name}", self.one(&["/^m[12]$/", "/whole/", "nowhere", "/disk/"])),
        }
    }

    fn fields(&mut self, names: &Names, aggregates: bool, by_time: bool) -> String {
        if !aggregates {
            return self.raw_fields(names);
        }
        let count = self.one(&[1, 1, 1, 2, 3]);
        let mut fields = Vec::new();
        for number in 0..count {
            let call = self.aggregate(names, by_time, count == 1);
            fields.push(match self.random.usize(..12) {
                0 => format!("{} * 2", self.numeric_aggregate(names)),
                3 => format!("{}({})", self.one(&MATHEMATICS), self.numeric_aggregate(names)),
                1 => format!("{} + {}", self.numeric_aggregate(names), self.numeric_aggregate(names)),
                2 => format!("{call} AS a{number}"),
                _ => call,
            });
        }
        if count == 1 && self.percent(15) {
            // Beside a lone selector.
            fields.push(self.column(names));
        }
        fields.join(", ")
    }

    fn raw_fields(&mut self, names: &Names) -> String {
        match self.random.usize(..10) {
            0 | 1 => "*".to_owned(),
            2 => self.one(&["/^[unv]/", "/o/", "*::field", "*::tag", "/^v$|host/"]).to_owned(),
            3 => format!("{}, *", self.column(names)),
            _ => {
                let mut columns = vec![self.column(names)];
                while self.percent(50) && columns.len() < 4 {
                    columns.push(self.column(names));
                }
                if self.percent(12) {
                    columns[0] =
                        format!("{} {} {}", columns[0], self.one(&["+", "-", "*", "/", "%"]), self.column(names));
                }
                if self.percent(5) {
                    columns[0] = format!("{}({})", self.one(&MATHEMATICS), names.field(&mut self.random, true));
                }
                if self.percent(10) {
                    columns[0].push_str(" AS first_one");
                }
                if self.percent(5) {
                    columns[0] = self.one(&["difference", "derivative", "cumulative_sum", "elapsed"]).to_owned()
                        + &format!("({})", names.field(&mut self.random, true));
                    columns.truncate(1);
                }
                columns.join(", ")
            }
        }
    }

    fn column(&mut self, names: &Names) -> String {
        match self.random.usize(..10) {
            0..7 => names.field(&mut self.random, false),
            7 | 8 => names.tag(&mut self.random),
            _ => self.one(&["nothing", "usage", "v", "n"]).to_owned(),
        }
    }

    /// One that any number has, and that arithmetic takes.
    fn numeric_aggregate(&mut self, names: &Names) -> String {
        let function = self.one(&["count", "sum", "mean", "min", "max", "first", "last", "spread", "median", "stddev"]);
        format!("{function}({})", names.field(&mut self.random, true))
    }

    /// Any call; some cannot stand beside others, and only those that transform aggregates need `GROUP BY time`.
    fn aggregate(&mut self, names: &Names, by_time: bool, alone: bool) -> String {
        let number = names.field(&mut self.random, true);
        match self.random.usize(..if alone { 24 } else { 14 }) {
            0..9 => self.numeric_aggregate(names),
            9 => format!("{}({})", self.one(&["count", "first", "last", "mode"]), names.field(&mut self.random, false)),
            10 => format!(
                "{}({})",
                self.one(&["count", "first", "last", "max", "mean"]),
                self.one(&["*", "/^[unv]/", "/o/"])
            ),
            11 => format!("percentile({number}, {})", self.one(&["50", "90", "99.9", "1"])),
            12 => format!("count(distinct({}))", names.field(&mut self.random, false)),
            13 if by_time => {
                let inner = self.numeric_aggregate(names);
                match self.random.usize(..8) {
                    0 => format!("derivative({inner}, 10s)"),
                    1 => format!("difference({inner})"),
                    2 => format!("moving_average({inner}, 2)"),
                    3 => format!("non_negative_derivative({inner})"),
                    4 => format!("non_negative_difference({inner})"),
                    5 => format!("elapsed({inner}, 1s)"),
                    6 => format!("holt_winters({inner}, 2, {})", self.one(&[0, 2])),
                    _ => format!("cumulative_sum({inner})"),
                }
            }
            // Not integral(), which tells its series in another order each time.
            13 => format!("mode({number})"),
            14 | 15 => format!("distinct({})", names.field(&mut self.random, false)),
            16..19 => format!("{}({number}, {})", self.one(&["top", "bottom"]), self.one(&[1, 2, 5])),
            19 => format!("{}({number}, {}, 2)", self.one(&["top", "bottom"]), names.tag(&mut self.random)),
            20 => format!("{}({number})", self.one(&["max", "min"])),
            _ if by_time => format!("max({number})"),
            21 => {
                let transforms = ["difference", "cumulative_sum", "elapsed", "non_negative_difference"];
                format!("{}({number})", self.one(&transforms))
            }
            22 => format!("moving_average({number}, 3)"),
            _ => format!("derivative({number}, 1s)"),
        }
    }

    fn condition(&mut self, names: &Names, by_time: bool) -> String {
        let mut parts = Vec::new();
        if by_time {
            parts.push(format!(
                "time >= {}s AND time < {}s",
                T0 - self.random.i64(0..60),
                T0 + self.random.i64(60..300)
            ));
        } else if self.percent(25) {
            parts.push(self.time_bound());
        }
        if self.percent(40) {
            parts.push(self.predicate(names));
            if self.percent(30) {
                parts.push(self.predicate(names));
            }
        }
        parts.join(" AND ")
    }

    fn time_bound(&mut self) -> String {
        let operator = self.one(&[">", ">=", "<", "<=", "="]);
        let second = T0 + 10 * self.random.i64(0..24);
        match self.random.usize(..4) {
            0 => format!("time {operator} {second}000000000"),
            1 => format!("time {operator} '2020-09-13T12:{}:00Z'", self.random.u32(26..32)),
            2 => format!("time > {second}s - 1m AND time <= {second}s"),
            _ => format!("time {operator} {second}s"),
        }
    }

    fn predicate(&mut self, names: &Names) -> String {
        match self.random.usize(..10) {
            0..5 => self.tag_predicate(names),
            5 => format!("({} OR {})", self.tag_predicate(names), self.tag_predicate(names)),
            6 => format!("({} OR {})", self.tag_predicate(names), self.field_predicate(names)),
            7 => format!("({} AND {})", self.tag_predicate(names), self.tag_predicate(names)),
            _ => self.field_predicate(names),
        }
    }

    fn tag_predicate(&mut self, names: &Names) -> String {
        let Some((key, values)) = names.tags.get(self.random.usize(..names.tags.len().max(1))) else {
            return "host = 'a'".to_owned();
        };
        let key = ident(key);
        let value = self.one(values);
        let plain = value.chars().all(char::is_alphanumeric) && !value.is_empty();
        match self.random.usize(..12) {
            0 if plain => format!("{key} =~ /^{value}$/"),
            1 if plain => format!("{key} =~ /^({value}|b)$/"),
            2 if plain => format!("{key} !~ /{value}/"),
            3 => format!("{key} =~ /[a-c]/"),
            4 | 5 => format!("{key} != {}", text(value)),
            6 => format!("{key}::tag = {}", text(value)),
            7 => format!("{key} = ''"),
            _ => format!("{key} = {}", text(value)),
        }
    }

    fn field_predicate(&mut self, names: &Names) -> String {
        let (name, kind) = &names.fields[self.random.usize(..names.fields.len())];
        let name = ident(name);
        match kind {
            Kind::Float | Kind::Integer => {
                let operator = self.one(&[">", ">=", "<", "<=", "=", "!="]);
                format!("{name} {operator} {}", self.one(&["0", "5", "2.5", "-3", "8.25"]))
            }
            Kind::Boolean => format!("{name} = {}", self.one(&["true", "false"])),
            Kind::String => format!("{name} {}", self.one(&["= 'x'", "!= ''", "=~ /x/", "!~ /text/"])),
        }
    }

    fn group_by(&mut self, names: &Names, by_time: bool) -> String {
        let mut dimensions = Vec::new();
        if by_time {
            dimensions.push(self.one(&["time(1m)", "time(30s)", "time(17s)", "time(1m, 10s)", "time(10m)"]).to_owned());
        }
        match self.random.usize(..10) {
            0..3 => dimensions.push(names.tag(&mut self.random)),
            3 => {
                let all: Vec<String> = names.tags.iter().map(|(key, _)| ident(key)).collect();
                dimensions.extend(all);
            }
            4 => dimensions.push("*".to_owned()),
            5 => dimensions.push(self.one(&["/h/", "missing", "host, region", "host"]).to_owned()),
            _ => {}
        }
        if dimensions.is_empty() {
            return String::new();
        }
        let mut clause = format!(" GROUP BY {}", dimensions.join(", "));
        if by_time && self.percent(50) {
            clause.push_str(self.one(&[" fill(none)", " fill(0)", " fill(previous)", " fill(linear)", " fill(2.5)"]));
        }
        clause
    }

    fn order_and_limits(&mut self) -> String {
        let mut clause = String::new();
        if self.percent(20) {
            clause.push_str(self.one(&[" ORDER BY time DESC", " ORDER BY time DESC", " ORDER BY time ASC"]));
        }
        if self.percent(35) {
            clause.push_str(&format!(" LIMIT {}", self.random.u32(1..9)));
            if self.percent(40) {
                clause.push_str(&format!(" OFFSET {}", self.random.u32(1..4)));
            }
        } else if self.percent(3) {
            clause.push_str(&format!(" OFFSET {}", self.random.u32(1..9)));
        }
        if self.percent(20) {
            clause.push_str(&format!(" SLIMIT {}", self.random.u32(1..5)));
            if self.percent(50) {
                clause.push_str(&format!(" SOFFSET {}", self.random.u32(1..3)));
            }
        } else if self.percent(2) {
            clause.push_str(" SOFFSET 1");
        }
        clause
    }

    // SHOW

    fn show(&mut self) -> String {
        let main = self.measurement();
        let names = Names::of(main);
        let from = if self.percent(50) { format!(" FROM {}", self.sources(main)) } else { String::new() };
        let on = if self.percent(15) { self.one(&[" ON d", " ON e", " ON nodb"]) } else { "" };
        let condition =
            if self.percent(40) { format!(" WHERE {}", self.show_condition(&names)) } else { String::new() };
        let limits = self.show_limits();
        let keys = self.with_key(&names);
        match self.random.usize(..10) {
            0 | 1 => {
                let with = if self.percent(40) { self.with_measurement(main) } else { String::new() };
                format!("SHOW MEASUREMENTS{on}{with}{condition}{limits}")
            }
            2 | 3 => format!("SHOW SERIES{on}{from}{condition}{limits}"),
            4 => format!("SHOW TAG KEYS{on}{from}{condition}{limits}"),
            5 | 6 => format!("SHOW TAG VALUES{on}{from}{keys}{condition}{limits}"),
            7 => format!("SHOW FIELD KEYS{on}{from}{limits}"),
            8 => format!("SHOW SERIES EXACT CARDINALITY{on}{from}{condition}"),
            _ => match self.random.usize(..4) {
                0 => format!("SHOW MEASUREMENT EXACT CARDINALITY{on}{condition}"),
                1 => format!("SHOW TAG KEY EXACT CARDINALITY{on}{from}{condition}"),
                2 => format!("SHOW TAG VALUES EXACT CARDINALITY{on}{from}{keys}{condition}"),
                _ => format!("SHOW FIELD KEY EXACT CARDINALITY{on}{from}"),
            },
        }
    }

    fn show_condition(&mut self, names: &Names) -> String {
        let one = self.tag_predicate(names);
        match self.random.usize(..4) {
            0 => format!("{one} AND {}", self.tag_predicate(names)),
            1 => format!("{one} OR {}", self.tag_predicate(names)),
            _ => one,
        }
    }

    fn show_limits(&mut self) -> String {
        let mut clause = String::new();
        if self.percent(40) {
            clause.push_str(&format!(" LIMIT {}", self.random.u32(1..8)));
        }
        if self.percent(25) {
            clause.push_str(&format!(" OFFSET {}", self.random.u32(1..8)));
        }
        clause
    }

    fn with_measurement(&mut self, main: &Measurement) -> String {
        match self.percent(50) {
            true => format!(" WITH MEASUREMENT = {}", ident(main.name)),
            false => format!(" WITH MEASUREMENT =~ {}", self.one(&["/^m/", "/e/", "/cpu|disk/", "/nothing/"])),
        }
    }

    fn with_key(&mut self, names: &Names) -> String {
        match self.random.usize(..6) {
            0 => " WITH KEY =~ /.*/".to_owned(),
            1 => " WITH KEY IN (host, region, kind)".to_owned(),
            2 => format!(" WITH KEY != {}", names.tag(&mut self.random)),
            _ => format!(" WITH KEY = {}", names.tag(&mut self.random)),
        }
    }
}

const MATHEMATICS: [&str; 8] = ["abs", "round", "floor", "ceil", "sqrt", "sin", "ln", "exp"];
const CASTS: [&str; 7] = ["::float", "::float", "::integer", "::string", "::boolean", "::field", "::tag"];

/// What a statement over a measurement can name.
struct Names {
    tags: &'static [(&'static str, &'static [&'static str])],
    fields: Vec<(String, Kind)>,
}

impl Names {
    fn of(measurement: &Measurement) -> Names {
        let fields = measurement.fields.iter().map(|(name, kind)| ((*name).to_owned(), *kind)).collect();
        Names { tags: measurement.tags, fields }
    }

    fn field(&self, random: &mut Rng, numeric: bool) -> String {
        let fits = |kind: &Kind| !numeric || matches!(kind, Kind::Float | Kind::Integer);
        let fitting: Vec<&String> = self.fields.iter().filter(|(_, kind)| fits(kind)).map(|(name, _)| name).collect();
        let mut field = match fitting.is_empty() {
            true => ident(&self.fields[0].0),
            false => ident(fitting[random.usize(..fitting.len())]),
        };
        // Mostly one that fits or leaves nothing.
        if random.u32(..100) < 8 {
            field.push_str(CASTS[random.usize(..CASTS.len())]);
        }
        field
    }

    fn tag(&self, random: &mut Rng) -> String {
        match self.tags.is_empty() {
            true => "host".to_owned(),
            false => ident(self.tags[random.usize(..self.tags.len())].0),
        }
    }
}

fn qualified(measurement: &Measurement) -> String {
    let name = ident(measurement.name);
    match (measurement.db, measurement.rp) {
        ("d", "") => name,
        (db, rp) => format!("{db}.{rp}.{name}"),
    }
}

/// A name as InfluxQL takes it anywhere.
fn ident(name: &str) -> String {
    let plain = name.chars().all(|char| char.is_ascii_alphanumeric() || char == '_');
    match plain && !name.starts_with(|char: char| char.is_ascii_digit()) {
        true => name.to_owned(),
        false => format!("\"{}\"", name.replace('\\', "\\\\").replace('"', "\\\"")),
    }
}

fn text(value: &str) -> String {
    format!("'{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}
