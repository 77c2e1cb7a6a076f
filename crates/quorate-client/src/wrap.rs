//! One-time keys from a quorum: to wrap, every node's proof is verified before a key is used; to
//! unwrap, the commitment beside the ciphertext tells, and where there is none the proofs do.

use crate::{
    asking::{Asking, Failed, Judge, Work},
    ciphertext::CiphertextError,
    client::Client,
    collect::{Collection, Quorum},
    cores::spread,
    error::Error,
    key::Key,
    open::{Plaintext, most_items},
    report::Report,
    transport::BoxFuture,
};
use quorate_crypto::{
    SecretBytes,
    dleq::Proof,
    tdh2::{Combiner, OpenError},
    wrap::{self, NONCE_LEN, Nonce, OneTimeKey, Scope, TAG_LEN, WrapPoint, Wrapping},
};
use quorate_types::{
    Answer, EncryptionContext, Fingerprint, Hash, NodeIndex, Operation, PartialContext,
};
use rand::Rng;
use std::{collections::BTreeSet, sync::Arc};
use zeroize::Zeroizing;

/// The longest plaintext that is wrapped as it is.
pub const MAX_WRAP: usize = 64 * 1024;

/// Something wrapped: as long as the plaintext, with a nonce and a tag. Says nothing of its key,
/// and so is for formats that have no room for more; [`Client::encrypt`] makes ciphertexts that
/// describe themselves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrapped {
    /// Drawn at random.
    pub nonce: Nonce,
    /// As long as the plaintext.
    pub ciphertext: Vec<u8>,
    /// AES-256-GCM's.
    pub tag: [u8; TAG_LEN],
}

/// What is to be wrapped.
#[derive(Clone, Copy)]
pub struct ToWrap<'a> {
    /// At most [`MAX_WRAP`] bytes.
    pub plaintext: &'a [u8],
    /// Bound, not sealed: the same is needed to unwrap. No node sees it.
    pub other_data: &'a [u8],
}

/// What is to be unwrapped.
#[derive(Clone, Copy, Debug)]
pub struct ToUnwrap<'a> {
    /// As [`Client::wrap`] made it.
    pub wrapped: &'a Wrapped,
    /// As it was then.
    pub other_data: &'a [u8],
}

impl Wrapped {
    /// Nonce, ciphertext, tag: 32 bytes more than the plaintext.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        [&self.nonce[..], &self.ciphertext, &self.tag].concat()
    }

    /// Reads what [`Wrapped::to_bytes`] wrote.
    ///
    /// # Errors
    /// [`Error::Invalid`] for what is too short or too long.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, Error> {
        let (least, most) = (NONCE_LEN + TAG_LEN, NONCE_LEN + MAX_WRAP + TAG_LEN);
        let wrong = || {
            let got = bytes.len();
            Error::Invalid(format!("something wrapped has {least} to {most} bytes, got {got}"))
        };
        if bytes.len() > most {
            return Err(wrong());
        }
        let (nonce, rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
        let (ciphertext, tag) = rest.split_last_chunk().ok_or_else(wrong)?;
        Ok(Self { nonce: *nonce, ciphertext: ciphertext.to_vec(), tag: *tag })
    }
}

