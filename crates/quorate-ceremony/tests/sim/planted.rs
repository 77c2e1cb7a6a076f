//! The switches of `src/planted.rs` that sit in what the test plays itself: the driver of a
//! node, and a client's combiner.

/// Whether this thread's driver answers before it flushes.
pub(crate) fn answers_before_flush() -> bool {
    #[cfg(feature = "planted-bugs")]
    return quorate_ceremony::planted::is(quorate_ceremony::planted::Bug::AnswerBeforeFlush);
    #[cfg(not(feature = "planted-bugs"))]
    false
}

/// Whether this thread's combiner mixes epochs.
pub(crate) fn mixes_epochs() -> bool {
    #[cfg(feature = "planted-bugs")]
    return quorate_ceremony::planted::is(quorate_ceremony::planted::Bug::MixEpochs);
    #[cfg(not(feature = "planted-bugs"))]
    false
}
