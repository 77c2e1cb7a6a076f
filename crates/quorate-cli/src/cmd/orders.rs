//! A directory of orders, one for each of many keys: shown and signed as one.
//!
//! Nothing that would be signed goes unsaid: orders that change the same in the same way are told
//! once, with the keys that they are for; every other one is told in full.

use super::{
    before, order, pipeline,
    roster::{require_operator, up_to_date},
};
use crate::{
    args::Global,
    failure::Failure,
    output::Report,
    render::{self, Before, Moves},
    session,
    time::now,
};
use quorate_client::{Home, Operator};
use quorate_crypto::hash::Label;
use quorate_types::{
    Action, Cluster, Hash, Member, Order, SignedOrder, order::check_rules, order::order_hash,
};
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
};

/// More than there are keys in any cluster.
const MAX_FILES: usize = 100_000;
/// Keys that are asked about at once.
const AT_ONCE: usize = 16;
/// Lines of what cannot be signed or submitted, at most.
const SHOWN: usize = 10;

/// An order of the directory.
#[derive(Clone)]
pub(super) struct Paper {
    pub(super) file: PathBuf,
    pub(super) signed: SignedOrder,
    pub(super) order: Order,
    pub(super) hash: Hash,
}

impl Paper {
    pub(super) fn name(&self) -> String {
        self.file.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// Why it cannot be carried out by this cluster.
    fn fault(&self, cluster: &Cluster) -> Option<String> {
        let (order, roster) = (&self.order, cluster.roster());
        if order.fingerprint != *cluster.fingerprint() {
            return Some("it is for another cluster".into());
        }
        if order.roster_version != roster.version || order.roster_hash != cluster.roster_hash() {
            return Some(format!(
                "it was made under roster version {}, and {} holds: make it again",
                order.roster_version, roster.version
            ));
        }
        if order.expires_at <= now() {
            return Some(format!("it has died unused at {}", render::time(order.expires_at)));
        }
        check_rules(order, roster).err().map(|broken| broken.to_string())
    }

    /// How many operators have signed it.
    fn signatures(&self, cluster: &Cluster) -> usize {
        let is_operator = |k: &_| cluster.roster().is_operator(k);
        self.signed.0.valid(Label::SIG_ORDER, cluster.fingerprint(), is_operator).count()
    }
}

/// All orders of a directory, by file name.
///
/// # Errors
/// When there is none, or one of its `.order` files is damaged.
pub(super) fn read(dir: &Path) -> Result<Vec<Paper>, Failure> {
    let failed = |e: std::io::Error| Failure::io(dir.display(), &e);
    let mut files = Vec::new();
    for entry in std::fs::read_dir(dir).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.extension().is_some_and(|e| e == "order") && path.is_file() {
            files.push(path);
        }
        if files.len() > MAX_FILES {
            return Err(Failure::usage(format!("{}: more than {MAX_FILES} orders", dir.display())));
        }
    }
    if files.is_empty() {
        return Err(Failure::usage(format!("{}: no file NAME.order is there", dir.display())));
    }
    files.sort();
    let paper = |file: PathBuf| {
        let (signed, order) = order::read(&file)?;
        let hash = order_hash(&order.fingerprint, &signed.0.body);
        Ok(Paper { file, signed, order, hash })
    };
    files.into_iter().map(paper).collect()
}

/// `order show DIR`.
///
/// # Errors
/// When there are no orders, or nobody can be asked.
pub async fn show(global: &Global, dir: &Path) -> Result<Report, Failure> {
    let operator = Arc::new(up_to_date(global).await?);
    let papers = read(dir)?;
    let cluster = operator.cluster();
    let known = standing(&operator, session::home(global)?, &papers).await?;
    let (mut lines, json) = summary(&papers, &known, &cluster);
    lines.extend(faults(&papers, &cluster));
    Ok(Report::new(lines.join("\n"), json))
}

