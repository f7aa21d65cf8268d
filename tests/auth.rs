//! Replicas that ask for credentials, and what clients may do with slotline's.

mod support;

use std::os::unix::fs::PermissionsExt;

use support::cluster::ADMIN;
use support::*;

fn refusal(answer: &Response) -> Option<String> {
    let json = answer.json();
    let whole = json["error"].as_str();
    let in_results = || json["results"].as_array()?.iter().find_map(|result| result["error"].as_str());
    whole.or_else(in_results).map(str::to_owned)
}

/// A statement sent to a replica with the credentials of its administrator.
#[track_caller]
fn as_admin(replica: &Influxd, db: &str, q: &str) -> Response {
    let params = [("db", db), ("epoch", "ns"), ("q", q), ("u", ADMIN.0), ("p", ADMIN.1)];
    let path = format!("/query?{}", client::form(&params));
    let answer = replica.http().send(&Request::new("POST", &path));
    assert_eq!(answer.status, 200, "{answer:?}");
    answer
}

fn start(trust: bool) -> Cluster {
    let setup = Setup::new(2, 2).with_auth().set("auth", "mode = \"off\"");
    let cluster = setup.set("auth", &format!("trust_clients = {trust}")).start();
    for replica in cluster.replicas() {
        as_admin(replica, "", "CREATE DATABASE db");
    }
    cluster
}

/// Statements that change more than points, with credentials that the client doesn't have.
const PRIVILEGED: &[&str] = &[
    "CREATE DATABASE other",
    "DROP DATABASE db",
    "CREATE RETENTION POLICY p ON db DURATION 1d REPLICATION 1",
    "ALTER RETENTION POLICY autogen ON db DURATION 1d",
    "DROP RETENTION POLICY autogen ON db",
    "CREATE USER eve WITH PASSWORD 'x' WITH ALL PRIVILEGES",
    "DROP USER admin",
    "SET PASSWORD FOR admin = 'x'",
    "GRANT ALL PRIVILEGES TO eve",
    "REVOKE ALL PRIVILEGES FROM admin",
    "DELETE FROM m1s",
    "DELETE WHERE time > 0",
    "DROP SERIES FROM m1s",
    "DROP MEASUREMENT m1s",
    "SELECT v INTO stolen FROM m1s",
    "SELECT v FROM m1s; DROP MEASUREMENT m1s",
];

#[test]
fn reads_and_writes_use_the_replicas_credentials() {
    let cluster = start(false);
    let body: String = (0..20).map(|n| format!("m{n}s v={n} {n}\n")).collect();
    cluster.http().store("db", &body);
    for (number, group) in cluster.groups.iter().enumerate() {
        for replica in group {
            let stored = as_admin(replica, "db", "SHOW MEASUREMENTS").json();
            let names = facts::names(&stored);
            let own = |name: &str| cluster.group_of("db", name) == number;
            let expected = (0..20).map(|n| format!("m{n}s")).filter(|name| own(name)).count();
            assert_eq!(names.len(), expected, "{names:?}");
            assert!(names.iter().all(|name| own(name)), "{names:?}");
        }
    }
    for n in 0..20 {
        let q = format!("SELECT v FROM m{n}s");
        let answer = cluster.http().get_query(&[("db", "db"), ("epoch", "ns"), ("q", &q)]);
        let row = &answer.json()["results"][0]["series"][0]["values"][0];
        assert_eq!(*row, serde_json::json!([n, n]), "{answer:?}");
    }
    assert_eq!(cluster.http().run("db", "SHOW DATABASES").to_string().matches("\"db\"").count(), 1);
}

#[test]
fn with_stored_credentials_clients_may_not_change_databases_users_or_stored_points() {
    let cluster = start(false);
    cluster.http().store("db", "m1s v=1 1\nm2 v=1 1\nm3 v=1 1\n");
    let state = || -> Vec<String> {
        let replicas = cluster.replicas();
        let q = "SHOW DATABASES; SHOW USERS; SHOW RETENTION POLICIES ON db; SELECT * FROM /.*/";
        replicas.map(|replica| as_admin(replica, "db", q).text()).collect()
    };
    let before = state();
    for q in PRIVILEGED {
        for answer in [
            cluster.http().query("db", q),
            cluster.http().get_query(&[("db", "db"), ("q", q)]),
            cluster.http().get_query(&[("db", "db"), ("chunked", "true"), ("q", q)]),
        ] {
            let reason = refusal(&answer).unwrap_or_else(|| panic!("`{q}` is not refused: {answer:?}"));
            assert!(reason.len() > 20, "`{q}` is refused with no real reason: {reason:?}");
            assert!(!reason.contains(ADMIN.1), "{reason}");
        }
    }
    assert_eq!(state(), before, "something was changed");
}

#[test]
fn trusted_clients_may_do_everything() {
    let cluster = start(true);
    let http = cluster.http();
    http.store("db", "m1s v=1 1\nm2 v=1 1\nm3 v=1 1\n");
    http.run("", "CREATE DATABASE other");
    http.run("", "CREATE USER eve WITH PASSWORD 'x'");
    http.run("db", "DROP MEASUREMENT m1s");
    http.run("db", "DELETE FROM m2s");
    for replica in cluster.replicas() {
        let state = as_admin(replica, "db", "SHOW DATABASES; SHOW USERS; SHOW MEASUREMENTS").text();
        assert!(state.contains("other") && state.contains("eve"), "{state}");
        assert!(!state.contains("m1s") && !state.contains("m2s"), "{state}");
    }
}

