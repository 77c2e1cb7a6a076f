//! A share sealed to the recipient of an exported key: HPKE (RFC 9180), mode Base.
//!
//! Suite: DHKEM(X25519, HKDF-SHA256), HKDF-SHA256, ChaCha20-Poly1305. `info` = `export/info` label ‖
//! the caller's info, which binds cluster, key, epoch, node and order; no associated data; one
//! message. Who has sealed it, the node's signature says: mode Auth would prove it to the recipient
//! only, who is to be able to show a wrong share to others.

use crate::{SecretBytes, SecretScalar, hash::Label};
use hpke::{
    Deserializable, Kem as _, OpModeR, OpModeS, Serializable, kdf::HkdfSha256,
    kem::X25519HkdfSha256, setup_receiver, setup_sender_with_rng,
};
use rand_core::CryptoRng;
use std::fmt;
use zeroize::Zeroizing;

type Kem = X25519HkdfSha256;
type Aead = hpke::aead::ChaCha20Poly1305;
type PrivateKey = <Kem as hpke::Kem>::PrivateKey;
type PublicKey = <Kem as hpke::Kem>::PublicKey;
type EncappedKey = <Kem as hpke::Kem>::EncappedKey;

/// A sealed share: a scalar and a tag.
pub const SEALED_LEN: usize = 48;

/// Why a share cannot be sealed or opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ExportError {
    /// The other side's: a public or encapsulated key of small order.
    #[error("the other side's X25519 key is of small order")]
    Key,
    /// Not sealed to this recipient, for another export, or damaged.
    #[error("it does not open: it is sealed to another recipient, for another export, or damaged")]
    Open,
    /// What it holds is no share.
    #[error("what is sealed is no canonical scalar")]
    Scalar,
}

/// The recipient's key. Whoever has its secret half and the sealed shares has the exported key.
pub struct RecipientKey {
    secret: PrivateKey, // wiped on drop, by x25519-dalek
    public: PublicKey,
}

impl RecipientKey {
    /// A fresh key.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let ikm = SecretBytes::<32>::random(rng);
        let (secret, public) = Kem::derive_keypair(ikm.expose());
        Self { secret, public }
    }

    /// Takes a stored secret half back.
    ///
    /// # Errors
    /// [`ExportError::Key`].
    pub fn from_bytes(secret: &[u8; 32]) -> Result<Self, ExportError> {
        let secret = PrivateKey::from_bytes(secret).map_err(|_| ExportError::Key)?;
        let public = Kem::sk_to_pk(&secret);
        Ok(Self { secret, public })
    }

    /// The secret half, to be kept.
    #[must_use]
    pub fn to_bytes(&self) -> Zeroizing<[u8; 32]> {
        let mut out = Zeroizing::new([0; 32]);
        self.secret.write_exact(&mut out[..]);
        out
    }

    /// The public half, which an order names.
    #[must_use]
    pub fn public(&self) -> [u8; 32] {
        self.public.to_bytes().into()
    }

    /// Opens a share.
    ///
    /// # Errors
    /// [`ExportError`].
    pub fn open(
        &self,
        encapsulated: &[u8; 32],
        sealed: &[u8; SEALED_LEN],
        info: &[u8],
    ) -> Result<SecretScalar, ExportError> {
        let encapsulated = EncappedKey::from_bytes(encapsulated).map_err(|_| ExportError::Key)?;
        let mut context = setup_receiver::<Aead, HkdfSha256, Kem>(
            &OpModeR::Base,
            &self.secret,
            &encapsulated,
            &labelled(info),
        )
        .map_err(|_| ExportError::Key)?;
        let opened = context.open(sealed, &[]).map(Zeroizing::new);
        let opened = opened.map_err(|_| ExportError::Open)?;
        let scalar = <&[u8; 32]>::try_from(&opened[..]).ok().and_then(SecretScalar::from_bytes);
        scalar.ok_or(ExportError::Scalar)
    }
}