/// `order sign DIR`: all or none.
///
/// # Errors
/// When one of the orders cannot be carried out, or the person says no.
pub async fn sign(global: &Global, dir: &Path, yes: bool) -> Result<Report, Failure> {
    let operator = Arc::new(up_to_date(global).await?);
    let cluster = operator.cluster();
    require_operator(&operator)?;
    let mut papers = read(dir)?;
    let faults = faults(&papers, &cluster);
    if !faults.is_empty() {
        let text =
            format!("{}\nnothing is signed: take them out of the directory", faults.join("\n"));
        return Err(Failure::usage(text));
    }
    let known = standing(&operator, session::home(global)?, &papers).await?;
    let (lines, mut json) = summary(&papers, &known, &cluster);
    eprintln!("{}", lines.join("\n"));
    if !yes && !order::confirmed(&format!("Sign these {} orders? [y/N] ", papers.len()))? {
        return Err(Failure::new("nothing is signed"));
    }
    let (me, needed) = (operator.identity().public(), usize::from(cluster.roster().quorum));
    let mut newly = 0;
    for paper in &mut papers {
        let mine = |k: &_| *k == me;
        if paper.signed.0.valid(Label::SIG_ORDER, cluster.fingerprint(), mine).next().is_none() {
            // What was shown is what is signed and written, whatever is in the file by now.
            paper.signed.0.sign(operator.identity(), Label::SIG_ORDER, cluster.fingerprint());
            order::write(&paper.file, &paper.signed)?;
            newly += 1;
        }
    }
    let ready = papers.iter().filter(|p| p.signatures(&cluster) >= needed).count();
    let (all, already) = (papers.len(), papers.len() - newly);
    let mut text = format!("{newly} orders signed, {already} were already");
    text.push_str(&match ready == all {
        true => format!(
            "; all have the {needed} signatures needed; next: quorate order submit {}",
            dir.display()
        ),
        false => format!("; {ready} of {all} have the {needed} signatures needed"),
    });
    json["signed"] = json!(newly);
    json["ready"] = json!(ready);
    json["needed"] = json!(needed);
    Ok(Report::new(text, json))
}

fn faults(papers: &[Paper], cluster: &Cluster) -> Vec<String> {
    let all = papers.iter().filter_map(|p| Some((p.name(), p.fault(cluster)?)));
    let all: Vec<_> = all.collect();
    let mut lines: Vec<String> =
        all.iter().take(SHOWN).map(|(name, fault)| format!("{name}: {fault}")).collect();
    if all.len() > SHOWN {
        lines.push(format!("and {} more that cannot be carried out", all.len() - SHOWN));
    }
    lines
}

/// What the keys are before the orders, by order.
async fn standing(
    operator: &Arc<Operator>,
    home: Home,
    papers: &[Paper],
) -> Result<BTreeMap<Hash, Before>, Failure> {
    let home = Arc::new(home);
    let moves = papers.iter().filter(|p| matches!(p.order.action, Action::Reshare(_)));
    let asked = pipeline::run(
        moves.map(|p| (p.name(), (p.order.clone(), p.hash))),
        "keys",
        AT_ONCE,
        |_| true,
        |(order, hash)| {
            let (operator, home) = (Arc::clone(operator), Arc::clone(&home));
            async move { Ok((hash, before::read(&operator, &home, &order, &hash).await)) }
        },
    )
    .await;
    match asked.failed.into_iter().next() {
        Some((_, failure)) => Err(failure),
        None => Ok(asked.done.into_iter().filter_map(|(h, b)| Some((h, b?))).collect()),
    }
}

