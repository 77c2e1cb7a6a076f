//! `quorate cluster add|remove|replace|endpoint`: the next roster, shown, signed and brought.

use super::{order::confirmed, plan::stranded, schedules::Ending};
use crate::{
    args::{Global, Losing, NodeFile, RosterOut},
    failure::Failure,
    output::Report,
    render, session,
    time::now,
};
use quorate_client::{Error, Operator};
use quorate_crypto::hash::Label;
use quorate_types::{
    Cluster, Endpoint, Format, NodeCard, NodeEntry, NodeIndex, Roster, RosterChain, Signed,
    SignedRoster,
    armor::{self, Title},
};
use serde_json::json;
use std::{collections::BTreeSet, path::Path, sync::Arc};

/// One more node, which holds no share until keys are moved to it.
///
/// # Errors
/// When the roster would break a rule, or nobody takes it.
pub async fn add(global: &Global, file: &NodeFile, out: &RosterOut) -> Result<Report, Failure> {
    change(global, out, LOSES_NONE, |cluster, roster| {
        let mut entry = newcomer(cluster, &file.node_file)?;
        entry.index = free_index(cluster, entry.index)?;
        roster.nodes.push(entry);
        Ok(())
    })
    .await
}

/// One node less.
///
/// # Errors
/// As [`add`].
pub async fn remove(
    global: &Global,
    node: u16,
    losing: &Losing,
    out: &RosterOut,
) -> Result<Report, Failure> {
    change(global, out, losing.accept_lost_keys, |_, roster| {
        let index = member(roster, node)?.index;
        roster.nodes.retain(|n| n.index != index);
        Ok(())
    })
    .await
}

/// Another identity, and perhaps another machine, in the place of a node.
///
/// # Errors
/// As [`add`].
pub async fn replace(
    global: &Global,
    node: u16,
    file: &NodeFile,
    losing: &Losing,
    out: &RosterOut,
) -> Result<Report, Failure> {
    change(global, out, losing.accept_lost_keys, |cluster, roster| {
        let entry = newcomer(cluster, &file.node_file)?;
        let old = member(roster, node)?;
        *old = NodeEntry { index: old.index, ..entry };
        Ok(())
    })
    .await
}

/// Another address of the same node.
///
/// # Errors
/// As [`add`].
pub async fn endpoint(
    global: &Global,
    node: u16,
    endpoint: &str,
    out: &RosterOut,
) -> Result<Report, Failure> {
    change(global, out, LOSES_NONE, |_, roster| {
        member(roster, node)?.endpoint = Endpoint::new(endpoint).map_err(Failure::usage)?;
        Ok(())
    })
    .await
}

/// Adds this operator's signature to a roster that others have written.
///
/// # Errors
/// When it does not follow from what is known here, or the person says no.
pub async fn sign(global: &Global, file: &Path, yes: bool) -> Result<Report, Failure> {
    let operator = up_to_date(global).await?;
    let cluster = operator.cluster();
    let mut chain = read(file)?;
    let roster = next_of(&cluster, &chain)?;
    require_operator(&operator)?;
    if !yes {
        let mut lines = differences(cluster.roster(), &roster);
        lines.extend(Ending::of(&operator, &roster).await.warning());
        eprintln!("{}", lines.join("\n"));
        if !confirmed("Sign this roster? [y/N] ")? {
            return Err(Failure::new("not signed"));
        }
    }
    let Some(last) = chain.last_mut() else { return Err(Failure::new("the chain is empty")) };
    last.0.sign(operator.identity(), Label::SIG_ROSTER, cluster.fingerprint());
    let (got, needed) = (last.0.signers().len(), cluster.roster().quorum);
    write(file, chain)?;
    let json = json!({ "version": roster.version, "signatures": got, "needed": needed });
    Ok(Report::new(format!("roster version {} signed: {got} of {needed}", roster.version), json))
}

/// Brings a signed roster to the cluster.
///
/// # Errors
/// When too few have signed it, or nobody takes it.
pub async fn submit(global: &Global, file: &Path) -> Result<Report, Failure> {
    let operator = up_to_date(global).await?;
    let chain = read(file)?;
    // A roster that holds already ends nothing more.
    let ending = match next_of(&operator.cluster(), &chain) {
        Ok(roster) => Some(Ending::of(&operator, &roster).await),
        Err(_) => None,
    };
    bring(&operator, &chain, ending).await
}

/// The operator, who knows the newest roster if anybody can be asked: a change of an older one
/// would be refused.
pub(super) async fn up_to_date(global: &Global) -> Result<Operator, Failure> {
    let operator = session::operator(global)?;
    match operator.client().refresh_roster().await {
        // Rosters can be written and signed where nobody can be asked.
        Ok(()) | Err(Error::Party { .. }) => Ok(operator),
        Err(error) => Err(error.into()),
    }
}

