//! Signatures by quorum: FROST (RFC 9591), which any Ed25519 verifier accepts.
//!
//! Two requests: nodes commit to nonces, ahead of need where a key signs often, and then sign for
//! an exact set of signers. All of that set must answer. A node that does not, or whose
//! signature share does not verify, costs the nonces of this attempt; the next one is by others,
//! or by the same, under fresh nonces of all.

mod pool;

pub(crate) use pool::NoncePool;

use crate::{
    asking::{Asking, Failed, Judge, Work},
    ciphertext::CiphertextError,
    client::Client,
    collect::{Collection, Exact},
    error::Error,
    key::Key,
    open::most_items,
    report::Report,
    transport::BoxFuture,
};
use pool::{Drawn, PoolId};
use quorate_crypto::frost::{
    AggregateError, NonceCommitments, SIGNATURE_LEN, SigningSet, VerifyError, verify,
};
use quorate_types::{
    Answer, EncryptionContext, Format, Hash, NodeIndex, Operation, RefusalReason,
    signing::{MAX_MESSAGE, MAX_NONCES, NonceOrder, SignItem, SignerCommitments},
};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, PoisonError},
};

/// An Ed25519 signature (RFC 8032).
pub type Signature = [u8; SIGNATURE_LEN];

/// The longest message that is signed as it is.
pub const MAX_SIGN_MESSAGE: usize = MAX_MESSAGE;

/// Sets of signers that one call tries: each leaves out somebody, or draws anew.
const MAX_SETS: usize = 70;
/// Requests for nonces before one set is complete: 1,024 messages take four.
const MAX_DRAWS: usize = 16;
/// Bytes of items in one request, below the 1 MiB that a request may have.
const MAX_BYTES: usize = 900 * 1024;

impl Client {
    /// Signs a message of at most [`MAX_SIGN_MESSAGE`] bytes under the newest version of a key.
    /// The signature is verified under the pinned public key before it is given out.
    ///
    /// ```no_run
    /// # async fn example(client: quorate_client::Client) -> Result<(), quorate_client::Error> {
    /// let signature = client.sign("release", b"v1.2.3 is good").await?;
    /// client.key("release").await?.verify_signature(b"v1.2.3 is good", &signature)?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::WrongPurpose`] for a key that does not sign, [`Error::Invalid`] for a message that
    /// is too long, else as [`Client::decrypt`].
    pub async fn sign(&self, key: &str, message: &[u8]) -> Result<Signature, Error> {
        let mut key = self.key(key).await?;
        let none = EncryptionContext::default();
        let (mut made, _) = self.sign_newest(&mut key, &[message], &none).await?;
        made.pop().ok_or_else(|| Error::Invalid("the message has no signature".into()))
    }

    /// Signs many messages, in their order: up to 1,024 in one request. All or none.
    ///
    /// # Errors
    /// As [`Client::sign`].
    pub async fn sign_batch(
        &self,
        key: &str,
        messages: &[impl AsRef<[u8]>],
    ) -> Result<Vec<Signature>, Error> {
        let mut key = self.key(key).await?;
        let none = EncryptionContext::default();
        self.sign_newest(&mut key, messages, &none).await.map(|(made, _)| made)
    }

    /// As [`Client::sign_with_report`] for what is the newest version as far as the caller knows. If
    /// another one has been born since, nodes say so: then `key` is that one, which signs.
    ///
    /// # Errors
    /// As [`Client::sign`].
    pub async fn sign_newest(
        &self,
        key: &mut Key,
        messages: &[impl AsRef<[u8]>],
        context: &EncryptionContext,
    ) -> Result<(Vec<Signature>, Report), Error> {
        let older = match self.sign_with_report(key, messages, context).await {
            Err(error @ Error::Refused { reason: RefusalReason::OlderVersion, .. }) => error,
            other => return other,
        };
        let newest = self.0.newest_key(key.name(), true).await?;
        if newest.version() <= key.version() {
            return Err(older);
        }
        *key = newest;
        self.sign_with_report(key, messages, context).await
    }

