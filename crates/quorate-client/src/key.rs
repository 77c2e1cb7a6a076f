//! A key that was verified: one that is to decrypt encrypts without asking anybody.

use crate::{
    error::{Error, bad_record},
    payload,
};
use quorate_crypto::{
    EncodedPoint,
    frost::{AggregateError, PublicShares},
    sharing::Commitments,
    stream::Sealer,
    tdh2::{self, Binding},
};
use quorate_types::{
    CertificateError, CiphertextHead, CiphertextHeader, Cluster, CreateKey, EncryptionContext,
    EpochPublic, Fingerprint, Format, KeyName, KeyRecord, KeyVersion, Operation, VerifiedEpoch,
    VerifiedKey,
};
use std::{
    io::{Read, Write},
    sync::{Arc, OnceLock},
};

/// One version of a key, verified from the pinned fingerprint (DESIGN §4.4). Cheap to clone.
///
/// Encryption is local: it needs no node, no coordinator and no grant.
#[derive(Clone, Debug)]
pub struct Key(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    verified: VerifiedKey,
    /// The epoch in force, as far as it is known here.
    epoch: VerifiedEpoch,
    fingerprint: Fingerprint,
    /// `Y`, of a key over ristretto255.
    public: Option<EncodedPoint>,
    commitments: Commitments,
    /// Of a key that signs; made for the first signature.
    public_shares: OnceLock<PublicShares>,
}

impl Key {
    /// Verifies records that `party` brought: that they are of this name (and version), that
    /// `m` operators ordered the key and each epoch, that `q` nodes hold it, that the public
    /// key is the one that was born, and that its points are points.
    pub(crate) fn verify(
        cluster: &Cluster,
        record: &KeyRecord,
        newest: Option<&KeyRecord>,
        name: &KeyName,
        version: Option<KeyVersion>,
        party: &str,
    ) -> Result<Self, RecordError> {
        let verified = record.verify(cluster)?;
        let epoch = match newest {
            Some(newest) => newest.verify_epoch(cluster)?,
            None => verified.epoch().clone(),
        };
        if !verified.has(&epoch) {
            let what = format!("sent an epoch of key {name} that is of another key");
            return Err(RecordError::Other(Error::coordinator(party, what)));
        }
        let public = epoch.public();
        if public.key != *name || version.is_some_and(|v| v != public.version) {
            let what = format!(
                "was asked for key {name} and sent the record of {} version {}",
                public.key, public.version
            );
            return Err(RecordError::Other(Error::coordinator(party, what)));
        }
        let commitments = public.decode_commitments().map_err(|e| {
            let what = format!("sent a record of key {name} with bad commitments: {e}");
            RecordError::Other(Error::coordinator(party, what))
        })?;
        let point = commitments.constant().ristretto().copied();
        let point = point.and_then(|p| EncodedPoint::new(p).ok());
        Ok(Self(Arc::new(Inner {
            fingerprint: *cluster.fingerprint(),
            public: point,
            commitments,
            public_shares: OnceLock::new(),
            verified,
            epoch,
        })))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.public().key
    }

    /// Its version.
    #[must_use]
    pub fn version(&self) -> KeyVersion {
        self.public().version
    }

    /// The public values of its newest epoch known here: committee, threshold, commitments.
    #[must_use]
    pub fn public(&self) -> &EpochPublic {
        self.0.epoch.public()
    }

    /// The epoch in force, as far as it is known here, verified.
    #[must_use]
    pub fn epoch(&self) -> &VerifiedEpoch {
        &self.0.epoch
    }

    /// The proof of the epoch in force, if the shares have moved since the birth.
    pub(crate) fn newest(&self) -> Option<&KeyRecord> {
        let moved = self.0.epoch.name() != self.0.verified.public().epoch;
        moved.then(|| self.0.epoch.record())
    }

    /// What the operators ordered.
    #[must_use]
    pub fn ordered(&self) -> &CreateKey {
        self.0.verified.create()
    }

    /// The certificates that prove its birth.
    #[must_use]
    pub fn record(&self) -> &KeyRecord {
        self.0.verified.record()
    }

    /// Order and certificates, verified.
    #[must_use]
    pub fn verified(&self) -> &VerifiedKey {
        &self.0.verified
    }