/// The change takes no node away, so no key can be lost by it.
const LOSES_NONE: bool = true;

/// Makes the next roster; unless it is known not to, or it is accepted, it must lose no key.
async fn change(
    global: &Global,
    out: &RosterOut,
    may_lose_keys: bool,
    edit: impl FnOnce(&Cluster, &mut Roster) -> Result<(), Failure>,
) -> Result<Report, Failure> {
    let operator = Arc::new(up_to_date(global).await?);
    require_operator(&operator)?;
    let cluster = operator.cluster();
    let before = cluster.roster();
    if out.roster_out.is_none() && before.quorum > 1 {
        let m = before.quorum;
        let text = format!("{m} operators must sign: say --roster-out FILE, and pass it on");
        return Err(Failure::usage(text));
    }
    let mut roster = before.clone();
    edit(&cluster, &mut roster)?;
    roster.nodes.sort_by_key(|n| n.index);
    roster.version =
        before.version.checked_add(1).ok_or_else(|| Failure::new("no version left"))?;
    roster.previous = cluster.roster_hash();
    roster.written_at = now();
    roster.check().map_err(Failure::usage)?;
    if !may_lose_keys {
        refuse_lost_keys(&operator, &roster).await?;
    }
    let mut signed = Signed::unsigned(roster.to_bytes());
    signed.sign(operator.identity(), Label::SIG_ROSTER, cluster.fingerprint());
    let mut chain = cluster.chain().to_vec();
    chain.push(SignedRoster(signed));
    let ending = Ending::of(&operator, &roster).await;
    let mut shown = differences(before, &roster);
    shown.extend(ending.warning());
    let shown = shown.join("\n");
    if let Some(file) = &out.roster_out {
        write(file, chain)?;
        let next = match before.quorum {
            1 => "quorate cluster submit",
            _ => "quorate cluster sign, then quorate cluster submit",
        };
        let text = format!("{shown}\nwritten to {}; next: {next}", file.display());
        let json = json!({
            "done": false, "version": roster.version, "schedules_ended": ending.json(),
        });
        return Ok(Report::new(text, json));
    }
    eprintln!("{shown}");
    bring(&operator, &chain, Some(ending)).await
}

/// Whoever has left the roster deals no more: keys that too few members would be left of are lost.
async fn refuse_lost_keys(operator: &Arc<Operator>, then: &Roster) -> Result<(), Failure> {
    let lost = stranded(operator, then).await?;
    if lost.is_empty() {
        return Ok(());
    }
    const SHOWN: usize = 5;
    let mut names: Vec<&str> = lost.iter().take(SHOWN).map(String::as_str).collect();
    if lost.len() > SHOWN {
        names.push("…");
    }
    let text = format!(
        "this would lose {} keys for good ({}): fewer of the nodes that hold a share would be left \
         than use it, and who has left gives none. Move them first (`quorate cluster plan`, \
         `quorate cluster apply`, `quorate share drain`). If these nodes are lost anyway, say \
         --accept-lost-keys",
        lost.len(),
        names.join(", ")
    );
    Err(Failure::usage(text))
}

async fn bring(
    operator: &Operator,
    chain: &[SignedRoster],
    ending: Option<Ending>,
) -> Result<Report, Failure> {
    let missing = operator.put_rosters(chain).await?;
    let cluster = operator.cluster();
    let roster = cluster.roster();
    let mut lines = vec![format!("roster version {} holds", roster.version)];
    if !missing.is_empty() {
        let names = render::nodes(roster, &missing);
        lines.push(format!("not yet at {names}; a coordinator brings it when they are there"));
    }
    lines.extend(ending.iter().flat_map(|ending| ending.next(&cluster)));
    lines.push("next: quorate cluster plan".into());
    let json = json!({
        "done": true,
        "version": roster.version,
        "missing": missing.iter().map(|n| n.get()).collect::<Vec<_>>(),
        "schedules_ended": ending.as_ref().map(Ending::json),
    });
    Ok(Report::new(lines.join("\n"), json))
}

pub(super) fn require_operator(operator: &Operator) -> Result<(), Failure> {
    match operator.cluster().roster().is_operator(&operator.identity().public()) {
        true => Ok(()),
        false => Err(Failure::usage("this home's key is no operator's of the cluster")),
    }
}

/// A node's public part; its identity must be new to the cluster.
fn newcomer(cluster: &Cluster, file: &Path) -> Result<NodeEntry, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::io(file.display(), &e))?;
    let card: NodeCard = armor::read(Title::NODE, &text)
        .map_err(|e| Failure::verification(format!("{}: {e}", file.display())))?;
    if cluster.joined_at(&card.entry.identity).is_some() {
        let text = "this identity has been in the roster before: make a new home with \
                    `quorate-node init`";
        return Err(Failure::usage(text));
    }
    Ok(card.entry)
}

