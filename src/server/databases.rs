//! The keeper of what databases and policies were last seen: one thread that takes shards' reports, publishes what they
//! shall know, and keeps it in `data_dir/databases.json`, whose text `crate::databases` describes.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::databases::{Event, LastSeen, Ledger};

use super::StartError;
use super::data_dir::PrivateFile;

/// Between two writes of the file, and before another attempt at one.
const WRITE_EVERY: Duration = Duration::from_secs(1);

/// Runs until it is stopped.
pub struct Keeper {
    last_seen: Arc<LastSeen>,
    thread: JoinHandle<()>,
}

/// The thread's own.
struct Book {
    ledger: Ledger,
    file: PrivateFile,
    /// What the file holds.
    written: String,
    /// Something was reported since.
    has_news: bool,
    /// The last attempt.
    written_at: Option<Instant>,
    overflow_told: bool,
}

impl Keeper {
    /// Begins with what was kept; a file that cannot be read is as none.
    pub fn start(last_seen: Arc<LastSeen>, reported: Receiver<Event>, file: PrivateFile) -> Result<Keeper, StartError> {
        let now = Instant::now();
        let kept = file.read().and_then(|json| match json {
            Some(json) => Ledger::parse(&json, now).map_err(|error| file.fault(error)),
            None => Ok(Ledger::default()),
        });
        let ledger = kept.unwrap_or_else(|error| {
            tracing::error!(%error, "the databases seen last cannot be read; none is known until InfluxDB tells");
            Ledger::default()
        });
        last_seen.publish(&ledger);
        let written = ledger.print();
        let book = Book { ledger, file, written, has_news: false, written_at: None, overflow_told: false };
        let shared = last_seen.clone();
        let thread = std::thread::Builder::new().name("databases".to_owned());
        let thread = thread.spawn(move || book.keep(&shared, &reported));
        let thread = thread.map_err(|error| StartError(format!("a thread: {error}")))?;
        Ok(Keeper { last_seen, thread })
    }

    /// Waits until all is written.
    pub fn stop(self) {
        self.last_seen.stop();
        if self.thread.join().is_err() {
            tracing::error!("the keeper of databases panicked");
        }
    }
}

impl Book {
    fn keep(mut self, last_seen: &LastSeen, reported: &Receiver<Event>) {
        let mut going_on = true;
        while going_on {
            let first = match self.due_in() {
                Some(left) => reported.recv_timeout(left),
                None => reported.recv().map_err(|_| RecvTimeoutError::Disconnected),
            };
            let events: Vec<Event> = match first {
                Ok(first) => std::iter::once(first).chain(reported.try_iter()).collect(),
                Err(RecvTimeoutError::Timeout) => Vec::new(),
                Err(RecvTimeoutError::Disconnected) => vec![Event::Stop],
            };
            let now = Instant::now();
            let publish = !events.is_empty();
            self.has_news |= publish;
            for event in events {
                going_on &= !matches!(event, Event::Stop);
                self.ledger.note(event, now);
            }
            if publish {
                last_seen.publish(&self.ledger);
                self.tell_overflow();
            }
            if self.has_news && (!going_on || self.due_in().is_some_and(|left| left.is_zero())) {
                self.write();
            }
        }
    }

    /// When the file is to be written; `None`: not before something is reported.
    fn due_in(&self) -> Option<Duration> {
        let due_in = || self.written_at.map_or(Duration::ZERO, |at| WRITE_EVERY.saturating_sub(at.elapsed()));
        self.has_news.then(due_in)
    }

    fn write(&mut self) {
        self.written_at = Some(Instant::now());
        let text = self.ledger.print();
        self.has_news = false;
        if self.written == text {
            return;
        }
        match self.file.replace(&text) {
            Ok(()) => self.written = text,
            Err(error) => {
                tracing::error!(%error, "the databases seen last could not be kept");
                self.has_news = true;
            }
        }
    }

    fn tell_overflow(&mut self) {
        if self.ledger.has_overflowed() && !self.overflow_told {
            self.overflow_told = true;
            tracing::warn!(
                "there are more databases or retention policies than are kept in mind: writes to the others cannot wait for replicas that are away"
            );
        }
    }
}
