//! Schedules of refreshes: which are in force, and which a newer roster or order has ended.
//!
//! A schedule is the newest order of a key's chain, and nodes carry no order out that was made
//! under an older roster than theirs: so any change of the roster ends it.

use crate::{render, time::now};
use quorate_client::Operator;
use quorate_types::{Cluster, Hash, KeyName, Millis, Repeat, Roster, VerifiedOrder, fork::fallen};
use serde_json::{Value, json};
use std::collections::{BTreeMap, BTreeSet};

/// A schedule that operators have ordered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Schedule {
    key: KeyName,
    pub(super) repeat: Repeat,
    pub(super) ended: Option<Ended>,
    /// How many operators must sign the next one.
    quorum: u16,
}

/// What has ended a schedule before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    /// This version of the roster.
    Roster(u32),
    /// A newer order of the key.
    Order(Hash),
    /// Its own end.
    Time,
}

impl Schedule {
    /// Of an order, with the order at the head of its chain if that is known.
    pub(super) fn of(
        order: &VerifiedOrder,
        head: Option<&VerifiedOrder>,
        roster: &Roster,
    ) -> Option<Self> {
        let terms = order.terms()?;
        let repeat = terms.repeat?;
        let newer = head.map(VerifiedOrder::hash).filter(|hash| *hash != order.hash());
        let made_under = order.order().roster_version;
        let ended = match newer {
            _ if repeat.until <= now() => Some(Ended::Time),
            Some(newer) => Some(Ended::Order(newer)),
            None if made_under < roster.version => Some(Ended::Roster(made_under + 1)),
            None => None,
        };
        Some(Self { key: terms.name.clone(), repeat, ended, quorum: roster.quorum })
    }

    /// `every 30 d until 2027-11-24 00:00:00Z`.
    pub(super) fn text(&self) -> String {
        let (every, until) = (render::span(self.repeat.every), render::time(self.repeat.until));
        format!("every {every} until {until}")
    }

    /// In a line of `share status`.
    pub(super) fn line(&self) -> String {
        let (text, again) = (self.text(), self.command());
        match &self.ended {
            None => format!("scheduled: {text}"),
            Some(Ended::Time) => format!("its schedule is over: {text}"),
            Some(Ended::Roster(version)) => format!(
                "its schedule ({text}) was ENDED by roster version {version}; give it again: `{again}`"
            ),
            Some(Ended::Order(hash)) => format!(
                "its schedule ({text}) was ENDED by order {}, which came after it; give it again: \
                 `{again}`",
                hash.short()
            ),
        }
    }

    /// The command that gives it again, as it is.
    pub(super) fn command(&self) -> String {
        let left = self.repeat.until.0.saturating_sub(now().0).div_ceil(Millis::DAY);
        let out = if self.quorum > 1 { " --order-out FILE" } else { "" };
        format!(
            "quorate share schedule {} --every {} --times {} --days {}{out}",
            self.key,
            short_span(self.repeat.every),
            self.repeat.times,
            left.clamp(1, 3660)
        )
    }

    pub(super) fn json(&self) -> Value {
        let ended = self.ended.map(|ended| match ended {
            Ended::Roster(version) => json!({ "by": "roster", "version": version }),
            Ended::Order(hash) => json!({ "by": "order", "hash": hash.to_string() }),
            Ended::Time => json!({ "by": "time" }),
        });
        json!({
            "key": self.key.as_str(), "every": self.repeat.every, "times": self.repeat.times,
            "until": self.repeat.until.0, "ended": ended, "again": self.command(),
        })
    }
}

/// As `--every` takes it: `30d`.
fn short_span(seconds: u32) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "m")];
    let unit = units.iter().find(|(n, _)| seconds > 0 && seconds.is_multiple_of(*n));
    unit.map_or_else(|| format!("{seconds}s"), |(n, unit)| format!("{}{unit}", seconds / n))
}

/// The schedules that have not come to their own end, of keys that are not destroyed.
async fn all(operator: &Operator) -> Result<Vec<(VerifiedOrder, Schedule)>, quorate_client::Error> {
    let orders = operator.orders().await?;
    let destroyed = operator.keys().await?.into_iter().filter(|k| k.is_destroyed());
    let destroyed: BTreeSet<String> = destroyed.map(|k| k.name).collect();
    let cluster = operator.cluster();
    let of = |order: VerifiedOrder| {
        let schedule = Schedule::of(&order, None, cluster.roster())?;
        let counts =
            schedule.ended != Some(Ended::Time) && !destroyed.contains(schedule.key.as_str());
        counts.then_some((order, schedule))
    };
    Ok(newest(orders).into_values().filter_map(of).collect())
}

/// The newest order of each key.
fn newest(orders: Vec<VerifiedOrder>) -> BTreeMap<KeyName, VerifiedOrder> {
    let fallen = fallen(&orders);
    let mut newest: BTreeMap<KeyName, VerifiedOrder> = BTreeMap::new();
    for order in orders.into_iter().filter(|o| !fallen.contains(&o.hash())) {
        let Some(terms) = order.terms() else { continue };
        let first = |o: &VerifiedOrder| o.terms().map_or(0, |t| t.first_number);
        if newest.get(terms.name).is_none_or(|known| first(known) < terms.first_number) {
            newest.insert(terms.name.clone(), order);
        }
    }
    newest
}

