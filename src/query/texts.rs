//! Texts that were parsed lately, of one shard: dashboards ask the same ones over and over (`time >= now() - 6h`), or with other
//! values (`time >= 1700000000000ms`, `host = 'a'`).
//!
//! What a text means hangs on the text alone (`now()` is a call until a statement runs), so nothing here grows stale. With
//! `params` it hangs on these as well, and such a request is parsed anew; so is what cannot be parsed.
//!
//! Kept is what has come before, whatever its values were: what never comes again goes at once, and the next is parsed into
//! memory that is still warm. Of texts that differ in their values alone (`influxql::values`) one tree serves after the other;
//! several are kept where they are asked at once.

use std::cell::RefCell;
use std::sync::Arc;

use lru::LruCache;

use crate::influxql::values::{Form, Values, Written};
use crate::influxql::{Misread, Params, Query, read_query};
use crate::stats::ShardStats;

pub struct Texts {
    kept: RefCell<Kept>,
    stats: Arc<ShardStats>,
}

struct Kept {
    forms: LruCache<Box<str>, Known, ahash::RandomState>,
    hasher: ahash::RandomState,
    /// Hashes of forms that have come, each at a place that hangs on it.
    seen: Box<[u64]>,
    /// Of the texts whose trees are kept; never more than `bytes_max`.
    bytes: usize,
    bytes_max: usize,
    /// Of the text that was asked for last.
    written: Written,
}

/// Texts that differ in nothing but values.
struct Known {
    /// `None`: what else its texts mean may hang on them; each is parsed.
    form: Option<Form>,
    /// At least one.
    trees: Vec<Tree>,
}

struct Tree {
    values: Values,
    query: Arc<Query>,
}

/// How long the text of a tree is, and some quotes more.
fn bytes(form: &str, tree: &Tree) -> usize {
    form.len() + tree.values.bytes()
}

/// Forms that are remembered to have come: of those that share a place the last.
const SEEN: usize = 1024;
/// Of one form: as many as are often asked for at once.
const TREES_MAX: usize = 8;

impl Texts {
    /// Keeps so many bytes of text; of none longer than a sixteenth of that.
    pub fn new(bytes_max: usize, stats: Arc<ShardStats>) -> Texts {
        let hasher = ahash::RandomState::new();
        let forms = LruCache::unbounded_with_hasher(hasher.clone());
        let (seen, written) = (vec![0; SEEN].into(), Written::default());
        Texts { kept: RefCell::new(Kept { forms, hasher, seen, bytes: 0, bytes_max, written }), stats }
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
        kept.written.read(text);
        if let Some(query) = kept.known() {
            self.stats.queries_parsed_before.add(1);
            kept.forget_beyond_max(&self.stats);
            return Ok(query);
        }
        let query = Arc::new(read_query(text, params)?);
        if kept.has_come() {
            kept.keep(text, query.clone());
            kept.forget_beyond_max(&self.stats);
        }
        Ok(query)
    }
}

impl Kept {
    /// The tree of the text that is asked for, if it need not be parsed.
    fn known(&mut self) -> Option<Arc<Query>> {
        let Written { form: text, values } = &mut self.written;
        let Known { form, trees } = self.forms.get_mut(text.as_str())?;
        if let Some(tree) = trees.iter().find(|tree| tree.values == *values) {
            return Some(tree.query.clone());
        }
        let form = form.as_ref()?;
        let free = trees.iter().position(|tree| Arc::strong_count(&tree.query) == 1);
        if let Some(tree) = free.and_then(|free| trees.get_mut(free)) {
            let query = Arc::get_mut(&mut tree.query)?;
            if !form.put(values, query) {
                return None;
            }
            self.bytes = self.bytes + values.bytes() - tree.values.bytes();
            std::mem::swap(values, &mut tree.values);
            return Some(tree.query.clone());
        }
        let mut query = Query::clone(&trees.first()?.query);
        if !form.put(values, &mut query) {
            return None;
        }
        let tree = Tree { values: values.clone(), query: Arc::new(query) };
        let query = tree.query.clone();
        if trees.len() < TREES_MAX {
            self.bytes += bytes(text, &tree);
            trees.push(tree);
        }
        Some(query)
    }

    /// Whether a text of this form has come lately; from now on one has.
    fn has_come(&mut self) -> bool {
        let hash = self.hasher.hash_one(&self.written.form);
        let place = usize::try_from(hash % SEEN as u64).unwrap_or(0);
        std::mem::replace(&mut self.seen[place], hash) == hash
    }

    fn keep(&mut self, text: &str, query: Arc<Query>) {
        let Written { form, values } = self.written.clone();
        let tree = Tree { values, query };
        if let Some(known) = self.forms.get_mut(form.as_str()) {
            // Whoever asks for this one again asks for it next; a time that no tree can have is not waited for.
            if known.form.is_none() {
                self.bytes += bytes(&form, &tree);
                self.bytes -= known.trees.iter().map(|tree| bytes(&form, tree)).sum::<usize>();
                known.trees = vec![tree];
            }
            return;
        }
        let same = Form::of(text, &tree.query);
        self.bytes += bytes(&form, &tree);
        self.forms.put(form.into(), Known { form: same, trees: vec![tree] });
    }

