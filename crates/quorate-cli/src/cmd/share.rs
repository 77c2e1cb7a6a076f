//! `quorate share refresh|reshare|repair|drain`: orders that move shares.

use super::{
    key::warn_of_few_liars,
    order::{Fate, carry_out, signed},
    roster::up_to_date,
    schedules::Schedule,
    share_many::many,
};
use crate::{
    args::{Global, ShareDrain, ShareHow, ShareRefresh, ShareRepair, ShareReshare, ShareSchedule},
    compose,
    failure::Failure,
    output::Report,
    render::{self, Before},
    session,
    time::now,
};
use quorate_client::{CarriedOut, Heads, Key, Moved, Operator};
use quorate_types::{
    Action, Cluster, Committee, Format, Hash, KeyName, KeyVersion, Member, Millis, NodeIndex,
    Order, Repeat, Reshare, Roster, Terms, VerifiedOrder, order::order_hash,
};
use serde_json::json;

/// New shares for the same nodes.
///
/// # Errors
/// When an order is refused or not carried out; the rest of many is done all the same.
pub async fn refresh(global: &Global, args: &ShareRefresh) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    let Some(key) = &args.key else {
        return many(operator, &args.many, &args.how, Change::Refresh).await;
    };
    one(&operator, key, &args.how, &Change::Refresh).await
}

/// One refresh, from reading the head of the key's chain to the epoch in force: what is
/// measured.
///
/// # Errors
/// As [`refresh`].
pub(crate) async fn refresh_once(operator: &Operator, name: &KeyName) -> Result<(), Failure> {
    let heads = operator.heads(Some(name)).await?;
    let chain = Chain::of(&heads)?
        .ok_or_else(|| Failure::usage(format!("no order has made a key {name}")))?;
    let key = operator.key_in_force(name).await?;
    let how = ShareHow { yes: true, ..ShareHow::default() };
    let cluster = operator.cluster();
    let action = action(cluster.roster(), &key, &chain, &Change::Refresh, &how)?;
    let action = action.ok_or_else(|| Failure::new("a refresh touches every key"))?;
    let (_, order) = signed(operator, action, chain.head, 1)?;
    match operator.submit(&order, |_| {}).await? {
        CarriedOut::Moved(_) => Ok(()),
        _ => Err(Failure::new("the order was applied, and no share has moved")),
    }
}

/// A standing order.
///
/// # Errors
/// As [`refresh`].
pub async fn schedule(global: &Global, args: &ShareSchedule) -> Result<Report, Failure> {
    let operator = session::operator(global)?;
    let Some(every) = args.every else {
        return many(operator, &args.many, &args.how, Change::Again).await;
    };
    let until = now().plus(args.days * Millis::DAY);
    let change = Change::Schedule(Repeat { every, times: args.times, until });
    match &args.key {
        Some(key) => one(&operator, key, &args.how, &change).await,
        None => many(operator, &args.many, &args.how, change).await,
    }
}

/// Other nodes, or another threshold.
///
/// # Errors
/// As [`refresh`].
pub async fn reshare(global: &Global, args: &ShareReshare) -> Result<Report, Failure> {
    if args.committee.is_empty() && args.threshold.is_none() {
        let text = "say --committee or --threshold; the same nodes again is `share refresh`";
        return Err(Failure::usage(text));
    }
    let change = Change::To { committee: args.committee.clone(), threshold: args.threshold };
    one(&session::operator(global)?, &args.key, &args.how, &change).await
}

/// A node's lost shares.
///
/// # Errors
/// As [`refresh`].
pub async fn repair(global: &Global, args: &ShareRepair) -> Result<Report, Failure> {
    let operator = up_to_date(global).await?;
    let node = known_node(&operator, args.index)?;
    many(operator, &args.many, &args.how, Change::Repair(node)).await
}

/// Every key off a node.
///
/// # Errors
/// As [`refresh`].
pub async fn drain(global: &Global, args: &ShareDrain) -> Result<Report, Failure> {
    let operator = up_to_date(global).await?;
    let from = known_node(&operator, args.index)?;
    let to = args.to.map(|to| known_node(&operator, to)).transpose()?;
    many(operator, &args.many, &args.how, Change::Drain { from, to }).await
}

