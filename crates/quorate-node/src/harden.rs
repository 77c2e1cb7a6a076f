//! What the process forbids itself: no core dump, no tracing by others.

use rustix::{
    io::Errno,
    process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit},
};

/// Keeps secrets out of core files, and `/proc/PID/mem` away from other processes of the
/// same user.
///
/// # Errors
/// The operating system's, where it refuses.
pub fn harden() -> Result<(), Errno> {
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    set_dumpable_behavior(DumpableBehavior::NotDumpable)
}
