//! A TCP relay that can be cut, for a server that only some shall lose.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

#[derive(Default)]
struct State {
    cut: bool,
    ended: bool,
    /// Both ends of each connection.
    open: Vec<TcpStream>,
}

pub struct Relay {
    addr: SocketAddr,
    state: Arc<Mutex<State>>,
}

impl Relay {
    pub fn start(to: SocketAddr) -> Relay {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let addr = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::<Mutex<State>>::default();
        let shared = state.clone();
        std::thread::spawn(move || {
            for from in listener.incoming().flatten() {
                let mut state = shared.lock().expect("no holder panics");
                if state.ended {
                    return;
                }
                if state.cut {
                    continue;
                }
                let Ok(to) = TcpStream::connect(to) else { continue };
                for (one, two) in [(&from, &to), (&to, &from)] {
                    let (mut one, mut two) = (again(one), again(two));
                    state.open.push(again(&one));
                    std::thread::spawn(move || {
                        let _ = std::io::copy(&mut one, &mut two);
                        let _ = two.shutdown(Shutdown::Both);
                    });
                }
            }
        });
        Relay { addr, state }
    }

    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Ends all connections; new ones are closed at once.
    pub fn cut(&self) {
        let mut state = self.state.lock().expect("no holder panics");
        state.cut = true;
        state.open.drain(..).for_each(|stream| drop(stream.shutdown(Shutdown::Both)));
    }

    pub fn mend(&self) {
        self.state.lock().expect("no holder panics").cut = false;
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        self.cut();
        self.state.lock().expect("no holder panics").ended = true;
        let _ = TcpStream::connect(self.addr);
    }
}

fn again(stream: &TcpStream) -> TcpStream {
    stream.try_clone().expect("a descriptor is left")
}
