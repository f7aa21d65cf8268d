//! Connections: which shard serves them, and as what.
//!
//! The kernel shares connections out by their addresses, so that few of them may all land on one core: one that comes to
//! a shard which has more than the least busy one goes there.

use std::net::TcpStream;
use std::rc::Rc;

use crate::config::Protocol;
use crate::ingest::tcp;
use crate::net::{Stream, spawn};
use crate::topology::LineTarget;

use super::front::Api;
use super::{Open, Shard};

/// What a listener is for.
#[derive(Clone)]
pub(super) enum Service {
    Influx,
    Admin,
    Lines(Rc<LineTarget>),
}

impl Service {
    /// `None` for what takes no connections.
    pub fn of(protocol: &Protocol) -> Option<Service> {
        match protocol {
            Protocol::Http => Some(Service::Influx),
            Protocol::Tcp(target) => Some(Service::Lines(Rc::new(target.clone()))),
            Protocol::Udp(..) => None,
        }
    }
}

impl Shard {
    /// Takes a connection from the kernel; `number` is the listener's among `config.listen`.
    pub(super) fn accept(self: &Rc<Shard>, stream: TcpStream, service: &Service, number: Option<usize>) {
        let kept = match number {
            Some(number) => self.keep(stream, number),
            None => Some(stream),
        };
        if let Some(stream) = kept {
            self.serve(stream, service);
        }
    }

    /// The connection, unless a shard that has at least two fewer took it.
    fn keep(&self, stream: TcpStream, number: usize) -> Option<TcpStream> {
        // A shard that ends serves nobody any more.
        if self.process.is_draining() {
            return Some(stream);
        }
        let shards = self.process.shards.iter().enumerate();
        let least = shards.min_by_key(|(_, shard)| shard.connections_open.get());
        let Some((index, least)) = least else { return Some(stream) };
        if self.stats.connections_open.get() < least.connections_open.get() + 1 || index == self.index {
            return Some(stream);
        }
        let Ok(number) = u32::try_from(number) else { return Some(stream) };
        // Counted at once, lest the next ones all go there too.
        least.connections_open.add(1);
        let Err(stream) = self.doorbells[index].hand_over(stream, number) else {
            self.stats.connections_handed_over.add(1);
            return None;
        };
        least.connections_open.sub(1);
        Some(stream)
    }

    /// Takes a connection from another shard, which has counted it as ours.
    pub(super) fn take(self: &Rc<Shard>, connection: TcpStream, number: u32) {
        self.stats.connections_open.sub(1);
        let service = usize::try_from(number).ok().and_then(|number| self.services.get(number)?.clone());
        let Some(service) = service else { return };
        self.serve(connection, &service);
    }

    /// Serves a connection in a task of its own.
    pub(super) fn serve(self: &Rc<Shard>, stream: TcpStream, service: &Service) {
        self.stats.connections.add(1);
        if self.stats.connections_open.get() >= self.config.limits.connections_max.0 as u64 {
            self.stats.connections_refused.add(1);
            return;
        }
        let (open, service) = (Connected::new(self), service.clone());
        spawn("client connection", self.queues.ingest, async move {
            let shard = &open.0.0;
            match service {
                Service::Influx => shard.converse(stream, Api::Influx).await,
                Service::Admin => shard.converse(stream, Api::Admin).await,
                Service::Lines(target) => shard.read_lines(stream, &target).await,
            }
        });
    }

    async fn read_lines(self: &Rc<Shard>, stream: TcpStream, target: &LineTarget) {
        let drained = self.drain.listen();
        let source = self.next_source();
        let stream = match Stream::new(stream, self.config.limits.stream_timeout) {
            Ok(stream) => stream,
            Err(error) => {
                tracing::warn!(%error, "a connection could not be waited for");
                return;
            }
        };
        let asked_to_end = async {
            if !self.draining.get() {
                drained.await;
            }
        };
        tcp::serve(&self.ingest, stream, target, source, asked_to_end).await;
    }
}

/// Counts a connection, for us and for other shards, until its task ends.
struct Connected(Open);

impl Connected {
    fn new(shard: &Rc<Shard>) -> Connected {
        shard.stats.connections_open.add(1);
        Connected(Open::new(shard))
    }
}

impl Drop for Connected {
    fn drop(&mut self) {
        self.0.0.stats.connections_open.sub(1);
    }
}
