//! What the control thread and the commands ask of ZooKeeper, whichever client speaks to it.
//!
//! A `Store` is one session. When its connection breaks it is over: drop it, open another one and read everything anew.

use std::net::SocketAddr;
use std::time::Duration;

/// What a znode holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    pub data: Vec<u8>,
    /// Rises by one with every write.
    pub version: i32,
}

/// What a write expects to find.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    Absent,
    Version(i32),
}

/// What became of our ephemeral znode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ephemeral {
    /// It is ours and holds the data; it was written if need be.
    Ours,
    /// It was ours, another session had replaced it, and now it is ours again.
    TakenBack,
}

/// What happens by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Something that was read has changed; reading it again asks for the next event.
    Changed,
    /// The connection broke or the session ended: nothing works from now on.
    Over,
}

/// One session.
pub trait Store: Send {
    /// What a path holds, `None` if there is nothing. Its next change, or its coming to be, is an [`Event::Changed`].
    fn read(&mut self, path: &str) -> Result<Option<Entry>, StoreError>;

    /// Writes if the path is as expected, else [`StoreError::Conflict`]; a new one's parents are made.
    fn write(&mut self, path: &str, data: &[u8], expect: Expect) -> Result<(), StoreError>;

    /// Writes whatever the path held; a new one's parents are made.
    fn put(&mut self, path: &str, data: &[u8]) -> Result<(), StoreError>;

    /// Removes a path if it is there; one with others below it is not removed.
    fn delete(&mut self, path: &str) -> Result<(), StoreError>;

    /// Names directly below a path, in any order; none if the path is missing. When next one comes or goes, or the path
    /// itself, that is an [`Event::Changed`].
    fn children(&mut self, path: &str) -> Result<Vec<String>, StoreError>;

    /// Sees to it that the path is an ephemeral of the connection that is open now, whoever it belonged to before, and
    /// holds the data.
    fn ephemeral(&mut self, path: &str, data: &[u8]) -> Result<Ephemeral, StoreError>;

    /// The next event, or `None` after `timeout`.
    fn wait(&mut self, timeout: Duration) -> Option<Event>;

    /// Ends the session, so that its ephemerals go at once; waits at most `timeout` for that.
    fn close(self: Box<Self>, timeout: Duration);
}

/// Why ZooKeeper did not do as asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StoreError {
    /// No server serves: each with its reason.
    Away(String),
    /// This server answered, and then gave no session in that time.
    NoSession(SocketAddr, Duration),
    /// The connection broke, or the session ended; whether a write was done is unknown.
    Lost,
    /// No answer in time; whether a write was done is unknown.
    Silent(Duration),
    /// The path is not as the write expected: somebody else was faster.
    Conflict(String),
    /// Our user may not do that with the path.
    Forbidden(String),
    /// Anything else, with its path.
    Failed(String, String),
}

impl StoreError {
    /// Whether the session is of no use any more.
    pub fn is_over(&self) -> bool {
        matches!(self, StoreError::Away(_) | StoreError::NoSession(..) | StoreError::Lost | StoreError::Silent(_))
    }
}

impl std::fmt::Display for StoreError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            StoreError::Away(reasons) => write!(f, "ZooKeeper cannot be reached: {reasons}"),
            StoreError::NoSession(address, waited) => {
                write!(f, "ZooKeeper cannot be reached: {address}: no session within {waited:?}")
            }
            StoreError::Lost => f.write_str("the connection to ZooKeeper broke"),
            StoreError::Silent(waited) => write!(f, "ZooKeeper did not answer within {waited:?}"),
            StoreError::Conflict(path) => write!(f, "ZooKeeper: {path} was changed by somebody else meanwhile"),
            StoreError::Forbidden(path) => write!(
                f,
                "ZooKeeper: no permission for {path}; zookeeper_auth must name the user that made it (or its ACL must \
                 let this one in)"
            ),
            StoreError::Failed(path, reason) => write!(f, "ZooKeeper: {path}: {reason}"),
        }
    }
}
