//! What the process forbids itself: a core dump, tracing by others, to live on after a panic.

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

/// From now on a panic of any thread, once it is printed, ends the process with SIGABRT, in
/// every build: what the thread left half-done is never met by another one.
pub fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}