    fn forget_beyond_max(&mut self, stats: &ShardStats) {
        while self.bytes > self.bytes_max
            && let Some((form, forgotten)) = self.forms.pop_lru()
        {
            self.bytes -= forgotten.trees.iter().map(|tree| bytes(&form, tree)).sum::<usize>();
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
        assert_eq!((texts.kept.borrow().forms.len(), counted()), (16, (4, 0)));
        (16..26).for_each(|n| drop(ask(&texts, &text(n))));
        let kept = texts.kept.borrow();
        let named = |n: u8| kept.forms.contains(text(n).as_str());
        assert!((11..26).all(named) && named(0) && !(1..11).any(named), "b to k have not been asked for longest");
        assert_eq!((counted(), kept.bytes), ((4, 10), kept.bytes_max));
    }

    #[test]
    fn texts_of_which_none_is_like_another_are_not_kept() {
        let (texts, _) = texts(1 << 20);
        let text = |n: usize| format!("SELECT v AS v{n} FROM m WHERE host = 'h{n}' AND time >= {n}ms");
        for n in 0..3 * SEEN {
            texts.read(&text(n), &Params::new()).expect("it is InfluxQL");
        }
        assert_eq!(texts.kept.borrow().bytes, 0);
    }

    #[test]
    fn texts_that_differ_in_their_times_alone_have_the_tree_of_the_others() {
        let (texts, stats) = texts(1 << 20);
        let text = |n: i64| format!("SELECT v FROM m WHERE time >= {n}ms AND time < {}ms", n + 5);
        let read = |n: i64| {
            let query = texts.read(&text(n), &Params::new()).expect("it is InfluxQL");
            assert_eq!(*query, read_query(&text(n), &Params::new()).expect("it is InfluxQL"));
            query
        };
        drop((read(100), read(200)));
        assert_eq!((stats.queries_parsed_before.get(), texts.kept.borrow().bytes), (0, text(100).len()));
        let one = Arc::as_ptr(&read(300));
        assert_eq!(Arc::as_ptr(&read(400)), one);
        // Asked at once each has its own; what is asked for twice is one.
        let all: Vec<_> = (0..20).map(|n| read(500 + n)).collect();
        let again = read(505);
        assert!(Arc::ptr_eq(&all[5], &again));
        for (n, query) in (0_i64..).zip(&all) {
            assert_eq!(**query, read_query(&text(500 + n), &Params::new()).expect("it is InfluxQL"));
        }
        assert_eq!(stats.queries_parsed_before.get(), 23);
        let form = || {
            texts.kept.borrow().forms.iter().map(|(form, known)| (form.len(), known.trees.len())).collect::<Vec<_>>()
        };
        assert_eq!(
            (form(), texts.kept.borrow().bytes),
            (vec![(text(100).len(), TREES_MAX)], TREES_MAX * text(100).len())
        );
        drop((all, again));
        drop(read(600));
        assert_eq!(form(), [(text(100).len(), TREES_MAX)]);
    }

    #[test]
    fn texts_that_differ_in_their_words_count_what_they_hold() {
        let (texts, stats) = texts(1 << 20);
        let text = |host: &str| format!("SELECT v FROM m WHERE host = '{host}' AND time > 7m");
        let read = |host: &str| {
            let query = texts.read(&text(host), &Params::new()).expect("it is InfluxQL");
            assert_eq!(*query, read_query(&text(host), &Params::new()).expect("it is InfluxQL"));
            query
        };
        let bytes = || texts.kept.borrow().bytes;
        drop((read("a"), read("bcd")));
        let one = text("").len() + 1;
        assert_eq!(bytes(), one + 3);
        let held = read("a longer one");
        assert_eq!(bytes(), one + 12);
        let other = read("a");
        assert_eq!(bytes(), one + 12 + one + 1);
        drop((held, other));
        ["a", "b", "cdefg"].iter().for_each(|host| drop(read(host)));
        assert_eq!((bytes(), stats.queries_parsed_before.get()), (one + 5 + one + 1, 5));
        // Each of these is parsed.
        let text = |host: &str| format!("SELECT \"= 'x'\" FROM m WHERE host = '{host}'");
        for (host, length) in [("x", 0), ("x", 2), ("yyy", 4), ("z", 2)] {
            let before = one + 5 + one + 1;
            texts.read(&text(host), &Params::new()).expect("it is InfluxQL");
            let form = text("").len() - 1;
            assert_eq!(bytes(), before + if length > 0 { form + 2 + length } else { 0 }, "{host}");
        }
        assert_eq!(stats.queries_parsed_before.get(), 5);
    }

    #[test]
    fn texts_whose_numbers_may_mean_more_are_parsed_each() {
        let (texts, stats) = texts(1 << 20);
        let text = |n: i64| format!("SELECT \"a time > {n}\" FROM m WHERE time > -7");
        for n in [11, 12, 13, 13, 12, 11, 11] {
            let query = texts.read(&text(n), &Params::new()).expect("it is InfluxQL");
            assert_eq!(*query, read_query(&text(n), &Params::new()).expect("it is InfluxQL"));
        }
        assert_eq!(stats.queries_parsed_before.get(), 2, "who asks for the same twice");
        // Too large for a tree: the parser says so, and those that are not are known nevertheless.
        let text = |n: u64| format!("SELECT v FROM m WHERE time > {n}s");
        for n in [9_000_000_000, 9_000_000_001, 9_000_000_002, 9_223_372_037, 9_000_000_003] {
            let read = texts.read(&text(n), &Params::new());
            assert_eq!(read.is_ok(), n < 9_223_372_037, "{n}");
        }
        assert_eq!(stats.queries_parsed_before.get(), 4);
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
        assert!(texts.kept.borrow().forms.is_empty());
    }

    #[test]
    fn nothing_is_kept_where_there_is_no_room() {
        let (texts, stats) = texts(0);
        ask(&texts, "SELECT v FROM m");
        assert_eq!((stats.queries_parsed_before.get(), texts.kept.borrow().bytes), (0, 0));
    }
}