    /// As [`Client::sign_batch`] for one version of a key (nodes sign with the newest only), under a context that nodes see and log
    /// (it is no part of what is signed), and says who signed and who lied.
    ///
    /// # Errors
    /// As [`Client::sign`].
    pub async fn sign_with_report(
        &self,
        key: &Key,
        messages: &[impl AsRef<[u8]>],
        context: &EncryptionContext,
    ) -> Result<(Vec<Signature>, Report), Error> {
        key.must_allow(Operation::Sign)?;
        if let Some(long) = messages.iter().map(|m| m.as_ref().len()).find(|l| *l > MAX_MESSAGE) {
            return Err(Error::Invalid(format!(
                "a message to sign has at most {MAX_MESSAGE} bytes, got {long}: sign its hash, or \
                 in a format that does"
            )));
        }
        let (mut made, mut report) = (Vec::with_capacity(messages.len()), Report::default());
        for some in messages.chunks(most_messages(key)) {
            let messages: Vec<&[u8]> = some.iter().map(AsRef::as_ref).collect();
            let (more, took) =
                self.0.work(key, &Signing { messages, context }).await.map_err(of)?;
            made.extend(more);
            report.merge(took);
        }
        self.refill(key);
        Ok((made, report))
    }

    /// Has nodes draw nonces ahead, so that the next `count` signatures take one round trip.
    /// Nodes keep them for ten minutes.
    ///
    /// # Errors
    /// As [`Client::sign`].
    pub async fn prepare_signing(&self, key: &Key, count: usize) -> Result<(), Error> {
        key.must_allow(Operation::Sign)?;
        let context = &EncryptionContext::default();
        let _turn = self.0.nonces.turn(self.0.timeout).await;
        for from in (0..count).step_by(usize::from(MAX_NONCES)) {
            let count = (count - from).min(usize::from(MAX_NONCES));
            self.0.work(key, &Drawing { count, context }).await.map_err(of)?;
        }
        Ok(())
    }

    /// Draws in the background for a key that signs often and runs low.
    fn refill(&self, key: &Key) {
        let (id, t) = (pool_id(key), key.public().committee.threshold().as_usize());
        let Some(count) = self.0.nonces.runs_low(&id, t) else { return };
        let (client, key) = (self.clone(), key.clone());
        tokio::spawn(async move {
            if let Err(error) = client.prepare_signing(&key, count).await {
                tracing::debug!(%error, "no nonces are drawn ahead");
            }
        });
    }
}

impl Key {
    /// Verifies an Ed25519 signature of this key, strictly (RFC 8032, no cofactor).
    ///
    /// # Errors
    /// [`Error::WrongPurpose`] for a key that does not sign; [`Error::Signature`].
    pub fn verify_signature(&self, message: &[u8], signature: &Signature) -> Result<(), Error> {
        self.must_allow(Operation::Sign)?;
        verify(self.public_key(), message, signature).map_err(|e: VerifyError| {
            let (name, version) = (self.name().clone(), self.version());
            Error::Signature { name, version, reason: e.to_string() }
        })
    }
}

/// Messages on their way to a quorum.
struct Signing<'a> {
    messages: Vec<&'a [u8]>,
    context: &'a EncryptionContext,
}

impl Work for Signing<'_> {
    type Done = (Vec<Signature>, Report);

    fn operation(&self) -> Operation {
        Operation::Sign
    }

    /// They name the signers, whom each attempt chooses.
    fn items(&self) -> Arc<[Vec<u8>]> {
        Arc::new([])
    }

    fn context(&self) -> &EncryptionContext {
        self.context
    }

    fn attempt<'a>(&'a self, asking: Asking<'a>) -> BoxFuture<'a, Result<Self::Done, Failed>> {
        Box::pin(attempt(&self.messages, asking))
    }
}

/// Nonces to be drawn ahead.
struct Drawing<'a> {
    count: usize,
    context: &'a EncryptionContext,
}

impl Work for Drawing<'_> {
    type Done = ();

    fn operation(&self) -> Operation {
        Operation::SignCommit
    }

    fn items(&self) -> Arc<[Vec<u8>]> {
        Arc::new([])
    }

    fn context(&self) -> &EncryptionContext {
        self.context
    }

    fn attempt<'a>(&'a self, mut asking: Asking<'a>) -> BoxFuture<'a, Result<(), Failed>> {
        Box::pin(async move { draw(&mut asking, self.count, None).await.map(drop) })
    }
}

