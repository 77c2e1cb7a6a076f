//! `order submit DIR`: the orders of many keys, some keys at once, each key's one after the other.

use super::{
    order::warn_of_culprits,
    orders::{Paper, read},
    pipeline,
};
use crate::{args::Global, failure::Failure, output::Report, session};
use quorate_client::{CarriedOut, Operator};
use quorate_types::{Action, Hash, ImportKey, KeyName, KeyVersion};
use serde_json::json;
use std::{
    collections::{BTreeMap, HashMap, HashSet, VecDeque},
    path::Path,
    sync::Arc,
};

/// Carries out what has not been carried out yet.
///
/// # Errors
/// When some were not; the same command again goes on with them.
pub async fn run(global: &Global, dir: &Path, at_once: u16) -> Result<Report, Failure> {
    let operator = Arc::new(session::operator(global)?);
    let papers = read(dir)?;
    let all = papers.len();
    let lanes = lanes(papers).into_iter().map(|(name, lane)| (name, Arc::new(lane)));
    let outcome = pipeline::run(
        lanes,
        "keys",
        usize::from(at_once),
        |lane: &Lane| lane.done > 0,
        |papers| {
            let operator = Arc::clone(&operator);
            async move { carry_out(&operator, &papers).await }
        },
    )
    .await;
    let keys = outcome.done.iter().filter(|lane| lane.done > 0).count();
    let done: usize = outcome.done.iter().map(|lane| lane.done).sum();
    let before: usize = outcome.done.iter().map(|lane| lane.before).sum();
    let rate = keys as f64 / outcome.seconds.max(0.001);
    let mut lines = vec![format!(
        "{done} of {all} orders carried out in {:.1} s ({rate:.0} keys/s), {before} were before, {} \
         keys failed",
        outcome.seconds,
        outcome.failed.len()
    )];
    for (name, failure) in outcome.failed.iter().take(SHOWN) {
        lines.push(format!("{name}: {failure}"));
    }
    if let Some((_, worst)) = outcome.failed.iter().max_by_key(|(_, f)| f.code) {
        lines.push("the same command again goes on with what is left".into());
        return Err(Failure { code: worst.code, ..Failure::new(lines.join("\n")) });
    }
    let json = json!({
        "orders": all, "done": done, "before": before, "seconds": outcome.seconds,
        "keys_per_second": rate,
    });
    Ok(Report::new(lines.join("\n"), json))
}

/// What became of one key's orders.
#[derive(Default)]
struct Lane {
    done: usize,
    before: usize,
}

async fn carry_out(operator: &Operator, papers: &[Paper]) -> Result<Lane, Failure> {
    let mut lane = Lane::default();
    for paper in papers {
        if is_carried_out(operator, paper).await? {
            lane.before += 1;
            continue;
        }
        let mut blames = Vec::new();
        let done = operator.submit(&paper.signed, |p| blames.clone_from(&p.blames)).await;
        warn_of_culprits(operator, &blames);
        let done = done.map_err(|e| {
            let failure = Failure::from(e);
            Failure { message: format!("{}: {}", paper.name(), failure.message), ..failure }
        })?;
        if epoch_of(&paper.order.action).is_some() && done == CarriedOut::Applied {
            let text = format!("{}: it was applied, and no share has moved", paper.name());
            return Err(Failure::new(text));
        }
        lane.done += 1;
    }
    Ok(lane)
}

/// Whether the key's shares are where the order wants them: a schedule would move them once more.
/// Other orders apply once however often they are brought.
async fn is_carried_out(operator: &Operator, paper: &Paper) -> Result<bool, Failure> {
    let Some((name, version)) = epoch_of(&paper.order.action) else { return Ok(false) };
    match operator.version_in_force(name, version).await {
        Ok(key) => {
            let (born, epoch) = (key.verified().order().hash(), key.epoch().order().hash());
            Ok(born == paper.hash || epoch == paper.hash)
        }
        Err(quorate_client::Error::UnknownKey { .. }) => Ok(false),
        Err(error) => Err(error.into()),
    }
}

/// The key version of which an order makes an epoch.
fn epoch_of(action: &Action) -> Option<(&KeyName, KeyVersion)> {
    match action {
        Action::Reshare(to) => Some((&to.name, to.version)),
        Action::CreateKey(create) | Action::ImportKey(ImportKey { create, .. }) => {
            Some((&create.name, create.version))
        }
        _ => None,
    }
}

/// The orders that must come one after the other, by what they are about: a key, or the policy.
fn lanes(papers: Vec<Paper>) -> BTreeMap<String, Vec<Paper>> {
    let mut lanes: BTreeMap<String, Vec<Paper>> = BTreeMap::new();
    for paper in papers {
        lanes.entry(subject(&paper.order.action)).or_default().push(paper);
    }
    lanes.into_iter().map(|(name, lane)| (name, in_order(lane))).collect()
}

fn subject(action: &Action) -> String {
    match action {
        Action::SetKeyState(state) => state.name.to_string(),
        Action::ExportKey(export) => export.name.to_string(),
        other => epoch_of(other).map_or_else(|| "policy".into(), |(name, _)| name.to_string()),
    }
}

/// Each order after the one that it follows, if that is among them; else by when it was made.
fn in_order(mut papers: Vec<Paper>) -> Vec<Paper> {
    papers.sort_by_key(|p| (p.order.issued_at, p.hash));
    papers.dedup_by_key(|p| p.hash);
    let hashes: HashSet<Hash> = papers.iter().map(|p| p.hash).collect();
    let mut after: HashMap<Hash, VecDeque<Paper>> = HashMap::new();
    let mut ready = VecDeque::new();
    for paper in papers {
        match hashes.contains(&paper.order.predecessor) {
            true => after.entry(paper.order.predecessor).or_default().push_back(paper),
            false => ready.push_back(paper),
        }
    }
    let mut sorted = Vec::new();
    while let Some(paper) = ready.pop_front() {
        ready.extend(after.remove(&paper.hash).into_iter().flatten());
        sorted.push(paper);
    }
    // An order names its predecessor's hash: there is no circle.
    sorted
}

const SHOWN: usize = 10;
