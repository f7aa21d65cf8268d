//! The queries that run now, over all cores: SHOW QUERIES and KILL QUERY. A table for each shard, which it alone changes, under
//! a lock that others take only to copy its pointers. Who waits for a query's end is told on the shard that runs it, by its
//! bell: a shard that lingers (`net::ready`) hears other threads late.
//!
//! Ids count up from 1 and are unique in the process. A killed query ends with InfluxDB's `query interrupted`, as does one
//! whose client has left. As in InfluxDB, one that has closed only its own side of the connection has.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use event_listener::Event;
use futures_lite::future;

use crate::influxql::{Query, Statement};
use crate::merge::emit::not_executed;
use crate::merge::results::{Message, Series, StatementResult, Value};
use crate::net::{Doorbell, Peer};

/// What a killed query answers.
pub const INTERRUPTED: &str = "query interrupted";

/// A query as it is shown: without passwords.
pub fn text(query: &Query) -> String {
    query.statements.iter().map(Statement::to_string).collect::<Vec<_>>().join(";\n")
}

/// What InfluxDB says of a statement that changes something and was asked for by GET.
pub fn deprecated(statement: &Statement) -> Message {
    Message::warning(format!(
        "deprecated use of '{statement}' in a read only context, please use a POST request instead"
    ))
}

/// What a request of so many statements answers that is killed before it has said anything.
pub fn interrupted(statements: usize) -> Vec<StatementResult> {
    let failed = StatementResult::failed(0, INTERRUPTED);
    std::iter::once(failed).chain(not_executed(0, statements)).collect()
}

/// Ready once a client has left; never, if nobody waits.
pub async fn left(client: Option<Peer>) {
    match client {
        Some(client) => client.left().await,
        None => future::pending().await,
    }
}

pub struct RunningQueries {
    /// Of the shards, in their order.
    doorbells: Arc<[Doorbell]>,
    last_id: AtomicU64,
    /// By shard.
    tables: Box<[Mutex<Table>]>,
}

/// Queries by their ids.
type Table = BTreeMap<u64, Arc<Entry>>;

struct Entry {
    query: Arc<Query>,
    db: String,
    began: Instant,
    /// The shard that runs it.
    shard: usize,
    killed: AtomicBool,
    /// Told on that shard's thread.
    kill: Event,
}

/// A query in the table, until this is dropped.
pub struct Registered {
    table: Arc<RunningQueries>,
    id: u64,
    entry: Arc<Entry>,
    /// Who waits for it, if anybody does.
    client: Option<Peer>,
}

impl RunningQueries {
    pub fn new(doorbells: Arc<[Doorbell]>) -> RunningQueries {
        let tables = doorbells.iter().map(|_| Mutex::default()).collect();
        RunningQueries { doorbells, last_id: AtomicU64::new(0), tables }
    }

    pub fn begin(
        self: &Arc<RunningQueries>,
        query: Arc<Query>,
        db: String,
        began: Instant,
        shard: usize,
    ) -> Registered {
        let id = self.last_id.fetch_add(1, Ordering::Relaxed) + 1;
        let (killed, kill) = (AtomicBool::new(false), Event::new());
        let entry = Arc::new(Entry { query, db, began, shard, killed, kill });
        self.table(shard).insert(id, entry.clone());
        Registered { table: self.clone(), id, entry, client: None }
    }

    /// The answer to SHOW QUERIES, by id.
    pub fn show(&self, statement_id: usize, now: Instant) -> StatementResult {
        let row = |(id, entry): (&u64, &Arc<Entry>)| {
            let status = if entry.killed.load(Ordering::Acquire) { "killed" } else { "running" };
            let duration = duration(now.saturating_duration_since(entry.began));
            let id = Value::Integer(i64::try_from(*id).unwrap_or(i64::MAX));
            vec![id, text(&entry.query).into(), entry.db.as_str().into(), duration.into(), status.into()]
        };
        let columns = ["qid", "query", "database", "duration", "status"].map(str::to_owned).to_vec();
        let mut queries = Table::new();
        for shard in 0..self.tables.len() {
            queries.extend(self.table(shard).iter().map(|(id, entry)| (*id, entry.clone())));
        }
        let values = queries.iter().map(row).collect();
        let series = vec![Series { columns, values, ..Series::default() }];
        StatementResult { statement_id, series, ..StatementResult::default() }
    }

    /// Ends a query.
    ///
    /// # Errors
    /// There is none of this id, in InfluxDB's words.
    pub fn kill(&self, id: u64) -> Result<(), String> {
        let entry = (0..self.tables.len()).find_map(|shard| self.table(shard).get(&id).cloned());
        let entry = entry.ok_or_else(|| format!("no such query id: {id}"))?;
        entry.killed.store(true, Ordering::Release);
        self.doorbells[entry.shard].ring();
        Ok(())
    }

    /// A shard's bell has rung: the queries that it runs, and that were killed, shall hear of it.
    pub fn tell_killed(&self, shard: usize) {
        for entry in self.table(shard).values().filter(|entry| entry.killed.load(Ordering::Acquire)) {
            entry.kill.notify(usize::MAX);
        }
    }

    fn table(&self, shard: usize) -> MutexGuard<'_, Table> {
        // Nothing is left half done under it.
        self.tables[shard].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Registered {
    pub fn id(&self) -> u64 {
        self.id
    }

    /// Its end is that of a client's waiting too. The client's connection lasts as long as this.
    pub fn waited_for(mut self, client: Option<Peer>) -> Registered {
        self.client = client;
        self
    }

    /// Ready once the query shall end: it is killed, or its client has left.
    pub fn killed(&self) -> impl Future<Output = ()> + 'static {
        let (entry, left) = (self.entry.clone(), left(self.client));
        let killed = async move {
            while !entry.killed.load(Ordering::Acquire) {
                let kill = entry.kill.listen();
                if !entry.killed.load(Ordering::Acquire) {
                    kill.await;
                }
            }
        };
        future::or(killed, left)
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        // It is dropped outside the lock.
        let _entry = self.table.table(self.entry.shard).remove(&self.id);
    }
}

