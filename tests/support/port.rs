//! Ports that stay a test's own while nothing listens there: for what is started again at its old place, or told of its
//! port before it starts.

use std::fs::{File, create_dir_all};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::ops::Range;
use std::sync::Mutex;

/// Below those that the kernel gives to whoever connects or asks for any port, and that `slotline dev` takes.
const PORTS: Range<u16> = 10_000..20_000;

/// A loopback address that no other test process is given while this one runs, free for TCP and UDP.
#[track_caller]
pub fn own_addr() -> SocketAddr {
    // Locks of open files end with the process, however it ends.
    static HELD: Mutex<Vec<File>> = Mutex::new(Vec::new());
    let folder = std::env::temp_dir().join("slotline-test-ports");
    create_dir_all(&folder).expect("a temporary folder");
    for _ in 0..1000 {
        let port = fastrand::u16(PORTS);
        let lock = File::create(folder.join(port.to_string())).expect("a temporary folder takes a file");
        let addr = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
        if lock.try_lock().is_ok() && TcpListener::bind(addr).is_ok() && UdpSocket::bind(addr).is_ok() {
            HELD.lock().expect("no test panics here").push(lock);
            return addr;
        }
    }
    panic!("no free port among {PORTS:?}");
}