#[test]
fn wrong_credentials_are_the_operators_matter_and_never_success() {
    let replica = Influxd::start_with_auth();
    let create = format!("CREATE USER {} WITH PASSWORD '{}' WITH ALL PRIVILEGES", ADMIN.0, ADMIN.1);
    replica.http().run("", &create);
    as_admin(&replica, "", "CREATE DATABASE db");
    let config = Config::new().set("write", "timeout = \"1s\"").group_with(
        &[("g1a".to_owned(), replica.url())],
        "  username = \"admin\"\n  password = \"not-the-passw0rd\"\n",
    );
    let slotline = Slotline::start(&config);
    let answer = slotline.http().write("db", "m v=1 1\n");
    assert!(answer.status >= 400, "{answer:?}");
    assert!(!answer.text().contains("not-the-passw0rd"), "{answer:?}");
    let answer = slotline.http().query("db", "SELECT * FROM m");
    assert!(refusal(&answer).is_some(), "{answer:?}");
    assert!(!slotline.log().contains("not-the-passw0rd"), "the password is in the log");
}

/// What a dashboard asks for its variables: storage shards, which only an administrator may see, are not asked for where no
/// group has more to say than it said.
#[test]
fn tags_with_a_time_need_no_administrator() {
    let replicas: Vec<Influxd> = (0..3).map(|_| Influxd::start_with_auth()).collect();
    let mut config = Config::new().rule("db", "split", &["host"]);
    for (replica, name) in replicas.iter().zip(["g1a", "g2a", "g3a"]) {
        let create = format!("CREATE USER {} WITH PASSWORD '{}' WITH ALL PRIVILEGES", ADMIN.0, ADMIN.1);
        replica.http().run("", &create);
        for q in ["CREATE DATABASE db", "CREATE USER jane WITH PASSWORD 'pw'", "GRANT ALL ON db TO jane"] {
            as_admin(replica, "", q);
        }
        let credentials = "  username = \"jane\"\n  password = \"pw\"\n";
        config = config.group_with(&[(name.to_owned(), replica.url())], credentials);
    }
    let slotline = Slotline::start(&config);
    let body: String =
        (0..12).map(|n| format!("split,host=h{n},dc={} v=1\n", if n == 3 { "x" } else { "y" })).collect();
    slotline.http().store("db", &body);
    // Nor do rows of one time, whatever storage shards they lie in.
    let points = |time: i64| (0..12).map(move |n| format!("split,host=h{n} w={n} {time}\n"));
    slotline.http().store("db", [1, 1_000_000_000_000_000_000].into_iter().flat_map(points).collect::<String>());
    for (q, rows) in [
        ("SELECT w, host FROM split", 24),
        ("SELECT max(w), host FROM split", 1),
        ("SELECT top(one, 1), host FROM (SELECT w / w AS one, host FROM split WHERE w > 0)", 1),
        ("SELECT x, y FROM (SELECT w AS x, host AS y FROM split)", 24),
        ("SELECT last(w), host FROM split", 1),
    ] {
        let answer = slotline.http().query("db", q);
        let seen = (answer.status, refusal(&answer), answer.text().replace("\"host\"", "").matches("\"h").count());
        assert_eq!(seen, (200, None, rows), "`{q}`: {answer:?}");
    }
    for (from, condition, hosts) in
        [("split", "dc = 'x'", 1), ("split", "dc = 'y'", 11), ("split", "dc = 'z'", 0), ("nothing", "dc = 'y'", 0)]
    {
        let q = format!("SHOW TAG VALUES FROM {from} WITH KEY = host WHERE {condition} AND time > now() - 1h");
        let answer = slotline.http().query("db", &q);
        let seen = (answer.status, refusal(&answer), answer.text().matches("[\"host\",").count());
        assert_eq!(seen, (200, None, hosts), "`{q}`: {answer:?}");
    }
}

#[test]
fn passwords_stay_out_of_logs_and_answers_and_files_keep_them_private() {
    let mut cluster = start(true);
    let http = cluster.http();
    http.store("db", "m1s v=1 1\n");
    http.run("", "CREATE USER eve WITH PASSWORD 'hush-hush-eve'");
    http.query("", "SET PASSWORD FOR nobody = 'hush-hush-nobody'");
    http.query("", "CREATE USER x WITH PASSWORD 'hush-hush-x' AND MORE");
    http.get_query(&[("db", "db"), ("q", "SELECT * FROM m1s"), ("u", "me"), ("p", "hush-hush-me")]);
    http.write_with("db=db&u=me&p=hush-hush-me", "m1s v=2 2\n");
    cluster.groups[0][0].kill9();
    http.write("db", (0..9).map(|n| format!("m{n}s v=1 1\n")).collect::<String>());

    let admin_port = cluster.slotline.admin();
    for path in ["/metrics", "/health", "/ready"] {
        let text = admin_port.get(path).text();
        assert!(!text.contains(ADMIN.1), "{path}");
    }
    let mut with_password = 0;
    for entry in std::fs::read_dir(cluster.slotline.data_dir()).expect("data_dir can be listed") {
        let path = entry.expect("data_dir can be listed").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("files of data_dir can be read");
            if String::from_utf8_lossy(&bytes).contains(ADMIN.1) {
                let mode = path.metadata().expect("a file has metadata").permissions().mode();
                assert_eq!(mode & 0o777, 0o600, "{}", path.display());
                with_password += 1;
            }
        }
    }
    println!("{with_password} files of data_dir hold the password");
    cluster.slotline.signal(libc::SIGTERM);
    cluster.slotline.wait_exit();
    let log = cluster.slotline.log();
    assert!(!log.is_empty());
    for secret in [ADMIN.1, "hush-hush"] {
        assert!(!log.contains(secret), "{secret} is in the log");
    }
}
