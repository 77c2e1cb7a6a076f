//! Orders that move the shares of many keys: some keys at once, with progress.

use super::{
    order::{confirmed, signed, warn_of_culprits, write},
    pipeline,
    schedules::{Ended, Schedule},
    share::{Chain, Change, action, schedule_of, versions},
};
use crate::{
    args::{Many, OrderOut, ShareHow},
    failure::Failure,
    output::Report,
    render,
    time::now,
};
use quorate_client::{CarriedOut, Moved, Operator};
use quorate_types::{Cluster, KeyName, Millis, NodeIndex, VerifiedOrder};
use serde_json::json;
use std::sync::Arc;

/// All keys that a change touches: some at once, with progress. What fails is told, and the
/// rest goes on.
pub(super) async fn many(
    operator: Operator,
    many: &Many,
    how: &ShareHow,
    change: Change,
) -> Result<Report, Failure> {
    let cluster = operator.cluster();
    if how.version.is_some() {
        return Err(Failure::usage("--version goes with one key; of many keys all versions move"));
    }
    if cluster.roster().quorum > 1 && how.order.order_out.is_none() {
        let m = cluster.roster().quorum;
        let text = format!("{m} operators must sign: say --order-out DIR, and pass the files on");
        return Err(Failure::usage(text));
    }
    let keys = operator.keys().await?.into_iter().filter(|k| !k.is_destroyed());
    let names = keys.map(|k| k.name).collect();
    let work = Arc::new(Work {
        operator,
        how: How {
            change,
            allow_absent: how.allow_absent,
            grace: how.grace,
            end_schedule: how.end_schedule,
            danger_concentrated: how.danger_concentrated,
            acknowledge_fragile: how.acknowledge_fragile,
            out: how.order.order_out.clone(),
            days: how.order.order_days,
            since: many.skip_moved_within.map(|m| now().0.saturating_sub(m * 60_000)),
        },
    });
    if how.allow_absent > 0 && !how.yes && !confirmed(FEW_LIARS)? {
        return Err(Failure::new("not ordered"));
    }
    if how.end_schedule {
        eprintln!("this ENDS the schedule of each key that it moves");
    }
    let begun = now();
    let tally = run(&work, names, usize::from(many.at_once)).await;
    let left = work.how.goes_on(begun, now());
    tally.report(&work.operator.cluster(), &left)
}

const FEW_LIARS: &str =
    "With nodes absent, fewer lying nodes are tolerated meanwhile. Go on? [y/N] ";

struct Work {
    operator: Operator,
    how: How,
}

/// [`ShareHow`] and [`Many`], owned.
struct How {
    change: Change,
    allow_absent: u16,
    grace: u32,
    end_schedule: bool,
    danger_concentrated: bool,
    acknowledge_fragile: bool,
    out: Option<std::path::PathBuf>,
    days: u64,
    since: Option<u64>,
}

impl How {
    /// How to go on with what has failed: what a change touches anew whenever it is given leaves out
    /// what it has moved only if it is told to.
    fn goes_on(&self, begun: Millis, now: Millis) -> String {
        if self.out.is_some() {
            return "the same command again writes all of the orders anew".into();
        }
        match self.change {
            Change::Refresh | Change::Schedule(_) | Change::Repair(_) => {
                let since = Millis(self.since.unwrap_or(begun.0));
                // One more, for what is left of this minute.
                let minutes = now.0.saturating_sub(since.0).div_ceil(60_000) + 1;
                format!(
                    "with --skip-moved-within {minutes} the same command goes on with what is left: \
                     that is the minutes since {}, so say more if you wait",
                    render::time(since)
                )
            }
            _ => "the same command again goes on with what is left".into(),
        }
    }

    /// Whether it is left out because of when its shares moved.
    fn skips(&self, moved_by: &VerifiedOrder) -> bool {
        // A refresh is no schedule.
        let is_it = match self.change {
            Change::Schedule(_) => moved_by.terms().is_some_and(|t| t.repeat.is_some()),
            _ => moved_by.reshare().is_some(),
        };
        is_it && self.since.is_some_and(|since| moved_by.order().issued_at.0 >= since)
    }
}

