//! The slow path: every node proves its partials, liars are named, the rest finishes.

use super::{
    attempt::{Attempt, Failed, Opened},
    collect::{Collection, Quorum},
};
use crate::{ciphertext::CiphertextError, key::Key};
use quorate_crypto::{
    EncodedPoint,
    dleq::Proof,
    tdh2::{self, BatchFault, Verified},
};
use quorate_types::{Answer, Hash, NodeIndex, PartialContext};
use std::collections::BTreeSet;

/// Checks proofs against the public values of one epoch.
pub(super) struct ProofCheck<'a> {
    key: &'a Key,
    verified: &'a [Verified],
}

impl ProofCheck<'_> {
    /// Whether the node proved that its partials are its share's.
    pub(super) fn holds(&self, node: NodeIndex, request: Hash, answer: &Answer) -> bool {
        let context = PartialContext { public: self.key.public(), node, request };
        let public = EncodedPoint::new(self.key.commitments().at(node));
        let proof = answer.proof.as_ref().map(Proof::from_bytes);
        let (Ok(public), Some(Ok(proof))) = (public, proof) else { return false };
        let (context, partials) = (context.to_bytes(), &answer.partials);
        tdh2::verify_partials(&context, &public, self.verified, partials, &proof).is_ok()
    }
}

impl Attempt<'_> {
    /// The partials of `fast` do not combine. Either a ciphertext is bad, or a node lied:
    /// asks the same nodes again with proofs, then others in place of those that fail.
    pub(super) async fn settle(mut self, fast: &Quorum) -> Result<Opened, Failed> {
        let verified = self.verify_items()?;
        let check = ProofCheck { key: self.key, verified: &verified };
        let asked: BTreeSet<NodeIndex> = fast.partials.iter().map(|(node, _)| *node).collect();
        let proved = Collection::new(&mut self, true)?.proved(check).gather(Some(&asked)).await?;
        self.name_turncoats(fast, &proved);
        let results = self.combine(&proved);
        Ok(self.opened(&proved, results))
    }

    /// Checks every item's own proof; the bad ones are named.
    fn verify_items(&self) -> Result<Vec<Verified>, Failed> {
        let items: Vec<_> =
            self.items.iter().map(|i| (&i.header[..], i.ciphertext.clone())).collect();
        let (binding, label) = (self.key.binding(), self.context.label());
        tdh2::verify_batch(&binding, &label, &items, &mut rand::rng()).map_err(
            |BatchFault { item, .. }| {
                let bad = self.bad_items();
                Failed::Items(if bad.is_empty() {
                    vec![(item, CiphertextError::Proof)]
                } else {
                    bad
                })
            },
        )
    }

    /// Nodes whose proven partials are not those that they gave before, when nobody asked
    /// for a proof.
    fn name_turncoats(&mut self, fast: &Quorum, proved: &Quorum) {
        for (node, partials) in &proved.partials {
            if fast.partials.iter().any(|(other, before)| other == node && before != partials) {
                self.liars.insert(*node);
            }
        }
    }
}
