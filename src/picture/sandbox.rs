//! What a process that decodes may still do: read its input, take some memory, write its output, end.

use std::collections::BTreeMap;

use rlimit::Resource;
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

/// Address space: the program itself, and the buffers of a 4K picture's decoder.
const MEMORY: u64 = 1 << 30;
/// Seconds of processor time: a 4K picture takes a tenth of a second.
const CPU: u64 = 2;

#[derive(Debug, thiserror::Error)]
pub(super) enum SandboxError {
    #[error("cannot set a limit: {0}")]
    Limit(#[from] std::io::Error),
    #[error("cannot filter system calls: {0}")]
    Filter(#[from] seccompiler::Error),
    #[error("cannot filter system calls: {0}")]
    Program(#[from] seccompiler::BackendError),
}

/// Gives everything else away, for good.
pub(super) fn enter() -> Result<(), SandboxError> {
    // Media goes first. Where that may not be asked for, the limits remain.
    let _ = rustix::process::nice(19);
    // A decoder without a server serves nobody.
    let _ = rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL));
    for (resource, limit) in [
        (Resource::CPU, CPU),
        (Resource::AS, MEMORY),
        (Resource::CORE, 0),
        (Resource::FSIZE, 0),
        // Those three that are open.
        (Resource::NOFILE, 3),
    ] {
        resource.set(limit, limit)?;
    }
    seccompiler::apply_filter(&filter()?)?;
    Ok(())
}

/// Any other call fails. None of these opens, connects, starts or signals anything.
fn filter() -> Result<BpfProgram, SandboxError> {
    let allowed = [
        libc::SYS_read,
        libc::SYS_write,
        libc::SYS_writev,
        libc::SYS_close,
        libc::SYS_brk,
        libc::SYS_mmap,
        libc::SYS_munmap,
        libc::SYS_mremap,
        libc::SYS_madvise,
        libc::SYS_futex,
        libc::SYS_sched_yield,
        libc::SYS_sigaltstack,
        libc::SYS_rt_sigprocmask,
        libc::SYS_rt_sigreturn,
        libc::SYS_getrandom,
        libc::SYS_clock_gettime,
        libc::SYS_exit,
        libc::SYS_exit_group,
    ];
    let rules: BTreeMap<i64, Vec<_>> = allowed.into_iter().map(|call| (call, Vec::new())).collect();
    let refused = SeccompAction::Errno(libc::EPERM.unsigned_abs());
    let filter = SeccompFilter::new(
        rules,
        refused,
        SeccompAction::Allow,
        std::env::consts::ARCH.try_into()?,
    )?;
    Ok(filter.try_into()?)
}
