//! Certificate verifiers: the key is the identity.
//!
//! A certificate is only the envelope in which TLS carries a key. What is checked: it is
//! one well-formed X.509 certificate whose key is Ed25519 (exactly the 44-byte encoding
//! of RFC 8410), the key is canonical and not of small order, it is the key that is
//! expected or allowed, and the handshake is signed by it. What is not: names, issuer,
//! the certificate's own signature, and the validity period. A period would say nothing
//! that the roster does not say better (a key that leaves the roster is refused), and a
//! wrong clock would lock nodes out of the ceremony that repairs them.

use quorate_crypto::{PublicKey, SignatureError};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, PeerMisbehaved,
    SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};
use std::{fmt, sync::Arc};

/// Which keys a port serves, asked in every handshake.
pub type Allow = Arc<dyn Fn(&PublicKey) -> bool + Send + Sync>;

/// Why a peer's certificate is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum PeerError {
    /// More than the one certificate.
    #[error("expected one self-signed certificate, got a chain")]
    Chain,
    /// Not X.509.
    #[error("not a well-formed X.509 certificate")]
    Malformed,
    /// RSA, ECDSA, …
    #[error("the certificate's key is not Ed25519")]
    NotEd25519,
    /// A point that strict verification refuses.
    #[error("the certificate's key is refused: {0}")]
    Key(SignatureError),
    /// Somebody else answers at this address.
    #[error("the peer proves key {got}, expected {expected}: check the roster and the address")]
    WrongKey { expected: PublicKey, got: PublicKey },
    /// The predicate said no.
    #[error("key {0} is not served on this port")]
    NotAllowed(PublicKey),
}

impl From<PeerError> for Error {
    fn from(error: PeerError) -> Self {
        Self::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
    }
}

/// SubjectPublicKeyInfo of RFC 8410 up to the key: SEQUENCE { SEQUENCE { 1.3.101.112 },
/// BIT STRING of 32 bytes }.
const ED25519_SPKI: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// The Ed25519 key in a certificate.
pub(crate) fn key_of(
    certificate: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
) -> Result<PublicKey, PeerError> {
    if !intermediates.is_empty() {
        return Err(PeerError::Chain);
    }
    let parsed = webpki::EndEntityCert::try_from(certificate).map_err(|_| PeerError::Malformed)?;
    let spki = parsed.subject_public_key_info();
    let key = spki.strip_prefix(&ED25519_SPKI).ok_or(PeerError::NotEd25519)?;
    let key = key.try_into().map_err(|_| PeerError::NotEd25519)?;
    PublicKey::from_bytes(key).map_err(PeerError::Key)
}

/// Accepts exactly one key: that of the roster entry that is dialled.
#[derive(Debug)]
pub(crate) struct ExpectKey {
    pub(crate) expected: PublicKey,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for ExpectKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let got = key_of(end_entity, intermediates)?;
        if got != self.expected {
            return Err(PeerError::WrongKey { expected: self.expected, got }.into());
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_ed25519(&self.provider, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Accepts any Ed25519 key that the port allows; a certificate is mandatory.
pub(crate) struct AnyKey {
    pub(crate) allow: Option<Allow>,
    pub(crate) provider: Arc<CryptoProvider>,
}

impl fmt::Debug for AnyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnyKey").field("restricted", &self.allow.is_some()).finish_non_exhaustive()
    }
}

impl ClientCertVerifier for AnyKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let key = key_of(end_entity, intermediates)?;
        if self.allow.as_ref().is_some_and(|allow| !allow(&key)) {
            return Err(PeerError::NotAllowed(key).into());
        }
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(no_tls12())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_ed25519(&self.provider, message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

/// Proof of possession: the handshake's transcript is signed by the certificate's key.
fn verify_ed25519(
    provider: &CryptoProvider,
    message: &[u8],
    cert: &CertificateDer<'_>,
    dss: &DigitallySignedStruct,
) -> Result<HandshakeSignatureValid, Error> {
    if dss.scheme != SignatureScheme::ED25519 {
        return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
    }
    verify_tls13_signature(message, cert, dss, &provider.signature_verification_algorithms)
}

/// TLS 1.2 is not offered; rustls never asks.
fn no_tls12() -> Error {
    Error::General("TLS 1.2 is not spoken".into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A certificate over any 32 bytes, signed by nobody: `key_of` reads, TLS proves.
    struct Unsigned([u8; 32]);

    impl rcgen::PublicKeyData for Unsigned {
        fn der_bytes(&self) -> &[u8] {
            &self.0
        }

        fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
            &rcgen::PKCS_ED25519
        }
    }

    impl rcgen::SigningKey for Unsigned {
        fn sign(&self, _message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
            Ok(vec![0; 64])
        }
    }

    fn certificate(key: [u8; 32]) -> CertificateDer<'static> {
        rcgen::CertificateParams::default().self_signed(&Unsigned(key)).unwrap().into()
    }

    #[test]
    fn the_key_of_a_certificate_is_read() {
        let key = quorate_crypto::IdentityKey::from_seed(&[1; 32]).public();
        assert_eq!(key_of(&certificate(*key.as_bytes()), &[]), Ok(key));
    }

    #[test]
    fn weak_and_non_canonical_keys_are_refused() {
        let mut identity = [0; 32];
        identity[0] = 1;
        let refused = Err(PeerError::Key(SignatureError::Key));
        assert_eq!(key_of(&certificate(identity), &[]), refused);
        assert_eq!(key_of(&certificate([0xff; 32]), &[]), refused);
    }

    #[test]
    fn other_algorithms_chains_and_garbage_are_refused() {
        let ecdsa = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let ecdsa = rcgen::CertificateParams::default().self_signed(&ecdsa).unwrap();
        assert_eq!(key_of(ecdsa.der(), &[]), Err(PeerError::NotEd25519));

        let key = quorate_crypto::IdentityKey::from_seed(&[1; 32]).public();
        let good = certificate(*key.as_bytes());
        let chain = [certificate(*key.as_bytes())];
        assert_eq!(key_of(&good, &chain), Err(PeerError::Chain));
        for cut in 0..good.len() {
            let cut = CertificateDer::from(&good[..cut]);
            assert_eq!(key_of(&cut, &[]), Err(PeerError::Malformed));
        }
        let mut longer = good.to_vec();
        longer.push(0);
        assert_eq!(key_of(&longer.into(), &[]), Err(PeerError::Malformed));
    }
}
