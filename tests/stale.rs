//! Reads while replicas have still to take points that proxies hold for them.

mod support;

use serde_json::{Value, json};
use support::*;

const REPLICAS: [&str; 2] = ["g1a", "g1b"];
const SELECT: &str = "SELECT v FROM m";

fn header(answer: &Response) -> Option<&str> {
    answer.header("X-Slotline-Stale")
}

/// Group 1 of two replicas, and for a second group one that knows another measurement.
struct Stand {
    slotline: Slotline,
    znodes: Znodes,
    /// `g1a`, `g1b`, `g2a`
    replicas: Vec<Influxd>,
    #[expect(dead_code, reason = "held, not read: it runs as long")]
    zookeeper: Zookeeper,
}

/// Every point says which replica it lies on: they were written past slotline.
fn stand() -> Stand {
    stand_with(|_| {})
}

fn stand_with(change: impl FnOnce(&mut Document)) -> Stand {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let replicas: Vec<Influxd> = (0..3).map(|_| Influxd::start()).collect();
    for (number, replica) in replicas.iter().enumerate() {
        replica.http().run("", "CREATE DATABASE db");
        replica.http().store("db", format!("m v={number} 1\nm v={number} 2\n"));
    }
    replicas[2].http().run("db", "DROP MEASUREMENT m");
    replicas[2].http().store("db", "other v=2 1");
    let mut document = Document::of([replicas[0].url(), replicas[2].url()]);
    document.group(1).push(Member::new("g1b", replicas[1].url()));
    change(&mut document);
    znodes.put("topology", document.text());
    let slotline = Slotline::start(&Config::new().zookeeper(zookeeper.addr()));
    let stand = Stand { slotline, znodes, replicas, zookeeper };
    for name in ["g1a", "g1b", "g2a"] {
        stand.slotline.wait_metric(&format!("slotline_backend_up{{backend=\"{name}\"}}"), 1.0);
    }
    stand
}

impl Stand {
    fn select(&self) -> Response {
        self.slotline.http().get_query(&[("db", "db"), ("q", SELECT)])
    }

    /// Which replica of group 1 answers, and whether it says that it has still to take points.
    #[track_caller]
    fn answers(&self) -> (usize, Option<String>) {
        let answer = self.select();
        let json = answer.json();
        let who = json["results"][0]["series"][0]["values"][0][1].as_u64();
        let Some(who) = who else { panic!("no row: {answer:?}") };
        let text = json["results"][0]["messages"][0]["text"].as_str().map(str::to_owned);
        assert_eq!(header(&answer), text.as_ref().map(|_| REPLICAS[who as usize]), "{answer:?}");
        (who as usize, text)
    }

    #[track_caller]
    fn wait_answers(&self, who: usize, warns: bool) {
        let what = format!("an answer of {} {}", REPLICAS[who], if warns { "with a warning" } else { "alone" });
        wait_for(&what, SOON, || {
            let (found, text) = self.answers();
            (found == who && text.is_some() == warns).then_some(())
        });
    }

