//! `slotline udp add`.

use std::net::SocketAddr;

use crate::lineprotocol::Precision;
use crate::topology::{LineTarget, Spread, UdpListener};

use super::super::cluster::change::MannerArgs;
use super::super::cluster::{Failure, PlaceArgs};

#[derive(clap::Args)]
pub struct Args {
    /// Where it listens: 0.0.0.0:8089.
    bind: SocketAddr,
    /// The database of its points.
    db: String,
    /// Their retention policy [default: the database's own].
    #[arg(long, default_value = "", hide_default_value = true)]
    rp: String,
    /// The unit of their times: ns, u, ms, s, m or h.
    #[arg(long, default_value = "ns")]
    precision: String,
    /// "random": one busy sender feeds every core; "source": a sender's order is kept.
    #[arg(long, default_value = "random")]
    spread: String,
    #[command(flatten)]
    place: PlaceArgs,
    #[command(flatten)]
    manner: MannerArgs,
}

pub fn run(args: Args) -> Result<(), Failure> {
    let Args { bind, db, rp, precision, spread, place, manner } = args;
    let precision = Precision::named(&precision)
        .ok_or_else(|| Failure::usage(format!("--precision {precision} is none of ns, u, ms, s, m, h")))?;
    let spread = Spread::parse(&spread)
        .ok_or_else(|| Failure::usage(format!("--spread {spread} is neither random nor source")))?;
    let listener = UdpListener { bind, target: LineTarget { db, rp, precision }, spread };
    let words = describe(&listener);
    super::change(place, manner, bind, &format!("udp add {words}"), |listeners| {
        match listeners.iter_mut().find(|own| own.bind == bind) {
            Some(own) => {
                let text = format!("UDP listener {}, becomes {words}", describe(own));
                *own = listener;
                Ok(text)
            }
            None => {
                listeners.push(listener);
                Ok(format!("every proxy opens the UDP listener {words}"))
            }
        }
    })
}

fn describe(listener: &UdpListener) -> String {
    let UdpListener { bind, target: LineTarget { db, rp, precision }, spread } = listener;
    let rp = if rp.is_empty() { String::new() } else { format!(".{rp}") };
    format!("{bind} (database {db}{rp}, precision {}, spread {})", precision.as_str(), spread.as_str())
}