/// What all of them say and change.
fn summary(
    papers: &[Paper],
    known: &BTreeMap<Hash, Before>,
    cluster: &Cluster,
) -> (Vec<String>, Value) {
    let mut kinds: BTreeMap<String, usize> = BTreeMap::new();
    let mut alike: BTreeMap<Vec<String>, Vec<String>> = BTreeMap::new();
    let mut changes = Changes::default();
    let mut alone = Vec::new();
    for paper in papers {
        let (lines, json) = match &paper.order.action {
            Action::Reshare(to) => {
                let moves = Moves::of(to, cluster, known.get(&paper.hash));
                let key = match to.version.get() {
                    1 => to.name.to_string(),
                    version => format!("{} version {version}", to.name),
                };
                changes.note(&moves, known.get(&paper.hash));
                alike.entry(moves.shared).or_default().push(key);
                (Vec::new(), moves.json)
            }
            _ => render::order(&paper.order, cluster.roster()),
        };
        alone.extend(lines);
        *kinds.entry(json["action"].as_str().unwrap_or_default().to_owned()).or_default() += 1;
    }
    let of_kinds: Vec<String> = kinds.iter().map(|(kind, n)| format!("{n} {kind}")).collect();
    let mut lines = vec![format!("{} ORDERS: {}", papers.len(), of_kinds.join(", "))];
    let die = papers.iter().map(|p| p.order.expires_at).min().unwrap_or_default();
    lines.push(format!("  cluster       {} ({})", cluster.roster().cluster, cluster.fingerprint()));
    lines.push(format!("  roster        version {}", cluster.roster().version));
    lines.push(format!("  the first dies unused {}", render::time(die)));
    lines.extend(changes.lines(cluster));
    let mut groups: Vec<_> = alike.into_iter().collect();
    groups.sort_by_key(|(_, keys)| std::cmp::Reverse(keys.len()));
    for (shared, keys) in &groups {
        lines.push(format!("MOVE THE SHARES of {} keys: {}", keys.len(), keys.join(", ")));
        lines.extend(shared.iter().cloned());
    }
    lines.extend(alone);
    let groups: Vec<Value> =
        groups.iter().map(|(shared, keys)| json!({ "keys": keys, "says": shared })).collect();
    let json = json!({
        "orders": papers.len(), "actions": kinds, "moves": groups,
        "joins": changes.json(&changes.joins), "leaves": changes.json(&changes.leaves),
    });
    (lines, json)
}

/// Who gets shares of how many keys, and who loses them.
#[derive(Default)]
struct Changes {
    joins: BTreeMap<(u16, String), (Option<Member>, usize)>,
    leaves: BTreeMap<(u16, String), (Option<Member>, usize)>,
    carried_out: usize,
    unknown: usize,
}

impl Changes {
    fn note(&mut self, moves: &Moves, before: Option<&Before>) {
        match before {
            Some(Before::CarriedOut { .. }) => self.carried_out += 1,
            Some(Before::InForce { seen_last: None, .. }) => {}
            _ => self.unknown += 1,
        }
        for (all, members) in [(&mut self.joins, &moves.joins), (&mut self.leaves, &moves.leaves)] {
            for m in members {
                let entry = all.entry((m.index.get(), m.identity.to_string())).or_default();
                *entry = (Some(*m), entry.1 + 1);
            }
        }
    }

    fn lines(&self, cluster: &Cluster) -> Vec<String> {
        let mut lines = Vec::new();
        let mut tell = |all: &BTreeMap<_, (Option<Member>, usize)>, what: &str| {
            for (member, keys) in all.values() {
                let Some(member) = member else { continue };
                let who = render::member(cluster, member);
                lines.push(format!("  {what:<13} {who} ({}): {keys} keys", member.identity));
            }
        };
        tell(&self.joins, "JOINS");
        tell(&self.leaves, "LEAVES");
        if self.joins.is_empty() && self.leaves.is_empty() && self.unknown == 0 {
            lines.push("  nobody joins or leaves".into());
        }
        if self.unknown > 0 {
            lines.push(format!("  WHAT {} OF THEM CHANGE IS NOT PROVED HERE", self.unknown));
        }
        if self.carried_out > 0 {
            lines.push(format!("  CARRIED OUT   {} of them already", self.carried_out));
        }
        lines
    }

    fn json(&self, all: &BTreeMap<(u16, String), (Option<Member>, usize)>) -> Value {
        let one = |((index, identity), (_, keys)): (&(u16, String), &(Option<Member>, usize))| json!({ "index": index, "identity": identity, "keys": keys });
        json!(all.iter().map(one).collect::<Vec<_>>())
    }
}
