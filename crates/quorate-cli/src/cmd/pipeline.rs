//! Many of a kind, some at once: with progress, and with what fails tried once more.

use crate::{failure::Failure, output::Progress};
use std::{collections::VecDeque, future::Future, time::Instant};
use tokio::task::JoinSet;

/// How many are under way at once when those that failed are tried once more.
const CAREFULLY: usize = 8;

/// What became of many.
pub(super) struct Outcome<R> {
    pub(super) done: Vec<R>,
    /// By name.
    pub(super) failed: Vec<(String, Failure)>,
    pub(super) seconds: f64,
}

/// Does a step for each of the named items, so many at once. What fails is told, and the rest goes
/// on; `counts` says of a result that there was something to do.
pub(super) async fn run<T, R, F, S>(
    items: impl IntoIterator<Item = (String, T)>,
    unit: &str,
    mut at_once: usize,
    counts: fn(&R) -> bool,
    step: S,
) -> Outcome<R>
where
    T: Clone + Send + 'static,
    R: Send + 'static,
    F: Future<Output = Result<R, Failure>> + Send + 'static,
    S: Fn(T) -> F,
{
    let mut items: VecDeque<(String, T)> = items.into_iter().collect();
    let (all, begun, mut line) = (items.len(), Instant::now(), Progress::new());
    let (mut done, mut failed, mut ended) = (Vec::new(), Vec::new(), Vec::new());
    let mut under_way = JoinSet::new();
    let mut again = true;
    loop {
        while under_way.len() < at_once.max(1)
            && let Some((name, item)) = items.pop_front()
        {
            let result = step(item.clone());
            under_way.spawn(async move { ((name, item), result.await) });
        }
        let Some(ready) = under_way.join_next().await else {
            // Some of very many find everybody busy: they are tried once more. Where most have
            // failed something else is wrong.
            let moved = done.iter().filter(|r| counts(r)).count();
            if !again || failed.is_empty() || failed.len() > moved {
                break;
            }
            (again, at_once) = (false, CAREFULLY.min(at_once));
            items.extend(failed.drain(..).map(|(item, _): ((String, T), Failure)| item));
            continue;
        };
        match ready {
            Ok((_, Ok(result))) => done.push(result),
            Ok((item, Err(failure))) => failed.push((item, failure)),
            // A task that ended without saying which it was at.
            Err(error) => ended.push((format!("one of the {unit}"), Failure::new(error))),
        }
        let rest = items.len() + under_way.len();
        let rate = (all - rest) as f64 / begun.elapsed().as_secs_f64().max(0.001);
        line.show(&format!(
            "{} of {all} {unit}, {rate:.0} {unit}/s, {:.0} s to go, {} failed",
            all - rest,
            rest as f64 / rate.max(0.001),
            failed.len()
        ));
    }
    line.clear();
    let failed = failed.into_iter().map(|((name, _), failure)| (name, failure)).chain(ended);
    Outcome { done, failed: failed.collect(), seconds: begun.elapsed().as_secs_f64() }
}