fn known_node(operator: &Operator, index: u16) -> Result<NodeIndex, Failure> {
    let cluster = operator.cluster();
    let node = NodeIndex::new(index).ok().filter(|i| cluster.roster().node(*i).is_some());
    node.ok_or_else(|| Failure::usage(format!("node {index} is not in the roster")))
}

/// What is to become of a committee.
#[derive(Clone, Debug)]
pub(super) enum Change {
    Refresh,
    Schedule(Repeat),
    /// A schedule that a roster has ended, as it was.
    Again,
    To {
        committee: Vec<u16>,
        threshold: Option<u16>,
    },
    Repair(NodeIndex),
    Drain {
        from: NodeIndex,
        to: Option<NodeIndex>,
    },
    /// To the identities that the roster has now: whoever has left is left out.
    Follow,
}

impl Change {
    /// The indices and the threshold after it; `None` if the key is not touched.
    ///
    /// # Errors
    /// When the roster has too few of the members left.
    pub(super) fn of(
        &self,
        roster: &Roster,
        before: &Committee,
    ) -> Result<Option<(Vec<u16>, u16)>, Failure> {
        match self {
            Self::Follow => follow(roster, before),
            // Also of a key whose members are not all in the roster any more.
            Self::Again => Ok(follow(roster, before)?.or_else(|| self.of_indices(before))),
            other => Ok(other.of_indices(before)),
        }
    }

    fn of_indices(&self, before: &Committee) -> Option<(Vec<u16>, u16)> {
        let same = || before.indices().map(NodeIndex::get).collect::<Vec<_>>();
        let t = before.threshold().get();
        match self {
            Self::Refresh | Self::Follow | Self::Again | Self::Schedule(_) => Some((same(), t)),
            Self::To { committee, threshold } => {
                let committee = if committee.is_empty() { same() } else { committee.clone() };
                Some((committee, threshold.unwrap_or(t)))
            }
            Self::Repair(node) => before.member(*node).is_some().then(|| (same(), t)),
            Self::Drain { from, to } => {
                before.member(*from)?;
                let mut nodes: Vec<u16> = same().into_iter().filter(|i| *i != from.get()).collect();
                nodes.extend(to.map(NodeIndex::get).filter(|i| !nodes.contains(i)));
                Some((nodes, t))
            }
        }
    }
}

/// A committee with the roster's present identities.
fn follow(roster: &Roster, before: &Committee) -> Result<Option<(Vec<u16>, u16)>, Failure> {
    let there = members_left(roster, before);
    if there == before.size() {
        return Ok(None);
    }
    let indices = before.indices().filter(|i| roster.node(*i).is_some());
    let nodes: Vec<u16> = indices.map(NodeIndex::get).collect();
    let t = before.threshold().get();
    if there < usize::from(t) {
        let text = format!(
            "KEY LOST: only {there} of its {} members are left in the roster as they were, and {t} \
             shares are needed to move it. No share can be made from fewer",
            before.size()
        );
        return Err(Failure::new(text));
    }
    Ok(Some((nodes, t)))
}

/// Members that the roster names with the identity that holds the share.
pub(super) fn members_left(roster: &Roster, committee: &Committee) -> usize {
    let there = |m: &&Member| roster.node(m.index).is_some_and(|n| n.identity == m.identity);
    committee.members().iter().filter(there).count()
}

/// What the order at the head of a key's chain says.
pub(super) struct Chain {
    pub(super) first_number: u64,
    pub(super) newest: KeyVersion,
    pub(super) head: Hash,
}

impl Chain {
    /// None if no order has made the key.
    pub(super) fn of(heads: &Heads) -> Result<Option<Self>, Failure> {
        let first_number = compose::first_number(heads);
        match heads.key_order.as_ref().and_then(VerifiedOrder::terms) {
            Some(terms) => Ok(Some(Self { first_number, newest: terms.newest, head: heads.key })),
            None if heads.key == Hash::default() => Ok(None),
            None => Err(Failure::new(format!(
                "nobody has sent the key's newest order {}: upgrade nodes and coordinators",
                heads.key.short()
            ))),
        }
    }
}