impl Client {
    /// Wraps in place of a symmetric key that nobody holds: each plaintext under a one-time key of
    /// its own, from nodes that have all proved their part.
    ///
    /// ```no_run
    /// # async fn example(client: quorate_client::Client) -> Result<(), quorate_client::Error> {
    /// use quorate_client::{EncryptionContext, ToUnwrap, ToWrap};
    ///
    /// let (key, context) = (client.key("volumes").await?, EncryptionContext::default());
    /// let item = ToWrap { plaintext: b"thirty bytes, whatever they are", other_data: b"vol-7" };
    /// let (wrapped, _) = client.wrap(&key, &[item], &context).await?;
    /// assert_eq!(wrapped[0].ciphertext.len(), item.plaintext.len());
    ///
    /// let back = ToUnwrap { wrapped: &wrapped[0], other_data: b"vol-7" };
    /// let (opened, _) = client.unwrap(&key, &[back], &context).await?;
    /// assert_eq!(opened[0].as_deref().unwrap(), item.plaintext);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::WrongPurpose`] for a key that does not wrap, [`Error::Invalid`] for a plaintext of
    /// more than [`MAX_WRAP`] bytes, else as [`Client::decrypt`].
    pub async fn wrap(
        &self,
        key: &Key,
        items: &[ToWrap<'_>],
        context: &EncryptionContext,
    ) -> Result<(Vec<Wrapped>, Report), Error> {
        if let Some(long) = items.iter().map(|i| i.plaintext.len()).find(|l| *l > MAX_WRAP) {
            return Err(Error::Invalid(format!(
                "what is wrapped has at most {MAX_WRAP} bytes, got {long}: encrypt it instead"
            )));
        }
        let rng = &mut rand::rng();
        let asked = |item: &ToWrap<'_>| Asked {
            header: Vec::new(),
            nonce: wrap::draw_nonce(item.plaintext, item.other_data, rng),
        };
        let nonces: Vec<Asked> = items.iter().map(asked).collect();
        let (keys, report) = self.one_time_keys(key, &nonces, context).await?;
        let seal = |((item, asked), key): ((&ToWrap<'_>, Asked), OneTimeKey)| {
            let mut ciphertext = item.plaintext.to_vec();
            let tag = key.seal(item.other_data, &mut ciphertext);
            Wrapped { nonce: asked.nonce, ciphertext, tag }
        };
        Ok((items.iter().zip(nonces).zip(keys).map(seal).collect(), report))
    }

    /// Unwraps what [`Client::wrap`] wrapped; one result for each, in their order. Since nothing
    /// commits to the one-time key, every node proves its part.
    ///
    /// # Errors
    /// What concerns them all, as [`Client::wrap`]; what concerns one stands in its place.
    pub async fn unwrap(
        &self,
        key: &Key,
        items: &[ToUnwrap<'_>],
        context: &EncryptionContext,
    ) -> Result<(Vec<Result<Plaintext, Error>>, Report), Error> {
        let nonces: Vec<Asked> =
            items.iter().map(|i| Asked { header: Vec::new(), nonce: i.wrapped.nonce }).collect();
        let (keys, report) = self.one_time_keys(key, &nonces, context).await?;
        let open = |(item, key): (&ToUnwrap<'_>, OneTimeKey)| {
            let mut plaintext = Zeroizing::new(item.wrapped.ciphertext.clone());
            key.open(item.other_data, &mut plaintext, &item.wrapped.tag)
                .map_err(|_| Error::from(CiphertextError::Proof))?;
            Ok(plaintext)
        };
        Ok((items.iter().zip(keys).map(open).collect(), report))
    }

    /// One-time keys from nodes that have all proved their part.
    pub(crate) async fn one_time_keys(
        &self,
        key: &Key,
        asked: &[Asked],
        context: &EncryptionContext,
    ) -> Result<(Vec<OneTimeKey>, Report), Error> {
        key.must_allow(Operation::Wrap)?;
        let (mut keys, mut report) = (Vec::with_capacity(asked.len()), Report::default());
        for some in asked.chunks(most_items(key)) {
            let work = Proven { asked: some, context };
            let (more, took) = self.0.work(key, &work).await.map_err(Failed::into_error)?;
            keys.extend(more);
            report.merge(took);
        }
        Ok((keys, report))
    }
}

/// A one-time key that is asked for.
pub(crate) struct Asked {
    /// What else the key is bound to.
    pub(crate) header: Vec<u8>,
    pub(crate) nonce: Nonce,
}

impl Asked {
    pub(crate) fn fresh(header: Vec<u8>) -> Self {
        let mut nonce = [0; NONCE_LEN];
        rand::rng().fill_bytes(&mut nonce);
        Self { header, nonce }
    }
}

fn wire<'a>(asked: impl Iterator<Item = &'a Asked>) -> Arc<[Vec<u8>]> {
    asked.map(|a| a.nonce.to_vec()).collect()
}

/// Keys that may be sealed under.
struct Proven<'a> {
    asked: &'a [Asked],
    context: &'a EncryptionContext,
}

impl Work for Proven<'_> {
    type Done = (Vec<OneTimeKey>, Report);

    fn operation(&self) -> Operation {
        Operation::Wrap
    }

    fn items(&self) -> Arc<[Vec<u8>]> {
        wire(self.asked.iter())
    }

    fn context(&self) -> &EncryptionContext {
        self.context
    }

    fn attempt<'a>(&'a self, asking: Asking<'a>) -> BoxFuture<'a, Result<Self::Done, Failed>> {
        Box::pin(self.run(asking))
    }
}

impl Proven<'_> {
    async fn run(&self, mut asking: Asking<'_>) -> Result<(Vec<OneTimeKey>, Report), Failed> {
        let asked: Vec<&Asked> = self.asked.iter().collect();
        let check = ProofCheck::new(&asking, &asked)?;
        let quorum = Collection::new(&mut asking, &check, true)?.gather(None).await?;
        let keys = combine(&asking, &asked, &quorum).into_iter().collect::<Result<_, _>>();
        let keys = keys.map_err(|e: OpenError| Error::Invalid(e.to_string()))?;
        Ok((keys, asking.report(&quorum)))
    }
}

/// A ciphertext that waits for its one-time key.
pub(crate) struct Committed {
    pub(crate) asked: Asked,
    pub(crate) commitment: [u8; wrap::COMMITMENT_LEN],
}

/// Ciphertexts of one key to be opened under one context.
pub(crate) struct Unwrapping<'a> {
    pub(crate) items: &'a [Committed],
    pub(crate) context: &'a EncryptionContext,
}

/// Payload keys, one result for each item, and what it took.
type Opened = (Vec<Result<SecretBytes<32>, CiphertextError>>, Report);