/// As Go prints a duration, of which InfluxDB keeps the whole seconds, milliseconds or microseconds.
fn duration(time: Duration) -> String {
    let (seconds, nanos) = (time.as_secs(), time.subsec_nanos());
    match (seconds, nanos) {
        (0, 0) => "0s".to_owned(),
        (0, 1..=999) => format!("{nanos}ns"),
        (0, 1_000..=999_999) => format!("{}µs", nanos / 1_000),
        (0, _) => format!("{}ms", nanos / 1_000_000),
        (1..=59, _) => format!("{seconds}s"),
        (60..=3_599, _) => format!("{}m{}s", seconds / 60, seconds % 60),
        _ => format!("{}h{}m{}s", seconds / 3_600, seconds / 60 % 60, seconds % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::influxql::{Params, parse_query};
    use crate::net::{Wire, deadline, on_a_shard};

    /// Of so many shards, and what their bells ring at.
    fn table(shards: usize) -> (Arc<RunningQueries>, Vec<Wire>) {
        let (doorbells, wires): (Vec<_>, Vec<_>) = (0..shards).map(|_| Doorbell::new().expect("a pipe")).unzip();
        (Arc::new(RunningQueries::new(doorbells.into())), wires)
    }

    fn query(text: &str) -> Arc<Query> {
        Arc::new(parse_query(text, &Params::new()).expect("it is InfluxQL"))
    }

    fn ids(running: &RunningQueries) -> Vec<i64> {
        let shown = running.show(0, Instant::now());
        shown.series[0].values.iter().filter_map(|row| row[0].as_i64()).collect()
    }

    #[test]
    fn queries_come_and_go() {
        let (running, _wires) = table(2);
        let now = Instant::now();
        let first = running.begin(query("SHOW STATS"), "db".into(), now, 1);
        let second = running.begin(query("SHOW QUERIES"), String::new(), now, 0);
        let shown = running.show(7, now + Duration::from_micros(1_500));
        assert_eq!((shown.statement_id, shown.series[0].columns[4].as_str()), (7, "status"));
        let row = |id: i64, text: &str, db: &str| {
            let cells: [Value; 4] = [text.into(), db.into(), "1ms".into(), "running".into()];
            std::iter::once(id.into()).chain(cells).collect::<Vec<Value>>()
        };
        assert_eq!(shown.series[0].values, [row(1, "SHOW STATS", "db"), row(2, "SHOW QUERIES", "")]);
        drop(first);
        let third = running.begin(query(""), String::new(), now, 1);
        assert_eq!(ids(&running), [2, 3]);
        drop((second, third));
        assert_eq!(ids(&running), [] as [i64; 0]);
    }

    #[test]
    fn a_killed_query_is_shown_as_killed_and_hears_of_it_later_too() {
        let (running, _wires) = table(1);
        let query = running.begin(query(""), String::new(), Instant::now(), 0);
        assert_eq!(running.kill(1), Ok(()));
        assert_eq!(running.show(0, Instant::now()).series[0].values[0][4], Value::from("killed"));
        futures_lite::future::block_on(query.killed());
        assert_eq!(running.kill(9), Err("no such query id: 9".to_owned()));
    }

    /// There it is told, once the bell has rung.
    #[test]
    fn the_bell_of_the_querys_shard_rings_for_a_kill() {
        let (table, mut wires) = table(2);
        let wire = wires.remove(1);
        on_a_shard(move || async move {
            let query = table.begin(query(""), String::new(), Instant::now(), 1);
            let (mut bell, killer) = (wire.connect().expect("an epoll"), table.clone());
            let killing = std::thread::spawn(move || killer.kill(1));
            let killed = query.killed();
            let hearing = async {
                assert!(bell.heard(|_, _| ()).await);
                table.tell_killed(0);
                table.tell_killed(1);
                future::pending::<()>().await;
            };
            let soon = Instant::now() + Duration::from_secs(10);
            assert!(deadline(soon, future::or(killed, hearing)).await.is_ok(), "nobody has told it");
            assert_eq!(killing.join().expect("it only kills"), Ok(()));
        });
    }

    /// Every query of many threads gets an id of its own.
    #[test]
    fn ids_are_unique() {
        let (running, _wires) = table(1);
        let thread = |_| {
            let running = running.clone();
            std::thread::spawn(move || {
                let begin = |_| running.begin(query(""), String::new(), Instant::now(), 0);
                (0..50).map(begin).collect::<Vec<Registered>>()
            })
        };
        let threads: Vec<_> = (0..4).map(thread).collect();
        let held: Vec<_> = threads.into_iter().map(|thread| thread.join().expect("it only counts")).collect();
        assert_eq!(ids(&running), (1..=200).collect::<Vec<i64>>());
        drop(held);
        assert_eq!(ids(&running), [] as [i64; 0]);
    }

    #[test]
    fn durations_as_influxd_prints_them() {
        for (nanos, text) in [
            (0, "0s"),
            (999, "999ns"),
            (54_321, "54µs"),
            (706_123_456, "706ms"),
            (1_999_999_999, "1s"),
            (61_000_000_000, "1m1s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(duration(Duration::from_nanos(nanos)), text);
        }
    }
}