/// Under one epoch, through one party: sets of signers, until one of them has signed.
async fn attempt(
    messages: &[&[u8]],
    mut asking: Asking<'_>,
) -> Result<(Vec<Signature>, Report), Failed> {
    let id = pool_id(asking.key);
    // Nodes that have once forgotten their nonces: once is a new start, twice a lie.
    let mut forgetful = BTreeSet::new();
    for _ in 0..MAX_SETS {
        let signers = signers(&mut asking, messages.len()).await?;
        let names: Vec<NodeIndex> = signers.keys().copied().collect();
        let sets = sets(messages, &signers);
        let spoilt = match ask(&mut asking, messages, &signers).await? {
            Exact::All(quorum) => match combine(&asking, &sets, &quorum.partials)? {
                Ok(made) => {
                    let report = Report {
                        nodes: asking.nodes(names),
                        liars: asking.nodes(asking.liars.iter().copied()),
                        epoch: Some(quorum.epoch),
                    };
                    return Ok((made, report));
                }
                Err(cheaters) => {
                    asking.liars.extend(&cheaters);
                    cheaters
                }
            },
            Exact::Some { missing } => {
                let mut spoilt = Vec::new();
                for (node, (why, refused)) in missing {
                    spoilt.push(node);
                    let gone = refused == Some(RefusalReason::NonceGone);
                    if !(gone && forgetful.insert(node)) {
                        asking.tired.insert(node, why);
                    }
                }
                spoilt
            }
        };
        spoilt.into_iter().for_each(|node| asking.client.nonces.forget(&id, node));
    }
    let what = "no set of nodes signs together: each time another one fails; try again";
    Err(Error::Invalid(what.into()).into())
}

/// `t` nodes with a nonce pair each for every message: from the pool, or drawn now.
async fn signers(
    asking: &mut Asking<'_>,
    need: usize,
) -> Result<BTreeMap<NodeIndex, Vec<Drawn>>, Failed> {
    let (id, t) = (pool_id(asking.key), asking.threshold());
    let mut before: Option<BTreeSet<NodeIndex>> = None;
    let mut turn = None;
    for _ in 0..MAX_DRAWS {
        let candidates: Vec<NodeIndex> = asking.candidates().collect();
        if let Some(taken) = asking.client.nonces.take(&id, &candidates, t, need) {
            return Ok(taken);
        }
        if turn.is_none() {
            // What others have drawn meanwhile may do.
            turn = asking.client.nonces.turn(asking.deadline.remaining()).await;
            if let Some(taken) = asking.client.nonces.take(&id, &candidates, t, need) {
                return Ok(taken);
            }
        }
        let count = asking.client.nonces.to_draw(&id, need).min(usize::from(MAX_NONCES));
        // From the same nodes as before, so that some have enough in the end.
        before = Some(draw(asking, count, before.as_ref()).await?);
    }
    Err(Error::Invalid("the nodes drew nonces, but no t of them enough; try again".into()).into())
}

/// Has `t` nodes draw nonces into the pool; who did.
async fn draw(
    asking: &mut Asking<'_>,
    count: usize,
    first: Option<&BTreeSet<NodeIndex>>,
) -> Result<BTreeSet<NodeIndex>, Failed> {
    let id = pool_id(asking.key);
    let order = NonceOrder { epoch: id.epoch, count: u16::try_from(count).unwrap_or(MAX_NONCES) };
    asking.turn_to(Operation::SignCommit, Arc::new([order.to_bytes()]));
    let judge = DrawCheck { count: order.count, decoded: Mutex::default() };
    let quorum = Collection::new(asking, &judge, false)?.gather(first).await?;
    let mut decoded = judge.decoded.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut nodes = BTreeSet::new();
    for (node, _) in &quorum.partials {
        nodes.insert(*node);
        asking.client.nonces.put(&id, decoded.remove(node).unwrap_or_default());
    }
    Ok(nodes)
}

/// Asks the exact set to sign.
async fn ask(
    asking: &mut Asking<'_>,
    messages: &[&[u8]],
    signers: &BTreeMap<NodeIndex, Vec<Drawn>>,
) -> Result<Exact, Failed> {
    let epoch = asking.key.public().epoch;
    let item = |(at, message): (usize, &&[u8])| {
        let signers = signers.values().map(|drawn| drawn[at].wire).collect();
        SignItem { epoch, signers, message: message.to_vec() }.to_bytes()
    };
    let items: Vec<Vec<u8>> = messages.iter().enumerate().map(item).collect();
    asking.turn_to(Operation::Sign, items.into());
    let set = signers.keys().copied().collect();
    Collection::new(asking, &ShareCheck, false)?.gather_exactly(&set).await
}

