//! `slotline udp remove`.

use std::net::SocketAddr;

use super::super::cluster::change::MannerArgs;
use super::super::cluster::{Failure, PlaceArgs};

#[derive(clap::Args)]
pub struct Args {
    /// Where it listens.
    bind: SocketAddr,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    manner: MannerArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { bind, place, manner } = args;
    super::change(place, manner, bind, &format!("udp remove {bind}"), |listeners| {
        let Some(at) = listeners.iter().position(|listener| listener.bind == bind) else {
            let binds: Vec<String> = listeners.iter().map(|listener| listener.bind.to_string()).collect();
            let known = if binds.is_empty() { "none".to_owned() } else { binds.join(", ") };
            return Err(format!("there is no shared UDP listener {bind}; there is {known}"));
        };
        listeners.remove(at);
        Ok(format!("every proxy closes the UDP listener {bind}; what it has received is delivered"))
    })
}
