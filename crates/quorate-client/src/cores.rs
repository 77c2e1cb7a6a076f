//! Work on many items, on all cores.

use std::thread;

/// Items that are worth a thread: some milliseconds of work.
const LEAST_SHARE: usize = 64;

/// What `work` makes of all items, in their order. It gets some of them, and the place of the
/// first; one result for each comes back.
pub(crate) fn spread<T: Sync, R: Send>(
    items: &[T],
    work: impl Fn(usize, &[T]) -> Vec<R> + Sync,
) -> Vec<R> {
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(cores).max(LEAST_SHARE);
    if share >= items.len() {
        return work(0, items);
    }
    let work = &work;
    thread::scope(|scope| {
        let parts: Vec<_> = (items.chunks(share).enumerate())
            .map(|(i, items)| scope.spawn(move || work(i * share, items)))
            .collect();
        let joined = |part: thread::ScopedJoinHandle<'_, Vec<_>>| {
            part.join().expect("combining does not panic: all input is checked")
        };
        parts.into_iter().flat_map(joined).collect()
    })
}