/// The index that a node wishes for if nobody ever had it, else the next that is free: shares
/// of one index belong to one point of the polynomials for ever.
fn free_index(cluster: &Cluster, wish: NodeIndex) -> Result<NodeIndex, Failure> {
    let newest = cluster.roster().version;
    let rosters = (1..=newest).filter_map(|v| cluster.at(v));
    let used: BTreeSet<NodeIndex> =
        rosters.flat_map(|(r, _)| r.nodes.iter().map(|n| n.index)).collect();
    if !used.contains(&wish) {
        return Ok(wish);
    }
    let highest = used.last().map_or(0, |i| i.get());
    let next = highest.checked_add(1).ok_or_else(|| Failure::usage("no index is left"))?;
    NodeIndex::new(next).map_err(Failure::usage)
}

fn member(roster: &mut Roster, node: u16) -> Result<&mut NodeEntry, Failure> {
    let found = roster.nodes.iter_mut().find(|n| n.index.get() == node);
    found.ok_or_else(|| Failure::usage(format!("node {node} is not in the roster")))
}

/// What one roster changes of another, for people.
fn differences(before: &Roster, after: &Roster) -> Vec<String> {
    let mut lines = vec![format!(
        "ROSTER of {}: version {} to {}",
        after.cluster, before.version, after.version
    )];
    let place = |n: &NodeEntry| format!("{} at {}, {}", n.name, n.endpoint, n.identity);
    for n in &before.nodes {
        match after.node(n.index) {
            None => lines.push(format!("  node {:<4} LEAVES      {}", n.index, place(n))),
            Some(new) if new.identity != n.identity => {
                lines.push(format!("  node {:<4} IS REPLACED {}", n.index, place(n)));
                lines.push(format!("            BY          {}", place(new)));
            }
            Some(new) if new != n => {
                lines.push(format!("  node {:<4} CHANGES     {}", n.index, place(n)));
                lines.push(format!("            TO          {}", place(new)));
            }
            Some(_) => {}
        }
    }
    for n in after.nodes.iter().filter(|n| before.node(n.index).is_none()) {
        lines.push(format!("  node {:<4} JOINS       {}", n.index, place(n)));
        lines.push(format!("            from        {}", render::node(after, n.index)));
    }
    // Made by other software: nothing that is signed goes unsaid.
    if (&before.coordinators, &before.operators, before.quorum)
        != (&after.coordinators, &after.operators, after.quorum)
    {
        let operators: Vec<String> =
            after.operators.iter().map(|o| format!("{} {}", o.name, o.key)).collect();
        let coordinators: Vec<String> =
            after.coordinators.iter().map(|c| format!("{} at {}", c.name, c.endpoint)).collect();
        lines.push(format!("  OPERATORS    {} of {}", after.quorum, operators.join(", ")));
        lines.push(format!("  COORDINATORS {}", coordinators.join(", ")));
    }
    if before.cluster != after.cluster {
        lines.push(format!("  THE CLUSTER'S NAME was {}", before.cluster));
    }
    lines
}

/// The roster at the end of a file's chain: the next after the newest known here.
fn next_of(cluster: &Cluster, chain: &[SignedRoster]) -> Result<Roster, Failure> {
    let bad = |text: String| Failure::verification(format!("the roster file: {text}"));
    let Some((last, known)) = chain.split_last() else { return Err(bad("it is empty".into())) };
    if cluster.extended(known).map_err(|e| bad(e.to_string()))?.is_some() {
        return Err(bad("it holds more than one new roster; submit the first".into()));
    }
    let roster = Roster::from_bytes(&last.0.body).map_err(|e| bad(e.to_string()))?;
    let newest = cluster.roster().version;
    if roster.version != newest + 1 || roster.previous != cluster.roster_hash() {
        return Err(bad(format!("its last roster does not follow version {newest}, the newest")));
    }
    Ok(roster)
}

fn read(file: &Path) -> Result<Vec<SignedRoster>, Failure> {
    let text = std::fs::read_to_string(file).map_err(|e| Failure::io(file.display(), &e))?;
    let chain = RosterChain::from_text(&text)
        .map_err(|e| Failure::verification(format!("{}: {e}", file.display())))?;
    Ok(chain.0)
}

fn write(file: &Path, chain: Vec<SignedRoster>) -> Result<(), Failure> {
    let text = RosterChain(chain).to_text();
    quorate_client::file::replace(file, text.as_bytes(), 0o644).map_err(Failure::new)
}
