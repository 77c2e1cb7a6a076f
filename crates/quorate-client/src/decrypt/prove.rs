//! The slow path: every node proves its partials, liars are named, the rest finishes.

use super::{
    Item,
    attempt::{Attempt, Opened, bad_items},
};
use crate::{
    asking::{Failed, Judge},
    ciphertext::CiphertextError,
    collect::{Collection, Quorum},
    key::Key,
};
use quorate_crypto::{
    dleq::Proof,
    tdh2::{self, BatchFault, Verified},
};
use quorate_types::{Answer, EncryptionContext, Hash, NodeIndex, PartialContext};
use std::collections::BTreeSet;

/// Checks proofs against the public values of one epoch.
struct ProofCheck<'a> {
    key: &'a Key,
    items: &'a [Item],
    context: &'a EncryptionContext,
    verified: &'a [Verified],
}

impl Judge for ProofCheck<'_> {
    /// Whether the node proved that its partials are its share's.
    fn takes(&self, node: NodeIndex, request: Hash, answer: &Answer) -> bool {
        let context = PartialContext { public: self.key.public(), node, request };
        let public = self.key.commitments().ristretto_at(node);
        let proof = answer.proof.as_ref().map(Proof::from_bytes);
        let (Ok(public), Some(Ok(proof))) = (public, proof) else { return false };
        let (context, partials) = (context.to_bytes(), &answer.partials);
        tdh2::verify_partials(&context, &public, self.verified, partials, &proof).is_ok()
    }

    fn bad_items(&self) -> Vec<(usize, CiphertextError)> {
        bad_items(self.key, self.items, self.context)
    }
}

impl Attempt<'_> {
    /// The partials of `fast` do not combine. Either a ciphertext is bad, or a node lied:
    /// asks the same nodes again with proofs, then others in place of those that fail.
    pub(super) async fn settle(mut self, fast: &Quorum) -> Result<Opened, Failed> {
        let verified = self.verify_items()?;
        let (key, items, context) = (self.asking.key, self.items, self.asking.context);
        let check = ProofCheck { key, items, context, verified: &verified };
        let asked: BTreeSet<NodeIndex> = fast.partials.iter().map(|(node, _)| *node).collect();
        let proved = Collection::new(&mut self.asking, &check, true)?.gather(Some(&asked)).await?;
        self.asking.name_turncoats(fast, &proved);
        let results = self.combine(&proved);
        Ok(self.opened(&proved, results))
    }

    /// Checks every item's own proof; the bad ones are named.
    fn verify_items(&self) -> Result<Vec<Verified>, Failed> {
        let items: Vec<_> =
            self.items.iter().map(|i| (&i.header[..], i.ciphertext.clone())).collect();
        let (binding, label) = (self.asking.key.binding()?, self.asking.context.label());
        tdh2::verify_batch(&binding, &label, &items, &mut rand::rng()).map_err(
            |BatchFault { item, .. }| {
                let bad = bad_items(self.asking.key, self.items, self.asking.context);
                Failed::Items(if bad.is_empty() {
                    vec![(item, CiphertextError::Proof)]
                } else {
                    bad
                })
            },
        )
    }
}
