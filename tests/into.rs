//! SELECT INTO over groups: the same points as in one InfluxDB, each in the group that it belongs to.

mod support;

use support::*;

struct Loaded {
    cluster: Cluster,
    reference: Influxd,
}

const T0: i64 = 1_600_000_000_000_000_000;

fn sample() -> String {
    let mut body = String::new();
    for step in 0..30 {
        let time = T0 + step * 1_000_000_000;
        for (host, dc) in [("a", "x"), ("b\\ c", "y"), ("d\\,e\\=f", "x")] {
            let number = step * 7 % 13;
            body.push_str(&format!(
                "src,host={host},dc={dc} f={number}.25,i={number}i,b={},s=\"a\\\"b\\\\{step},\n\" {time}\n",
                step % 2 == 0
            ));
            body.push_str(&format!("split,host={host} v={number} {time}\n"));
        }
        // Without tags, with gaps.
        if step % 4 == 0 {
            body.push_str(&format!("src f=1e300,i=9223372036854775807i {time}\nother f=-0.000001 {time}\n"));
        }
    }
    body
}

fn loaded() -> Loaded {
    let setup = Setup::new(3, 2).rule("db", "split", &["host"]).rule("db", "copies", &["host"]);
    let cluster = setup.start();
    let reference = cluster.reference("db");
    cluster.create_db("db");
    cluster.create_db("db2");
    for statement in ["CREATE DATABASE db2", "CREATE RETENTION POLICY long ON db2 DURATION 520w REPLICATION 1"] {
        reference.http().run("", statement);
        if statement.contains("POLICY") {
            cluster.replicas().for_each(|replica| drop(replica.http().run("", statement)));
        }
    }
    cluster.http().store("db", sample());
    reference.http().store("db", sample());
    Loaded { cluster, reference }
}

impl Loaded {
    fn ask(&self, http: Http, params: &[(&str, &str)], q: &str) -> Response {
        let form = client::form(&[("q", q)]);
        let url = format!("/query?{}", client::form(&[params, &[("db", "db")]].concat()));
        let request = Request::new("POST", &url).header("Content-Type", "application/x-www-form-urlencoded").body(form);
        http.send(&request)
    }

    #[track_caller]
    fn assert_same(&self, params: &[(&str, &str)], q: &str) {
        let seen = self.ask(self.cluster.http(), params, q);
        let expected = self.ask(self.reference.http(), params, q);
        assert_eq!(seen.text(), expected.text(), "`{q}` with {params:?}");
        assert_eq!(seen.full_verdict(), expected.full_verdict(), "`{q}` with {params:?}");
    }

    #[track_caller]
    fn assert_holds_the_same(&self) {
        let rules = |series: &Series| match series.measurement.as_str() {
            name @ ("split" | "copies") => slot("db", name, &[series.tag("host")]),
            name => slot("db", name, &[]),
        };
        self.cluster.assert_holds_by("db", &facts(self.reference.http(), "db"), rules);
    }
}

