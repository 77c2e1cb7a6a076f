//! Bugs on purpose: they show that the simulation of whole nodes finds what it is there for. Each
//! is a switch at the line that it breaks (`planted!`). In this crate's own tests only; in any
//! other build there is no switch.

/// Whether a bug is planted here: never, but in the simulation's own test.
#[cfg(test)]
macro_rules! planted {
    ($bug:ident) => {
        crate::planted::is(crate::planted::Bug::$bug)
    };
}
#[cfg(not(test))]
macro_rules! planted {
    ($bug:ident) => {
        crate::planted::no_bug()
    };
}
pub(crate) use planted;

/// A call, so that conditions read as they are meant; it costs nothing.
#[cfg(not(test))]
#[inline]
pub(crate) const fn no_bug() -> bool {
    false
}

#[cfg(test)]
pub(crate) use switch::{Bug, is, plant};

#[cfg(test)]
mod switch {
    use std::cell::Cell;

    /// What is broken.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub(crate) enum Bug {
        /// A request id is never looked up.
        NoReplayCache,
        /// A full replay cache forgets what it has known longest.
        ReplayEvicts,
        /// A start does not read whom the process before it answered.
        ReplayForgotten,
        /// A start that cannot know all earlier requests refuses none.
        NoFence,
        /// A request is answered however long ago it has expired.
        LateAccepted,
        /// The share is used first, and the use logged next.
        AuditAfterUse,
        /// The driver of a ceremony answers whatever has become of its commit.
        AnswerBeforeFlush,
        /// A nonce pair stays when it is taken.
        NonceTwice,
        /// Every answer is sealed under the name of the epoch in force.
        MixEpochs,
        /// Shares that a ceremony has changed stay in memory.
        StaleShares,
    }

    impl Bug {
        /// Every one.
        pub(crate) const ALL: [Self; 10] = [
            Self::NoReplayCache,
            Self::ReplayEvicts,
            Self::ReplayForgotten,
            Self::NoFence,
            Self::LateAccepted,
            Self::AuditAfterUse,
            Self::AnswerBeforeFlush,
            Self::NonceTwice,
            Self::MixEpochs,
            Self::StaleShares,
        ];
    }

    thread_local! {
        static PLANTED: Cell<Option<Bug>> = const { Cell::new(None) };
    }

    /// Breaks this thread's code in one way, or in none.
    pub(crate) fn plant(bug: Option<Bug>) {
        PLANTED.set(bug);
    }

    /// Whether this thread's code is broken so.
    pub(crate) fn is(bug: Bug) -> bool {
        PLANTED.get() == Some(bug)
    }
}
