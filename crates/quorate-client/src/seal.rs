//! Encryption under either kind of key: to a public key, which asks nobody, or under one-time
//! keys, for which a quorum is asked.

mod pipe;

use crate::{
    client::Client,
    error::Error,
    key::Key,
    open::{Plaintext, Streamed},
    payload,
    report::Report,
    wrap::Asked,
};
use quorate_crypto::{SecretBytes, stream::Sealer};
use quorate_types::{
    CiphertextHeader, EncryptionContext, Format, Operation, Purpose, ciphertext::WrappedHead,
};
use std::io::{Read, Write};

/// A ciphertext's head, and the key of its payload.
struct Begun {
    head: Vec<u8>,
    key: SecretBytes<32>,
}

impl Client {
    /// Encrypts a message in memory under a key that decrypts or wraps. The same `context` is
    /// needed to decrypt; it is not in the ciphertext.
    ///
    /// For a key that decrypts this is [`Key::encrypt`], local and without a grant. One that wraps takes a
    /// quorum and a grant here too; its ciphertexts are shorter by 192 bytes.
    ///
    /// # Errors
    /// [`Error::WrongPurpose`] for a key that does neither, else as [`Client::decrypt`].
    pub async fn encrypt(
        &self,
        key: &Key,
        plaintext: &[u8],
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        let (mut made, _) = self.encrypt_batch(key, &[plaintext], context).await?;
        made.pop().ok_or_else(|| Error::Invalid("the message has no ciphertext".into()))
    }

    /// As [`Client::encrypt`] for many messages under one context, in their order, and says who
    /// answered and who lied: under a key that wraps one request for every 1,024 (fewer where
    /// `t` is above 28). All or none.
    ///
    /// # Errors
    /// As [`Client::encrypt`].
    pub async fn encrypt_batch(
        &self,
        key: &Key,
        plaintexts: &[impl AsRef<[u8]>],
        context: &EncryptionContext,
    ) -> Result<(Vec<Vec<u8>>, Report), Error> {
        if key.public().purpose != Purpose::Wrap {
            let one = |p: &_| key.encrypt(AsRef::<[u8]>::as_ref(p), context);
            let made = plaintexts.iter().map(one).collect::<Result<_, _>>()?;
            return Ok((made, Report::default()));
        }
        let (begun, report) = self.begin(key, plaintexts.len(), context).await?;
        let one = |(begun, plaintext): (Begun, &_)| {
            let sealer = Sealer::new(&begun.key);
            payload::seal(begun.head, sealer, AsRef::<[u8]>::as_ref(plaintext))
        };
        let made = begun.into_iter().zip(plaintexts).map(one).collect::<Result<_, _>>()?;
        Ok((made, report))
    }

    /// As [`Client::encrypt`] for a stream of any size, in constant memory.
    ///
    /// # Errors
    /// As [`Client::encrypt`], and [`Error::Io`]; what was written then is no whole ciphertext.
    pub async fn encrypt_stream<R, W>(
        &self,
        key: &Key,
        reader: R,
        mut writer: W,
        context: &EncryptionContext,
    ) -> Result<Streamed<W>, Error>
    where
        R: Read + Send + 'static,
        W: Write + Send + 'static,
    {
        if key.public().purpose != Purpose::Wrap {
            let (key, context) = (key.clone(), context.clone());
            return crate::open::blocking(move || {
                let bytes = key.encrypt_stream(reader, &mut writer, &context)?;
                Ok(Streamed { writer, report: Report::default(), bytes })
            })
            .await;
        }
        let (mut begun, report) = self.begin(key, 1, context).await?;
        let begun = begun.pop().ok_or_else(|| Error::Invalid("no key was made".into()))?;
        crate::open::blocking(move || {
            let sealer = Sealer::new(&begun.key);
            let bytes = payload::seal_stream(&begun.head, sealer, reader, &mut writer)?;
            Ok(Streamed { writer, report, bytes })
        })
        .await
    }

    /// Decrypts under one key and encrypts under another, or under a newer version: the plaintext
    /// is nowhere but here. Gives the new ciphertext.
    ///
    /// # Errors
    /// As [`Client::decrypt`] and [`Client::encrypt`].
    pub async fn reencrypt(
        &self,
        ciphertext: &[u8],
        context: &EncryptionContext,
        to: &Key,
        to_context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        must_seal(to)?;
        let plaintext: Plaintext = self.decrypt(ciphertext, context).await?;
        self.encrypt(to, &plaintext, to_context).await
    }

    /// As [`Client::reencrypt`] for a stream of any size, in constant memory. What the writer got
    /// is no whole ciphertext unless this returns `Ok`.
    ///
    /// # Errors
    /// As [`Client::decrypt_stream`] and [`Client::encrypt_stream`].
    pub async fn reencrypt_stream<R, W>(
        &self,
        reader: R,
        writer: W,
        context: &EncryptionContext,
        to: &Key,
        to_context: &EncryptionContext,
    ) -> Result<Streamed<W>, Error>
    where
        R: Read + Send + 'static,
        W: Write + Send + 'static,
    {
        must_seal(to)?;
        let (inlet, outlet) = pipe::pipe();
        let opening = async {
            let opened = self.decrypt_stream(reader, inlet, context).await?;
            let ended = opened.writer.end();
            ended.map_err(|error| Error::Io { what: "writing the plaintext", error })?;
            Ok(opened.report)
        };
        let sealing = self.encrypt_stream(to, outlet, writer, to_context);
        let (opened, sealed) = tokio::join!(opening, sealing);
        match (opened, sealed) {
            (Ok(report), Ok(mut sealed)) => {
                sealed.report.merge(report);
                Ok(sealed)
            }
            // Each end fails when the other one has: what came first says more.
            (Err(Error::Io { error, .. }), Err(cause))
                if error.kind() == std::io::ErrorKind::BrokenPipe =>
            {
                Err(cause)
            }
            (Err(error), _) | (Ok(_), Err(error)) => Err(error),
        }
    }

    /// Heads of new ciphertexts under a key that wraps, with the keys of their payloads.
    async fn begin(
        &self,
        key: &Key,
        count: usize,
        context: &EncryptionContext,
    ) -> Result<(Vec<Begun>, Report), Error> {
        let public = key.public();
        let fingerprint = *self.cluster().fingerprint();
        let name = public.key.clone();
        let header = CiphertextHeader::new(public.suite, &fingerprint, name, public.version);
        let bytes = header.to_bytes();
        let asked: Vec<Asked> = (0..count).map(|_| Asked::fresh(bytes.clone())).collect();
        let (keys, report) = self.one_time_keys(key, &asked, context).await?;
        let begun = asked.into_iter().zip(keys).map(|(asked, key)| {
            let commitment = *key.commitment();
            let head = WrappedHead { header: header.clone(), nonce: asked.nonce, commitment };
            Begun { head: head.to_bytes(), key: key.into_key() }
        });
        Ok((begun.collect(), report))
    }
}

/// Refuses a key under which nothing can be sealed, before anything is decrypted for it.
pub(crate) fn must_seal(key: &Key) -> Result<(), Error> {
    if key.public().purpose == Purpose::Wrap { Ok(()) } else { key.must_allow(Operation::Decrypt) }
}