#[derive(Default)]
struct Tally {
    /// Keys of which any version has moved.
    keys: usize,
    moved: Vec<Moved>,
    written: usize,
    untouched: usize,
    ended: Vec<String>,
    failed: Vec<(String, Failure)>,
    seconds: f64,
}

/// What became of one key's versions.
#[derive(Default)]
struct One {
    moved: Vec<Moved>,
    written: usize,
    /// Of its schedule, if this has ended it: the command that gives it again.
    ended: Option<String>,
}

async fn run(work: &Arc<Work>, names: Vec<String>, at_once: usize) -> Tally {
    let outcome = pipeline::run(
        names.into_iter().map(|name| (name.clone(), name)),
        "keys",
        at_once,
        |one: &One| !one.moved.is_empty(),
        |name| {
            let work = Arc::clone(work);
            async move { work.one(&name).await }
        },
    )
    .await;
    let mut tally = Tally { failed: outcome.failed, seconds: outcome.seconds, ..Tally::default() };
    for One { moved, written, ended } in outcome.done {
        tally.keys += usize::from(!moved.is_empty());
        tally.untouched += usize::from(moved.is_empty() && written == 0);
        tally.moved.extend(moved);
        tally.written += written;
        tally.ended.extend(ended);
    }
    tally
}

impl Work {
    async fn one(&self, name: &str) -> Result<One, Failure> {
        let how = &self.how;
        let name = KeyName::new(name).map_err(Failure::usage)?;
        let heads = self.operator.heads(Some(&name)).await?;
        let Some(mut chain) = Chain::of(&heads)? else {
            return Ok(One::default());
        };
        let roster_ended = |s: &Schedule| matches!(s.ended, Some(Ended::Roster(_)));
        if matches!(how.change, Change::Again)
            && !schedule_of(&heads, &self.operator.cluster()).is_some_and(|s| roster_ended(&s))
        {
            return Ok(One::default());
        }
        let share_how = ShareHow {
            allow_absent: how.allow_absent,
            grace: how.grace,
            end_schedule: how.end_schedule,
            danger_concentrated: how.danger_concentrated,
            acknowledge_fragile: how.acknowledge_fragile,
            version: None,
            yes: true,
            order: OrderOut { order_out: None, order_days: how.days },
        };
        let ends = schedule_of(&heads, &self.operator.cluster());
        let ends = ends.filter(|s| how.end_schedule && s.ended.is_none());
        let mut one = One::default();
        for key in versions(&self.operator, &name, None, &how.change).await? {
            if how.skips(key.epoch().order()) {
                continue;
            }
            let cluster = self.operator.cluster();
            let action = action(cluster.roster(), &key, &chain, &how.change, &share_how)?;
            let Some(action) = action else { continue };
            let (order, signed) = signed(&self.operator, action, chain.head, how.days)?;
            chain.follows(&cluster, &order);
            if let Some(dir) = &how.out {
                std::fs::create_dir_all(dir).map_err(|e| Failure::io(dir.display(), &e))?;
                // Of several versions each order follows the one before.
                let name = match (name.as_str().replace('/', "%"), key.version().get()) {
                    (name, 1) => format!("{name}.order"),
                    (name, version) => format!("{name}@{version}.order"),
                };
                write(&dir.join(name), &signed)?;
                one.written += 1;
                continue;
            }
            let mut blames = Vec::new();
            let result = self.operator.submit(&signed, |p| blames.clone_from(&p.blames)).await;
            warn_of_culprits(&self.operator, &blames);
            match result? {
                CarriedOut::Moved(moved) => one.moved.push(*moved),
                _ => return Err(Failure::new("the order was applied, and no share has moved")),
            }
        }
        if one.written > 0 || !one.moved.is_empty() {
            one.ended = ends.map(|schedule| schedule.command());
        }
        Ok(one)
    }
}

