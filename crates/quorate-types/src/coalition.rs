//! Who could use a key if they acted together: the committee rule of DESIGN §4.5,
//! shared by `cluster check` and `who-owns`.

use crate::{
    committee::Committee,
    ids::{Jurisdiction, NodeIndex, ProviderName},
    roster::Roster,
};
use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

/// The most coalitions that [`Ownership::coalitions`] lists of one kind.
pub const MAX_COALITIONS: usize = 64;

/// Somebody who can compel or run nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// The company that runs the machines.
    Provider(ProviderName),
    /// A country, by the machines' location or the provider's home.
    Jurisdiction(Jurisdiction),
}

impl fmt::Display for Holder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Provider(p) => write!(f, "provider {p}"),
            Self::Jurisdiction(j) => write!(f, "jurisdiction {j}"),
        }
    }
}

/// The nodes of a committee that one holder can reach.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Holding {
    /// Who.
    pub holder: Holder,
    /// Which nodes.
    pub nodes: BTreeSet<NodeIndex>,
}

/// Who holds a key, seen through a roster.
#[derive(Clone, Debug)]
pub struct Ownership {
    threshold: usize,
    size: usize,
    providers: Vec<Holding>,
    jurisdictions: Vec<Holding>,
}

impl Ownership {
    /// The holders of `committee` by `roster`. Members that the roster does not know
    /// (left the cluster) belong to nobody.
    #[must_use]
    pub fn of(roster: &Roster, committee: &Committee) -> Self {
        let mut providers: BTreeMap<&ProviderName, BTreeSet<NodeIndex>> = BTreeMap::new();
        let mut jurisdictions: BTreeMap<&Jurisdiction, BTreeSet<NodeIndex>> = BTreeMap::new();
        for member in committee.members() {
            let Some(node) = roster.node_by_identity(&member.identity) else { continue };
            providers.entry(&node.provider).or_default().insert(member.index);
            for j in node.jurisdictions() {
                jurisdictions.entry(j).or_default().insert(member.index);
            }
        }
        let holding = |holder, nodes| Holding { holder, nodes };
        Self {
            threshold: committee.threshold().as_usize(),
            size: committee.size(),
            providers: (providers.into_iter())
                .map(|(p, nodes)| holding(Holder::Provider(p.clone()), nodes))
                .collect(),
            jurisdictions: (jurisdictions.into_iter())
                .map(|(j, nodes)| holding(Holder::Jurisdiction(j.clone()), nodes))
                .collect(),
        }
    }

    /// All holdings, providers first.
    pub fn holdings(&self) -> impl Iterator<Item = &Holding> {
        self.providers.iter().chain(&self.jurisdictions)
    }

    /// Holders of `t` or more shares: each could use the key alone. Refused unless the
    /// order says `danger_concentrated`.
    pub fn concentrated(&self) -> impl Iterator<Item = &Holding> {
        self.holdings().filter(|h| h.nodes.len() >= self.threshold)
    }

    /// Jurisdictions whose loss leaves fewer than `t` nodes: the key would be out of
    /// reach. A warning that the order must acknowledge.
    pub fn fragile(&self) -> impl Iterator<Item = &Holding> {
        self.jurisdictions.iter().filter(|h| self.size - h.nodes.len() < self.threshold)
    }

    /// The smallest sets of providers that together reach `t` nodes, and the same for
    /// jurisdictions; at most [`MAX_COALITIONS`] of each.
    #[must_use]
    pub fn coalitions(&self) -> Vec<Vec<&Holding>> {
        let mut all = minimal(&self.providers, self.threshold);
        all.extend(minimal(&self.jurisdictions, self.threshold));
        all
    }
}

/// Sets of holdings whose nodes number `t` or more, none of which contains another.
fn minimal(holdings: &[Holding], t: usize) -> Vec<Vec<&Holding>> {
    let mut found: Vec<Vec<usize>> = Vec::new();
    let mut frontier: Vec<Vec<usize>> = vec![Vec::new()];
    // By size, so that every superset of a found set is met after it. `t` holders
    // always suffice, so the search ends at that depth.
    for _ in 0..t.min(holdings.len()) {
        let mut next = Vec::new();
        for set in &frontier {
            let from = set.last().map_or(0, |last| last + 1);
            for candidate in from..holdings.len() {
                let mut grown = set.clone();
                grown.push(candidate);
                if found.iter().any(|f| f.iter().all(|i| grown.contains(i))) {
                    continue;
                }
                let nodes: BTreeSet<_> =
                    grown.iter().flat_map(|i| holdings[*i].nodes.iter()).collect();
                if nodes.len() >= t {
                    found.push(grown);
                } else if next.len() < 4096 {
                    next.push(grown);
                }
                if found.len() >= MAX_COALITIONS {
                    return named(holdings, &found);
                }
            }
        }
        frontier = next;
    }
    named(holdings, &found)
}

fn named<'a>(holdings: &'a [Holding], sets: &[Vec<usize>]) -> Vec<Vec<&'a Holding>> {
    sets.iter().map(|s| s.iter().map(|i| &holdings[*i]).collect()).collect()
}