fn sets(messages: &[&[u8]], signers: &BTreeMap<NodeIndex, Vec<Drawn>>) -> Vec<SigningSet> {
    let set = |(at, message): (usize, &&[u8])| {
        let points: BTreeMap<NodeIndex, NonceCommitments> =
            signers.iter().map(|(node, drawn)| (*node, drawn[at].points)).collect();
        SigningSet::new(message, points)
    };
    messages.iter().enumerate().map(set).collect()
}

/// The signatures, verified; or all who spoilt one. The outer error is ours.
fn combine(
    asking: &Asking<'_>,
    sets: &[SigningSet],
    shares: &[(NodeIndex, crate::collect::Partials)],
) -> Result<Result<Vec<Signature>, Vec<NodeIndex>>, Failed> {
    let alarm = |error: AggregateError| Failed::from(Error::Invalid(error.to_string()));
    let public = asking.key.public_shares().map_err(alarm)?;
    let (mut made, mut cheaters) = (Vec::with_capacity(sets.len()), BTreeSet::new());
    for (at, set) in sets.iter().enumerate() {
        let of_item: Vec<_> = shares.iter().map(|(node, shares)| (*node, shares[at])).collect();
        match public.aggregate(set, &of_item) {
            Ok(signature) => made.push(signature),
            Err(AggregateError::Cheaters(nodes)) => cheaters.extend(nodes),
            Err(error) => return Err(alarm(error)),
        }
    }
    Ok(if cheaters.is_empty() { Ok(made) } else { Err(cheaters.into_iter().collect()) })
}

/// Takes three words for each pair, whose commitments are points; and keeps these, since each
/// costs as much as a multiplication to decode.
struct DrawCheck {
    count: u16,
    decoded: Mutex<BTreeMap<NodeIndex, Vec<Drawn>>>,
}

impl Judge for DrawCheck {
    fn length(&self, _: usize) -> usize {
        3 * usize::from(self.count)
    }

    fn takes(&self, node: NodeIndex, _: Hash, answer: &Answer) -> bool {
        let Some(drawn) = decode(node, &answer.partials) else { return false };
        self.decoded.lock().unwrap_or_else(PoisonError::into_inner).insert(node, drawn);
        true
    }

    fn bad_items(&self) -> Vec<(usize, CiphertextError)> {
        Vec::new()
    }
}

/// Takes any shares: the signature tells, once all are there.
struct ShareCheck;

impl Judge for ShareCheck {
    fn takes(&self, _: NodeIndex, _: Hash, _: &Answer) -> bool {
        true
    }

    /// None: who calls an item invalid that was made here lies.
    fn bad_items(&self) -> Vec<(usize, CiphertextError)> {
        Vec::new()
    }
}

fn decode(node: NodeIndex, words: &[[u8; 32]]) -> Option<Vec<Drawn>> {
    let drawn = SignerCommitments::from_words(node, words).ok()?;
    let mut numbers = BTreeSet::new();
    let one = |wire: SignerCommitments| {
        let points = NonceCommitments::from_bytes(&wire.commitments).ok()?;
        // One pair twice would be refused when the second is to be used.
        numbers.insert(wire.handle).then_some(Drawn { wire, points })
    };
    drawn.into_iter().map(one).collect()
}

fn pool_id(key: &Key) -> PoolId {
    let public = key.public();
    PoolId { key: public.key.clone(), version: public.version, epoch: public.epoch }
}

/// As many messages as go into one request, be they as long as may be.
fn most_messages(key: &Key) -> usize {
    let signers = key.public().committee.threshold().as_usize();
    let item = 64 + signers * SignerCommitments::LEN + MAX_MESSAGE;
    most_items(key).min(MAX_BYTES / item).max(1)
}

fn of(failed: Failed) -> Error {
    match failed {
        Failed::Error(error) | Failed::Moved(error) => error,
        // The items are made here and never bad.
        Failed::Items(_) => Error::Invalid("the messages cannot be signed".into()),
    }
}
