//! Where SELECTs run, by their texts and what the groups know.

use super::*;
use crate::plan::sources::bound_by_now;
use crate::plan::tests::{apart, parsed, topology};
use crate::topology::{SlotKey, Topology};

const NOW: i64 = 1_600_000_000_000_000_000;

#[test]
fn what_may_fall_silent_is_not_left_to_groups() {
    for (text, may) in [
        ("SELECT percentile(v, 49) FROM m", true),
        ("SELECT percentile(v, 49.9) + 1, max(v) FROM m", true),
        ("SELECT percentile(v, 101) FROM m", true),
        ("SELECT percentile(v, 50), percentile(v, 100) FROM m", false),
        ("SELECT difference(percentile(v, 5)) FROM m GROUP BY time(1m)", true),
        ("SELECT holt_winters(mean(v), 2, 0) FROM m GROUP BY time(1m)", true),
        ("SELECT max(x) FROM (SELECT percentile(v, 5) AS x FROM m)", true),
        ("SELECT max(v), host FROM m", false),
    ] {
        assert_eq!(may_fall_silent(&parsed(text)), may, "{text}");
    }
}

fn schema(explained: &str) -> Schema {
    let mut schema = Schema::default();
    schema.add_explained([format!("AUXILIARY FIELDS: {explained}").as_str()]).expect("it reads");
    schema
}

/// The parts of a SELECT over two groups, by group; or where it goes as a whole, or why it does not.
fn planned(text: &str, explained: &str) -> Vec<String> {
    let topology = topology(2);
    let circumstances = Circumstances { topology: &topology, db: "d", may_write: true };
    match select(&parsed(text), &[schema(explained)], circumstances) {
        Ok(Planned::Runs(selected)) => shown(selected),
        Ok(Planned::Lists(limits)) => {
            let listing = |(group, listing): (GroupIndex, Select)| format!("lists {group}: {listing}");
            limits.listings(None).into_iter().map(listing).collect()
        }
        Err(reason) => vec![reason],
    }
}

fn shown(selected: Selected) -> Vec<String> {
    match selected {
        Selected::One(groups) => vec![format!("{groups:?}")],
        Selected::Rewritten(group, part) => vec![format!("{group}: {part}")],
        Selected::Concatenate(whole) => {
            let mut parts = whole.parts;
            parts.sort_by_key(|(group, _)| *group);
            parts.into_iter().map(|(group, part)| format!("{group}: {part}")).collect()
        }
        Selected::Gather(gathering) => vec![format!("gather {}", gathering.select)],
        Selected::Nest(nesting) => vec![format!("nest {}", nesting.select)],
    }
}

fn owner_of_host(host: &str) -> GroupIndex {
    let mut key = SlotKey::database("d");
    key.push(b"split");
    key.push(host.as_bytes());
    topology(2).owner(key.slot())
}

/// Two hosts of one group, and one of the other.
fn hosts() -> (String, String, String) {
    let mut of: [Vec<String>; 2] = Default::default();
    (0..20).map(|n| format!("h{n}")).for_each(|host| of[usize::from(owner_of_host(&host))].push(host));
    (of[0].remove(0), of[0].remove(0), of[1].remove(0))
}

#[test]
fn several_measurements_are_read_each_by_its_owner() {
    let [(a, _), (b, _)] = apart();
    let explained = "dc::tag, host::tag, n::integer, v::float";
    assert_eq!(
        planned(&format!("SELECT * FROM {b}, {a}, {a} WHERE v > 3 ORDER BY time DESC LIMIT 2 SLIMIT 1"), explained),
        [
            format!(
                "0: SELECT dc::tag, host::tag, n::integer, v::float FROM {a}, {a} WHERE v::float > 3 ORDER BY time DESC LIMIT 2 SLIMIT 1"
            ),
            format!(
                "1: SELECT dc::tag, host::tag, n::integer, v::float FROM {b} WHERE v::float > 3 ORDER BY time DESC LIMIT 2 SLIMIT 1"
            ),
        ]
    );
    assert_eq!(
        planned(&format!("SELECT max(x) FROM (SELECT mean(*) AS x FROM {a}, {b} GROUP BY *)"), explained),
        [
            format!(
                "0: SELECT max(x) FROM (SELECT mean(n::integer) AS x_n, mean(v::float) AS x_v FROM {a} GROUP BY dc, host)"
            ),
            format!(
                "1: SELECT max(x) FROM (SELECT mean(n::integer) AS x_n, mean(v::float) AS x_v FROM {b} GROUP BY dc, host)"
            ),
        ]
    );
    assert_eq!(planned(&format!("SELECT mean(*) FROM {a}, {b}"), "s::string, t::tag").len(), 1, "nothing is left");
}