impl fmt::Debug for RecipientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecipientKey([redacted])")
    }
}

/// Whether bytes are a public key that something can be sealed to.
#[must_use]
pub fn is_recipient(public: &[u8; 32]) -> bool {
    // Seals nothing; a key of small order shows when it is used.
    let rng = &mut Zeros;
    PublicKey::from_bytes(public).is_ok_and(|key| {
        setup_sender_with_rng::<Aead, HkdfSha256, Kem>(&OpModeS::Base, &key, &[], rng).is_ok()
    })
}

/// Seals a share; gives the encapsulated key and the sealed bytes.
///
/// # Errors
/// [`ExportError::Key`] for a recipient's key of small order.
pub fn seal(
    recipient: &[u8; 32],
    share: &SecretScalar,
    info: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<([u8; 32], [u8; SEALED_LEN]), ExportError> {
    let recipient = PublicKey::from_bytes(recipient).map_err(|_| ExportError::Key)?;
    let (encapsulated, mut context) = setup_sender_with_rng::<Aead, HkdfSha256, Kem>(
        &OpModeS::Base,
        &recipient,
        &labelled(info),
        rng,
    )
    .map_err(|_| ExportError::Key)?;
    let sealed = context.seal(&share.to_bytes()[..], &[]).map_err(|_| ExportError::Key)?;
    let sealed = sealed.try_into().map_err(|_| ExportError::Scalar)?;
    Ok((encapsulated.to_bytes().into(), sealed))
}

fn labelled(info: &[u8]) -> Vec<u8> {
    [Label::EXPORT_INFO.as_bytes(), info].concat()
}

/// For [`is_recipient`] only: what it makes is thrown away.
struct Zeros;

impl rand_core::TryRng for Zeros {
    type Error = rand_core::Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(0)
    }
    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(0)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        out.fill(0);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for Zeros {}

#[cfg(test)]
mod tests {
    use super::*;

    fn share() -> SecretScalar {
        SecretScalar::random(&mut rand::rng())
    }

    #[test]
    fn a_sealed_share_opens_for_its_recipient_and_for_nobody_else() {
        let rng = &mut rand::rng();
        let (recipient, stranger) = (RecipientKey::generate(rng), RecipientKey::generate(rng));
        let share = share();
        let (encapsulated, sealed) = seal(&recipient.public(), &share, b"info", rng).unwrap();
        let stored = RecipientKey::from_bytes(&recipient.to_bytes()).unwrap();
        assert_eq!(stored.public(), recipient.public());
        let opened = stored.open(&encapsulated, &sealed, b"info").unwrap();
        assert_eq!(*opened.to_bytes(), *share.to_bytes());

        let refused = |r: Result<SecretScalar, ExportError>| r.unwrap_err();
        assert_eq!(refused(stranger.open(&encapsulated, &sealed, b"info")), ExportError::Open);
        assert_eq!(refused(recipient.open(&encapsulated, &sealed, b"inf")), ExportError::Open);
        for at in 0..SEALED_LEN {
            let mut bad = sealed;
            bad[at] ^= 1;
            assert_eq!(refused(recipient.open(&encapsulated, &bad, b"info")), ExportError::Open);
        }
        assert_eq!(format!("{recipient:?}"), "RecipientKey([redacted])");
    }

    /// Keys of small order would make the shared secret known to everybody.
    #[test]
    fn recipients_of_small_order_are_refused() {
        let rng = &mut rand::rng();
        assert!(is_recipient(&RecipientKey::generate(rng).public()));
        let mut one = [0; 32];
        one[0] = 1;
        for small in [[0; 32], one] {
            assert!(!is_recipient(&small));
            assert_eq!(seal(&small, &share(), b"", rng).unwrap_err(), ExportError::Key);
            let recipient = RecipientKey::generate(rng);
            let opened = recipient.open(&small, &[0; SEALED_LEN], b"");
            assert_eq!(opened.unwrap_err(), ExportError::Key);
        }
    }
}