impl Tally {
    /// What is said; `left` of what failed.
    fn report(self, cluster: &Cluster, left: &str) -> Result<Report, Failure> {
        let roster = cluster.roster();
        let moved = self.keys;
        let late = |of: fn(&Moved) -> &Vec<NodeIndex>| {
            let mut nodes: Vec<NodeIndex> = self.moved.iter().flat_map(of).copied().collect();
            nodes.sort();
            nodes.dedup();
            nodes
        };
        let (absent, unerased) = (late(|m| &m.absent), late(|m| &m.unerased));
        let rate = moved as f64 / self.seconds.max(0.001);
        let mut lines = vec![match self.written {
            0 => format!(
                "{moved} keys moved in {:.1} s ({rate:.0} keys/s), {} not touched, {} failed",
                self.seconds,
                self.untouched,
                self.failed.len()
            ),
            n => format!(
                "{n} orders written; next, with the directory: quorate order sign, then quorate order \
                 submit"
            ),
        }];
        if !absent.is_empty() {
            lines.push(format!("missed by {}", render::nodes(roster, &absent)));
        }
        if !unerased.is_empty() {
            lines.push(format!("not yet erased at {}", render::former(cluster, &unerased)));
        }
        if !self.ended.is_empty() {
            lines.push(format!(
                "schedules that this ends: {}; to give them again:",
                self.ended.len()
            ));
            lines.extend(self.ended.iter().take(10).map(|command| format!("  {command}")));
            if self.ended.len() > 10 {
                lines
                    .push(format!("  and {} more (all with --output json)", self.ended.len() - 10));
            }
        }
        for (name, failure) in self.failed.iter().take(10) {
            lines.push(format!("{name}: {failure}"));
        }
        if let Some((_, worst)) = self.failed.iter().max_by_key(|(_, f)| f.code) {
            let text = format!("{}\n{left}", lines.join("\n"));
            return Err(Failure { code: worst.code, ..Failure::new(text) });
        }
        let json = json!({
            "moved": moved, "versions": self.moved.len(), "written": self.written, "untouched": self.untouched,
            "seconds": self.seconds, "keys_per_second": rate, "schedules_ended": self.ended,
            "absent": absent.iter().map(|n| n.get()).collect::<Vec<_>>(),
            "unerased": unerased.iter().map(|n| n.get()).collect::<Vec<_>>(),
        });
        Ok(Report::new(lines.join("\n"), json))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_types::Repeat;

    fn how(change: Change, since: Option<u64>) -> How {
        How {
            change,
            allow_absent: 0,
            grace: 0,
            end_schedule: false,
            danger_concentrated: false,
            acknowledge_fragile: false,
            out: None,
            days: 7,
            since,
        }
    }

    /// These touch a key however often they are given.
    #[test]
    fn what_would_move_every_key_again_goes_on_with_the_minutes_that_have_passed() {
        let node = NodeIndex::new(3).expect("an index");
        let repeat = Repeat { every: 60, times: 1, until: Millis(0) };
        let (begun, now) = (Millis(600_000), Millis(600_000 + 61_000));
        for change in [Change::Refresh, Change::Schedule(repeat), Change::Repair(node)] {
            let text = how(change.clone(), None).goes_on(begun, now);
            assert!(text.contains("--skip-moved-within 3 the same command"), "{text}");
            assert!(text.contains("since 1970-01-01 00:10:00Z"), "{text}");
            // A run that goes on counts from where the first one began.
            let text = how(change, Some(0)).goes_on(begun, now);
            assert!(text.contains("--skip-moved-within 13 "), "{text}");
        }
        for change in [Change::Follow, Change::Again, Change::Drain { from: node, to: None }] {
            let text = how(change, None).goes_on(begun, now);
            assert_eq!(text, "the same command again goes on with what is left");
        }
    }
}
