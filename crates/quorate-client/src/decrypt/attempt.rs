//! One attempt: one coordinator (or the nodes themselves), one group of items.

use super::Item;
use crate::{
    asking::{Asking, Failed, Judge, Work},
    ciphertext::{CiphertextError, diagnose},
    collect::{Collection, Quorum},
    cores::spread,
    key::Key,
    report::Report,
    transport::BoxFuture,
};
use quorate_crypto::{
    SecretBytes,
    tdh2::{Combiner, OpenError},
};
use quorate_types::{Answer, EncryptionContext, Hash, NodeIndex, Operation};
use std::sync::Arc;

/// Payload keys, one result for each item, and what it took.
pub(crate) struct Opened {
    pub(crate) keys: Vec<Result<SecretBytes<32>, CiphertextError>>,
    pub(crate) report: Report,
}

/// Items of one key to be opened under one context.
pub(crate) struct Opening<'a> {
    pub(crate) items: &'a [Item],
    pub(crate) context: &'a EncryptionContext,
}

impl Work for Opening<'_> {
    type Done = Opened;

    fn operation(&self) -> Operation {
        Operation::Decrypt
    }

    fn items(&self) -> Arc<[Vec<u8>]> {
        self.items.iter().map(|i| i.bytes.clone()).collect()
    }

    fn context(&self) -> &EncryptionContext {
        self.context
    }

    fn attempt<'a>(&'a self, asking: Asking<'a>) -> BoxFuture<'a, Result<Opened, Failed>> {
        Box::pin(Attempt { asking, items: self.items }.run())
    }
}

/// All that one attempt works on.
pub(super) struct Attempt<'a> {
    pub(super) asking: Asking<'a>,
    pub(super) items: &'a [Item],
}

/// Takes any answer: whether it is right, the commitment in the ciphertext tells.
struct Unproved<'a> {
    key: &'a Key,
    items: &'a [Item],
    context: &'a EncryptionContext,
}

impl Judge for Unproved<'_> {
    fn takes(&self, _: NodeIndex, _: Hash, _: &Answer) -> bool {
        true
    }

    fn bad_items(&self) -> Vec<(usize, CiphertextError)> {
        bad_items(self.key, self.items, self.context)
    }
}

/// The items that do not verify under this key and context.
pub(super) fn bad_items(
    key: &Key,
    items: &[Item],
    context: &EncryptionContext,
) -> Vec<(usize, CiphertextError)> {
    // A key without one is never asked to decrypt.
    let Ok(binding) = key.binding() else { return Vec::new() };
    (items.iter().enumerate())
        .filter_map(|(i, item)| Some((i, diagnose(&item.head, &binding, context)?)))
        .collect()
}

impl Attempt<'_> {
    /// Asks without proofs and combines; the key commitment tells whether the result is
    /// right. If it is not, asks again with proofs.
    pub(super) async fn run(mut self) -> Result<Opened, Failed> {
        let (key, items, context) = (self.asking.key, self.items, self.asking.context);
        let judge = Unproved { key, items, context };
        let quorum = Collection::new(&mut self.asking, &judge, false)?.gather(None).await?;
        let results = self.combine(&quorum);
        let wrong = |r: &Result<_, OpenError>| {
            matches!(r, Err(OpenError::Commitment | OpenError::Partial { .. }))
        };
        if !results.iter().any(wrong) {
            return Ok(self.opened(&quorum, results));
        }
        self.settle(&quorum).await
    }

    /// Payload keys of all items from a quorum's partials; a large batch on all cores.
    pub(super) fn combine(&self, quorum: &Quorum) -> Vec<Result<SecretBytes<32>, OpenError>> {
        let nodes: Vec<NodeIndex> = quorum.partials.iter().map(|(node, _)| *node).collect();
        let threshold = self.asking.key.public().committee.threshold();
        let combiner = match Combiner::new(threshold, &nodes) {
            Ok(combiner) => combiner,
            Err(error) => return self.items.iter().map(|_| Err(error)).collect(),
        };
        spread(self.items, |at, items| self.combine_some(&combiner, quorum, at, items))
    }

    /// As [`Attempt::combine`], for the items from place `at` on.
    fn combine_some(
        &self,
        combiner: &Combiner,
        quorum: &Quorum,
        at: usize,
        items: &[Item],
    ) -> Vec<Result<SecretBytes<32>, OpenError>> {
        let by_item: Vec<_> = (at..at + items.len()).map(|i| quorum.of_item(i)).collect();
        let inputs: Vec<_> = (items.iter().zip(&by_item))
            .map(|(item, partials)| (&item.header[..], &item.ciphertext, &partials[..]))
            .collect();
        match self.asking.key.binding() {
            Ok(binding) => combiner.open_batch(&binding, &self.asking.context.label(), &inputs),
            Err(_) => items.iter().map(|_| Err(OpenError::Commitment)).collect(),
        }
    }

    pub(super) fn opened(
        &self,
        quorum: &Quorum,
        results: Vec<Result<SecretBytes<32>, OpenError>>,
    ) -> Opened {
        let keys = results.into_iter().map(|r| r.map_err(|_| CiphertextError::BadlyMade)).collect();
        Opened { keys, report: self.asking.report(quorum) }
    }
}
