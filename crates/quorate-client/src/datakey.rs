//! Data keys: drawn here, encrypted under a key of the cluster, stored beside what they encrypt.

mod cache;

pub use cache::{CacheLimits, DataKeyCache};

use crate::{
    ciphertext::CiphertextError, client::Client, error::Error, key::Key, open::Plaintext,
    report::Report,
};
use quorate_crypto::SecretBytes;
use quorate_types::EncryptionContext;

/// The length of a data key.
pub const DATA_KEY_LEN: usize = 32;

/// A data key and the same encrypted. Wiped on drop.
pub struct DataKey {
    /// To encrypt with, here and now; not to be stored.
    pub plaintext: SecretBytes<DATA_KEY_LEN>,
    /// To be stored: [`Client::unwrap_data_key`] gives the plaintext back.
    pub wrapped: Vec<u8>,
}

impl Client {
    /// A fresh data key of 32 bytes, in the clear and encrypted under a key that decrypts or wraps.
    ///
    /// # Errors
    /// As [`Client::encrypt`].
    pub async fn data_key(&self, key: &Key, context: &EncryptionContext) -> Result<DataKey, Error> {
        let (mut made, _) = self.data_keys(key, 1, context).await?;
        made.pop().ok_or_else(|| Error::Invalid("no data key was made".into()))
    }

    /// Many at once.
    ///
    /// # Errors
    /// As [`Client::encrypt`].
    pub async fn data_keys(
        &self,
        key: &Key,
        count: usize,
        context: &EncryptionContext,
    ) -> Result<(Vec<DataKey>, Report), Error> {
        let rng = &mut rand::rng();
        let drawn: Vec<SecretBytes<DATA_KEY_LEN>> =
            (0..count).map(|_| SecretBytes::random(rng)).collect();
        let plain: Vec<&[u8]> = drawn.iter().map(|k| &k.expose()[..]).collect();
        let (wrapped, report) = self.encrypt_batch(key, &plain, context).await?;
        let both = |(plaintext, wrapped)| DataKey { plaintext, wrapped };
        Ok((drawn.into_iter().zip(wrapped).map(both).collect(), report))
    }

    /// A fresh data key, encrypted only: for whoever is to store it and never to use it.
    ///
    /// # Errors
    /// As [`Client::encrypt`].
    pub async fn data_key_without_plaintext(
        &self,
        key: &Key,
        context: &EncryptionContext,
    ) -> Result<Vec<u8>, Error> {
        self.data_key(key, context).await.map(|made| made.wrapped)
    }

    /// The data key that was encrypted so.
    ///
    /// # Errors
    /// As [`Client::decrypt`]; [`Error::Invalid`] for the ciphertext of what is no data key.
    pub async fn unwrap_data_key(
        &self,
        wrapped: &[u8],
        context: &EncryptionContext,
    ) -> Result<SecretBytes<DATA_KEY_LEN>, Error> {
        data_key(&self.decrypt(wrapped, context).await?)
    }

    /// Many at once under one context; one result for each, in their order.
    ///
    /// # Errors
    /// What concerns them all; what concerns one stands in its place.
    pub async fn unwrap_data_keys(
        &self,
        wrapped: &[impl AsRef<[u8]>],
        context: &EncryptionContext,
    ) -> Result<Vec<Result<SecretBytes<DATA_KEY_LEN>, Error>>, Error> {
        let opened = self.decrypt_batch(wrapped, context).await?;
        Ok(opened.into_iter().map(|one| data_key(&one?)).collect())
    }
}

fn data_key(plaintext: &Plaintext) -> Result<SecretBytes<DATA_KEY_LEN>, Error> {
    let mut key = zeroize::Zeroizing::new([0; DATA_KEY_LEN]);
    if plaintext.len() != DATA_KEY_LEN {
        let what = format!("it holds {} bytes, and a data key has {DATA_KEY_LEN}", plaintext.len());
        return Err(CiphertextError::Head(what).into());
    }
    key.copy_from_slice(plaintext);
    Ok(SecretBytes::new(*key))
}
