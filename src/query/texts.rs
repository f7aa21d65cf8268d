//! Texts that were parsed lately, of one shard: dashboards ask the same ones over and over (`time >= now() - 6h`).
//!
//! What a text means hangs on the text alone (`now()` is a call until a statement runs), so nothing here grows stale. With
//! `params` it hangs on these as well, and such a request is parsed anew; so is what cannot be parsed.
//!
//! Kept is what has come before: where every text is another one (times in them that move), what was parsed goes at once, and
//! the next is parsed into memory that is still warm.

use std::cell::RefCell;
use std::sync::Arc;

use lru::LruCache;

use crate::influxql::{Misread, Params, Query, read_query};
use crate::stats::ShardStats;

pub struct Texts {
    kept: RefCell<Kept>,
    stats: Arc<ShardStats>,
}

struct Kept {
    queries: LruCache<Box<str>, Arc<Query>, ahash::RandomState>,
    hasher: ahash::RandomState,
    /// Hashes of texts that have come, each at a place that hangs on it.
    seen: Box<[u64]>,
    /// Of the texts; never more than `bytes_max`.
    bytes: usize,
    bytes_max: usize,
}

/// Texts that are remembered to have come: of those that share a place the last.
const SEEN: usize = 1024;

impl Texts {
    /// Keeps so many bytes of text; of none longer than a sixteenth of that.
    pub fn new(bytes_max: usize, stats: Arc<ShardStats>) -> Texts {
        let hasher = ahash::RandomState::new();
        let queries = LruCache::unbounded_with_hasher(hasher.clone());
        let seen = vec![0; SEEN].into();
        Texts { kept: RefCell::new(Kept { queries, hasher, seen, bytes: 0, bytes_max }), stats }
    }

    /// What a text says.
    ///
    /// # Errors
    /// As [`read_query`].
    pub fn read(&self, text: &str, params: &Params) -> Result<Arc<Query>, Misread> {
        let mut kept = self.kept.borrow_mut();
        let may_be_kept = params.is_empty() && text.len() <= kept.bytes_max / 16;
        if !may_be_kept {
            return read_query(text, params).map(Arc::new);
        }
        if let Some(query) = kept.queries.get(text) {
            self.stats.queries_parsed_before.add(1);
            return Ok(query.clone());
        }
        let query = Arc::new(read_query(text, params)?);
        if kept.has_come(text) {
            kept.keep(text, query.clone(), &self.stats);
        }
        Ok(query)
    }
}

impl Kept {
    /// Whether a text has come lately; from now on it has.
    fn has_come(&mut self, text: &str) -> bool {
        let hash = self.hasher.hash_one(text);
        let place = usize::try_from(hash % SEEN as u64).unwrap_or(0);
        std::mem::replace(&mut self.seen[place], hash) == hash
    }

    fn keep(&mut self, text: &str, query: Arc<Query>, stats: &ShardStats) {
        self.bytes += text.len();
        self.queries.put(text.into(), query);
        while self.bytes > self.bytes_max
            && let Some((forgotten, _)) = self.queries.pop_lru()
        {
            self.bytes -= forgotten.len();
            stats.queries_parses_forgotten.add(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn texts(bytes_max: usize) -> (Texts, Arc<ShardStats>) {
        let stats = Arc::new(ShardStats::default());
        (Texts::new(bytes_max, stats.clone()), stats)
    }

    /// As dashboards ask: each again and again.
    fn ask(texts: &Texts, text: &str) -> Arc<Query> {
        let read = || texts.read(text, &Params::new()).expect("it is InfluxQL");
        read();
        read()
    }

    #[test]
    fn a_text_that_comes_again_is_parsed_twice_at_most_and_those_not_asked_for_longest_are_forgotten() {
        let text = |n: u8| format!("SELECT v FROM {}", char::from(b'a' + n));
        let (texts, stats) = texts(16 * text(0).len());
        let first = ask(&texts, &text(0));
        assert!(Arc::ptr_eq(&first, &ask(&texts, &text(0))));
        assert_eq!(shown(&first), "SELECT v FROM a");
        (1..16).for_each(|n| drop(ask(&texts, &text(n))));
        assert!(Arc::ptr_eq(&first, &ask(&texts, &text(0))));
        let counted = || (stats.queries_parsed_before.get(), stats.queries_parses_forgotten.get());
        assert_eq!(counted(), (4, 0));
        // Longer than a sixteenth.
        ask(&texts, "SELECT v FROM ab");
        assert_eq!((texts.kept.borrow().queries.len(), counted()), (16, (4, 0)));
        (16..26).for_each(|n| drop(ask(&texts, &text(n))));
        let kept = texts.kept.borrow();
        let named = |n: u8| kept.queries.contains(text(n).as_str());
        assert!((11..26).all(named) && named(0) && !(1..11).any(named), "b to k have not been asked for longest");
        assert_eq!((counted(), kept.bytes), ((4, 10), kept.bytes_max));
    }

    #[test]
    fn texts_that_never_come_again_are_not_kept() {
        let (texts, _) = texts(1 << 20);
        let text = |n: usize| format!("SELECT v FROM m WHERE time >= {n}ms");
        for n in 0..3 * SEEN {
            texts.read(&text(n), &Params::new()).expect("it is InfluxQL");
        }
        assert_eq!(texts.kept.borrow().bytes, 0);
    }

    fn shown(query: &Query) -> String {
        super::super::running::text(query)
    }

    #[test]
    fn parameters_and_errors_are_read_anew() {
        let (texts, stats) = texts(1 << 20);
        for host in ["a", "b"] {
            let params = crate::plan::params::read(&format!("{{\"host\": \"{host}\"}}")).expect("it is JSON");
            let query = texts.read("SELECT v FROM m WHERE host = $host", &params).expect("it is InfluxQL");
            assert_eq!(shown(&query), format!("SELECT v FROM m WHERE host = '{host}'"));
        }
        for _ in 0..2 {
            assert!(texts.read("SELECT v FROM m WHERE host = $host", &Params::new()).is_err());
        }
        assert_eq!(stats.queries_parsed_before.get(), 0);
        assert!(texts.kept.borrow().queries.is_empty());
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_room() {
        let (texts, stats) = texts(0);
        ask(&texts, "SELECT v FROM m");
        assert_eq!((stats.queries_parsed_before.get(), texts.kept.borrow().bytes), (0, 0));
    }
}
