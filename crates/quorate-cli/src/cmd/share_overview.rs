//! `quorate share status` of all keys: a line for each that needs attention, and how many do not.
//!
//! The list of keys says which nodes serve each, as a coordinator tells it: a hint, at the cost of
//! one question to each node for a thousand keys. What needs attention by that, and every key
//! where there are few, is asked about one by one and believed only where it proves itself.

use super::{
    schedules,
    share_status::{Status, title},
};
use crate::{
    args::{Global, ShareStatus},
    failure::Failure,
    output::{Progress, Report, table},
    render, session,
};
use quorate_client::{KeySummary, Operator};
use quorate_types::{NodeIndex, Roster};
use serde_json::{Value, json};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};
use tokio::task::JoinSet;

/// Up to so many keys each has its line, and is asked about.
const FEW: usize = 64;
/// Keys that are asked about at once.
const AT_ONCE: usize = 16;

/// All keys.
///
/// # Errors
/// When nobody answers.
pub async fn run(global: &Global, args: &ShareStatus) -> Result<Report, Failure> {
    let operator = Arc::new(session::operator(global)?);
    let mut keys = operator.keys().await?;
    keys.retain(|key| !key.is_destroyed());
    if keys.is_empty() {
        return Ok(Report::new("no keys", overview_json(&Counts::default(), Vec::new())));
    }
    let limit = usize::try_from(args.limit).unwrap_or(usize::MAX);
    let plan = Plan::of(&keys, limit, args.all);
    let asked = ask(&operator, &plan.ask).await?;
    let counts = Counts::of(&keys, &plan, &asked);
    let mut lines: Vec<Line> = asked.into_iter().flat_map(Line::of).collect();
    if plan.many && !args.all {
        // It has been settled since the list was made.
        lines.retain(|line| line.attention);
    }
    lines.extend(plan.list.iter().flat_map(|key| Line::hints(key)));
    if !plan.many || args.all {
        lines.sort_by(|a, b| a.row[0].cmp(&b.row[0]));
    }
    let mut text = text(&counts, &lines, &behind(&keys), operator.cluster().roster());
    // Only a change of the roster ends schedules unasked. Of many keys the list tells no orders.
    let changed = plan.many && operator.cluster().roster().version > 1;
    let ended = if changed { Some(schedules::ended(&operator).await) } else { None };
    match &ended {
        Some(Ok(n @ 1..)) => text.push_str(&format!(
            "\n{n} schedules were ENDED by changes of the roster; give them again: `quorate share \
             schedule --ended`"
        )),
        Some(Err(error)) => {
            text.push_str(&format!("\nwhether schedules have ended nobody could tell: {error}"));
        }
        Some(Ok(0)) | None => {}
    }
    let values = lines.into_iter().map(|line| line.json).collect();
    let mut json = overview_json(&counts, values);
    if let Some(Ok(ended)) = ended {
        json["summary"]["schedules_ended"] = json!(ended);
    }
    Ok(Report::new(text, json))
}

/// What a key's entry in the list tells.
trait Hint {
    /// Each version of which the nodes tell something, ascending: what an older one made is lost
    /// with its shares.
    fn versions(&self) -> Vec<Told<'_>>;
    /// How many more nodes may be lost before one of them is out of reach.
    fn spare(&self) -> i64;
    /// Whether anything is to be done.
    fn calls(&self) -> bool;
}

impl Hint for KeySummary {
    fn versions(&self) -> Vec<Told<'_>> {
        let older = self.older.iter().filter(|v| !v.committee.is_empty()).map(|v| Told {
            version: v.version,
            epoch: v.epoch,
            threshold: v.threshold,
            committee: &v.committee,
            serving: &v.serving,
            unsettled: &v.unsettled,
        });
        let newest = Told {
            version: self.version,
            epoch: self.epoch,
            threshold: self.threshold,
            committee: &self.committee,
            serving: &self.serving,
            unsettled: &self.unsettled,
        };
        older.chain([newest]).collect()
    }

    fn spare(&self) -> i64 {
        self.versions().iter().map(Told::spare).min().unwrap_or(0)
    }

    fn calls(&self) -> bool {
        self.state != "active" || self.versions().iter().any(Told::calls)
    }
}