impl Chain {
    /// An order has become the newest.
    pub(super) fn follows(&mut self, cluster: &Cluster, order: &Order) {
        self.head = order_hash(cluster.fingerprint(), &order.to_bytes());
        if let Some(terms) = Terms::of(&order.action) {
            self.first_number = terms.numbers().end().saturating_add(1);
            self.newest = terms.newest;
        }
    }
}

/// The schedule at the head of a key's chain.
pub(super) fn schedule_of(heads: &Heads, cluster: &Cluster) -> Option<Schedule> {
    Schedule::of(heads.key_order.as_ref()?, None, cluster.roster())
}

/// The order that changes a key so; `None` if it does not touch it.
pub(super) fn action(
    roster: &Roster,
    key: &Key,
    chain: &Chain,
    change: &Change,
    how: &ShareHow,
) -> Result<Option<Action>, Failure> {
    let (public, terms) = (key.public(), key.epoch().terms());
    let Some((nodes, threshold)) = change.of(roster, &public.committee)? else { return Ok(None) };
    let committee = compose::committee(roster, &nodes, threshold)?;
    let q = compose::q(&committee, how.allow_absent)?;
    Ok(Some(Action::Reshare(Reshare {
        name: public.key.clone(),
        version: public.version,
        // One that was born by itself stands in no order of the chain.
        newest: chain.newest.max(public.version),
        suite: public.suite,
        purpose: public.purpose,
        public_key: *public.public_key(),
        committee,
        q,
        first_number: chain.first_number,
        grace: how.grace,
        repeat: match change {
            Change::Schedule(repeat) => Some(*repeat),
            // Only the key's newest order can be a standing one: of an older version it ended
            // when the key was rotated.
            _ => terms.repeat.filter(|_| !how.end_schedule && public.version == chain.newest),
        },
        // What was accepted for the committee as it is needs no second word.
        danger_concentrated: how.danger_concentrated
            || (terms.danger_concentrated && nodes_of(&public.committee) == nodes),
        acknowledge_fragile: how.acknowledge_fragile
            || (terms.acknowledge_fragile && nodes_of(&public.committee) == nodes),
    })))
}

pub(super) fn nodes_of(committee: &Committee) -> Vec<u16> {
    committee.indices().map(NodeIndex::get).collect()
}

/// The versions that a change is about, ascending: the newest order of a key is then about its
/// newest version, whose schedule goes on.
pub(super) async fn versions(
    operator: &Operator,
    name: &KeyName,
    wanted: Option<u32>,
    change: &Change,
) -> Result<Vec<Key>, Failure> {
    if wanted.is_none() && matches!(change, Change::Schedule(_) | Change::Again) {
        return Ok(vec![operator.key_in_force(name).await?]);
    }
    let mut versions = operator.versions_in_force(name).await?;
    let Some(wanted) = wanted else { return Ok(versions) };
    let Some(newest) = versions.last().cloned() else { return Ok(versions) };
    versions.retain(|key| key.version().get() == wanted);
    if versions.is_empty() {
        let newest = newest.version();
        let text = format!("{name} has no version {wanted}; its newest is {newest}");
        return Err(Failure::usage(text));
    }
    if newest.version().get() != wanted && newest.epoch().terms().repeat.is_some() {
        // The newest order of a key is the one that counts.
        let text = format!(
            "an order for version {wanted} alone would end the schedule of version {}: leave \
             --version out, and all versions move",
            newest.version()
        );
        return Err(Failure::usage(text));
    }
    Ok(versions)
}