#[test]
fn of_a_split_measurement_what_one_group_sees_goes_there() {
    let (one, two, other) = hosts();
    for (condition, rewritten) in [
        (format!("host = '{one}'"), format!("host::tag = '{one}'")),
        (format!("host = '{one}' OR host = '{two}'"), format!("host::tag = '{one}' OR host::tag = '{two}'")),
        (format!("'{one}' = host"), format!("'{one}' = host::tag")),
    ] {
        let seen = planned(&format!("SELECT mean(v) FROM split WHERE {condition}"), "v::float, host::tag");
        assert_eq!(seen, [format!("0: SELECT mean(v::float) FROM split WHERE {rewritten}")]);
    }
    let typed = format!("WHERE v > 1 AND (host::tag =~ /^({one}|{two})$/)");
    assert_eq!(planned(&format!("SELECT mean(v) FROM split {typed}"), "v::float"), ["[0]"], "nobody need be asked");
    let wide = planned(&format!("SELECT * FROM split {typed} GROUP BY *"), "v::float, host::tag, w::integer, dc::tag");
    assert!(
        wide[0].starts_with("0: SELECT v::float, w::integer FROM split") && wide[0].ends_with("GROUP BY dc, host"),
        "{wide:?}"
    );
    let both =
        planned(&format!("SELECT mean(v) FROM split WHERE host = '{one}' OR host = '{other}'"), "v::float, host::tag");
    assert!(both[0].starts_with("gather SELECT mean(v::float) FROM split"), "{both:?}");
    let field =
        planned(&format!("SELECT mean(v) FROM split WHERE host = '{one}'"), "v::float, host::tag, host::string");
    assert!(field[0].starts_with("gather "), "a field of that name: {field:?}");
    let typed =
        planned(&format!("SELECT mean(v) FROM split WHERE host::tag = '{one}'"), "v::float, host::tag, host::string");
    assert_eq!(typed, ["[0]"]);
}

#[test]
fn groups_that_cover_the_tags_are_concatenated() {
    let known = "dc::tag, host::tag, v::float";
    for covered in ["GROUP BY host", "GROUP BY *", "GROUP BY /^h/", "GROUP BY time(1m), host, dc"] {
        let parts = planned(&format!("SELECT mean(v) FROM split {covered}"), known);
        assert!(parts.len() == 2 && parts[0].contains("mean(v::float)"), "{covered}: {parts:?}");
    }
    assert_eq!(planned("SELECT max(x) FROM (SELECT mean(v) AS x FROM split) GROUP BY host", known).len(), 2);
    assert_eq!(planned("SELECT * FROM (SELECT mean(v) AS x FROM split GROUP BY *) GROUP BY *", known).len(), 2);
    assert_eq!(planned("SELECT mean(v) FROM split", "dc::tag, v::float").len(), 2, "no series has the tag");
    assert_eq!(
        planned("SELECT max(x) - min(x) FROM (SELECT mean(*) FROM split GROUP BY host)", known),
        ["nest SELECT max(x) - min(x) FROM (SELECT mean(v::float) AS mean_v FROM split GROUP BY host)"]
    );
    for text in ["SELECT mean(v) FROM split GROUP BY dc", "SELECT v FROM split", "SELECT * FROM split"] {
        let parts = planned(text, known);
        assert!(parts.len() == 1 && parts[0].starts_with("gather "), "{parts:?}");
    }
}

/// Of series of several groups SLIMIT counts what these list; of others each group counts its own.
#[test]
fn series_that_are_counted_over_groups_are_listed_first() {
    let known = "dc::tag, host::tag, v::float";
    let [(a, _), (b, _)] = apart();
    for text in [
        "SELECT v FROM split GROUP BY host SLIMIT 1".to_owned(),
        "SELECT v FROM (SELECT v FROM split SOFFSET 1) SLIMIT 1".to_owned(),
        format!("SELECT v FROM {a}, split SLIMIT 2"),
    ] {
        let lists = planned(&text, known);
        assert!(lists[0].starts_with("lists 0: SELECT _seriesKey FROM "), "{text}: {lists:?}");
    }
    let each = planned(&format!("SELECT v FROM {a}, {b} SLIMIT 2"), known);
    assert!(each.len() == 2 && each.iter().all(|part| part.ends_with("SLIMIT 2")), "{each:?}");
}

