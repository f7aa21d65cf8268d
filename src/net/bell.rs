//! How another thread wakes a shard: it rings, the shard's task hears it. Rings in between are one.

use std::io::Write;
use std::os::fd::{FromRawFd, IntoRawFd};
use std::os::unix::net::UnixStream;

use futures_lite::AsyncReadExt;

/// The ringing end.
pub struct Doorbell(UnixStream);

/// The hearing end, made into a `Bell` on the shard.
pub struct Wire(UnixStream);

/// The hearing end on its shard.
pub struct Bell(glommio::net::UnixStream);

impl Doorbell {
    pub fn new() -> std::io::Result<(Doorbell, Wire)> {
        let (ringer, hearer) = UnixStream::pair()?;
        ringer.set_nonblocking(true)?;
        Ok((Doorbell(ringer), Wire(hearer)))
    }

    pub fn ring(&self) {
        // A full pipe rings already, a closed one has nobody to hear.
        let _ = (&self.0).write(&[1]);
    }
}

impl Wire {
    /// On the shard's own thread.
    pub fn connect(self) -> Bell {
        // SAFETY: the descriptor is owned by `self` and handed over whole.
        Bell(unsafe { glommio::net::UnixStream::from_raw_fd(self.0.into_raw_fd()) })
    }
}

impl Bell {
    /// Waits for the next ring; `false` when the other end is gone.
    pub async fn heard(&mut self) -> bool {
        let mut rings = [0; 64];
        matches!(self.0.read(&mut rings).await, Ok(read) if read > 0)
    }
}