const INTO: &[&str] = &[
    "SELECT * INTO t1 FROM src",
    "SELECT * INTO t2 FROM src GROUP BY *",
    "SELECT f, i INTO t3 FROM src WHERE host = 'a' GROUP BY host",
    "SELECT mean(f) INTO t4 FROM src WHERE time >= 1600000000s AND time < 1600000030s GROUP BY time(3s), host",
    "SELECT count(i) INTO t5 FROM src WHERE time >= 1600000000s AND time < 1600000040s GROUP BY time(3s), dc",
    "SELECT mean(f) INTO t6 FROM src WHERE time >= 1600000000s AND time < 1600000040s GROUP BY time(1s) fill(0)",
    "SELECT mean(f) INTO t7 FROM src WHERE time >= 1600000000s AND time < 1600000040s GROUP BY time(1s) fill(previous)",
    "SELECT last(s) AS \"a b\", host INTO \"t,8\" FROM src",
    "SELECT f INTO db2..:MEASUREMENT FROM src, other GROUP BY *",
    "SELECT f INTO db2.long.t9 FROM src GROUP BY dc",
    "SELECT v INTO copies FROM split GROUP BY *",
    "SELECT v INTO copies2 FROM split GROUP BY host",
    "SELECT max(i) INTO t10 FROM src GROUP BY host tz('Europe/Berlin')",
    "SELECT mean(f) INTO t11 FROM src WHERE time >= 1600000000s AND time < 1600000040s GROUP BY time(1d) tz('Europe/Berlin')",
    "SELECT pow(f, 300) INTO t12 FROM src",
    "SELECT nothing INTO t13 FROM src",
    "SELECT f INTO t14 FROM nothing",
    "SELECT f INTO t15 FROM src; SELECT i INTO t15 FROM src; SELECT * FROM t15 WHERE time = 1600000001s",
    "SELECT f INTO nodb..t16 FROM src",
    "SELECT f INTO db.norp.t17 FROM src",
    "SELECT f INTO t18 FROM src GROUP BY host; SELECT s AS f INTO t18 FROM src WHERE host = 'a' GROUP BY host",
    "SELECT f INTO t19 FROM src; SELECT foo(f) INTO t19 FROM src; SHOW DATABASES",
    "SELECT f INTO t20 FROM src; SELECT f INTO nodb..x FROM src; SHOW MEASUREMENTS; SHOW DATABASES",
    "SELECT top(f, host, 2) INTO t21 FROM src",
    "SELECT bottom(i, dc, host, 2), host, i INTO t22 FROM src GROUP BY host",
    "SELECT top(f, s, 2) AS best INTO t23 FROM src GROUP BY dc",
    "SELECT top(f, host, 2) INTO t24 FROM src, other WHERE time >= 1600000000s AND time < 1600000009s GROUP BY time(3s)",
    "SELECT top(v, host, 2) INTO t25 FROM split",
    "SELECT top(v, host, 2) INTO t26 FROM split GROUP BY host",
    "SELECT f, top(f, host, 2), b INTO t27 FROM src, other",
    "SELECT top(f, host, 2) INTO t28 FROM (SELECT f FROM src GROUP BY host)",
    "SELECT top(f, 2), host INTO t29 FROM src",
    "SELECT top(f, host) INTO t30 FROM src",
    "SELECT host, top(f, host, 2), dc AS d INTO t31 FROM src",
    "SELECT top(f, host, host, 2), host AS host INTO t32 FROM src",
    "SELECT f AS x, i AS x INTO t33 FROM src",
    "SELECT f AS text, s AS text, i INTO t34 FROM src GROUP BY host",
    "SELECT v AS name, host AS name INTO t35 FROM split",
    "SELECT f AS time, i INTO t36 FROM nothing",
    "SELECT count(i) INTO t37 FROM src WHERE time >= 1600000000s AND time < 1600000040s GROUP BY (time(3s)), ((dc))",
    "SELECT count(v) INTO t38 FROM split WHERE time >= 1600000000s AND time < 1600000040s GROUP BY ((time(3s))), (host)",
];

#[test]
fn points_and_answers_are_those_of_one_influxdb() {
    let loaded = loaded();
    for q in INTO {
        loaded.assert_same(&[], q);
    }
    for db in ["db", "db2"] {
        let expected = facts(loaded.reference.http(), db);
        for replica in loaded.cluster.replicas() {
            assert!(facts(replica.http(), db).len() < expected.len(), "no replica holds everything");
        }
        for name in support::facts::names(&loaded.reference.http().run(db, "SHOW MEASUREMENTS")) {
            loaded.assert_same(&[("db", db)], &format!("SHOW FIELD KEYS FROM \"{name}\""));
            loaded.assert_same(&[("db", db)], &format!("SHOW TAG KEYS FROM \"{name}\""));
            loaded.assert_same(&[("db", db)], &format!("SHOW SERIES FROM \"{name}\""));
        }
    }
    // Each where it belongs, on both replicas.
    loaded.assert_holds_the_same();
    loaded.cluster.assert_holds("db2", &facts(loaded.reference.http(), "db2"));
}

