//! Deriving secrets from inputs that nobody but the client sees (RFC 9497).
//!
//! Unlike decryption there is no fast path: a wrong answer would give a wrong secret that
//! nothing could tell from the right one, so every node's proof is verified before its partials
//! count.

use crate::{
    asking::{Asking, Failed, Judge, Work},
    ciphertext::CiphertextError,
    client::Client,
    collect::Collection,
    error::Error,
    key::Key,
    open::most_items,
    report::Report,
    transport::BoxFuture,
};
use quorate_crypto::{
    SecretBytes,
    dleq::Proof,
    voprf::{Batch, OUTPUT_LEN, VerifiedPartials, private_input},
};
use quorate_types::{Answer, EncryptionContext, Hash, NodeIndex, Operation};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// A derived secret of 64 bytes, wiped on drop.
pub type Derived = SecretBytes<OUTPUT_LEN>;

/// The longest input.
pub const MAX_DERIVE_INPUT: usize = 64 * 1024;

impl Client {
    /// Derives a secret from an input under the newest version of a key: the same for ever, by
    /// whichever nodes. Neither they nor a coordinator see input or output, nor whether two
    /// requests are for one input.
    ///
    /// `context` is part of the input; nodes see it too and may decide by it, but cannot check
    /// that it is the one in the input.
    ///
    /// ```no_run
    /// # async fn example(client: quorate_client::Client) -> Result<(), quorate_client::Error> {
    /// use quorate_client::EncryptionContext;
    ///
    /// let context = EncryptionContext::new([("app".into(), "crm".into())].into())?;
    /// let pseudonym = client.derive("ids", b"alice@example.org", &context).await?;
    /// assert_eq!(pseudonym.expose().len(), 64);
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::WrongPurpose`] for a key that does not derive, [`Error::Invalid`] for an input of
    /// more than [`MAX_DERIVE_INPUT`] bytes, else as [`Client::decrypt`].
    pub async fn derive(
        &self,
        key: &str,
        input: &[u8],
        context: &EncryptionContext,
    ) -> Result<Derived, Error> {
        let key = self.key(key).await?;
        let (mut derived, _) = self.derive_with_report(&key, &[input], context).await?;
        derived.pop().ok_or_else(|| Error::Invalid("the input has no result".into()))
    }

    /// Derives secrets from many inputs under one context, in their order: one request for every
    /// 1,023 (fewer where `t` is above 28). All or none.
    ///
    /// # Errors
    /// As [`Client::derive`].
    pub async fn derive_batch(
        &self,
        key: &str,
        inputs: &[impl AsRef<[u8]>],
        context: &EncryptionContext,
    ) -> Result<Vec<Derived>, Error> {
        let key = self.key(key).await?;
        self.derive_with_report(&key, inputs, context).await.map(|(derived, _)| derived)
    }

    /// As [`Client::derive_batch`] for one version of a key, and says who answered and who lied.
    /// Another version is another key and derives other secrets.
    ///
    /// # Errors
    /// As [`Client::derive`].
    pub async fn derive_with_report(
        &self,
        key: &Key,
        inputs: &[impl AsRef<[u8]>],
        context: &EncryptionContext,
    ) -> Result<(Vec<Derived>, Report), Error> {
        key.must_allow(Operation::Derive)?;
        let label = context.label();
        let mut hashed = Vec::with_capacity(inputs.len());
        for input in inputs {
            let input = input.as_ref();
            if input.len() > MAX_DERIVE_INPUT {
                let got = input.len();
                return Err(Error::Invalid(format!(
                    "an input has at most {MAX_DERIVE_INPUT} bytes, got {got}"
                )));
            }
            hashed.push(private_input(&label, input));
        }
        let (mut derived, mut report) = (Vec::with_capacity(inputs.len()), Report::default());
        // One place is the check element's.
        for some in hashed.chunks(most_items(key) - 1) {
            let some: Vec<&[u8]> = some.iter().map(|h| &h.expose()[..]).collect();
            let batch =
                Batch::new(&some, &mut rand::rng()).map_err(|e| Error::Invalid(e.to_string()))?;
            let work = Deriving { batch, context };
            let (more, took) = self.0.work(key, &work).await.map_err(Failed::into_error)?;
            derived.extend(more);
            report.merge(took);
        }
        Ok((derived, report))
    }
}

/// A blinded batch on its way.
struct Deriving<'a> {
    batch: Batch,
    context: &'a EncryptionContext,
}

impl Work for Deriving<'_> {
    type Done = (Vec<Derived>, Report);

    fn operation(&self) -> Operation {
        Operation::Derive
    }

    fn items(&self) -> Arc<[Vec<u8>]> {
        self.batch.elements().iter().map(|e| e.bytes().to_vec()).collect()
    }

    fn context(&self) -> &EncryptionContext {
        self.context
    }

    fn attempt<'a>(&'a self, asking: Asking<'a>) -> BoxFuture<'a, Result<Self::Done, Failed>> {
        Box::pin(attempt(&self.batch, asking))
    }
}

async fn attempt(batch: &Batch, mut asking: Asking<'_>) -> Result<(Vec<Derived>, Report), Failed> {
    let check = ProofCheck { key: asking.key, batch, verified: Mutex::default() };
    let quorum = Collection::new(&mut asking, &check, true)?.gather(None).await?;
    let mut verified = check.verified.into_inner().unwrap_or_else(PoisonError::into_inner);
    let nodes: Vec<_> =
        quorum.partials.iter().filter_map(|(i, _)| Some((*i, verified.remove(i)?))).collect();
    let threshold = asking.key.public().committee.threshold();
    let derived = batch.finalize(threshold, &nodes).map_err(|e| Error::Invalid(e.to_string()))?;
    Ok((derived, asking.report(&quorum)))
}

/// Takes proven answers only, and keeps what it has verified.
struct ProofCheck<'a> {
    key: &'a Key,
    batch: &'a Batch,
    verified: Mutex<BTreeMap<NodeIndex, VerifiedPartials>>,
}

impl Judge for ProofCheck<'_> {
    fn takes(&self, node: NodeIndex, _: Hash, answer: &Answer) -> bool {
        let public = self.key.commitments().ristretto_at(node);
        let proof = answer.proof.as_ref().map(Proof::from_bytes);
        let (Ok(public), Some(Ok(proof))) = (public, proof) else { return false };
        let Ok(partials) = self.batch.verify(&public, &answer.partials, &proof) else {
            return false;
        };
        self.verified.lock().unwrap_or_else(PoisonError::into_inner).insert(node, partials);
        true
    }

    /// None: who calls an element invalid that was made here lies.
    fn bad_items(&self) -> Vec<(usize, CiphertextError)> {
        Vec::new()
    }
}