impl Work for Unwrapping<'_> {
    type Done = Opened;

    fn operation(&self) -> Operation {
        Operation::Wrap
    }

    fn items(&self) -> Arc<[Vec<u8>]> {
        wire(self.items.iter().map(|i| &i.asked))
    }

    fn context(&self) -> &EncryptionContext {
        self.context
    }

    fn attempt<'a>(&'a self, asking: Asking<'a>) -> BoxFuture<'a, Result<Opened, Failed>> {
        Box::pin(self.run(asking))
    }
}

impl Unwrapping<'_> {
    /// Asks without proofs and combines; the commitments tell whether the keys are right. If one
    /// is not, either its ciphertext is bad or a node lied: asks again with proofs.
    async fn run(&self, mut asking: Asking<'_>) -> Result<Opened, Failed> {
        let asked: Vec<&Asked> = self.items.iter().map(|i| &i.asked).collect();
        let fast = Collection::new(&mut asking, &Unproved, false)?.gather(None).await?;
        let keys = self.opened(&asking, &asked, &fast);
        if keys.iter().all(Result::is_ok) {
            return Ok((keys, asking.report(&fast)));
        }
        let check = ProofCheck::new(&asking, &asked)?;
        let nodes: BTreeSet<NodeIndex> = fast.partials.iter().map(|(node, _)| *node).collect();
        let proved = Collection::new(&mut asking, &check, true)?.gather(Some(&nodes)).await?;
        asking.name_turncoats(&fast, &proved);
        let keys = self.opened(&asking, &asked, &proved);
        Ok((keys, asking.report(&proved)))
    }

    fn opened(
        &self,
        asking: &Asking<'_>,
        asked: &[&Asked],
        quorum: &Quorum,
    ) -> Vec<Result<SecretBytes<32>, CiphertextError>> {
        let open = |(key, item): (Result<OneTimeKey, OpenError>, &Committed)| {
            key?.committed(&item.commitment)
        };
        let keys = combine(asking, asked, quorum).into_iter().zip(self.items).map(open);
        keys.map(|key| key.map_err(|_| CiphertextError::Proof)).collect()
    }
}

/// One-time keys from a quorum's partials; many on all cores.
fn combine(
    asking: &Asking<'_>,
    asked: &[&Asked],
    quorum: &Quorum,
) -> Vec<Result<OneTimeKey, OpenError>> {
    let nodes: Vec<NodeIndex> = quorum.partials.iter().map(|(node, _)| *node).collect();
    let combiner = match Combiner::new(asking.key.public().committee.threshold(), &nodes) {
        Ok(combiner) => combiner,
        Err(error) => return asked.iter().map(|_| Err(error)).collect(),
    };
    let label = asking.context.label();
    let scope = scope(asking.cluster.fingerprint(), asking.key, &label);
    spread(asked, |at, asked| {
        let by_item: Vec<_> = (at..at + asked.len()).map(|i| quorum.of_item(i)).collect();
        let wrapping = |i: usize| {
            let Asked { header, nonce } = asked[i];
            Wrapping { header, nonce: *nonce, partials: &by_item[i] }
        };
        let wrappings: Vec<_> = (0..asked.len()).map(wrapping).collect();
        scope.keys(&combiner, &wrappings)
    })
}

fn scope<'a>(fingerprint: &'a Fingerprint, key: &'a Key, label: &'a [u8]) -> Scope<'a> {
    Scope::new(fingerprint.as_bytes(), key.name().as_str().as_bytes(), key.version().get(), label)
}

/// Takes any answer: whether it is right, the commitment in the ciphertext tells.
struct Unproved;

impl Judge for Unproved {
    fn takes(&self, _: NodeIndex, _: Hash, _: &Answer) -> bool {
        true
    }

    /// None: any nonce is good.
    fn bad_items(&self) -> Vec<(usize, CiphertextError)> {
        Vec::new()
    }
}

/// Takes proven answers only.
struct ProofCheck<'a> {
    key: &'a Key,
    points: Vec<WrapPoint>,
}

impl<'a> ProofCheck<'a> {
    fn new(asking: &Asking<'a>, asked: &[&Asked]) -> Result<Self, Failed> {
        let label = asking.context.label();
        let scope = scope(asking.cluster.fingerprint(), asking.key, &label);
        let points = asked.iter().map(|a| scope.point(&a.nonce)).collect::<Result<_, _>>();
        let points = points.map_err(|e| Error::Invalid(e.to_string()))?;
        Ok(Self { key: asking.key, points })
    }
}

impl Judge for ProofCheck<'_> {
    fn takes(&self, node: NodeIndex, request: Hash, answer: &Answer) -> bool {
        let context = PartialContext { public: self.key.public(), node, request };
        let public = self.key.commitments().ristretto_at(node);
        let proof = answer.proof.as_ref().map(Proof::from_bytes);
        let (Ok(public), Some(Ok(proof))) = (public, proof) else { return false };
        let (context, partials) = (context.to_bytes(), &answer.partials);
        wrap::verify(&context, &public, &self.points, partials, &proof).is_ok()
    }

    /// None: who calls a nonce invalid that was drawn here lies.
    fn bad_items(&self) -> Vec<(usize, CiphertextError)> {
        Vec::new()
    }
}