#[test]
fn answers_come_in_every_format() {
    let loaded = loaded();
    let q = "SELECT f INTO t1 FROM src; SELECT f INTO t2 FROM nothing";
    for params in [
        &[("epoch", "ms")][..],
        &[("pretty", "true")],
        &[("chunked", "true"), ("chunk_size", "1")],
        &[("chunked", "true"), ("epoch", "s")],
        &[("rp", "norp")],
    ] {
        loaded.assert_same(params, q);
    }
    loaded.assert_same(&[("db", "")], "SELECT f INTO t3 FROM db..src");
    loaded.assert_same(&[("db", "")], "SELECT f INTO db..t3 FROM db..src");
    // What is not there is looked for in this order.
    for q in [
        "SELECT f INTO nodb..t4 FROM src",
        "SELECT f INTO nodb..t4 FROM otherdb..src",
        "SELECT foo(f) INTO nodb..t4 FROM src",
        "SELECT f INTO nodb.norp.t4 FROM otherdb..src",
        "SELECT f INTO t4 FROM nodb..src; SHOW DATABASES",
    ] {
        for params in [&[][..], &[("rp", "norp")], &[("db", "elsewhere")], &[("chunked", "true")]] {
            loaded.assert_same(params, q);
        }
    }
    for accept in ["text/csv", "application/x-msgpack"] {
        let request = Request::new("POST", &format!("/query?db=db&q={}", encode(q))).header("Accept", accept);
        let (seen, expected) = (loaded.cluster.http().send(&request), loaded.reference.http().send(&request));
        assert_eq!(seen.body, expected.body, "{accept}");
    }
}

/// More points than one write has.
#[test]
fn many_points() {
    let loaded = loaded();
    let body: String = (0..34_567).map(|n| format!("many,host=h{} v={n}i {n}\n", n % 5)).collect();
    loaded.cluster.http().store("db", &body);
    loaded.reference.http().store("db", &body);
    loaded.assert_same(&[], "SELECT v INTO copies FROM many GROUP BY host");
    loaded.assert_same(&[], "SELECT * INTO many2 FROM many WHERE host = 'h1'");
    for q in ["SELECT count(v), sum(v) FROM copies GROUP BY host", "SELECT count(v), sum(v) FROM many2"] {
        loaded.assert_same(&[], q);
    }
}

/// Measurements that differ in where they lie: in one group, split by one tag, by two. Values tie, series lack tags.
fn best_sample() -> String {
    let mut body = String::new();
    for (number, (host, dc)) in [("a", "x"), ("b", "y"), ("c", "x"), ("", "y"), ("a", ""), ("", "")].iter().enumerate()
    {
        let tags: String = [("dc", dc), ("host", host)]
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(key, value)| format!(",{key}={value}"))
            .collect();
        for step in 0..12 {
            let (v, n) = ((step * 7 + number * 3) % 5, (step + number) % 3);
            let n = if v == 3 { String::new() } else { format!(",n={n}i,s=\"s{n}\"") };
            // No two series have a point at one time: of such InfluxDB takes one by chance.
            let time = T0 + (step * 10 + number) as i64 * 1_000_000_000;
            for name in ["src", "split", "two"] {
                body.push_str(&format!("{name}{tags} v={v}{n} {time}\n"));
            }
        }
    }
    body
}