    /// Another proxy holds points for a replica, or no more.
    fn hold(&mut self, name: &str, proxy: &str, holds: bool) {
        let path = format!("backlog/{name}/{proxy}");
        match holds {
            true => self.znodes.put(&path, r#"{"since":"2026-01-01T00:00:00Z","points":3,"bytes":30}"#),
            false => self.znodes.delete(&path),
        }
    }

    #[track_caller]
    fn wait_held(&self, name: &str, proxies: f64) {
        self.slotline.wait_metric(&format!("slotline_replica_backlog_proxies{{backend=\"{name}\"}}"), proxies);
    }
}

#[test]
fn complete_replicas_answer_first_and_others_with_a_warning() {
    let mut stand = stand();
    let (first, warning) = stand.answers();
    assert_eq!(warning, None);
    let second = 1 - first;
    let (first_name, second_name) = (REPLICAS[first], REPLICAS[second]);
    stand.wait_held(first_name, 0.0);

    stand.hold(first_name, "p2", true);
    stand.wait_answers(second, false);
    stand.wait_held(first_name, 1.0);

    stand.hold(second_name, "p2", true);
    stand.hold(second_name, "p3", true);
    stand.wait_held(second_name, 2.0);
    let (who, text) = stand.answers();
    assert_eq!(who, first, "alike ones are asked as ever");
    let text = text.expect("it warns");
    let wanted =
        format!("replica {first_name} has still to take points from 1 other proxy; this answer may be incomplete");
    assert!(text.starts_with(&wanted), "{text}");
    assert_formats(&stand, first, &text);
    assert_merged(&mut stand);

    // Each alone, then neither.
    stand.hold(first_name, "p2", false);
    stand.wait_answers(first, false);
    stand.replicas[first].kill9();
    stand.wait_answers(second, true);
    stand.slotline.wait_metric(&format!("slotline_backend_up{{backend=\"{first_name}\"}}"), 0.0);
    stand.wait_answers(second, true);
    stand.replicas[first].restart();
    stand.wait_answers(first, false);
    stand.hold(second_name, "p2", false);
    stand.hold(second_name, "p3", false);
    stand.wait_held(second_name, 0.0);
    assert!(stand.slotline.metric("slotline_queries_stale_total", &[]) > 5);
    assert_eq!(stand.slotline.metric("slotline_queries_stale_refused_total", &[]), 0);
}

/// But for the warning, the answer is the replica's own.
#[track_caller]
fn assert_formats(stand: &Stand, replica: usize, text: &str) {
    let asked = |params: &[(&str, &str)], name: &str, value: &str, q: &str| {
        let all = [&[("db", "db"), ("q", q)], params].concat();
        let request = Request::new("GET", &format!("/query?{}", client::form(&all))).header(name, value);
        let seen = stand.slotline.http().send(&request);
        assert_eq!((seen.status, header(&seen)), (200, Some(REPLICAS[replica])), "{seen:?}");
        (seen, stand.replicas[replica].http().send(&request))
    };
    let message = json!([{"level": "warning", "text": text}]);
    let pretty = serde_json::to_string(text).expect("a text");
    let pretty = format!(
        "{0:12}\"messages\": [\n{0:16}{{\n{0:20}\"level\": \"warning\",\n{0:20}\"text\": {pretty}\n{0:16}}}\n{0:12}]",
        ""
    );
    for (params, q) in [
        (&[][..], SELECT),
        (&[("chunked", "true"), ("chunk_size", "1")], SELECT),
        (&[], "SELECT v FROM m; SELECT v FROM m LIMIT 1"),
        (&[], "SELECT nothing FROM m"),
        (&[], "SELECT undefined(v) FROM m"),
    ] {
        let (seen, own) = asked(params, "Accept-Encoding", "gzip", q);
        assert_eq!(seen.header("Content-Encoding"), None, "{seen:?}");
        let own = String::from_utf8(own.unpacked()).expect("it is text");
        let begins = r#"{"results":[{"statement_id":0"#;
        let rest = own.strip_prefix(begins).expect("so it begins");
        let text = serde_json::to_string(text).expect("a text");
        let wanted = format!(r#"{begins},"messages":[{{"level":"warning","text":{text}}}]{rest}"#);
        assert_eq!(seen.text(), wanted, "{q}");
        let (seen, own) = asked(&[params, &[("pretty", "true")]].concat(), "Accept", "*/*", q);
        let begins = "{\n    \"results\": [\n        {\n            \"statement_id\": 0";
        let own = own.text();
        let rest = own.strip_prefix(begins).expect("so it begins");
        assert_eq!(seen.text(), format!("{begins},\n{pretty}{rest}"), "{q}");
        if params.is_empty() {
            assert_eq!(seen.json()["results"][0]["messages"], message);
        }
    }
    for format in ["application/csv", "application/x-msgpack"] {
        let (seen, own) = asked(&[], "Accept", format, SELECT);
        assert_eq!(seen.full_verdict(), own.full_verdict());
    }
}

/// What is merged warns once a group; what any group can say is said by a complete one.
#[track_caller]
fn assert_merged(stand: &mut Stand) {
    let show = |stand: &Stand, q: &str| stand.slotline.http().get_query(&[("db", "db"), ("q", q)]);
    let measurements = show(stand, "SHOW MEASUREMENTS");
    // Of another text another may be the first.
    let first_name = header(&measurements).expect("it is stale");
    assert!(REPLICAS.contains(&first_name), "{measurements:?}");
    assert_eq!(show(stand, "SHOW DATABASES").header("X-Slotline-Stale"), None);
    stand.hold("g2a", "p2", true);
    stand.wait_held("g2a", 1.0);
    let both = show(stand, "SHOW MEASUREMENTS");
    assert_eq!(header(&both), Some(format!("{first_name},g2a").as_str()), "{both:?}");
    let result = &both.json()["results"][0];
    assert_eq!(result["series"][0]["values"], json!([["m"], ["other"]]));
    let texts: Vec<&Value> = result["messages"].as_array().into_iter().flatten().map(|m| &m["text"]).collect();
    assert_eq!(texts.len(), 2, "{result}");
    for (text, name) in texts.iter().zip([first_name, "g2a"]) {
        assert!(text.as_str().is_some_and(|text| text.starts_with(&format!("replica {name} has still"))), "{text}");
    }
    let databases = show(stand, "SHOW DATABASES");
    assert!(header(&databases).is_some(), "nobody is complete: {databases:?}");
    assert_eq!(databases.json()["results"][0]["messages"].as_array().map(Vec::len), Some(1));
    stand.hold("g2a", "p2", false);
    stand.wait_held("g2a", 0.0);
}

#[test]
fn a_query_that_no_complete_replica_can_answer_is_refused_if_told_so() {
    let zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fakes: Vec<Fake> = (0..3).map(|_| Fake::start(Play::stored())).collect();
    let mut document = Document::of([fakes[0].url(), fakes[2].url()]);
    document.group(1).push(Member::new("g1b", fakes[1].url()));
    znodes.put("topology", document.text());
    // Of an earlier proxy that had the replicas' points too, which does not count until it is told to.
    znodes.put("backlog/g1a/p2", "{}");
    let slotline = Slotline::start(&Config::new().zookeeper(zookeeper.addr()).set("query", "stale = \"refuse\""));
    let held = |name: &str, count: f64| {
        slotline.wait_metric(&format!("slotline_replica_backlog_proxies{{backend=\"{name}\"}}"), count);
    };
    let asked = || fakes.iter().map(Fake::queries).collect::<Vec<_>>();
    let query = |q: &str| slotline.http().get_query(&[("db", "db"), ("q", q)]);

    // Known before the first client.
    assert_eq!(query(SELECT).status, 200);
    assert_eq!(asked(), [0, 1, 0]);
    znodes.put("backlog/g1b/p3", "{}");
    held("g1b", 1.0);
    for q in [SELECT, "SHOW MEASUREMENTS"] {
        let refused = query(q);
        assert_eq!(refused.status, 503, "{refused:?}");
        let error = refused.error();
        for part in ["group 1 ", "g1a has still to take", "g1b has still to take", "query.stale"] {
            assert!(error.contains(part), "{error}");
        }
        assert_eq!(header(&refused), None);
    }
    assert_eq!(asked(), [0, 1, 0], "nobody was asked");
    assert_eq!(query("SHOW DATABASES").status, 200);
    assert_eq!(asked(), [0, 1, 1]);
    assert_eq!(slotline.metric("slotline_queries_stale_refused_total", &[]), 2);

    // The complete one fails: that is no reason to ask the other.
    znodes.delete("backlog/g1b/p3");
    held("g1b", 0.0);
    assert_eq!(query(SELECT).status, 200);
    fakes[1].set(Play::Answer(500, "{\"error\":\"engine closed\"}".to_owned()));
    let refused = query(SELECT);
    assert_eq!(refused.status, 503, "{refused:?}");
    for part in ["g1b answered 500", "engine closed", "g1a has still to take"] {
        assert!(refused.error().contains(part), "{refused:?}");
    }
    assert_eq!(asked(), [0, 3, 1]);
    znodes.delete("backlog/g1a/p2");
    held("g1a", 0.0);
    assert_eq!(query(SELECT).status, 200);
    assert_eq!(slotline.metric("slotline_queries_stale_total", &[]), 0);
}

#[test]
fn what_an_earlier_life_told_is_corrected_and_others_stay_over_an_outage() {
    let mut zookeeper = Zookeeper::start();
    let mut znodes = Znodes::of(zookeeper.addr());
    let fake = Fake::start(Play::stored());
    znodes.put("topology", Document::of([fake.url()]).text());
    let config = Config::new().zookeeper(zookeeper.addr());
    let mut slotline = Slotline::start(&config);
    let id = std::fs::read_to_string(slotline.data_dir().join("id")).expect("it has an id");
    let own = |replica: &str| format!("backlog/{replica}/{}", id.trim());
    let gone = |znodes: &mut Znodes, path: &str| wait_for(path, SOON, || znodes.get(path).is_none().then_some(()));
    znodes.put(&own("g1a"), "{}");
    gone(&mut znodes, &own("g1a"));
    gone(&mut znodes, "backlog/g1a");
    assert_eq!(slotline.stop(), 0);

    znodes.put(&own("g1a"), "{}");
    znodes.put(&own("g9z"), "{}");
    znodes.put("backlog/g1a/p2", "{}");
    slotline.start_again(&config, &[]);
    gone(&mut znodes, &own("g1a"));
    gone(&mut znodes, "backlog/g9z");
    assert!(znodes.get("backlog/g1a/p2").is_some(), "it is another's");
    let stale = |slotline: &Slotline| {
        let answer = slotline.http().query("db", SELECT);
        let warns = answer.json()["results"][0]["messages"].is_array();
        assert_eq!(warns, header(&answer).is_some(), "{answer:?}");
        header(&answer).map(str::to_owned)
    };
    assert_eq!(stale(&slotline).as_deref(), Some("g1a"));

    zookeeper.kill9();
    slotline.wait_metric("slotline_zookeeper_connected", 0.0);
    assert_eq!(stale(&slotline).as_deref(), Some("g1a"), "what was said last stays");
    assert_eq!(slotline.stop(), 0);
    slotline.start_again(&config, &[]);
    assert_eq!(slotline.figure("slotline_zookeeper_connected"), Some(0.0));
    assert_eq!(stale(&slotline).as_deref(), Some("g1a"), "over a start too");
    zookeeper.launch();
    znodes.delete("backlog/g1a/p2");
    wait_for("the end of the warning", SOON, || stale(&slotline).is_none().then_some(()));
}

#[test]
fn a_select_over_groups_warns_of_the_part_that_may_be_incomplete() {
    let own = support::slot("db", "other", &[]);
    let mut stand = stand_with(|document| document.slots = vec![(0, own - 1, 1), (own, own, 2), (own + 1, 1023, 1)]);
    let ask = |stand: &Stand, more: &[(&str, &str)]| {
        let q = ("q", "SELECT v FROM m, other");
        stand.slotline.http().get_query(&[&[("db", "db"), q], more].concat())
    };
    let forms: [&[(&str, &str)]; 2] = [&[], &[("chunked", "true")]];
    for form in forms {
        let answer = ask(&stand, form);
        assert!(header(&answer).is_none() && !answer.text().contains("messages"), "{answer:?}");
        assert!(answer.text().contains("\"name\":\"m\"") && answer.text().contains("\"name\":\"other\""), "{answer:?}");
    }
    for name in REPLICAS {
        stand.hold(name, "p2", true);
        stand.wait_held(name, 1.0);
    }
    for form in forms {
        let answer = ask(&stand, form);
        let stale = header(&answer).unwrap_or_else(|| panic!("no header: {answer:?}")).to_owned();
        assert!(REPLICAS.contains(&stale.as_str()), "group 1 alone: {answer:?}");
        let warning = format!("replica {stale} has still to take points from 1 other proxy");
        let first = answer.text().lines().next().unwrap_or_default().to_owned();
        let json: Value = serde_json::from_str(&first).expect("a document");
        let text = json["results"][0]["messages"][0]["text"].as_str().unwrap_or_default();
        assert!(text.starts_with(&warning), "{answer:?}");
        assert_eq!(answer.text().matches(&warning).count(), 1, "told once: {answer:?}");
    }
}