/// What the list tells of one version.
struct Told<'a> {
    version: u32,
    epoch: u64,
    threshold: u32,
    committee: &'a [u32],
    serving: &'a [u32],
    unsettled: &'a [u32],
}

impl Told<'_> {
    fn serving(&self) -> usize {
        self.serving.iter().filter(|n| self.committee.contains(n)).count()
    }

    fn spare(&self) -> i64 {
        i64::try_from(self.serving()).unwrap_or(i64::MAX) - i64::from(self.threshold)
    }

    fn missing(&self) -> impl Iterator<Item = u32> + '_ {
        self.committee.iter().copied().filter(|n| !self.serving.contains(n))
    }

    fn calls(&self) -> bool {
        self.missing().next().is_some() || !self.unsettled.is_empty()
    }
}

/// Which keys are asked about, and which are listed as the coordinator tells them.
struct Plan<'a> {
    many: bool,
    ask: Vec<&'a KeySummary>,
    list: Vec<&'a KeySummary>,
    /// Keys that need attention, beyond the limit.
    cut: usize,
}

impl<'a> Plan<'a> {
    fn of(keys: &'a [KeySummary], limit: usize, all: bool) -> Self {
        if keys.len() <= FEW {
            return Self { many: false, ask: keys.iter().collect(), list: Vec::new(), cut: 0 };
        }
        let (mut calls, mut rest): (Vec<_>, Vec<_>) = keys.iter().partition(|k| k.calls());
        // The worst first: a limit leaves out what can wait.
        calls.sort_by_key(|k| k.spare());
        let over = calls.split_off(calls.len().min(limit));
        let cut = if all { 0 } else { over.len() };
        match all {
            true => rest.extend(over),
            false => rest.clear(),
        }
        Self { many: true, ask: calls, list: rest, cut }
    }
}

/// Asks about keys, some at once; answers in the order of the keys.
async fn ask(operator: &Arc<Operator>, keys: &[&KeySummary]) -> Result<Vec<Asked>, Failure> {
    let mut waiting = keys.iter().map(|k| k.name.clone()).enumerate();
    let (mut answers, mut under_way, mut line) = (BTreeMap::new(), JoinSet::new(), Progress::new());
    loop {
        while under_way.len() < AT_ONCE
            && let Some((at, name)) = waiting.next()
        {
            let operator = Arc::clone(operator);
            under_way.spawn(async move {
                let status = Status::of(&operator, &name).await;
                (at, Asked { name, status })
            });
        }
        let Some(done) = under_way.join_next().await else { break };
        let (at, asked) = done.map_err(Failure::new)?;
        answers.insert(at, asked);
        line.show(&format!("{} of {} keys asked about", answers.len(), keys.len()));
    }
    Ok(answers.into_values().collect())
}

struct Asked {
    name: String,
    /// Of every version.
    status: Result<Vec<Status>, Failure>,
}

impl Asked {
    fn any(&self, is: fn(&Status) -> bool) -> bool {
        self.status.as_ref().is_ok_and(|versions| versions.iter().any(is))
    }

    fn attention(&self) -> bool {
        self.any(Status::needs_attention)
    }

    fn out_of_reach(&self) -> bool {
        self.any(|s| s.spare() < 0)
    }
}

struct Line {
    row: Vec<String>,
    json: Value,
    attention: bool,
}

impl Line {
    /// One for each version.
    fn of(asked: Asked) -> Vec<Self> {
        let of = |s: &Status| Self { row: s.row(), json: s.json(), attention: s.needs_attention() };
        match &asked.status {
            Ok(versions) => versions.iter().map(of).collect(),
            Err(failure) => {
                let (name, none) = (asked.name.clone(), || "-".to_owned());
                let json = json!({ "key": name, "error": failure.to_string() });
                let row = vec![name, none(), none(), none(), failure.to_string()];
                vec![Self { row, json, attention: true }]
            }
        }
    }

