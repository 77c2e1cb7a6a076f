//! `quorate cluster plan|apply`: the keys whose committees the newest roster touches.

use super::{
    share::{Change, members_left},
    share_many::many,
};
use crate::{
    args::{ClusterApply, Global},
    failure::Failure,
    output::{Progress, Report},
    session,
};
use quorate_client::Operator;
use quorate_types::{Committee, KeyName, KeyVersion, NodeIndex, Roster};
use serde_json::{Value, json};
use std::{
    collections::{BTreeSet, VecDeque},
    sync::Arc,
};
use tokio::task::JoinSet;

/// Prints each touched key with its committee before and after.
///
/// # Errors
/// When the keys cannot be read; a key that cannot follow is told, and no failure.
pub async fn plan(global: &Global) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    operator.client().refresh_roster().await?;
    let keys = operator.keys().await?.into_iter().filter(|k| !k.is_destroyed());
    let names: VecDeque<String> = keys.map(|k| k.name).collect();
    let all = names.len();
    let read = committees(&Arc::new(operator), names).await?.into_iter().map(|(_, keys)| keys);
    let read = read.collect::<Result<Vec<_>, _>>()?;
    let mut keys: Vec<KeyNow> = read.into_iter().flatten().collect();
    keys.sort_by(|a, b| (&a.name, a.version).cmp(&(&b.name, b.version)));
    let mut lines = Vec::new();
    let mut values = Vec::new();
    let mut names = BTreeSet::new();
    for key in &keys {
        let Some((line, value)) = touched(key) else { continue };
        lines.push(line);
        values.push(value);
        names.insert(&key.name);
    }
    lines.push(match names.len() {
        0 => format!("none of {all} keys is touched by the newest roster"),
        n => format!("{n} of {all} keys are touched; next: quorate cluster apply"),
    });
    Ok(Report::new(lines.join("\n"), json!({ "keys": values, "of": all })))
}

/// Moves the touched keys to the roster's present identities.
///
/// # Errors
/// When some were not moved; the same command again goes on with them.
pub async fn apply(global: &Global, args: &ClusterApply) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    operator.client().refresh_roster().await?;
    many(operator, &args.many, &args.how, Change::Follow).await
}

/// A version of a key.
struct KeyNow {
    name: String,
    version: KeyVersion,
    committee: Committee,
    roster: Arc<quorate_types::Cluster>,
}

impl KeyNow {
    fn title(&self) -> String {
        match self.version.get() {
            1 => self.name.clone(),
            version => format!("{} version {version}", self.name),
        }
    }
}

fn touched(key: &KeyNow) -> Option<(String, Value)> {
    let (roster, before) = (key.roster.roster(), &key.committee);
    let then = Change::Follow.of(roster, before).transpose()?;
    let t = before.threshold();
    let old = before.indices().map(|i| member(roster, before, i)).collect::<Vec<_>>().join(", ");
    let old_nodes: Vec<u16> = before.indices().map(NodeIndex::get).collect();
    Some(match then {
        Ok((nodes, _)) => {
            let named: Vec<String> = nodes.iter().map(|i| name(roster, *i)).collect();
            let line = format!(
                "{}\n  now   {t} of {}: {old}\n  then  {t} of {}: {}",
                key.title(),
                before.size(),
                nodes.len(),
                named.join(", ")
            );
            let version = key.version.get();
            let json = json!({
                "key": key.name, "version": version, "before": old_nodes, "after": nodes,
            });
            (line, json)
        }
        Err(failure) => {
            let line = format!(
                "{}\n  now   {t} of {}: {old}\n  CANNOT FOLLOW: {failure}",
                key.title(),
                before.size()
            );
            let error = failure.to_string();
            let version = key.version.get();
            let json = json!({
                "key": key.name, "version": version, "before": old_nodes, "error": error,
            });
            (line, json)
        }
    })
}

