//! What the machine must offer: io_uring, locked memory, cores. Each lack is told with its remedy.

use std::io;

use crate::config::Cores;

use super::StartError;

/// What glommio locks per executor.
const MEMLOCK_BYTES_MIN: u64 = 512 * 1024;

/// Checks io_uring and the limits, which are raised as far as allowed.
pub fn probe() -> Result<(), StartError> {
    probe_io_uring()?;
    let memlock = raise(libc::RLIMIT_MEMLOCK);
    if memlock < MEMLOCK_BYTES_MIN {
        return Err(StartError(format!(
            "the limit of locked memory is {memlock} bytes and io_uring needs {MEMLOCK_BYTES_MIN}; raise it: \
             `ulimit -l 8192`, LimitMEMLOCK=8M in a systemd unit, --ulimit memlock=8388608 for a container"
        )));
    }
    let descriptors = raise(libc::RLIMIT_NOFILE);
    if descriptors < 4096 {
        tracing::warn!(descriptors, "few file descriptors; raise `ulimit -n` (LimitNOFILE)");
    }
    Ok(())
}

fn probe_io_uring() -> Result<(), StartError> {
    // The kernel's io_uring_params is 120 bytes; zeros ask for the defaults.
    let mut params = [0_u8; 120];
    // SAFETY: a ring of one entry; `params` is as large as the kernel's struct and outlives the call.
    let ring = unsafe { libc::syscall(libc::SYS_io_uring_setup, 1, params.as_mut_ptr()) };
    if ring < 0 {
        let error = io::Error::last_os_error();
        return Err(StartError(format!(
            "io_uring is not available: {error}; slotline needs Linux 5.8 or newer with kernel.io_uring_disabled = 0, \
             and in a container a seccomp profile that allows io_uring_setup, io_uring_enter and io_uring_register"
        )));
    }
    // SAFETY: the descriptor is the ring's, which nobody else has.
    unsafe { libc::close(ring as i32) };
    Ok(())
}

/// Raises a soft limit to its hard limit; the limit now.
fn raise(resource: libc::__rlimit_resource_t) -> u64 {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls only read or write `limit`, which outlives them.
    unsafe {
        if libc::getrlimit(resource, &mut limit) != 0 {
            return 0;
        }
        let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
        if libc::setrlimit(resource, &raised) == 0 {
            limit = raised;
        }
    }
    limit.rlim_cur
}

/// The cores to run on.
pub fn cores(wanted: &Cores) -> Result<Vec<usize>, StartError> {
    let allowed = allowed_cores();
    match wanted {
        Cores::All => Ok(allowed),
        Cores::First(count) if *count <= allowed.len() => Ok(allowed[..*count].to_vec()),
        Cores::First(count) => Err(StartError(format!(
            "server.cores = {count}, but this process may run on {} cores only: {allowed:?}",
            allowed.len()
        ))),
        Cores::These(cores) => match cores.iter().find(|core| !allowed.contains(core)) {
            None => Ok(cores.iter().copied().collect()),
            Some(core) => {
                Err(StartError(format!("server.cores names core {core}, this process may run on {allowed:?}")))
            }
        },
    }
}

fn allowed_cores() -> Vec<usize> {
    // SAFETY: a cpu_set_t is plain bits, for which zeros are a value; the call writes only into it.
    let set = unsafe {
        let mut set: libc::cpu_set_t = std::mem::zeroed();
        libc::sched_getaffinity(0, size_of::<libc::cpu_set_t>(), &mut set);
        set
    };
    // SAFETY: every index is below the set's size.
    (0..libc::CPU_SETSIZE as usize).filter(|core| unsafe { libc::CPU_ISSET(*core, &set) }).collect()
}