    /// One for each version.
    fn hints(key: &KeySummary) -> Vec<Self> {
        let of = |told: Told<'_>| {
            let newest = told.version == key.version;
            let attention = told.calls() || (newest && key.state != "active");
            let note = if attention { "needs attention: ask about it by name" } else { "" };
            let row = vec![
                title(&key.name, told.version),
                told.epoch.to_string(),
                format!("{} of {}", told.serving(), told.committee.len()),
                told.spare().to_string(),
                note.to_owned(),
            ];
            let json = json!({
                "key": key.name, "version": told.version, "epoch": told.epoch,
                "threshold": told.threshold, "committee": told.committee,
                "serving": told.serving(), "spare": told.spare(), "hint": true,
            });
            Self { row, json, attention }
        };
        key.versions().into_iter().map(of).collect()
    }
}

/// How many keys are how.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    keys: usize,
    attention: usize,
    out_of_reach: usize,
    /// Keys that could not be asked about.
    failed: usize,
    /// Keys that need attention and have no line.
    cut: usize,
}

impl Counts {
    fn of(keys: &[KeySummary], plan: &Plan<'_>, asked: &[Asked]) -> Self {
        let mut counts = Self { keys: keys.len(), cut: plan.cut, ..Self::default() };
        for one in asked {
            counts.failed += usize::from(one.status.is_err());
            counts.attention += usize::from(one.attention());
            counts.out_of_reach += usize::from(one.out_of_reach());
        }
        // Of the others the list is believed.
        let known: BTreeSet<&str> = asked.iter().map(|a| a.name.as_str()).collect();
        let others = keys.iter().filter(|k| !known.contains(k.name.as_str()));
        for key in others.filter(|k| k.calls()) {
            counts.attention += 1;
            counts.out_of_reach += usize::from(key.spare() < 0);
        }
        counts
    }

    fn line(&self) -> String {
        let Self { keys, attention, out_of_reach, failed, .. } = self;
        let fine = keys.saturating_sub(attention + failed);
        let mut parts = Vec::new();
        if *out_of_reach > 0 {
            parts.push(format!("{out_of_reach} OUT OF REACH"));
        }
        if *attention > 0 {
            parts.push(format!("{attention} need attention"));
        }
        if *failed > 0 {
            parts.push(format!("{failed} could not be asked about"));
        }
        parts.push(format!("{fine} served by all of their nodes"));
        format!("{keys} keys: {}", parts.join(", "))
    }
}

/// For each node, how many keys it is to serve and does not, by the list.
fn behind(keys: &[KeySummary]) -> BTreeMap<u32, usize> {
    let mut nodes = BTreeMap::new();
    for key in keys.iter().filter(|k| k.state == "active") {
        let versions = key.versions();
        for node in versions.iter().flat_map(Told::missing).collect::<BTreeSet<u32>>() {
            *nodes.entry(node).or_default() += 1;
        }
    }
    nodes
}

fn text(counts: &Counts, lines: &[Line], behind: &BTreeMap<u32, usize>, roster: &Roster) -> String {
    let mut out = Vec::new();
    if !lines.is_empty() {
        let head = ["KEY", "EPOCH", "SERVE", "SPARE", "NOTE"].map(String::from).to_vec();
        let rows: Vec<_> =
            std::iter::once(head).chain(lines.iter().map(|l| l.row.clone())).collect();
        out.push(table(&rows));
    }
    if counts.cut > 0 {
        out.push(format!(
            "and {} more that need attention: --limit {} asks about all of them",
            counts.cut,
            counts.attention + counts.failed
        ));
    }
    for (node, keys) in behind {
        let index = u16::try_from(*node).ok().and_then(|i| NodeIndex::new(i).ok());
        let name = index.map_or_else(|| node.to_string(), |i| render::node(roster, i));
        out.push(format!("{name} does not serve {keys} of its keys"));
    }
    out.push(counts.line());
    out.join("\n")
}

