//! Makes the disk layer's operations fail on purpose.

use std::{io, sync::Mutex};

/// Fails the operations that a plan names.
#[derive(Default)]
pub(crate) struct Faults {
    plan: Mutex<Plan>,
}

#[derive(Default)]
struct Plan {
    /// Operations seen, of the kind that may fail.
    seen: u64,
    fail: Option<(Kind, u64, io::ErrorKind)>,
    no_barrier: bool,
    no_rewrite: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Any,
    Rename,
}

impl Faults {
    /// Before an operation of this name: fails it if it is its turn.
    pub(crate) fn before(&self, action: &'static str) -> io::Result<()> {
        let mut plan = self.plan.lock().unwrap();
        let Some((kind, at, error)) = plan.fail else { return Ok(()) };
        let counts = match kind {
            Kind::Any => true,
            Kind::Rename => action == "rename",
        };
        plan.seen += u64::from(counts);
        if counts && plan.seen == at { Err(error.into()) } else { Ok(()) }
    }

    /// From now on, fail the `at`-th operation (from 1).
    pub(crate) fn fail(&self, kind: Kind, at: u64, error: io::ErrorKind) {
        let mut plan = self.plan.lock().unwrap();
        plan.seen = 0;
        plan.fail = Some((kind, at, error));
    }

    pub(crate) fn take_barrier_out(&self) {
        self.plan.lock().unwrap().no_barrier = true;
    }

    pub(crate) fn barrier_is_out(&self) -> bool {
        self.plan.lock().unwrap().no_barrier
    }

    pub(crate) fn take_rewrite_out(&self) {
        self.plan.lock().unwrap().no_rewrite = true;
    }

    pub(crate) fn rewrite_is_out(&self) -> bool {
        self.plan.lock().unwrap().no_rewrite
    }
}
