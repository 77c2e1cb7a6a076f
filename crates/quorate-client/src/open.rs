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
    wrap::{Asked, Committed, Unwrapping},
};
use quorate_crypto::{SecretBytes, tdh2::Ciphertext};
use quorate_types::{
    EncryptionContext, Format, KeyName, KeyVersion, Purpose,
    ciphertext::{MAX_HEAD, Sealed},
    request::MAX_ITEMS,
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

/// Heads that wait for their payload keys, and where they stand in a batch: all of one key.
struct Group {
    places: Vec<usize>,
    heads: Heads,
}

/// By what the key must be for.
enum Heads {
    Encrypted(Vec<Item>),
    Wrapped(Vec<Committed>),
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
        let mut groups: BTreeMap<(KeyName, KeyVersion, Purpose), Group> = BTreeMap::new();
        for (at, ciphertext) in ciphertexts.iter().enumerate() {
            let added = ciphertext::split(ciphertext.as_ref(), cluster.fingerprint()).and_then(
                |(head, _)| {
                    let (header, purpose) = (head.header(), head.purpose());
                    let id = (header.key.clone(), header.version, purpose);
                    groups.entry(id).or_insert_with(|| Group::new(purpose)).push(at, head)
                },
            );
            results.push(added.err().map(|error| Err(error.into())));
        }
        let mut report = Report::default();
        for ((name, version, purpose), mut group) in groups {
            let key = match self.named_key(&name, version, purpose).await {
                Ok(key) => key,
                Err(Error::Ciphertext(error)) => {
                    for at in group.places {
                        results[at] = Some(Err(error.clone().into()));
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            while !group.places.is_empty() {
                let rest = group.split_off(group.places.len().min(most_items(&key)));
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
        head: Sealed,
        context: &EncryptionContext,
    ) -> Result<(SecretBytes<32>, Report), Error> {
        let (header, purpose) = (head.header(), head.purpose());
        let key = self.named_key(&header.key, header.version, purpose).await?;
        let mut group = Group::new(purpose);
        group.push(0, head)?;
        let (mut opened, report) = self.open_group(&key, group, context).await?;
        match opened.pop() {
            Some((_, key)) => Ok((key?, report)),
            None => Err(Error::Invalid("the item has no result".into())),
        }
    }

    /// The key that a ciphertext names, which must be for what its form says.
    async fn named_key(
        &self,
        name: &KeyName,
        version: KeyVersion,
        purpose: Purpose,
    ) -> Result<crate::Key, Error> {
        let key = self.0.key_version(name, version).await.map_err(|error| match error {
            Error::UnknownKey { name, .. } => CiphertextError::UnknownKey { name, version }.into(),
            other => other,
        })?;
        // Nothing is ever encrypted to such a key: the name in the ciphertext was changed.
        if key.public().purpose != purpose {
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
        group: Group,
        context: &EncryptionContext,
    ) -> Result<(Vec<(usize, Result<SecretBytes<32>, CiphertextError>)>, Report), Error> {
        let mut places = group.places;
        let mut items = match group.heads {
            Heads::Encrypted(items) => items,
            Heads::Wrapped(items) => {
                let work = Unwrapping { items: &items, context };
                let (keys, report) = self.0.work(key, &work).await.map_err(Failed::into_error)?;
                return Ok((places.into_iter().zip(keys).collect(), report));
            }
        };
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

impl Group {
    fn new(purpose: Purpose) -> Self {
        let heads = match purpose {
            Purpose::Wrap => Heads::Wrapped(Vec::new()),
            _ => Heads::Encrypted(Vec::new()),
        };
        Self { places: Vec::new(), heads }
    }

    /// Adds a head of the group's own form.
    fn push(&mut self, at: usize, head: Sealed) -> Result<(), CiphertextError> {
        match (&mut self.heads, head) {
            (Heads::Encrypted(items), Sealed::Encrypted(head)) => {
                let ciphertext = Ciphertext::from_bytes(&head.kem)
                    .map_err(|fault| CiphertextError::Head(fault.to_string()))?;
                let (bytes, header) = (head.to_bytes(), head.header.to_bytes());
                items.push(Item { bytes, header, ciphertext, head });
            }
            (Heads::Wrapped(items), Sealed::Wrapped(head)) => {
                let asked = Asked { header: head.header.to_bytes(), nonce: head.nonce };
                items.push(Committed { asked, commitment: head.commitment });
            }
            (_, other) => {
                let what = format!("it is no ciphertext of a key to {}", other.purpose());
                return Err(CiphertextError::Head(what));
            }
        }
        self.places.push(at);
        Ok(())
    }

    /// Leaves the first `at` heads, and gives the rest.
    fn split_off(&mut self, at: usize) -> Self {
        let heads = match &mut self.heads {
            Heads::Encrypted(items) => Heads::Encrypted(items.split_off(at)),
            Heads::Wrapped(items) => Heads::Wrapped(items.split_off(at)),
        };
        Self { places: self.places.split_off(at), heads }
    }
}

pub(crate) async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        let error = std::io::Error::other(e.to_string());
        Err(Error::Io { what: "working on the stream", error })
    })
}
