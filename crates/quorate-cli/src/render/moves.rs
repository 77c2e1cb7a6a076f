//! Orders that move shares, and what they change.

use super::{bounds, node, span, time, warnings};
use quorate_client::Key;
use quorate_types::{
    Action, Cluster, Committee, Hash, Holding, Member, NodeEntry, NodeIndex, Ownership, Repeat,
    Reshare, Roster,
};
use serde_json::{Value, json};

/// What a key is before an order moves its shares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Before {
    /// It is in this epoch.
    InForce {
        /// Its number.
        epoch: u64,
        /// Who holds it.
        committee: Committee,
        /// The schedule that the epoch's order is, which a newer order of the key ends.
        repeat: Option<Repeat>,
        /// Why this is only what was seen here last.
        seen_last: Option<String>,
    },
    /// The order has been carried out: the epoch in force is of it.
    CarriedOut {
        /// Its number.
        epoch: u64,
    },
    /// Nobody could tell, for this reason.
    Unknown(String),
}

impl Before {
    /// As the epoch in force proves it, for an order of this hash.
    #[must_use]
    pub fn of(key: &Key, order: &Hash) -> Self {
        let public = key.public();
        let epoch = public.epoch.number;
        if key.epoch().order().hash() == *order {
            return Self::CarriedOut { epoch };
        }
        let (committee, repeat) = (public.committee.clone(), key.epoch().terms().repeat);
        Self::InForce { epoch, committee, repeat, seen_last: None }
    }

    fn committee(&self) -> Option<&Committee> {
        match self {
            Self::InForce { committee, .. } => Some(committee),
            Self::CarriedOut { .. } | Self::Unknown(_) => None,
        }
    }
}

/// What an order that moves shares says and changes.
#[derive(Clone, Debug)]
pub struct Moves {
    /// What is the key's own.
    pub own: Vec<String>,
    /// What many keys may have in common, to the last byte.
    pub shared: Vec<String>,
    /// Members that hold no share before.
    pub joins: Vec<Member>,
    /// Members before that get no share.
    pub leaves: Vec<Member>,
    /// All of it, for programs.
    pub json: Value,
}

impl Moves {
    /// Of an order of the cluster.
    #[must_use]
    pub fn of(to: &Reshare, cluster: &Cluster, before: Option<&Before>) -> Self {
        of(to, cluster.roster(), &cluster.departed(), before)
    }

    pub(super) fn whole(self) -> (Vec<String>, Value) {
        (self.own.into_iter().chain(self.shared).collect(), self.json)
    }
}

/// A member is who holds the share: an index together with an identity, so that whoever takes
/// another's place joins, and the other leaves.
pub(super) fn of(
    to: &Reshare,
    roster: &Roster,
    departed: &[&NodeEntry],
    before: Option<&Before>,
) -> Moves {
    let now = before.and_then(Before::committee);
    let lacks = |in_: &Committee, m: &&Member| in_.member(m.index) != Some(*m);
    let joins: Vec<Member> = now.map_or_else(Vec::new, |now| {
        to.committee.members().iter().filter(|m| lacks(now, m)).copied().collect()
    });
    let leaves: Vec<Member> = now.map_or_else(Vec::new, |now| {
        now.members().iter().filter(|m| lacks(&to.committee, m)).copied().collect()
    });
    let mut own = vec![
        format!("MOVE THE SHARES of key {} version {}", to.name, to.version),
        format!("  public key    {} (stays)", hex::encode(to.public_key)),
    ];
    let mut shared = Vec::new();
    match before {
        // What is not proved is told of each of many.
        Some(b @ (Before::Unknown(_) | Before::InForce { seen_last: Some(_), .. })) => {
            shared.push(standing(b));
        }
        other => own.extend(other.map(standing)),
    }
    let mut bounds = bounds(&Action::Reshare(to.clone()));
    own.extend(bounds.pop());
    shared.extend(head(to, bounds));
    shared.extend(schedule(to, before));
    // Whoever has left belongs to a provider and a place all the same.
    let known = with(roster, departed);
    for m in to.committee.members() {
        let mark = if joins.contains(m) { "  JOINS" } else { "" };
        shared.push(format!("  node {:<9}{}{mark}", m.index.get(), node(roster, m.index)));
        shared.push(format!("                {}", m.identity));
    }
    for m in &leaves {
        let is_there = roster.node(m.index).is_some_and(|n| n.identity == m.identity);
        let erases = match is_there {
            true => "LEAVES, and erases its share",
            false => "LEAVES; it has left the roster, and nobody can tell that it erases its share",
        };
        shared.push(format!("  node {:<9}{}  {erases}", m.index.get(), former(&known, m)));
        shared.push(format!("                {}", m.identity));
    }
    if let Some(now) = now {
        shared.push(format!("  threshold was {} of {}", now.threshold(), now.size()));
        shared.push("  could use it before, at the least:".into());
        shared.extend(coalitions(&known, now));
    }
    shared.push("  can use it then, at the least:".into());
    shared.extend(coalitions(roster, &to.committee));
    if to.danger_concentrated {
        shared.push("  DANGER        one provider or jurisdiction may hold enough shares".into());
    }
    if to.acknowledge_fragile {
        shared.push("  acknowledged  losing one jurisdiction may put it out of reach".into());
    }
    shared.extend(warnings(&Ownership::of(roster, &to.committee)));
    let mut json = json_of(to, before, &joins, &leaves);
    json["coalitions_before"] = json!(now.map(|now| all_coalitions(&known, now)));
    json["coalitions"] = json!(all_coalitions(roster, &to.committee));
    Moves { own, shared, joins, leaves, json }
}

