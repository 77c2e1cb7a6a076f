//! One attempt: one coordinator (or the nodes themselves), one group of items.

use super::{
    Item,
    collect::{Collection, Quorum},
};
use crate::{
    ciphertext::{CiphertextError, diagnose},
    client::Inner,
    error::{Error, NodeRef},
    key::Key,
    report::Report,
    transport::{Question, Transport},
};
use quorate_crypto::{
    SecretBytes,
    hash::Label,
    merkle::merkle_root,
    tdh2::{Combiner, OpenError},
};
use quorate_rpc::Deadline;
use quorate_types::{
    Cluster, EncryptionContext, Format, Hash, NodeIndex, Operation, RequestHead, RequestId,
    request::MAX_TTL,
};
use rand::Rng;
use std::{collections::BTreeSet, sync::Arc, thread};
use zeroize::Zeroizing;

/// Items that are worth a thread: some milliseconds of work.
const LEAST_SHARE: usize = 64;

/// Payload keys, one result for each item, and what it took.
pub(crate) struct Opened {
    pub(crate) keys: Vec<Result<SecretBytes<32>, CiphertextError>>,
    pub(crate) report: Report,
}

/// Why an attempt brought nothing.
pub(crate) enum Failed {
    /// These items are bad; without them the rest may open.
    Items(Vec<(usize, CiphertextError)>),
    /// Too few nodes serve the epoch that is known here, and some say that the shares have
    /// moved; the error, if nobody proves that.
    Moved(Error),
    /// All the rest.
    Error(Error),
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Error(error)
    }
}

/// A request with its hash.
pub(super) struct Signed {
    pub(super) head: Arc<[u8]>,
    pub(super) hash: Hash,
    pub(super) signature: quorate_crypto::Signature,
}

/// All that one attempt works on.
pub(crate) struct Attempt<'a> {
    pub(super) client: &'a Inner,
    pub(super) cluster: &'a Cluster,
    pub(super) transport: &'a dyn Transport,
    pub(super) party: String,
    pub(super) key: &'a Key,
    pub(super) items: &'a [Item],
    pub(super) wire: Arc<[Vec<u8>]>,
    pub(super) context: &'a EncryptionContext,
    pub(super) deadline: Deadline,
    pub(super) liars: BTreeSet<NodeIndex>,
}

impl<'a> Attempt<'a> {
    pub(crate) fn new(
        client: &'a Inner,
        cluster: &'a Cluster,
        transport: &'a dyn Transport,
        key: &'a Key,
        items: &'a [Item],
        context: &'a EncryptionContext,
    ) -> Self {
        Self {
            client,
            cluster,
            transport,
            party: transport.party(),
            key,
            items,
            wire: items.iter().map(|i| i.bytes.clone()).collect(),
            context,
            deadline: Deadline::after(client.timeout),
            liars: BTreeSet::new(),
        }
    }

    /// Asks without proofs and combines; the key commitment tells whether the result is
    /// right. If it is not, asks again with proofs.
    pub(crate) async fn run(mut self) -> Result<Opened, Failed> {
        let quorum = Collection::new(&mut self, false)?.gather(None).await?;
        let results = self.combine(&quorum);
        let wrong = |r: &Result<_, OpenError>| {
            matches!(r, Err(OpenError::Commitment | OpenError::Partial { .. }))
        };
        if !results.iter().any(wrong) {
            return Ok(self.opened(&quorum, results));
        }
        self.settle(&quorum).await
    }

    /// Signs a fresh request for all items.
    pub(super) fn sign(&self, prove: bool) -> Result<Signed, Error> {
        let mut id = [0; 16];
        rand::rng().fill_bytes(&mut id);
        let count = |_| Error::Invalid("a request has at most 1024 items".into());
        let root = merkle_root(&self.wire).map_err(|e| Error::Invalid(e.to_string()))?;
        let head = RequestHead {
            id: RequestId(id),
            issued_at: (self.client.clock)(),
            ttl: u32::try_from(self.client.timeout.as_millis())
                .unwrap_or(MAX_TTL)
                .clamp(1, MAX_TTL),
            client: self.client.identity.public(),
            key: self.key.name().clone(),
            version: self.key.version(),
            operation: Operation::Decrypt,
            context: self.context.clone(),
            reply_key: self.client.answers.reply_key(),
            prove,
            item_count: u16::try_from(self.items.len()).map_err(count)?,
            items_root: Hash(root),
        }
        .to_bytes();
        let fingerprint = self.cluster.fingerprint();
        let signature =
            self.client.identity.sign(Label::SIG_REQUEST, fingerprint.as_bytes(), &head);
        Ok(Signed { hash: RequestHead::hash(fingerprint, &head), head: head.into(), signature })
    }

