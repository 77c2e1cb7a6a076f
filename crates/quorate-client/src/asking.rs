//! One request to a quorum: who asks for what, under which key, through whom, and who has lied
//! so far. What is asked for is of no matter here.

use crate::{
    ciphertext::CiphertextError,
    client::Inner,
    error::{Error, NodeRef},
    key::Key,
    transport::{BoxFuture, Question, Transport},
};
use quorate_crypto::{hash::Label, merkle::merkle_root};
use quorate_rpc::Deadline;
use quorate_types::{
    Answer, Cluster, EncryptionContext, Format, Hash, NodeIndex, Operation, Refusal, RequestHead,
    RequestId, request::MAX_TTL,
};
use rand::Rng;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

/// Why asking brought nothing.
pub(crate) enum Failed {
    /// These items are bad; without them the rest may do.
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

impl Failed {
    /// Where items cannot be bad: they are made here.
    pub(crate) fn into_error(self) -> Error {
        match self {
            Self::Error(error) | Self::Moved(error) => error,
            Self::Items(_) => Error::Invalid("the items cannot be evaluated".into()),
        }
    }
}

/// What a quorum can be asked to do.
pub(crate) trait Work: Sync {
    /// What comes of it.
    type Done: Send;

    /// What nodes are asked for.
    fn operation(&self) -> Operation;

    /// The items that go to the nodes.
    fn items(&self) -> Arc<[Vec<u8>]>;

    /// What policy may look at.
    fn context(&self) -> &EncryptionContext;

    /// One attempt: one coordinator, or the nodes themselves, under one epoch.
    fn attempt<'a>(&'a self, asking: Asking<'a>) -> BoxFuture<'a, Result<Self::Done, Failed>>;
}

/// Says what an answer is worth, and which items of the request are bad.
pub(crate) trait Judge: Sync {
    /// How many partials an answer to so many items has.
    fn length(&self, items: usize) -> usize {
        items
    }

    /// Whether the node's answer is taken. If not, the node lies: it sealed it itself.
    fn takes(&self, node: NodeIndex, request: Hash, answer: &Answer) -> bool;

    /// The items that deserve to be called invalid. A node that calls one so lies if there are
    /// none.
    fn bad_items(&self) -> Vec<(usize, CiphertextError)>;
}

/// A request with its hash.
pub(crate) struct Signed {
    pub(crate) head: Arc<[u8]>,
    pub(crate) hash: Hash,
    pub(crate) signature: quorate_crypto::Signature,
}

/// All that a request to a quorum takes.
pub(crate) struct Asking<'a> {
    pub(crate) client: &'a Inner,
    pub(crate) cluster: &'a Cluster,
    pub(crate) transport: &'a dyn Transport,
    pub(crate) party: String,
    pub(crate) key: &'a Key,
    pub(crate) operation: Operation,
    pub(crate) wire: Arc<[Vec<u8>]>,
    pub(crate) context: &'a EncryptionContext,
    pub(crate) deadline: Deadline,
    pub(crate) liars: BTreeSet<NodeIndex>,
    /// Nodes that are not asked again in this call, and why.
    pub(crate) tired: BTreeMap<NodeIndex, String>,
    /// What nodes have decided against this call's requests.
    pub(crate) decided: BTreeMap<NodeIndex, Refusal>,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(
        client: &'a Inner,
        cluster: &'a Cluster,
        transport: &'a dyn Transport,
        key: &'a Key,
        work: &'a impl Work,
    ) -> Self {
        Self {
            client,
            cluster,
            transport,
            party: transport.party(),
            key,
            operation: work.operation(),
            wire: work.items(),
            context: work.context(),
            deadline: Deadline::after(client.timeout),
            liars: BTreeSet::new(),
            tired: BTreeMap::new(),
            decided: BTreeMap::new(),
        }
    }

    /// Signs a fresh request for all items.
    pub(crate) fn sign(&self, prove: bool) -> Result<Signed, Error> {
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
            operation: self.operation,
            context: self.context.clone(),
            reply_key: self.client.answers.reply_key(),
            prove,
            item_count: u16::try_from(self.wire.len()).map_err(count)?,
            items_root: Hash(root),
        }
        .to_bytes();
        let fingerprint = self.cluster.fingerprint();
        let signature =
            self.client.identity.sign(Label::SIG_REQUEST, fingerprint.as_bytes(), &head);
        Ok(Signed { hash: RequestHead::hash(fingerprint, &head), head: head.into(), signature })
    }

    /// The question to ask of all members but `avoid`.
    pub(crate) fn question(&self, signed: &Signed, avoid: Vec<NodeIndex>, want: usize) -> Question {
        Question {
            head: Arc::clone(&signed.head),
            signature: signed.signature,
            items: Arc::clone(&self.wire),
            committee: self.key.public().committee.indices().collect(),
            avoid,
            want,
        }
    }

    /// The next request of the same call, for something else.
    pub(crate) fn turn_to(&mut self, operation: Operation, wire: Arc<[Vec<u8>]>) {
        (self.operation, self.wire) = (operation, wire);
    }

    /// Members that have not lied or failed in this call.
    pub(crate) fn candidates(&self) -> impl Iterator<Item = NodeIndex> {
        let out = |i: &NodeIndex| self.liars.contains(i) || self.tired.contains_key(i);
        self.key.public().committee.indices().filter(move |i| !out(i))
    }

    pub(crate) fn threshold(&self) -> usize {
        self.key.public().committee.threshold().as_usize()
    }

    pub(crate) fn node(&self, index: NodeIndex) -> NodeRef {
        NodeRef::of(self.cluster.roster(), index)
    }

    pub(crate) fn nodes(&self, indices: impl IntoIterator<Item = NodeIndex>) -> Vec<NodeRef> {
        indices.into_iter().map(|i| self.node(i)).collect()
    }
}
