//! Line protocol in datagrams: THE WRITE STORY without a request, on one shard's socket of a listener.
//!
//! 1. The socket is drained run by run; after a run that emptied it comes a nap of a millisecond, so that a wake-up finds
//!    many datagrams, and after a nap that brought nothing a wait for the next.
//! 2. Every datagram has a stamp of its own, the time of its arrival, for its lines without a time. One that the kernel
//!    cut off is dropped whole.
//! 3. `Flow` gathers and delivers; while it is full the socket is not read, and the kernel drops, and counts, what finds
//!    no room in its buffer.

use std::cell::{Cell, RefCell};
use std::io;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::batch::{Builder, Stamps};
use crate::net::{Datagrams, Receiver, UdpPort, deadline, sleep, spawn, yield_if_needed};
use crate::stats::UdpStats;
use crate::topology::LineTarget;

use super::flow::{Flow, unless};
use super::{Ingest, now_ns};

/// While datagrams keep coming.
const NAP: Duration = Duration::from_millis(1);
/// Between two looks at whether the listener is told something else: under a flood the socket is never empty.
const RUNS_MAX: usize = 64;
/// For what a closed socket still holds.
const LAST_DRAIN: Duration = Duration::from_secs(1);
/// After an error that is not about a datagram.
const ERROR_PAUSE: Duration = Duration::from_millis(100);
/// Stamps of datagrams that arrived at the same moment, or seem to have, differ by a nanosecond; a clock that was set
/// back by more than this is believed.
const CLOCK_BACK_NS: i64 = 1_000_000_000;

/// One shard's socket of a listener.
pub struct UdpSource {
    /// The listener's, of all shards.
    pub port: Arc<UdpPort>,
    pub receiver: Rc<Receiver>,
    pub stats: Arc<UdpStats>,
    /// May change while it runs.
    pub target: RefCell<LineTarget>,
    pub source: u64,
    pub closing: Cell<bool>,
}

impl UdpSource {
    /// Takes the socket out of delivery; `listen` takes what it holds and ends.
    pub fn close(&self) {
        if !self.closing.replace(true) {
            self.receiver.leave();
            self.port.leaves();
        }
    }

    /// Comes some time after `close`.
    async fn closed(&self) {
        while !self.closing.get() {
            sleep(ERROR_PAUSE).await;
        }
    }
}

/// Receives until the source is closed, and then what the socket still holds. The socket is given up when those of all
/// shards have left delivery, and before the last points are delivered, for others to take its port.
pub async fn listen(ingest: &Rc<Ingest>, udp: Rc<UdpSource>) {
    let mut target = udp.target.borrow().clone();
    let Some(flow) = begin(ingest, &udp, &target).await else { return };
    let mut run = Run { ingest, udp: &udp, flow, last_ns: 0 };
    while !udp.closing.get() {
        let wanted = udp.target.borrow().clone();
        if wanted != target {
            run.flow.retarget(&wanted).await;
            target = wanted;
        }
        if run.flow.has_ended() {
            // It panicked, which was told; the listener goes on.
            let Some(flow) = begin(ingest, &udp, &target).await else { return };
            run.flow = flow;
        }
        run.drain().await;
        sleep(NAP).await;
        if !run.drain().await && !udp.closing.get() {
            udp.receiver.wait().await;
        }
    }
    // What comes no further within that time is the kernel's to drop.
    let _ = deadline(Instant::now() + LAST_DRAIN, run.finish()).await;
    udp.stats.dropped_kernel.add(udp.receiver.take_drops());
    let flow = run.flow;
    drop(udp);
    flow.end().await;
}

/// A flow that runs; `None` if the source is closed while there is no topology.
async fn begin(ingest: &Rc<Ingest>, udp: &UdpSource, target: &LineTarget) -> Option<Rc<Flow>> {
    let begun = Flow::begin(ingest, target, Stamps::same, |stats| &stats.points_received_udp, udp.source);
    let flow = unless(udp.closed(), begun).await?;
    let running = flow.clone();
    spawn("udp flow", glommio::executor().current_task_queue(), async move { running.run().await });
    Some(flow)
}

struct Run<'a> {
    ingest: &'a Ingest,
    udp: &'a UdpSource,
    flow: Rc<Flow>,
    /// The last datagram's stamp.
    last_ns: i64,
}

impl Run<'_> {
    /// Takes what comes until no shard's socket is in delivery any more, and then what is left.
    async fn finish(&mut self) {
        loop {
            let last = self.udp.port.have_all_left();
            while self.drain().await {}
            if last {
                return;
            }
            sleep(NAP).await;
        }
    }

    /// Takes what the socket holds, some runs of it at most; whether it held something.
    async fn drain(&mut self) -> bool {
        let mut found = false;
        for _ in 0..RUNS_MAX {
            if !self.flow.room().await {
                return false;
            }
            match self.receive() {
                Ok(whole_run) => {
                    found = true;
                    if !whole_run {
                        return found;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return found,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    tracing::warn!(%error, "datagrams could not be received");
                    sleep(ERROR_PAUSE).await;
                    return found;
                }
            }
            yield_if_needed().await;
        }
        found
    }

    /// Takes one run; whether it was as long as a run can be, so that there is more.
    fn receive(&mut self) -> io::Result<bool> {
        let mut memory = self.ingest.datagrams.borrow_mut();
        let datagrams = memory.get_or_insert_default();
        let drops = datagrams.receive(&self.udp.receiver)?;
        self.udp.stats.dropped_kernel.add(drops);
        self.add(datagrams);
        Ok(datagrams.is_full())
    }

    fn add(&mut self, datagrams: &Datagrams) {
        let stats = &self.udp.stats;
        let now = now_ns();
        let bytes: usize = datagrams.iter().map(|datagram| datagram.bytes.len()).sum();
        let last_ns = &mut self.last_ns;
        let count = self.flow.add(bytes, |builder: &mut Builder| {
            let mut count = 0;
            for datagram in datagrams.iter() {
                count += 1;
                if datagram.truncated {
                    stats.dropped_truncated.add(1);
                    continue;
                }
                *last_ns = stamp(*last_ns, datagram.arrived_ns.unwrap_or(now));
                builder.arrived(*last_ns);
                if !builder.datagram(datagram.bytes) {
                    stats.lines_unfinished.add(1);
                }
            }
            count
        });
        stats.datagrams.add(count);
        stats.bytes.add(bytes as u64);
    }
}

/// A datagram's stamp: its arrival, yet later than the last one's.
fn stamp(last_ns: i64, arrived_ns: i64) -> i64 {
    if arrived_ns > last_ns || last_ns - arrived_ns > CLOCK_BACK_NS { arrived_ns } else { last_ns + 1 }
}

#[cfg(test)]
mod tests {
    use super::stamp;

    #[test]
    fn stamps_differ_unless_the_clock_was_set_back() {
        assert_eq!((stamp(5, 9), stamp(9, 9), stamp(10, 9)), (9, 10, 11));
        assert_eq!(stamp(5_000_000_000, 1_000_000_000), 1_000_000_000);
    }
}