/// `FROM` stands for each of the measurements, `OTHER` for another one, `WINDOWS` for a range and windows in it.
const BEST: &[&str] = &[
    // Without tags they have those of GROUP BY alone.
    "SELECT top(v, 3) INTO target FROM (SELECT v FROM FROM GROUP BY host)",
    "SELECT top(v, 3), host INTO target FROM (SELECT v FROM FROM GROUP BY host, dc) GROUP BY dc",
    "SELECT bottom(v, 2) INTO target FROM (SELECT v FROM FROM GROUP BY *) GROUP BY *",
    "SELECT top(v, 3) INTO target FROM (SELECT v FROM FROM GROUP BY host), OTHER",
    "SELECT top(x, 2) INTO target FROM (SELECT max(v) AS x FROM FROM WINDOWS, host) WINDOWS, dc",
    // With tags these as well, of subqueries too that are not grouped by them.
    "SELECT top(v, host, 3) INTO target FROM (SELECT v FROM FROM GROUP BY host)",
    "SELECT top(v, host, 3) INTO target FROM (SELECT v FROM FROM)",
    "SELECT top(v, host, 4) INTO target FROM (SELECT v FROM FROM GROUP BY dc) GROUP BY dc",
    "SELECT bottom(v, host, dc, 4), n INTO target FROM (SELECT v, n FROM (SELECT v, n FROM FROM))",
    "SELECT bottom(v, dc, host, 4), n INTO target FROM (SELECT v, n FROM FROM GROUP BY *) GROUP BY *",
    "SELECT top(v, host, 4) INTO target FROM (SELECT top(v, dc, 2) AS v FROM FROM)",
    "SELECT top(x, host, 2) INTO target FROM (SELECT mean(v) AS x FROM FROM WINDOWS, dc fill(0)) WINDOWS",
    "SELECT top(v, host, 3) INTO target FROM (SELECT v FROM FROM GROUP BY host), OTHER GROUP BY dc",
    "SELECT top(v, host, 3) INTO target FROM (SELECT v FROM FROM), (SELECT v FROM OTHER)",
    "SELECT top(v, host, 3) INTO target FROM FROM, FROM",
    "SELECT top(v, host, 3), n INTO target FROM (SELECT v, n FROM FROM), FROM",
    // A subquery's window that begins before the range ends its own source alone, also where GROUP BY has the call's tags.
    "SELECT top(x, dc, 1) INTO target FROM (SELECT sum(v) AS x FROM OTHER GROUP BY host, dc), \
     (SELECT mean(v) AS x FROM FROM GROUP BY time(20m), host) \
     WHERE time >= 1600000000s AND time < 1600000120s GROUP BY host, dc",
    // One that nobody knows in a subquery is a tag beside another that is grouped by it.
    "SELECT top(v, host, 2), * INTO target FROM (SELECT v, dc FROM nowhere), (SELECT v FROM FROM GROUP BY dc)",
    "SELECT top(v, s, 3) INTO target FROM (SELECT v, s FROM FROM)",
    "SELECT top(v, nothing, 3) INTO target FROM (SELECT v FROM FROM)",
    "SELECT top(nothing, host, 3) INTO target FROM (SELECT v FROM FROM)",
    "SELECT top(v, host, 3) INTO :MEASUREMENT FROM (SELECT v FROM db..FROM)",
    "SELECT top(v, host, 3) INTO db2..:MEASUREMENT FROM (SELECT v FROM FROM)",
    // A subquery's column of a tag's name is not that tag.
    "SELECT top(v, host, 3) INTO target FROM (SELECT v, s AS host FROM FROM GROUP BY host)",
    "SELECT top(v, host, 3) INTO target FROM (SELECT v, host FROM FROM GROUP BY dc)",
    // Beside wildcards, and within expressions.
    "SELECT top(v, host, 3), * INTO target FROM FROM",
    "SELECT *, top(v, host, 3) AS best INTO target FROM (SELECT v, n FROM FROM GROUP BY dc)",
    "SELECT top(v, host, 3) * 2 INTO target FROM FROM",
    "SELECT sqrt(top(v, host, 3)) AS root, n INTO target FROM (SELECT v, n FROM FROM)",
    // LIMIT, OFFSET and fill() go by series that are written.
    "SELECT top(v, host, 3) INTO target FROM FROM OFFSET 1",
    "SELECT top(v, host, 2) INTO target FROM (SELECT v FROM FROM) LIMIT 2 OFFSET 1",
    "SELECT top(v, host, 1) INTO target FROM FROM WINDOWS LIMIT 1",
    "SELECT bottom(v, host, 1) INTO target FROM FROM WINDOWS, dc LIMIT 1 OFFSET 1",
    "SELECT top(v, host, 2), n INTO target FROM FROM WINDOWS fill(previous)",
    "SELECT bottom(v, host, 2), n, s INTO target FROM (SELECT v, n, s FROM FROM) WINDOWS fill(previous)",
    "SELECT top(v, host, dc, 4) INTO target FROM FROM GROUP BY dc fill(previous)",
    "SELECT top(v, host, 4), n INTO target FROM FROM fill(previous) ORDER BY time DESC",
];

