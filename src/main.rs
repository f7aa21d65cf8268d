//! The `slotline` program: see `slotline --help`.

use std::process::ExitCode;

use slotline::memory::Counting;

#[global_allocator]
static ALLOCATOR: Counting<mimalloc::MiMalloc> = Counting(mimalloc::MiMalloc);

fn main() -> ExitCode {
    slotline::cli::main()
}