/// Which state of the key the changes are told against.
fn standing(before: &Before) -> String {
    match before {
        Before::InForce { epoch, seen_last: None, .. } => {
            format!("  before        epoch {epoch}, in force now")
        }
        Before::InForce { epoch, seen_last: Some(why), .. } => format!(
            "  before        epoch {epoch}, AS THIS HOME SAW IT LAST: it may have changed since ({why})"
        ),
        Before::CarriedOut { epoch } => {
            format!("  CARRIED OUT   epoch {epoch}, in force now, is of this order")
        }
        Before::Unknown(why) => format!("  WHAT CHANGES IS NOT KNOWN HERE: {why}"),
    }
}

fn head(to: &Reshare, bounds: Vec<String>) -> Vec<String> {
    let c = &to.committee;
    let mut lines = vec![
        format!("  threshold     {} of {}", c.threshold(), c.size()),
        format!("  in force when {} nodes have signed it active", to.q),
    ];
    lines.extend(bounds);
    if to.grace > 0 {
        lines.push(format!("  grace         both epochs are served for {} s", to.grace));
    }
    lines
}

fn schedule(to: &Reshare, before: Option<&Before>) -> Option<String> {
    if let Some(repeat) = &to.repeat {
        return Some(format!(
            "  SCHEDULE      again every {}, {} attempts in all, until {}",
            span(repeat.every),
            repeat.times,
            time(repeat.until)
        ));
    }
    let Some(Before::InForce { repeat: Some(ended), .. }) = before else { return None };
    // An order for an older version is followed by one for the newest, which has the schedule.
    (to.version == to.newest).then(|| {
        let (every, until) = (span(ended.every), time(ended.until));
        format!("  ENDS          the schedule: again every {every} until {until}")
    })
}

fn with(roster: &Roster, departed: &[&NodeEntry]) -> Roster {
    let mut known = roster.clone();
    known.nodes.extend(departed.iter().map(|n| (*n).clone()));
    known
}

/// A member by its name, also if it has left the roster.
#[must_use]
pub fn member(cluster: &Cluster, member: &Member) -> String {
    former(&with(cluster.roster(), &cluster.departed()), member)
}

fn former(known: &Roster, member: &Member) -> String {
    let entry = known.node_by_identity(&member.identity);
    entry.map_or_else(
        || format!("node {}", member.index),
        |entry| {
            let alone = Roster { nodes: vec![entry.clone()], ..known.clone() };
            node(&alone, entry.index)
        },
    )
}

fn json_of(to: &Reshare, before: Option<&Before>, joins: &[Member], leaves: &[Member]) -> Value {
    let members = |all: &[Member]| {
        let member =
            |m: &Member| json!({ "index": m.index.get(), "identity": m.identity.to_string() });
        all.iter().map(member).collect::<Vec<_>>()
    };
    let indices = |all: &[Member]| all.iter().map(|m| m.index.get()).collect::<Vec<_>>();
    let before = before.map(|before| match before {
        Before::InForce { epoch, committee, repeat, seen_last } => json!({
            "epoch": epoch,
            "threshold": committee.threshold().get(),
            "committee": committee.indices().map(NodeIndex::get).collect::<Vec<_>>(),
            "members": members(committee.members()),
            "schedule": repeat.is_some(),
            "seen_last": seen_last,
        }),
        Before::CarriedOut { epoch } => json!({ "carried_out": epoch }),
        Before::Unknown(why) => json!({ "unknown": why }),
    });
    json!({
        "action": "reshare",
        "name": to.name.as_str(),
        "version": to.version.get(),
        "public_key": hex::encode(to.public_key),
        "threshold": to.committee.threshold().get(),
        "q": to.q,
        "grace": to.grace,
        "repeat": to.repeat.map(|r| json!({
            "every": r.every, "times": r.times, "until": r.until.0,
        })),
        "committee": members(to.committee.members()),
        "before": before,
        "joins": indices(joins),
        "leaves": indices(leaves),
        "danger_concentrated": to.danger_concentrated,
        "acknowledge_fragile": to.acknowledge_fragile,
    })
}

/// The smallest coalitions of holders that could use a key, in a few lines.
pub(super) fn coalitions(roster: &Roster, committee: &Committee) -> Vec<String> {
    const SHOWN: usize = 4;
    let all = all_coalitions(roster, committee);
    let mut lines: Vec<String> =
        all.iter().take(SHOWN).map(|c| format!("    {}", c.join(" + "))).collect();
    if all.len() > SHOWN {
        lines.push(format!("    and {} more", all.len() - SHOWN));
    }
    lines
}

fn all_coalitions(roster: &Roster, committee: &Committee) -> Vec<Vec<String>> {
    let owners = Ownership::of(roster, committee);
    let names = |c: &Vec<&Holding>| c.iter().map(|h| h.holder.to_string()).collect();
    owners.coalitions().iter().map(names).collect()
}