#[test]
fn the_best_points_keep_their_tags() {
    let setup = Setup::new(3, 1).rule("db", "split", &["host"]).rule("db", "two", &["host", "dc"]);
    let cluster = setup.start();
    let reference = cluster.reference("db");
    let loaded = Loaded { cluster, reference };
    for http in [loaded.cluster.http(), loaded.reference.http()] {
        http.run("", "CREATE DATABASE db");
        http.run("", "CREATE DATABASE db2");
        http.store("db", best_sample());
    }
    let windows = "WHERE time >= 1600000000s AND time < 1600000120s GROUP BY time(20s)";
    let mut number = 0;
    for text in BEST {
        for (from, other) in [("src", "split"), ("split", "two"), ("two", "src")] {
            number += 1;
            let q = text.replace("FROM FROM", &format!("FROM {from}")).replace("db..FROM", &format!("db..{from}"));
            let q = q.replace(", FROM", &format!(", {from}")).replace("OTHER", other);
            let q = q.replace("WINDOWS", windows).replace("INTO target", &format!("INTO t{number}"));
            loaded.assert_same(&[], &q);
            for db in ["db", "db2"] {
                let name = if q.contains(":MEASUREMENT") { from.to_owned() } else { format!("t{number}") };
                loaded.assert_same(&[], &format!("SELECT * FROM {db}..{name} GROUP BY *"));
            }
        }
    }
}

/// What line protocol has no form for is refused by name; a target's group that is away gets its points later.
#[test]
fn faults() {
    let mut loaded = loaded();
    for select in [
        "SELECT top(f, host, 2), * INTO hidden FROM src SLIMIT 1",
        "SELECT top(f, host, 2) * 2 INTO hidden FROM src SLIMIT 1",
        "SELECT top(f, host, 2) INTO hidden FROM src OFFSET 1 SLIMIT 1",
        "SELECT top(f, host, 2) INTO hidden FROM (SELECT f FROM src) SLIMIT 1",
    ] {
        let error = loaded.ask(loaded.cluster.http(), &[], select).text();
        assert!(error.contains("SELECT INTO with tags of top() or bottom() is not supported yet"), "{select}: {error}");
    }
    // InfluxDB panics.
    for select in [
        "SELECT f AS time INTO hidden FROM src",
        "SELECT i, s AS time INTO hidden FROM src GROUP BY host",
        "SELECT v AS time, v INTO hidden FROM split",
        "SELECT sum(v), max(v) AS time INTO hidden FROM split",
        "SELECT f, i AS time INTO hidden FROM src, other",
    ] {
        let error = loaded.ask(loaded.cluster.http(), &[], select).text();
        assert!(error.contains("SELECT INTO with another column named \\\"time\\\""), "{select}: {error}");
        let panics = loaded.ask(loaded.reference.http(), &[], select).text();
        assert!(panics.contains("[panic:"), "{select}: {panics}");
    }
    loaded.assert_same(&[], "SELECT * FROM hidden");
    let error = loaded.ask(loaded.cluster.http(), &[], "SELECT f INTO \"#x\" FROM src").text();
    assert!(error.contains("measurement \\\"#x\\\"") && error.contains("line protocol"), "{error}");
    let target = loaded.cluster.measurement_in("db", "target", 2);
    loaded.cluster.groups[2][0].kill9();
    let written = loaded.ask(loaded.cluster.http(), &[], &format!("SELECT i INTO {target} FROM src GROUP BY *"));
    assert_eq!(written.json()["results"][0]["series"][0]["values"][0][1], 98, "{written:?}");
    loaded.cluster.groups[2][0].restart();
    let q = format!("SELECT count(i) FROM {target}");
    let has_all = || {
        let counted = loaded.cluster.groups[2][0].http().run("db", &q);
        (counted["results"][0]["series"][0]["values"][0][1] == 98).then_some(())
    };
    wait_for("the points on the replica that was away", SOON, has_all);
}