fn overview_json(counts: &Counts, keys: Vec<Value>) -> Value {
    json!({
        "keys": keys,
        "summary": {
            "keys": counts.keys, "attention": counts.attention,
            "out_of_reach": counts.out_of_reach, "failed": counts.failed, "not_shown": counts.cut,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_client::VersionSummary;

    fn key(at: usize, serving: &[u32]) -> KeySummary {
        KeySummary {
            name: format!("key-{at:05}"),
            version: 1,
            threshold: 3,
            committee: vec![1, 2, 3, 4, 5],
            state: "active".into(),
            epoch: 1,
            serving: serving.to_vec(),
            ..KeySummary::default()
        }
    }

    fn many() -> Vec<KeySummary> {
        (0..5000)
            .map(|at| match at % 500 {
                7 => key(at, &[1, 2, 3, 4]),
                9 => key(at, &[1, 2]),
                _ => key(at, &[1, 2, 3, 4, 5]),
            })
            .collect()
    }

    #[test]
    fn of_many_keys_the_worst_are_asked_about_up_to_the_limit() {
        let keys = many();
        let plan = Plan::of(&keys, 12, false);
        assert_eq!((plan.ask.len(), plan.list.len(), plan.cut), (12, 0, 8));
        assert!(plan.ask[..10].iter().all(|k| k.spare() == -1));
        assert!(plan.ask[10..].iter().all(|k| k.spare() == 1));
        let counts = Counts::of(&keys, &plan, &[]);
        assert_eq!((counts.attention, counts.out_of_reach), (20, 10));
        let said =
            "5000 keys: 10 OUT OF REACH, 20 need attention, 4980 served by all of their nodes";
        assert_eq!(counts.line(), said);
        assert_eq!(behind(&keys), BTreeMap::from([(3, 10), (4, 10), (5, 20)]));
    }

    #[test]
    fn all_keys_have_a_line_if_all_are_wanted_or_there_are_few() {
        let keys = many();
        let plan = Plan::of(&keys, 12, true);
        assert_eq!((plan.ask.len(), plan.list.len(), plan.cut), (12, 4988, 0));
        let plan = Plan::of(&keys[..FEW], 1, false);
        assert_eq!((plan.ask.len(), plan.list.len(), plan.cut), (FEW, 0, 0));
    }

    #[test]
    fn a_key_that_is_not_born_or_has_leftovers_needs_attention() {
        let fine = key(1, &[1, 2, 3, 4, 5]);
        assert!(!fine.calls());
        assert!(KeySummary { state: "pending".into(), ..fine.clone() }.calls());
        assert!(KeySummary { unsettled: vec![6], ..fine }.calls());
    }

    #[test]
    fn an_older_version_that_lags_or_has_no_head_room_needs_attention() {
        let of = |committee: &[u32], serving: &[u32], unsettled: &[u32]| {
            let older = VersionSummary {
                version: 1,
                epoch: 4,
                threshold: 2,
                committee: committee.to_vec(),
                serving: serving.to_vec(),
                unsettled: unsettled.to_vec(),
            };
            KeySummary { version: 2, older: vec![older], ..key(7, &[1, 2, 3, 4, 5]) }
        };
        let fine = of(&[1, 2, 3], &[1, 2, 3], &[]);
        assert_eq!((fine.calls(), fine.spare()), (false, 1));
        let lags = of(&[1, 2, 6], &[1, 2], &[]);
        assert_eq!((lags.calls(), lags.spare()), (true, 0));
        assert_eq!(behind(&[lags.clone(), fine.clone()]), BTreeMap::from([(6, 1)]));
        assert!(of(&[1, 2, 3], &[1, 2, 3], &[3]).calls());
        let lost = of(&[1, 2, 3], &[1], &[]);
        let mut keys = many();
        keys.extend([fine, lost, lags]);
        // The one that is out of reach is asked about with the others that are.
        let plan = Plan::of(&keys, 11, false);
        assert_eq!(plan.ask.iter().filter(|k| k.name == "key-00007").count(), 1);
        let counts = Counts::of(&keys, &plan, &[]);
        assert_eq!((counts.attention, counts.out_of_reach), (22, 11));
        // Each version has a line.
        let lines: Vec<_> = Line::hints(&keys[5001]).iter().map(|l| l.row.join(" ")).collect();
        let note = "needs attention: ask about it by name";
        let said =
            [format!("key-00007 4 1 of 3 -1 {note}"), "key-00007 version 2 1 5 of 5 2 ".into()];
        assert_eq!(lines, said);
        // Nodes of an older release say nothing of it: nor is anything made of that.
        let untold = of(&[], &[], &[]);
        assert_eq!((untold.calls(), untold.spare()), (false, 2));
    }
}
