//! Decryption: one ciphertext, many, or a stream.

use crate::{
    asking::Failed,
    ciphertext::{self, CiphertextError},
    client::Client,
    decrypt::{Item, Opening},
    error::Error,
    payload,
    report::Report,
    stream::read_full,
};
use quorate_crypto::{SecretBytes, tdh2::Ciphertext};
use quorate_types::{
    CiphertextHead, EncryptionContext, Fingerprint, Format, KeyName, KeyVersion, Operation,
    ciphertext::MAX_HEAD, request::MAX_ITEMS,
};
use std::{
    collections::BTreeMap,
    io::{Read, Write},
};
use zeroize::Zeroizing;

/// A decrypted message, wiped on drop.
pub type Plaintext = Zeroizing<Vec<u8>>;

/// What became of a stream.
#[derive(Debug)]
pub struct Streamed<W> {
    /// Holds the whole plaintext, every byte of it verified; flushed.
    pub writer: W,
    /// What it took.
    pub report: Report,
    /// Bytes of payload that were read.
    pub bytes: u64,
}

/// A head that waits for its payload key, and where it stands in a batch.
struct Waiting {
    at: usize,
    item: Item,
}

impl Client {
    /// Decrypts a ciphertext; it says itself under which key. `context` must be the one that
    /// it was encrypted with.
    ///
    /// # Errors
    /// [`Error`]; by [`Error::exit_code`] whether it was refused, lacked a quorum, or does
    /// not verify.
    pub async fn decrypt(
        &self,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<Plaintext, Error> {
        self.decrypt_with_report(ciphertext, context).await.map(|(plaintext, _)| plaintext)
    }

    /// As [`Client::decrypt`], and says who answered and who lied.
    ///
    /// # Errors
    /// As [`Client::decrypt`].
    pub async fn decrypt_with_report(
        &self,
        ciphertext: &[u8],
        context: &EncryptionContext,
    ) -> Result<(Plaintext, Report), Error> {
        let cluster = self.cluster();
        let (head, payload) = ciphertext::split(ciphertext, cluster.fingerprint())?;
        let (key, report) = self.payload_key(head, context).await?;
        Ok((payload::open(&key, payload)?, report))
    }

    /// Decrypts many ciphertexts under one context: one request for every 1,024 of one key (fewer where `t` is above 28).
    /// One result for each, in their order.
    ///
    /// # Errors
    /// What concerns them all; what concerns one ciphertext stands in its place.
    pub async fn decrypt_batch(
        &self,
        ciphertexts: &[impl AsRef<[u8]>],
        context: &EncryptionContext,
    ) -> Result<Vec<Result<Plaintext, Error>>, Error> {
        self.decrypt_batch_with_report(ciphertexts, context).await.map(|(results, _)| results)
    }

    /// As [`Client::decrypt_batch`], and says who answered and who lied.
    ///
    /// # Errors
    /// As [`Client::decrypt_batch`].
    pub async fn decrypt_batch_with_report(
        &self,
        ciphertexts: &[impl AsRef<[u8]>],
        context: &EncryptionContext,
    ) -> Result<(Vec<Result<Plaintext, Error>>, Report), Error> {
        let cluster = self.cluster();
        let mut results: Vec<Option<Result<Plaintext, Error>>> = Vec::new();
        let mut groups: BTreeMap<(KeyName, KeyVersion), Vec<Waiting>> = BTreeMap::new();
        for (at, ciphertext) in ciphertexts.iter().enumerate() {
            let item = split_item(ciphertext.as_ref(), cluster.fingerprint());
            results.push(match item {
                Ok(item) => {
                    let header = &item.head.header;
                    let group = groups.entry((header.key.clone(), header.version)).or_default();
                    group.push(Waiting { at, item });
                    None
                }
                Err(error) => Some(Err(error.into())),
            });
        }
        let mut report = Report::default();
        for ((name, version), mut group) in groups {
            let key = match self.named_key(&name, version).await {
                Ok(key) => key,
                Err(Error::Ciphertext(error)) => {
                    for waiting in group {
                        results[waiting.at] = Some(Err(error.clone().into()));
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            while !group.is_empty() {
                let rest = group.split_off(group.len().min(most_items(&key)));
                let (opened, took) = self.open_group(&key, group, context).await?;
                report.merge(took);
                for (at, payload_key) in opened {
                    let open = |key| {
                        let (_, payload) =
                            ciphertext::split(ciphertexts[at].as_ref(), cluster.fingerprint())?;
                        payload::open(&key, payload)
                    };
                    results[at] = Some(payload_key.and_then(open).map_err(Error::from));
                }
                group = rest;
            }
        }
        let missing = || Err(Error::Invalid("the item has no result".into()));
        Ok((results.into_iter().map(|r| r.unwrap_or_else(missing)).collect(), report))
    }

    /// Decrypts a stream of any size in constant memory. What the writer got is verified
    /// plaintext at any time, but not the whole unless this returns `Ok`: a ciphertext whose
    /// end is missing ends in an error.
    ///
    /// # Errors
    /// As [`Client::decrypt`], and [`Error::Io`].
    pub async fn decrypt_stream<R, W>(
        &self,
        mut reader: R,
        mut writer: W,
        context: &EncryptionContext,
    ) -> Result<Streamed<W>, Error>
    where
        R: Read + Send + 'static,
        W: Write + Send + 'static,
    {
        let (front, reader) = blocking(move || {
            let mut front = vec![0; MAX_HEAD];
            let got = read_full(&mut reader, &mut front)
                .map_err(|error| Error::Io { what: "reading the ciphertext", error })?;
            front.truncate(got);
            Ok((front, reader))
        })
        .await?;
        let (head, payload) = ciphertext::split(&front, self.cluster().fingerprint())?;
        let payload = payload.to_vec();
        let (key, report) = self.payload_key(head, context).await?;
        blocking(move || {
            let reader = std::io::Cursor::new(payload).chain(reader);
            let bytes = payload::open_stream(&key, reader, &mut writer)?;
            Ok(Streamed { writer, report, bytes })
        })
        .await
    }

    /// The payload key of one ciphertext.
    async fn payload_key(
        &self,
        head: CiphertextHead,
        context: &EncryptionContext,
    ) -> Result<(SecretBytes<32>, Report), Error> {
        let key = self.named_key(&head.header.key, head.header.version).await?;
        let group = vec![Waiting { at: 0, item: item(head)? }];
        let (mut opened, report) = self.open_group(&key, group, context).await?;
        match opened.pop() {
            Some((_, key)) => Ok((key?, report)),
            None => Err(Error::Invalid("the item has no result".into())),
        }
    }

    /// The key that a ciphertext names.
    async fn named_key(&self, name: &KeyName, version: KeyVersion) -> Result<crate::Key, Error> {
        let key = self.0.key_version(name, version).await.map_err(|error| match error {
            Error::UnknownKey { name, .. } => CiphertextError::UnknownKey { name, version }.into(),
            other => other,
        })?;
        // Nothing is ever encrypted to such a key: the name in the ciphertext was changed.
        if !key.public().purpose.allows(Operation::Decrypt) {
            let what = format!("it names key {name}, which is to {}", key.public().purpose);
            return Err(CiphertextError::Head(what).into());
        }
        Ok(key)
    }

    /// Payload keys of up to 1,024 items of one key. Bad ones are left out and the rest
    /// asked for once more.
    async fn open_group(
        &self,
        key: &crate::Key,
        group: Vec<Waiting>,
        context: &EncryptionContext,
    ) -> Result<(Vec<(usize, Result<SecretBytes<32>, CiphertextError>)>, Report), Error> {
        let (mut places, mut items): (Vec<_>, Vec<_>) =
            group.into_iter().map(|w| (w.at, w.item)).unzip();
        let mut results = Vec::with_capacity(places.len());
        while !items.is_empty() {
            match self.0.work(key, &Opening { items: &items, context }).await {
                Ok(opened) => {
                    results.extend(places.into_iter().zip(opened.keys));
                    return Ok((results, opened.report));
                }
                Err(Failed::Error(error) | Failed::Moved(error)) => return Err(error),
                Err(Failed::Items(bad)) => {
                    // From the back, so that the places before stay what they are.
                    for (i, fault) in bad.into_iter().rev() {
                        results.push((places.remove(i), Err(fault)));
                        items.remove(i);
                    }
                }
            }
        }
        Ok((results, Report::default()))
    }
}

/// Items in one request: their partials from `t` nodes must fit into one message of 1 MiB.
pub(crate) fn most_items(key: &crate::Key) -> usize {
    const PARTIALS: usize = 28 * 1024; // 32 bytes each, with room for proofs and seals
    MAX_ITEMS.min(PARTIALS / key.public().committee.threshold().as_usize())
}

fn split_item(ciphertext: &[u8], fingerprint: &Fingerprint) -> Result<Item, CiphertextError> {
    item(ciphertext::split(ciphertext, fingerprint)?.0)
}

fn item(head: CiphertextHead) -> Result<Item, CiphertextError> {
    let ciphertext = Ciphertext::from_bytes(&head.kem)
        .map_err(|fault| CiphertextError::Head(fault.to_string()))?;
    Ok(Item { bytes: head.to_bytes(), header: head.header.to_bytes(), ciphertext, head })
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        let error = std::io::Error::other(e.to_string());
        Err(Error::Io { what: "working on the stream", error })
    })
}