    /// The question to ask of all members but `avoid`.
    pub(super) fn question(&self, signed: &Signed, avoid: Vec<NodeIndex>, want: usize) -> Question {
        Question {
            head: Arc::clone(&signed.head),
            signature: signed.signature,
            items: Arc::clone(&self.wire),
            committee: self.key.public().committee.indices().collect(),
            avoid,
            want,
        }
    }

    pub(super) fn threshold(&self) -> usize {
        self.key.public().committee.threshold().as_usize()
    }

    pub(super) fn node(&self, index: NodeIndex) -> NodeRef {
        NodeRef::of(self.cluster.roster(), index)
    }

    pub(super) fn nodes(&self, indices: impl IntoIterator<Item = NodeIndex>) -> Vec<NodeRef> {
        indices.into_iter().map(|i| self.node(i)).collect()
    }

    /// Payload keys of all items from a quorum's partials; a large batch on all cores.
    pub(super) fn combine(&self, quorum: &Quorum) -> Vec<Result<SecretBytes<32>, OpenError>> {
        let nodes: Vec<NodeIndex> = quorum.partials.iter().map(|(node, _)| *node).collect();
        let threshold = self.key.public().committee.threshold();
        let combiner = match Combiner::new(threshold, &nodes) {
            Ok(combiner) => combiner,
            Err(error) => return self.items.iter().map(|_| Err(error)).collect(),
        };
        let cores = thread::available_parallelism().map_or(1, usize::from);
        let share = self.items.len().div_ceil(cores).max(LEAST_SHARE);
        let combine = |at: usize, items: &[Item]| self.combine_some(&combiner, quorum, at, items);
        if share >= self.items.len() {
            return combine(0, self.items);
        }
        let combine = &combine;
        thread::scope(|scope| {
            let parts: Vec<_> = (self.items.chunks(share).enumerate())
                .map(|(i, items)| scope.spawn(move || combine(i * share, items)))
                .collect();
            let joined = |part: thread::ScopedJoinHandle<'_, Vec<_>>| {
                part.join().expect("combining does not panic: all input is checked")
            };
            parts.into_iter().flat_map(joined).collect()
        })
    }

    /// As [`Attempt::combine`], for the items from place `at` on.
    fn combine_some(
        &self,
        combiner: &Combiner,
        quorum: &Quorum,
        at: usize,
        items: &[Item],
    ) -> Vec<Result<SecretBytes<32>, OpenError>> {
        let of_item =
            |i: usize| quorum.partials.iter().map(|(_, partials)| partials[i]).collect::<Vec<_>>();
        let by_item: Vec<Zeroizing<Vec<[u8; 32]>>> =
            (at..at + items.len()).map(|i| Zeroizing::new(of_item(i))).collect();
        let inputs: Vec<_> = (items.iter().zip(&by_item))
            .map(|(item, partials)| (&item.header[..], &item.ciphertext, &partials[..]))
            .collect();
        combiner.open_batch(&self.key.binding(), &self.context.label(), &inputs)
    }

    pub(super) fn opened(
        &self,
        quorum: &Quorum,
        results: Vec<Result<SecretBytes<32>, OpenError>>,
    ) -> Opened {
        let keys = results.into_iter().map(|r| r.map_err(|_| CiphertextError::BadlyMade)).collect();
        let report = Report {
            nodes: self.nodes(quorum.partials.iter().map(|(node, _)| *node)),
            liars: self.nodes(self.liars.iter().copied()),
            epoch: Some(quorum.epoch),
        };
        Opened { keys, report }
    }

    /// The items that do not verify under this key and context.
    pub(super) fn bad_items(&self) -> Vec<(usize, CiphertextError)> {
        let binding = self.key.binding();
        (self.items.iter().enumerate())
            .filter_map(|(i, item)| Some((i, diagnose(&item.head, &binding, self.context)?)))
            .collect()
    }
}