/// `query.timeout` holds over all of its writes.
/// Whether there is a database any group tells.
#[test]
fn groups_that_are_not_concerned_may_be_away() {
    let mut cluster = Cluster::new(3, 1);
    cluster.create_db("db");
    let away = cluster.group_of("db", "");
    let measurement = |stem: &str| cluster.measurement_in("db", stem, (away + 1) % 3);
    let (from, to) = (measurement("from"), measurement("to"));
    cluster.http().store("db", format!("{from} v=1 1\n{from} v=2 2\n"));
    cluster.groups[away][0].stop();
    for q in [format!("SELECT v INTO {to} FROM {from}"), format!("SELECT mean(v) INTO db..{to} FROM {from}")] {
        let written = cluster.http().query("db", &q);
        assert!(written.text().contains("\"written\""), "`{q}`: {written:?}");
    }
    let seen = cluster.http().query("db", "SELECT v INTO nodb..x FROM nothing");
    assert!(seen.text().contains("database not found: nodb"), "{seen:?}");
}

#[test]
fn deadline() {
    let cluster = Setup::new(3, 1).meddled().set("query", "timeout = \"1s\"").start();
    cluster.create_db("db");
    let http = cluster.http();
    let (source, target) = (cluster.measurement_in("db", "source", 0), cluster.measurement_in("db", "target", 1));
    http.store("db", (0..100).map(|n| format!("{source} v={n} {n}\n")).collect::<String>());
    cluster.meddlers[1][0].set(Meddle::Hang);
    for chunked in ["", "true"] {
        let q = format!("SELECT v FROM {source} LIMIT 1; SELECT v INTO {target} FROM {source}");
        let seen = http.get_query(&[("db", "db"), ("q", &q), ("chunked", chunked)]).text();
        assert!(seen.contains("\"error\":\"query-timeout limit exceeded (query.timeout = 1s)\""), "{seen}");
    }
}

/// What InfluxDB alone can judge is asked before anything runs. A NUL ends the text for it: it would not see what keeps it from
/// running what it was asked about.
#[test]
fn nobody_is_asked_about_a_text_that_a_nul_ends() {
    let fakes: Vec<Fake> = (0..3).map(|_| Fake::start(Play::Answer(400, "{\"error\":\"no\"}\n".to_owned()))).collect();
    let mut config = Config::new().rule("db", "split", &["host"]);
    for (number, fake) in fakes.iter().enumerate() {
        config = config.group(&[(config::replica_name(number, 0), fake.url())]);
    }
    let slotline = Slotline::start(&config);
    let asked_about = |q: &str| {
        slotline.http().query("db", q);
        let all = fakes.iter().flat_map(Fake::requests);
        all.filter(|request| [request.path.as_bytes(), &request.body].concat().windows(4).any(|word| word == b"ENDS"))
            .count()
    };
    let q = "SELECT v INTO copies FROM split WHERE host =~ /[a-z]+$/";
    assert_eq!(asked_about(&format!("{q}\0")), 0);
    assert_eq!(asked_about(&format!("{q};\0 x")), 0);
    assert_eq!(asked_about(q), 1, "as without a NUL");
}