    /// Encrypts a message in memory. The same `context` is needed to decrypt; nodes see it
    /// then, and it is not in the ciphertext.
    ///
    /// The ciphertext is at most 400 bytes and 16 for each 64 KiB longer.
    ///
    /// # Errors
    /// [`Error::WrongPurpose`] for a key that does not decrypt; [`Error::Invalid`] for more than
    /// 256 TiB.
    pub fn encrypt(&self, plaintext: &[u8], context: &EncryptionContext) -> Result<Vec<u8>, Error> {
        let (head, sealer) = self.encapsulate(context)?;
        payload::seal(head, sealer, plaintext)
    }

    /// Encrypts a stream of any size in constant memory (a few MiB); gives the number of
    /// bytes that were read. Blocks: in async code call it in
    /// [`tokio::task::spawn_blocking`].
    ///
    /// # Errors
    /// As [`Key::encrypt`], and [`Error::Io`] from reader or writer; what was written then is not a whole ciphertext
    /// and does not decrypt.
    pub fn encrypt_stream(
        &self,
        reader: impl Read + Send,
        mut writer: impl Write + Send,
        context: &EncryptionContext,
    ) -> Result<u64, Error> {
        let (head, sealer) = self.encapsulate(context)?;
        payload::seal_stream(&head, sealer, reader, &mut writer)
    }

    /// Draws a payload key; gives the ciphertext's head and the sealer of its payload.
    fn encapsulate(&self, context: &EncryptionContext) -> Result<(Vec<u8>, Sealer), Error> {
        self.must_allow(Operation::Decrypt)?;
        let public = self.public();
        let header = CiphertextHeader::new(
            public.suite,
            &self.0.fingerprint,
            public.key.clone(),
            public.version,
        );
        let (kem, payload_key) = tdh2::encapsulate(
            &self.binding()?,
            &context.label(),
            &header.to_bytes(),
            &mut rand::rng(),
        );
        let head = CiphertextHead { header, kem: kem.to_bytes() };
        Ok((head.to_bytes(), Sealer::new(&payload_key)))
    }

    /// Refuses what the key is not for, before any node is asked.
    pub(crate) fn must_allow(&self, operation: Operation) -> Result<(), Error> {
        let purpose = self.public().purpose;
        if purpose.allows(operation) {
            return Ok(());
        }
        Err(Error::WrongPurpose { name: self.name().clone(), purpose, operation })
    }

    /// What ciphertexts of the key are bound to.
    ///
    /// # Errors
    /// [`Error::WrongPurpose`] for a key that is not over ristretto255.
    pub(crate) fn binding(&self) -> Result<Binding<'_>, Error> {
        let public = self.public();
        let (purpose, operation) = (public.purpose, Operation::Decrypt);
        let point = self.0.public.as_ref().ok_or_else(|| Error::WrongPurpose {
            name: public.key.clone(),
            purpose,
            operation,
        })?;
        let (name, version) = (public.key.as_str().as_bytes(), public.version.get());
        Ok(Binding::new(self.0.fingerprint.as_bytes(), name, version, point))
    }

    pub(crate) fn commitments(&self) -> &Commitments {
        &self.0.commitments
    }

    /// What signature shares of its epoch are verified against.
    pub(crate) fn public_shares(&self) -> Result<&PublicShares, AggregateError> {
        if let Some(made) = self.0.public_shares.get() {
            return Ok(made);
        }
        let committee = &self.public().committee;
        let made =
            PublicShares::new(committee.threshold(), committee.indices(), &self.0.commitments)?;
        Ok(self.0.public_shares.get_or_init(|| made))
    }

    pub(crate) fn public_key(&self) -> &[u8; 32] {
        self.0.commitments.constant_bytes()
    }
}

/// Why a record is not taken: its certificates, or what it is a record of.
pub(crate) enum RecordError {
    /// Possibly for want of a newer roster.
    Certificate(CertificateError),
    /// Final.
    Other(Error),
}

impl RecordError {
    pub(crate) fn into_error(self, party: &str, name: &KeyName) -> Error {
        match self {
            Self::Certificate(error) => bad_record(party, name, &error),
            Self::Other(error) => error,
        }
    }
}

impl From<CertificateError> for RecordError {
    fn from(error: CertificateError) -> Self {
        Self::Certificate(error)
    }
}
