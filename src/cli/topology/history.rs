//! `slotline topology history`.

use crate::topology::Znodes;

use super::super::cluster::Failure;
pub use super::super::cluster::history::Args;
use super::super::cluster::history::show;

pub fn run(args: Args) -> Result<(), Failure> {
    show(args, Znodes::history, "epoch", false)
}
