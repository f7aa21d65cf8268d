//! `data_dir`: the proxy's id, its lock, the last topology, UDP listeners, backlogs, and the databases seen last. Passwords
//! lie in it: nobody else may read it.

use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::topology::{self, Backlogs, Topology, UdpListener, changes_that_hide_data, parse_udp, print_udp};

use super::StartError;

/// A file that only its owner may read, replaced as a whole.
pub struct PrivateFile(PathBuf);

impl PrivateFile {
    /// `None` if it is not there.
    pub fn read(&self) -> Result<Option<Vec<u8>>, StartError> {
        read(&self.0)
    }

    pub fn replace(&self, text: &str) -> Result<(), StartError> {
        replace(&self.0, text)
    }

    /// What is wrong with it.
    pub fn fault(&self, error: impl std::fmt::Display) -> StartError {
        failed(&self.0, error)
    }
}

pub struct DataDir {
    path: PathBuf,
    /// This proxy's own id, the same at every start.
    pub id: String,
    #[expect(dead_code, reason = "held, not read: the lock lasts as long as the file is open")]
    lock: File,
}

fn failed(path: &Path, error: impl std::fmt::Display) -> StartError {
    StartError(format!("data_dir: {}: {error}", path.display()))
}

impl DataDir {
    /// Makes the directory if need be and locks it.
    pub fn open(path: &Path) -> Result<DataDir, StartError> {
        fs::DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(|error| failed(path, error))?;
        let lock_path = path.join("lock");
        let lock = OpenOptions::new().create(true).truncate(false).write(true).mode(0o600).open(&lock_path);
        let lock = lock.map_err(|error| failed(&lock_path, error))?;
        lock.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => failed(path, "locked by another slotline; each needs a data_dir of its own"),
            TryLockError::Error(error) => failed(&lock_path, error),
        })?;
        let id = own_id(path)?;
        Ok(DataDir { path: path.to_owned(), id, lock })
    }

    /// The topology that was served last, if there was one.
    pub fn last(&self) -> Result<Option<Topology>, StartError> {
        let path = self.topology_path();
        let json = read(&path)?;
        json.map(|json| topology::parse(&json)).transpose().map_err(|error| failed(&path, error))
    }

    /// The shared UDP listeners that were there last.
    pub fn last_udp(&self) -> Result<Vec<UdpListener>, StartError> {
        let path = self.udp_path();
        let json = read(&path)?;
        json.map_or(Ok(Vec::new()), |json| parse_udp(&json)).map_err(|error| failed(&path, error))
    }

    /// Refuses a topology that would hide data which the last one can find.
    pub fn check(&self, topology: &Topology, accept: bool) -> Result<(), StartError> {
        let Some(last) = self.last()? else { return Ok(()) };
        let changes = changes_that_hide_data(&last, topology);
        for change in &changes {
            tracing::warn!(%change, "the topology differs from the last one");
        }
        if changes.is_empty() || accept {
            return Ok(());
        }
        let list: Vec<String> = changes.iter().map(|change| format!("  {change}")).collect();
        Err(StartError(format!(
            "the topology would hide stored data (compared with {}):\n{}\nmove the data first, or start with \
             --accept-topology if it may be hidden",
            self.topology_path().display(),
            list.join("\n")
        )))
    }

    /// Keeps a copy of the topology that is served from now on.
    pub fn keep(&self, topology: &Topology) -> Result<(), StartError> {
        replace(&self.topology_path(), &topology::print(topology))
    }

    /// Keeps a copy of the shared UDP listeners.
    pub fn keep_udp(&self, listeners: &[UdpListener]) -> Result<(), StartError> {
        replace(&self.udp_path(), &print_udp(listeners))
    }

    /// Who else held points for replicas when that was last heard.
    pub fn last_backlogs(&self) -> Result<Backlogs, StartError> {
        let path = self.backlogs_path();
        let json = read(&path)?;
        json.map_or(Ok(Backlogs::new()), |json| serde_json::from_slice(&json)).map_err(|error| failed(&path, error))
    }

    /// Keeps a copy of it.
    pub fn keep_backlogs(&self, backlogs: &Backlogs) -> Result<(), StartError> {
        let path = self.backlogs_path();
        replace(&path, &serde_json::to_string(backlogs).map_err(|error| failed(&path, error))?)
    }

    fn backlogs_path(&self) -> PathBuf {
        self.path.join("backlogs.json")
    }

    /// Where the databases seen last are kept.
    pub fn databases(&self) -> PrivateFile {
        PrivateFile(self.path.join("databases.json"))
    }

    fn topology_path(&self) -> PathBuf {
        self.path.join("topology.json")
    }

    fn udp_path(&self) -> PathBuf {
        self.path.join("udp.json")
    }
}

fn read(path: &Path) -> Result<Option<Vec<u8>>, StartError> {
    match fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(failed(path, error)),
    }
}

fn replace(path: &Path, text: &str) -> Result<(), StartError> {
    if fs::read(path).is_ok_and(|last| last == text.as_bytes()) {
        return Ok(());
    }
    write_private(path, text.as_bytes()).map_err(|error| failed(path, error))
}

fn own_id(data_dir: &Path) -> Result<String, StartError> {
    let path = data_dir.join("id");
    match fs::read_to_string(&path) {
        Ok(id) if !id.trim().is_empty() => Ok(id.trim().to_owned()),
        Err(error) if error.kind() != ErrorKind::NotFound => Err(failed(&path, error)),
        _ => {
            let id = uuid::Builder::from_random_bytes(fastrand::u128(..).to_ne_bytes()).into_uuid().to_string();
            write_private(&path, format!("{id}\n").as_bytes()).map_err(|error| failed(&path, error))?;
            Ok(id)
        }
    }
}

/// Replaces a file as a whole, readable by its owner only, and on the disk before it counts.
fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut file = tempfile::NamedTempFile::new_in(directory)?;
    file.as_file().set_permissions(Permissions::from_mode(0o600))?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path)?;
    File::open(directory)?.sync_all()
}