async fn one(
    operator: &Operator,
    name: &str,
    how: &ShareHow,
    change: &Change,
) -> Result<Report, Failure> {
    let name = KeyName::new(name).map_err(Failure::usage)?;
    let versions = versions(operator, &name, how.version, change).await?;
    if how.order.order_out.is_some() && versions.len() > 1 {
        let all: Vec<String> = versions.iter().map(|k| k.version().to_string()).collect();
        let text = format!(
            "{name} has versions {}, each with an order of its own: say --version, and order them \
             one after the other, the newest last",
            all.join(", ")
        );
        return Err(Failure::usage(text));
    }
    let heads = operator.heads(Some(&name)).await?;
    let mut chain = Chain::of(&heads)?
        .ok_or_else(|| Failure::usage(format!("no order has made a key {name}")))?;
    let cluster = operator.cluster();
    let ends = schedule_of(&heads, &cluster).filter(|s| how.end_schedule && s.ended.is_none());
    if let Some(schedule) = &ends {
        eprintln!("this ENDS the schedule of {name}: {}", schedule.text());
    }
    let (mut lines, mut all) = (Vec::new(), Vec::new());
    for key in &versions {
        let Some(action) = action(cluster.roster(), key, &chain, change, how)? else { continue };
        warn_of_few_liars(&action, how.yes)?;
        let (order, signed) = signed(operator, action, chain.head, how.order.order_days)?;
        let hash = order_hash(cluster.fingerprint(), &signed.0.body);
        let before = Before::of(key, &hash);
        match carry_out(operator, &order, &signed, &how.order, Some(&before)).await {
            Ok(Fate::Written(text)) => {
                return Ok(Report::new(text, json!({ "done": false })));
            }
            Ok(Fate::Done(CarriedOut::Moved(moved))) => {
                lines.push(told(&moved, cluster.roster()));
                let goes_on = Schedule::of(moved.epoch.order(), None, cluster.roster());
                lines.extend(goes_on.as_ref().map(Schedule::line));
                let mut json = json_of(&moved);
                json["schedule"] = json!(goes_on.as_ref().map(Schedule::json));
                json["schedule_ended"] = json!(ends.as_ref().map(Schedule::json));
                all.push(json);
            }
            Ok(Fate::Done(_)) => {
                let text =
                    "the order was applied; a coordinator must move the shares: submit it there";
                return Ok(Report::new(text, json!({ "done": false })));
            }
            Err(failure) if lines.is_empty() => return Err(failure),
            Err(failure) => {
                let text = format!("{}\nversion {}: {failure}", lines.join("\n"), key.version());
                return Err(Failure { code: failure.code, ..Failure::new(text) });
            }
        }
        chain.follows(&cluster, &order);
    }
    let Some(mut json) = all.pop() else {
        return Ok(Report::new(format!("{name} is not touched"), json!({ "done": true })));
    };
    if let Some(schedule) = &ends {
        lines.push(format!(
            "its schedule ({}) has ended; to give it again: `{}`",
            schedule.text(),
            schedule.command()
        ));
    }
    if !all.is_empty() {
        json["older"] = json!(all);
    }
    Ok(Report::new(lines.join("\n"), json))
}

/// What became of shares that have moved, for people.
pub(super) fn told(moved: &Moved, roster: &Roster) -> String {
    let public = moved.epoch.public();
    let (committee, n) = (&public.committee, public.committee.size());
    let serving = n - moved.absent.len();
    let mut lines = vec![format!(
        "{} version {} is in epoch {}: {} of {n} nodes use it, {serving} serve it",
        public.key,
        public.version,
        public.epoch.number,
        committee.threshold(),
    )];
    if !moved.absent.is_empty() {
        let names = render::nodes(roster, &moved.absent);
        lines.push(format!("{names} missed it; `quorate share repair NODE` when they are back"));
    }
    match &moved.unerased[..] {
        [] => lines.push("every old share is reported erased".into()),
        nodes => lines.push(format!(
            "not yet reported erased at {}: until then count their old shares as alive",
            render::nodes(roster, nodes)
        )),
    }
    lines.join("\n")
}

fn json_of(moved: &Moved) -> serde_json::Value {
    let public = moved.epoch.public();
    let indices = |nodes: &[NodeIndex]| nodes.iter().map(|n| n.get()).collect::<Vec<_>>();
    json!({
        "done": true,
        "key": public.key.as_str(),
        "version": public.version.get(),
        "epoch": public.epoch.number,
        "threshold": public.committee.threshold().get(),
        "committee": public.committee.indices().map(NodeIndex::get).collect::<Vec<_>>(),
        "absent": indices(&moved.absent),
        "unerased": indices(&moved.unerased),
    })
}