/// How many schedules earlier rosters have ended and nobody has given again.
pub(super) async fn ended(operator: &Operator) -> Result<usize, quorate_client::Error> {
    Ok(all(operator).await?.iter().filter(|(_, s)| s.ended.is_some()).count())
}

/// What the next roster does to schedules.
pub(super) enum Ending {
    /// Nobody could tell.
    Unknown(String),
    /// Those that it ends, and how many were ended before and not given again.
    Known { ends: Vec<(Schedule, bool)>, before: usize },
}

impl Ending {
    /// Of a roster that follows the newest one.
    pub(super) async fn of(operator: &Operator, then: &Roster) -> Self {
        let all = match all(operator).await {
            Ok(all) => all,
            Err(error) => return Self::Unknown(error.to_string()),
        };
        let (ended, running): (Vec<_>, Vec<_>) =
            all.into_iter().partition(|(_, s)| s.ended.is_some());
        let ends = running.into_iter().map(|(order, schedule)| {
            let committee = order.terms().map(|terms| terms.committee.clone());
            let moves = committee.is_some_and(|c| {
                let there = |m: &quorate_types::Member| {
                    then.node(m.index).is_some_and(|n| n.identity == m.identity)
                };
                !c.members().iter().all(there)
            });
            (schedule, moves)
        });
        Self::Known { ends: ends.collect(), before: ended.len() }
    }

    /// What is said before anything is signed or brought.
    pub(super) fn warning(&self) -> Vec<String> {
        match self {
            Self::Unknown(why) => vec![format!(
                "  SCHEDULES    of refreshes END with it; which there are nobody could tell ({why})"
            )],
            Self::Known { ends, .. } if ends.is_empty() => Vec::new(),
            Self::Known { ends, .. } => {
                let names: Vec<&str> = ends.iter().map(|(s, _)| s.key.as_str()).collect();
                let shown = names[..names.len().min(SHOWN)].join(", ");
                let more = match names.len().saturating_sub(SHOWN) {
                    0 => String::new(),
                    more => format!(" and {more} more"),
                };
                vec![format!("  ENDS         the schedules of refreshes of {shown}{more}")]
            }
        }
    }

    /// What is to be done once it holds.
    pub(super) fn next(&self, cluster: &Cluster) -> Vec<String> {
        let Self::Known { ends, before } = self else {
            return vec!["`quorate share status KEY` says whether its schedule has ended".into()];
        };
        let mut lines = Vec::new();
        let dir = if cluster.roster().quorum > 1 { " --order-out DIR" } else { "" };
        let (moved, stay): (Vec<_>, Vec<_>) = ends.iter().partition(|(_, moves)| *moves);
        if !moved.is_empty() {
            lines.push(format!(
                "schedules that end, of keys that the change touches: {}; this moves them and carries \
                 their schedules on:",
                moved.len()
            ));
            lines.push(format!("  quorate cluster apply{dir}"));
        }
        if !stay.is_empty() {
            lines.push(format!(
                "schedules that end, of other keys: {}; give them again:",
                stay.len()
            ));
            lines.extend(stay.iter().take(SHOWN).map(|(s, _)| format!("  {}", s.command())));
            if stay.len() > SHOWN {
                lines.push(format!("  and {} more (all with --output json)", stay.len() - SHOWN));
            }
        }
        if ends.len() + before > 1 {
            lines.push("or, for all that rosters have ended, as they were:".into());
            lines.push(format!("  quorate share schedule --ended{dir}"));
        }
        lines
    }

    pub(super) fn json(&self) -> Value {
        match self {
            Self::Unknown(_) => Value::Null,
            Self::Known { ends, .. } => {
                let one = |(s, moves): &(Schedule, bool)| {
                    let mut json = s.json();
                    json["moved_by_apply"] = json!(moves);
                    json
                };
                json!(ends.iter().map(one).collect::<Vec<_>>())
            }
        }
    }
}

/// Keys that are named, or commands that are written out, at most.
const SHOWN: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schedule_is_given_again_by_the_command_that_is_printed() {
        let schedule = Schedule {
            key: KeyName::new("payroll").expect("a name"),
            repeat: Repeat { every: 90 * 60, times: 12, until: now().plus(2 * Millis::DAY + 5) },
            ended: Some(Ended::Roster(7)),
            quorum: 2,
        };
        let line = schedule.line();
        assert!(line.starts_with("its schedule (every 90 min until "), "{line}");
        assert!(line.contains("ENDED by roster version 7; give it again: `"), "{line}");
        let command = schedule.command();
        assert!(line.contains(&command), "{line}");
        let wanted =
            "quorate share schedule payroll --every 90m --times 12 --days 3 --order-out FILE";
        assert_eq!(command, wanted);
        let parsed = <crate::args::Cli as clap::Parser>::try_parse_from(command.split(' '));
        assert!(parsed.is_ok(), "{parsed:?}");
        for (seconds, text) in [(10, "10s"), (3600, "1h"), (30 * 86_400, "30d"), (90, "90s")] {
            assert_eq!(short_span(seconds), text);
        }
    }
}
