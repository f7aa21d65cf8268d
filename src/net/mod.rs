//! Sockets on a glommio executor, which wait in an epoll of their shard (`ready`): listening, streams for hyper, datagrams,
//! bells. Deadlines, a heartbeat, bodies, guarded tasks, memory budgets.
//!
//! Knows nothing of InfluxDB. Used by every part of the shell.

mod alarms;
mod bell;
mod body;
mod budget;
mod datagrams;
mod elsewhere;
mod heads;
mod heartbeat;
mod listen;
mod peer;
mod ready;
mod stream;
mod targets;
mod task;
mod timer;

pub use bell::{Bell, Doorbell, Wire};
pub use body::{Body, BodyError, Payload, discard};
pub use budget::{Budget, Held};
pub use datagrams::{Datagram, Datagrams, Receiver, UdpPort, share_out, udp_sockets};
pub use elsewhere::elsewhere;
pub use heads::Heads;
pub use heartbeat::Heartbeat;
#[cfg(test)]
pub use heartbeat::{on_a_shard, until_ended};
pub use listen::{Listener, check_free, listening_sockets};
pub use peer::Peer;
pub use ready::{PREEMPT_TIMER, QUEUE_LATENCY, prepare, yield_if_needed};
pub use stream::Stream;
pub use task::{apart, guarded, panics, spawn, spawn_kept, spawn_loop, yield_to_others};
pub use timer::{HyperTimer, TimedOut, Timer, deadline, sleep, sleep_about};
