//! Answers sealed to the client's reply key: HPKE (RFC 9180) in authenticated mode, so that
//! only the client reads what only the node can have written.
//!
//! Suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305; mode Auth.
//! `info` = `answer/info` label ‖ the caller's info. One setup serves one client session: the
//! key exported under the context `answer/key` seals every answer of the session, under the
//! nonce `0⁴ ‖ counter (u64, big-endian)`. The client finds the session again by its
//! encapsulated key.
//!
//! # Security
//! Whoever holds the *reply* key could forge answers to itself (key-compromise
//! impersonation is inherent in mode Auth); nobody else can. An answer key compromised later
//! reveals no earlier answer, a reply key compromised while it lives reveals all of its own.
//! Associated data bind an answer to request, node and epoch. All failures look alike.

use crate::{SecretBytes, hash::Label};
use chacha20poly1305::{
    ChaCha20Poly1305,
    aead::{Aead, KeyInit, Payload},
};
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, kdf::HkdfSha256,
    kem::X25519HkdfSha256, setup_receiver, setup_sender_with_rng,
};
use rand_core::CryptoRng;
use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

type Kem = X25519HkdfSha256;
type HpkeAead = hpke::aead::ChaCha20Poly1305;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;
type HpkePublicKey = <Kem as hpke::Kem>::PublicKey;
type EncappedKey = <Kem as hpke::Kem>::EncappedKey;

/// How many answers one session seals.
pub const MAX_ANSWERS: u64 = 1 << 32;

/// Why a session cannot be set up, or an answer not be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AnswerError {
    /// The peer's: a public or encapsulated key of small order.
    #[error("the other side's X25519 key is of small order")]
    Key,
    /// The peer's, or whoever stands between: nothing more is said.
    #[error("the answer does not open")]
    Open,
    /// The session has sealed 2^32 answers.
    #[error("the session has sealed {MAX_ANSWERS} answers: set up another")]
    Exhausted,
}

/// A node's key for sealing answers: lives in memory only, its public half is signed by the
/// node's identity.
pub struct AnswerKey(KeyPair);

/// A client's key for reading answers: fresh in each process, never stored.
pub struct ReplyKey(KeyPair);

macro_rules! key_pair {
    ($name:ident) => {
        impl $name {
            /// A fresh key.
            pub fn generate(rng: &mut impl CryptoRng) -> Self {
                Self(KeyPair::generate(rng))
            }

            /// The public half.
            #[must_use]
            pub fn public(&self) -> [u8; 32] {
                self.0.public.to_bytes().into()
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(concat!(stringify!($name), "([redacted])"))
            }
        }
    };
}

key_pair!(AnswerKey);
key_pair!(ReplyKey);

/// The secret half is wiped on drop (by x25519-dalek).
struct KeyPair {
    secret: PrivateKey,
    public: HpkePublicKey,
}

impl KeyPair {
    fn generate(rng: &mut impl CryptoRng) -> Self {
        let ikm = SecretBytes::<32>::random(rng);
        let (secret, public) = Kem::derive_keypair(ikm.expose());
        Self { secret, public }
    }
}

/// A node's side of a session with one client.
pub struct SealingSession {
    encapsulated: [u8; 32],
    key: SecretBytes<32>,
    next: AtomicU64,
}

impl SealingSession {
    /// Sets a session up with the client whose reply key is `client_reply_public`. `info`
    /// binds cluster, node and client.
    ///
    /// # Errors
    /// [`AnswerError::Key`].
    pub fn new(
        answer_key: &AnswerKey,
        client_reply_public: &[u8; 32],
        info: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, AnswerError> {
        let mode = OpModeS::Auth((answer_key.0.secret.clone(), answer_key.0.public.clone()));
        let client = public_key(client_reply_public)?;
        let info = labelled(info);
        let (encapsulated, context) =
            setup_sender_with_rng::<HpkeAead, HkdfSha256, Kem>(&mode, &client, &info, rng)
                .map_err(|_| AnswerError::Key)?;
        let key = export(|label, out| context.export(label, out))?;
        Ok(Self { encapsulated: encapsulated.to_bytes().into(), key, next: AtomicU64::new(0) })
    }

    /// What the client needs to open this session's answers; names the session.
    #[must_use]
    pub fn encapsulated(&self) -> [u8; 32] {
        self.encapsulated
    }

    /// Seals one answer; gives the counter that the client needs. No two answers get the same
    /// one, also when many threads seal.
    ///
    /// # Errors
    /// [`AnswerError::Exhausted`] after [`MAX_ANSWERS`].
    pub fn seal(&self, aad: &[u8], plaintext: &[u8]) -> Result<(u64, Vec<u8>), AnswerError> {
        let counter = self
            .next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |n| {
                (n < MAX_ANSWERS).then_some(n + 1)
            })
            .map_err(|_| AnswerError::Exhausted)?;
        let sealed = cipher(&self.key)
            .encrypt(&nonce(counter).into(), Payload { msg: plaintext, aad })
            .expect("an answer in memory is below the limit of ChaCha20-Poly1305");
        Ok((counter, sealed))
    }
}

/// A client's side of a session with one node.
pub struct OpeningSession {
    key: SecretBytes<32>,
}

impl OpeningSession {
    /// The session that the node with `node_answer_public` set up with `encapsulated`.
    ///
    /// # Errors
    /// [`AnswerError::Key`].
    pub fn new(
        reply_key: &ReplyKey,
        node_answer_public: &[u8; 32],
        encapsulated: &[u8; 32],
        info: &[u8],
    ) -> Result<Self, AnswerError> {
        let mode = OpModeR::Auth(public_key(node_answer_public)?);
        let encapsulated = EncappedKey::from_bytes(encapsulated).map_err(|_| AnswerError::Key)?;
        let info = labelled(info);
        let context = setup_receiver::<HpkeAead, HkdfSha256, Kem>(
            &mode,
            &reply_key.0.secret,
            &encapsulated,
            &info,
        )
        .map_err(|_| AnswerError::Key)?;
        Ok(Self { key: export(|label, out| context.export(label, out))? })
    }

    /// Opens one answer.
    ///
    /// # Errors
    /// [`AnswerError::Open`], whatever is wrong.
    pub fn open(&self, counter: u64, aad: &[u8], sealed: &[u8]) -> Result<Vec<u8>, AnswerError> {
        cipher(&self.key)
            .decrypt(&nonce(counter).into(), Payload { msg: sealed, aad })
            .map_err(|_| AnswerError::Open)
    }
}

fn public_key(bytes: &[u8; 32]) -> Result<HpkePublicKey, AnswerError> {
    HpkePublicKey::from_bytes(bytes).map_err(|_| AnswerError::Key)
}

fn labelled(info: &[u8]) -> Vec<u8> {
    [Label::ANSWER_INFO.as_bytes(), info].concat()
}

fn export(
    context: impl FnOnce(&[u8], &mut [u8]) -> Result<(), hpke::HpkeError>,
) -> Result<SecretBytes<32>, AnswerError> {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    context(Label::ANSWER_KEY.as_bytes(), &mut key[..]).map_err(|_| AnswerError::Key)?;
    Ok(SecretBytes::new(*key))
}

fn cipher(key: &SecretBytes<32>) -> ChaCha20Poly1305 {
    ChaCha20Poly1305::new(key.expose().into())
}

fn nonce(counter: u64) -> [u8; 12] {
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(&counter.to_be_bytes());
    nonce
}

#[cfg(test)]
mod tests;
#[cfg(test)]
mod vectors;
