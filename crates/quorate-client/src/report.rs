//! What it took to get a result.

use crate::error::NodeRef;
use quorate_types::EpochName;

/// Who answered, who lied. For people and logs; the result was verified in any case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// The nodes whose partials were combined, by index.
    pub nodes: Vec<NodeRef>,
    /// Nodes that were found to lie: their partial is wrong and they cannot prove it.
    pub liars: Vec<NodeRef>,
    /// The epoch of the shares; `None` if nothing was asked.
    pub epoch: Option<EpochName>,
}

impl Report {
    /// Adds what another request of the same operation took.
    pub(crate) fn merge(&mut self, other: Self) {
        for (all, more) in [(&mut self.nodes, other.nodes), (&mut self.liars, other.liars)] {
            all.extend(more);
            all.sort();
            all.dedup();
        }
        self.epoch = self.epoch.max(other.epoch);
    }
}