/// A member as it is in the committee, which may not be the roster's node of that index.
fn member(roster: &Roster, committee: &Committee, index: NodeIndex) -> String {
    let identity = committee.member(index).map(|m| m.identity);
    match roster.node(index) {
        Some(node) if Some(node.identity) == identity => node.name.to_string(),
        Some(_) => format!("node {index} (replaced)"),
        None => format!("node {index} (left)"),
    }
}

fn name(roster: &Roster, index: u16) -> String {
    let node = roster.nodes.iter().find(|n| n.index.get() == index);
    node.map_or_else(|| index.to_string(), |n| n.name.to_string())
}

/// Keys of which fewer members would be left in a roster, as they are, than use them.
///
/// # Errors
/// When the keys cannot be listed. One that cannot be read is told, and not looked at.
pub(super) async fn stranded(
    operator: &Arc<Operator>,
    then: &Roster,
) -> Result<Vec<String>, Failure> {
    let cluster = operator.cluster();
    let identity = |roster: &Roster, index: u32| {
        let node = roster.nodes.iter().find(|n| u32::from(n.index.get()) == index);
        node.map(|n| n.identity)
    };
    let stays = |index: u32| {
        let now = identity(cluster.roster(), index);
        now.is_some() && now == identity(then, index)
    };
    // The list is a hint. It only spares the reading of keys that the change does not touch.
    let touched = operator.keys().await?.into_iter();
    // Nodes of an older release do not tell the committees of older versions.
    let loses = |committee: &[u32]| committee.iter().any(|index| !stays(*index));
    let touched = touched.filter(|k| {
        let older = k.older.iter().any(|v| v.committee.is_empty() || loses(&v.committee));
        older || loses(&k.committee)
    });
    let names = touched.map(|k| k.name).collect();
    let mut lost = Vec::new();
    for (name, key) in committees(operator, names).await? {
        match key {
            Ok(versions) => {
                let short = |key: &&KeyNow| {
                    members_left(then, &key.committee) < key.committee.threshold().as_usize()
                };
                let short: Vec<String> = versions.iter().filter(short).map(KeyNow::title).collect();
                // One that operators have deleted is lost already, as was wanted.
                if !short.is_empty() && !is_destroyed(operator, &name).await? {
                    lost.extend(short);
                }
            }
            Err(failure) => eprintln!("{name} could not be looked at: {failure}"),
        }
    }
    lost.sort();
    Ok(lost)
}

async fn is_destroyed(operator: &Operator, name: &str) -> Result<bool, Failure> {
    let name = KeyName::new(name).map_err(Failure::usage)?;
    Ok(operator.key_state(&name).await?.is_destroyed())
}

/// Each key's versions, with the committees of the epochs in force, from the nodes.
async fn committees(
    operator: &Arc<Operator>,
    mut names: VecDeque<String>,
) -> Result<Vec<(String, Result<Vec<KeyNow>, Failure>)>, Failure> {
    let (all, mut keys, mut line) = (names.len(), Vec::new(), Progress::new());
    let mut under_way = JoinSet::new();
    loop {
        while under_way.len() < AT_ONCE
            && let Some(name) = names.pop_front()
        {
            let operator = Arc::clone(operator);
            under_way.spawn(async move {
                let key = read(&operator, &name).await;
                (name, key)
            });
        }
        let Some(done) = under_way.join_next().await else { return Ok(keys) };
        keys.push(done.map_err(Failure::new)?);
        line.show(&format!("{} of {all} keys read", keys.len()));
    }
}

async fn read(operator: &Operator, name: &str) -> Result<Vec<KeyNow>, Failure> {
    let key = KeyName::new(name).map_err(Failure::usage)?;
    let versions = operator.versions_in_force(&key).await?;
    let now = |key: quorate_client::Key| KeyNow {
        name: name.to_owned(),
        version: key.version(),
        committee: key.public().committee.clone(),
        roster: operator.cluster(),
    };
    Ok(versions.into_iter().map(now).collect())
}

/// Keys that are read at once.
const AT_ONCE: usize = 16;
