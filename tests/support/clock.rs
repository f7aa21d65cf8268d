//! A wall clock of slotline's own that a test can step: `clock.c`, preloaded. Nobody else's clock moves.

use std::io::Write;
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::process::Command;

pub struct Clock {
    dir: tempfile::TempDir,
    offset: std::fs::File,
}

impl Clock {
    /// `None`, with the reason printed, where there is no C compiler.
    pub fn make() -> Option<Clock> {
        let dir = tempfile::Builder::new().prefix("clock-").tempdir().expect("a temporary folder");
        let source = dir.path().join("clock.c");
        std::fs::write(&source, include_str!("clock.c")).expect("a temporary folder takes a file");
        let compiled = Command::new("cc")
            .args(["-shared", "-fPIC", "-O1", "-o"])
            .args([&dir.path().join("clock.so"), &source])
            .arg("-ldl")
            .output();
        match compiled {
            Ok(output) if output.status.success() => {}
            Ok(output) => panic!("clock.c: {}", String::from_utf8_lossy(&output.stderr)),
            Err(error) => {
                println!("skipped: no C compiler for a clock of its own: cc: {error}");
                return None;
            }
        }
        let mut offset = std::fs::File::create(dir.path().join("offset")).expect("a temporary folder takes a file");
        offset.write_all(&0i64.to_ne_bytes()).expect("a temporary folder takes a file");
        Some(Clock { dir, offset })
    }

    /// What a process needs in its environment.
    pub fn environment(&self) -> Vec<(String, PathBuf)> {
        let path = |name: &str| self.dir.path().join(name);
        vec![("LD_PRELOAD".to_owned(), path("clock.so")), ("CLOCK_OFFSET_FILE".to_owned(), path("offset"))]
    }

    /// From now on the clock is off by so many seconds.
    pub fn step_to(&self, seconds: i64) {
        self.offset.write_all_at(&seconds.to_ne_bytes(), 0).expect("a file takes eight bytes");
    }
}
