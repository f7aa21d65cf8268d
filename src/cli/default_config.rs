//! `slotline default-config`.

use std::process::ExitCode;

use crate::config::DEFAULT;

pub fn run() -> ExitCode {
    super::print(DEFAULT);
    ExitCode::SUCCESS
}
