//! The few things that a log does with files, so that tests can put a disk under it that fails, fills up and forgets.
//!
//! A `Disk` is one folder of files. Nothing written is safe before `sync` of its file, no file is there for good, or gone
//! for good, before `sync_names`. Used by `log` and `look`; called on a spool's own thread, or by a command.

use std::fs::{self, File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::spare::Spares;

pub trait Disk {
    type File;

    /// For messages: where the file is.
    fn path(&self, name: &str) -> PathBuf;

    fn list(&self) -> io::Result<Vec<String>>;

    /// A new file; one of this name is an error.
    fn create(&self, name: &str) -> io::Result<Self::File>;

    fn open(&self, name: &str) -> io::Result<Self::File>;

    fn bytes(&self, file: &Self::File) -> io::Result<u64>;

    /// Behind what is there; on an error any part of it may have been written.
    fn append(&self, file: &mut Self::File, pieces: &[&[u8]]) -> io::Result<()>;

    /// In place of as many bytes that are there; on an error any part of it may have been written.
    fn replace(&self, name: &str, at: u64, content: &[u8]) -> io::Result<()>;

    /// Exactly so many bytes.
    fn read_at(&self, file: &Self::File, at: u64, bytes: usize) -> io::Result<Bytes>;

    fn truncate(&self, file: &mut Self::File, bytes: u64) -> io::Result<()>;

    /// What was written, and the length, are on the disk when this returns `Ok`.
    fn sync(&self, file: &Self::File) -> io::Result<()>;

    fn remove(&self, name: &str) -> io::Result<()>;

    /// Which files there are is on the disk when this returns `Ok`.
    fn sync_names(&self) -> io::Result<()>;

    /// Replaces a small file's content, made if need be; not synced: after a crash it may be old, empty or torn.
    fn overwrite(&self, name: &str, content: &[u8]) -> io::Result<()>;
}

/// A folder of the file system; its files are private.
pub struct Folder {
    path: PathBuf,
    spares: Spares,
}

impl Folder {
    /// Makes the folder if need be, for good. Files are read into `spares`.
    pub fn make(path: &Path, spares: &Spares) -> io::Result<Folder> {
        make_folder(path)?;
        Ok(Folder { path: path.to_owned(), spares: spares.clone() })
    }

    /// One that is only looked at.
    pub fn at(path: &Path) -> Folder {
        Folder { path: path.to_owned(), spares: Spares::default() }
    }
}

/// Makes a private folder if need be; it and its way down from an existing one are on the disk then. One that is there may
/// have been made by a process that ended before its name was on the disk.
pub fn make_folder(path: &Path) -> io::Result<()> {
    let above = path.parent().filter(|above| !above.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if path.is_dir() {
        return match File::open(above) {
            // One that we may not look into we have not made either.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            folder => folder?.sync_all(),
        };
    }
    make_folder(above)?;
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    File::open(above)?.sync_all()
}

impl Disk for Folder {
    type File = File;

    fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    fn list(&self) -> io::Result<Vec<String>> {
        // What is no text is none of ours.
        let name =
            |entry: io::Result<fs::DirEntry>| entry.map(|entry| entry.file_name().into_string().ok()).transpose();
        fs::read_dir(&self.path)?.filter_map(name).collect()
    }

    fn create(&self, name: &str) -> io::Result<File> {
        OpenOptions::new().create_new(true).read(true).append(true).mode(0o600).open(self.path(name))
    }

    fn open(&self, name: &str) -> io::Result<File> {
        File::open(self.path(name))
    }

    fn bytes(&self, file: &File) -> io::Result<u64> {
        file.metadata().map(|metadata| metadata.len())
    }

    fn append(&self, file: &mut File, pieces: &[&[u8]]) -> io::Result<()> {
        let mut slices: Vec<IoSlice<'_>> = pieces.iter().map(|piece| IoSlice::new(piece)).collect();
        let mut left = &mut slices[..];
        IoSlice::advance_slices(&mut left, 0);
        while !left.is_empty() {
            match file.write_vectored(left) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut left, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn replace(&self, name: &str, at: u64, content: &[u8]) -> io::Result<()> {
        // A file that is open for appending takes bytes at its end alone.
        OpenOptions::new().write(true).open(self.path(name))?.write_all_at(content, at)
    }

    fn read_at(&self, file: &File, at: u64, bytes: usize) -> io::Result<Bytes> {
        self.spares.fill(bytes, |buffer| file.read_exact_at(buffer, at))
    }

    fn truncate(&self, file: &mut File, bytes: u64) -> io::Result<()> {
        file.set_len(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_data()
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        fs::remove_file(self.path(name))
    }

    fn sync_names(&self) -> io::Result<()> {
        File::open(&self.path)?.sync_all()
    }

    fn overwrite(&self, name: &str, content: &[u8]) -> io::Result<()> {
        let file = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(self.path(name))?;
        file.write_all_at(content, 0)?;
        // To set it, even to what it is, is work for the file system.
        let length = content.len() as u64;
        if file.metadata()?.len() == length { Ok(()) } else { file.set_len(length) }
    }
}

/// A disk in memory that fails when it is told to, and forgets at a crash what was not synced.
#[cfg(test)]
pub mod faulty {
    use std::cell::RefCell;
    use std::collections::BTreeMap;
    use std::rc::Rc;

    use super::*;

    /// Shared: a log opened anew stands on the same disk.
    #[derive(Clone)]
    pub struct Faulty(Rc<RefCell<State>>);

    struct State {
        random: fastrand::Rng,
        /// By number: a file without a name lives on while it is open.
        files: Vec<Content>,
        names: BTreeMap<String, usize>,
        synced_names: BTreeMap<String, usize>,
        /// What was done to `names` since they were synced, in order.
        unsynced_names: Vec<(String, Option<usize>)>,
        /// Writing fails beyond so many bytes.
        room: Option<usize>,
        failing: Failing,
        /// What a crash at each sync would have left, if that is asked for.
        watched: Option<Vec<Faulty>>,
    }

    /// What fails until it is told otherwise.
    #[derive(Clone, Copy, Debug, Default)]
    pub struct Failing {
        pub sync: bool,
        pub sync_names: bool,
        pub truncate: bool,
        pub create: bool,
        pub remove: bool,
        pub replace: bool,
    }

    #[derive(Clone, Default)]
    struct Content {
        now: Vec<u8>,
        synced: Vec<u8>,
    }

    fn failed(what: &str) -> io::Error {
        io::Error::other(format!("{what} is told to fail"))
    }

    impl Faulty {
        pub fn new(random: fastrand::Rng) -> Faulty {
            Faulty(Rc::new(RefCell::new(State {
                random,
                files: Vec::new(),
                names: BTreeMap::new(),
                synced_names: BTreeMap::new(),
                unsynced_names: Vec::new(),
                room: None,
                failing: Failing::default(),
                watched: None,
            })))
        }

        pub fn fail(&self, failing: Failing) {
            self.0.borrow_mut().failing = failing;
        }

        pub fn room(&self, bytes: Option<usize>) {
            self.0.borrow_mut().room = bytes;
        }

        /// From now on a crash is tried at every sync.
        pub fn watch(&self) {
            self.0.borrow_mut().watched = Some(Vec::new());
        }

        /// What those crashes have left since the last time.
        pub fn watched(&self) -> Vec<Faulty> {
            self.0.borrow_mut().watched.as_mut().map(std::mem::take).unwrap_or_default()
        }

        fn crash_at_sync(&self) {
            if self.0.borrow().watched.is_some() {
                let left = self.crashed();
                self.0.borrow_mut().watched.iter_mut().for_each(|watched| watched.push(left.clone()));
            }
        }

        /// Flips a byte of a file, on the disk too.
        pub fn flip(&self, name: &str, at: usize) {
            let mut state = self.0.borrow_mut();
            let file = state.names[name];
            let content = &mut state.files[file];
            content.now[at] ^= 0x20;
            content.synced = content.now.clone();
        }

        pub fn content(&self, name: &str) -> Vec<u8> {
            let state = self.0.borrow();
            state.files[state.names[name]].now.clone()
        }

        /// What the disk would hold after a crash now: a copy, so that this one goes on as if nothing had been.
        pub fn crashed(&self) -> Faulty {
            let mut state = self.0.borrow_mut();
            let seed = state.random.u64(..);
            let mut random = fastrand::Rng::with_seed(seed);
            let files: Vec<Content> = state.files.iter().map(|file| survived(file, &mut random)).collect();
            // Names in the order in which they changed, up to anywhere: what a journal does.
            let kept = random.usize(..=state.unsynced_names.len());
            let mut names = state.synced_names.clone();
            for (name, file) in &state.unsynced_names[..kept] {
                match file {
                    Some(file) => drop(names.insert(name.clone(), *file)),
                    None => drop(names.remove(name)),
                }
            }
            Faulty(Rc::new(RefCell::new(State {
                random,
                files,
                synced_names: names.clone(),
                names,
                unsynced_names: Vec::new(),
                room: None,
                failing: Failing::default(),
                watched: None,
            })))
        }
    }

    /// What is left of a file: what was synced, and any of the rest, with holes of zeros and cut anywhere.
    fn survived(file: &Content, random: &mut fastrand::Rng) -> Content {
        let mut bytes = file.synced.clone();
        let length = match random.u8(..4) {
            0 => file.synced.len(),
            1 => file.now.len(),
            _ => {
                let (short, long) = (file.synced.len().min(file.now.len()), file.synced.len().max(file.now.len()));
                random.usize(short..=long)
            }
        };
        bytes.resize(length, 0);
        const PAGE: usize = 64;
        for start in (0..length).step_by(PAGE) {
            let page = start..(start + PAGE).min(length).min(file.now.len());
            if random.bool() && !page.is_empty() {
                bytes[page.clone()].copy_from_slice(&file.now[page]);
            }
        }
        Content { now: bytes.clone(), synced: bytes }
    }

    impl Disk for Faulty {
        type File = usize;

        fn path(&self, name: &str) -> PathBuf {
            name.into()
        }

        fn list(&self) -> io::Result<Vec<String>> {
            Ok(self.0.borrow().names.keys().cloned().collect())
        }

        fn create(&self, name: &str) -> io::Result<usize> {
            let state = &mut *self.0.borrow_mut();
            if state.failing.create {
                return Err(failed("create"));
            }
            if state.names.contains_key(name) {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            let file = state.files.len();
            state.files.push(Content::default());
            state.names.insert(name.to_owned(), file);
            state.unsynced_names.push((name.to_owned(), Some(file)));
            Ok(file)
        }

        fn open(&self, name: &str) -> io::Result<usize> {
            self.0.borrow().names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
        }

        fn bytes(&self, file: &usize) -> io::Result<u64> {
            Ok(self.0.borrow().files[*file].now.len() as u64)
        }

        fn append(&self, file: &mut usize, pieces: &[&[u8]]) -> io::Result<()> {
            let state = &mut *self.0.borrow_mut();
            let all = pieces.concat();
            let room = state.room.unwrap_or(usize::MAX);
            state.files[*file].now.extend_from_slice(&all[..all.len().min(room)]);
            state.room = state.room.map(|room| room.saturating_sub(all.len()));
            if all.len() > room { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn replace(&self, name: &str, at: u64, content: &[u8]) -> io::Result<()> {
            let file = self.open(name)?;
            let state = &mut *self.0.borrow_mut();
            let at = at as usize;
            if state.failing.replace {
                // Half of it was written.
                let half = content.len() / 2;
                state.files[file].now[at..at + half].copy_from_slice(&content[..half]);
                return Err(failed("replace"));
            }
            state.files[file].now[at..at + content.len()].copy_from_slice(content);
            Ok(())
        }

        fn read_at(&self, file: &usize, at: u64, bytes: usize) -> io::Result<Bytes> {
            let state = self.0.borrow();
            let content = &state.files[*file].now;
            let range = at as usize..at as usize + bytes;
            let found = content.get(range).ok_or(io::ErrorKind::UnexpectedEof)?;
            Ok(Bytes::copy_from_slice(found))
        }

        fn truncate(&self, file: &mut usize, bytes: u64) -> io::Result<()> {
            let state = &mut *self.0.borrow_mut();
            if state.failing.truncate {
                return Err(failed("truncate"));
            }
            state.files[*file].now.truncate(bytes as usize);
            Ok(())
        }

        fn sync(&self, file: &usize) -> io::Result<()> {
            self.crash_at_sync();
            let state = &mut *self.0.borrow_mut();
            if state.failing.sync {
                return Err(failed("sync"));
            }
            let content = &mut state.files[*file];
            content.synced = content.now.clone();
            Ok(())
        }

        fn remove(&self, name: &str) -> io::Result<()> {
            let state = &mut *self.0.borrow_mut();
            if state.failing.remove {
                return Err(failed("remove"));
            }
            state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
            state.unsynced_names.push((name.to_owned(), None));
            Ok(())
        }

        fn sync_names(&self) -> io::Result<()> {
            self.crash_at_sync();
            let state = &mut *self.0.borrow_mut();
            if state.failing.sync_names {
                return Err(failed("sync of the names"));
            }
            state.synced_names = state.names.clone();
            state.unsynced_names.clear();
            Ok(())
        }

        fn overwrite(&self, name: &str, content: &[u8]) -> io::Result<()> {
            let file = self.open(name).or_else(|_| self.create(name))?;
            let state = &mut *self.0.borrow_mut();
            let before = state.files[file].now.len();
            if content.len() > before && state.room.is_some_and(|room| content.len() > room) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            state.files[file].now = content.to_vec();
            Ok(())
        }
    }
}