#[test]
fn what_is_let_through_of_series_is_made_by_groups_and_of_rows_here() {
    let topology = topology(2);
    let circumstances = Circumstances { topology: &topology, db: "d", may_write: true };
    let (one, ..) = hosts();
    let planned = |text: &str, passed| {
        let schema = schema("dc::tag, host::tag, v::float");
        narrowed(&parsed(text), &[schema], passed, circumstances).map(shown)
    };
    let covered = "SELECT v FROM split GROUP BY host";
    assert_eq!(planned(covered, Passed::Series).map(|parts| parts.len()), Ok(2));
    let rows = planned(covered, Passed::Rows).expect("they can be gathered");
    assert_eq!(rows, ["gather SELECT v::float FROM split GROUP BY host"]);
    let alone = format!("SELECT v FROM split WHERE host::tag = '{one}'");
    let part = format!("SELECT v::float FROM split WHERE host::tag = '{one}'");
    assert_eq!(planned(&alone, Passed::Series), Ok(vec![format!("0: {part}")]));
    assert_eq!(planned(&alone, Passed::Rows), Ok(vec![format!("gather {part}")]));
    let twins = planned("SELECT v FROM split, d.p.split GROUP BY host", Passed::Series);
    assert_eq!(twins, Ok(vec!["nest SELECT v::float FROM split, d.p.split GROUP BY host".to_owned()]));
}

#[test]
fn one_name_in_databases_of_several_groups_is_nested() {
    let topology = topology(2);
    let of = |db: &str| topology.owner(Topology::measurement_slot(db, b"m"));
    let other = (0..20).map(|n| format!("d{n}")).find(|db| of(db) != of("d")).expect("some db is elsewhere");
    let nested = planned(&format!("SELECT v FROM m, {other}..m"), "v::float");
    assert_eq!(nested, [format!("nest SELECT v::float FROM m, {other}..m")]);
    let nested = planned("SELECT v FROM split, e..split GROUP BY host", "v::float, host::tag");
    assert_eq!(nested, ["nest SELECT v::float FROM split, e..split GROUP BY host"]);
    let nested = planned("SELECT v FROM split, d.p.split GROUP BY host", "v::float, host::tag");
    assert_eq!(nested, ["nest SELECT v::float FROM split, d.p.split GROUP BY host"], "which is first goes on");
    let counted = planned("SELECT count(v) FROM split, d.p.split GROUP BY host", "v::float, host::tag");
    assert_eq!(counted.len(), 2);
    let nested = planned("SELECT v FROM split, d.p.split", "v::float, host::tag");
    assert_eq!(nested, ["nest SELECT v::float FROM split, d.p.split"]);
}

#[test]
fn the_schema_is_asked_for_in_the_statements_time() {
    let topology = topology(2);
    let [(a, _), (b, in_b)] = apart();
    let circumstances = Circumstances { topology: &topology, db: "d", may_write: true };
    let mut select = parsed(&format!(
        "SELECT x FROM (SELECT mean(v) AS x FROM {a}, d..{b} WHERE h = 'x' AND (time > 5 OR time > 7)) WHERE 3s < time GROUP BY time(1s)"
    ));
    bound_by_now(&mut select, NOW);
    let asked = probe(&select, circumstances).expect("it can be asked");
    let of_b = asked.iter().find(|question| question.group == in_b).expect("both are asked");
    assert_eq!(of_b.explain, format!("EXPLAIN SELECT * FROM d..{b} WHERE 3s < time AND time <= {NOW}"));
    let shows: Vec<&str> = of_b.tag_keys.iter().map(|keys| keys.show.as_str()).collect();
    assert_eq!(shows, [format!("SHOW TAG KEYS ON d FROM {b}")]);
    assert_eq!(of_b.range, TimeRange { start: 3_000_000_001, end: NOW });
    assert_eq!(probe(&parsed(&format!("SELECT v FROM {a}, {a}")), circumstances), Ok(Vec::new()));
}

#[test]
fn the_bound_that_time_has_is_written_out_once() {
    for (text, expected) in [
        ("SELECT mean(v) FROM m GROUP BY time(1m)", "WHERE time <= 1600000000000000000 GROUP BY"),
        (
            "SELECT mean(v) FROM m WHERE a = 'x' OR b = 'y' GROUP BY time(1m)",
            "WHERE (a = 'x' OR b = 'y') AND time <= 1600000000000000000 ",
        ),
        ("SELECT mean(v) FROM m WHERE time > 5 GROUP BY time(1m)", "WHERE time > 5 AND time <= 1600000000000000000 "),
        ("SELECT mean(v) FROM m WHERE time < 5 GROUP BY time(1m)", "WHERE time < 5 GROUP BY"),
        ("SELECT mean(v) FROM m WHERE 5 >= time GROUP BY time(1m)", "WHERE 5 >= time GROUP BY"),
        ("SELECT mean(v) FROM m", "SELECT mean(v) FROM m"),
    ] {
        let mut select = parsed(text);
        bound_by_now(&mut select, NOW);
        assert!(select.to_string().contains(expected), "{select}");
    }
}
