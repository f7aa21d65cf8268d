//! Memory for what is read from a log, used again: fresh memory of this size is the kernel's to clear, for milliseconds at
//! worst, while appends wait for the thread that reads.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;

use super::recover::CHUNK_BYTES;

/// One in the hands of replay, one to read into.
const SPARES_MAX: usize = 2;

/// Buffers of one size that lie idle; all logs of a spool share them. Cloned, it is the same.
#[derive(Clone)]
pub struct Spares {
    buffer_bytes: usize,
    idle: Arc<Mutex<Vec<Box<[u8]>>>>,
}

/// The front of a buffer, which goes back when nobody needs it any more.
struct Lent {
    buffer: Box<[u8]>,
    used: usize,
    home: Spares,
}

impl Default for Spares {
    /// Of what is read at once.
    fn default() -> Spares {
        Spares::new(CHUNK_BYTES)
    }
}

impl Spares {
    fn new(buffer_bytes: usize) -> Spares {
        Spares { buffer_bytes, idle: Arc::default() }
    }

    /// So many bytes, as `fill` leaves them. What is longer than a buffer, or far shorter, gets memory of its own.
    pub fn fill(&self, bytes: usize, fill: impl FnOnce(&mut [u8]) -> io::Result<()>) -> io::Result<Bytes> {
        if bytes > self.buffer_bytes || bytes < self.buffer_bytes / 16 {
            let mut own = vec![0; bytes];
            fill(&mut own)?;
            return Ok(own.into());
        }
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let buffer = idle.unwrap_or_else(|| vec![0; self.buffer_bytes].into());
        let mut lent = Lent { buffer, used: bytes, home: self.clone() };
        fill(&mut lent.buffer[..bytes])?;
        Ok(Bytes::from_owner(lent))
    }
}

impl AsRef<[u8]> for Lent {
    fn as_ref(&self) -> &[u8] {
        &self.buffer[..self.used]
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        // Nobody waits for the lock: the buffer would only be made anew.
        if let Ok(mut idle) = self.home.idle.try_lock()
            && idle.len() < SPARES_MAX
        {
            idle.push(std::mem::take(&mut self.buffer));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn idle(spares: &Spares) -> Vec<*const u8> {
        spares.idle.lock().expect("nobody panics").iter().map(|buffer| buffer.as_ptr()).collect()
    }

    #[test]
    fn a_buffer_is_used_again_once_nobody_reads_it() {
        let spares = Spares::new(1024);
        let fill = |bytes: usize, with: u8| {
            let filled = spares.fill(bytes, |buffer| {
                buffer.fill(with);
                Ok(())
            });
            filled.expect("it cannot fail")
        };
        let first = fill(1000, 1);
        let (at, part) = (first.as_ptr(), first.slice(500..));
        drop(first);
        let second = fill(1024, 2);
        assert_ne!(second.as_ptr(), at, "a part of the first is still read");
        assert_eq!((part.len(), part[0]), (500, 1));
        drop(part);
        assert_eq!(idle(&spares), [at]);
        let third = fill(64, 3);
        assert_eq!((third.as_ptr(), &third[..]), (at, &[3; 64][..]));
        // What is no such length is not kept.
        drop((fill(1025, 4), fill(63, 5)));
        assert_eq!(idle(&spares), [] as [*const u8; 0]);
        let more = fill(100, 6);
        drop((second, third, more));
        assert_eq!(idle(&spares).len(), SPARES_MAX);
    }

    #[test]
    fn what_could_not_be_filled_is_an_error_and_the_buffer_goes_back() {
        let spares = Spares::new(1024);
        let failed = spares.fill(512, |_| Err(io::ErrorKind::UnexpectedEof.into()));
        assert_eq!(failed.map_err(|error| error.kind()), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(idle(&spares).len(), 1);
    }
}
