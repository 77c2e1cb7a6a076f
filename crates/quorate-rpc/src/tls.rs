//! TLS 1.3 identities and configurations.

use crate::verify::{Allow, AnyKey, ExpectKey};
use quorate_crypto::{IdentityKey, PublicKey};
use rustls::{
    ClientConfig, ServerConfig, SignatureScheme,
    client::{ResolvesClientCert, Resumption},
    crypto::{
        CryptoProvider,
        aws_lc_rs::{self, kx_group, sign::any_eddsa_type},
    },
    pki_types::PrivatePkcs8KeyDer,
    server::{ClientHello, NoServerSessionStorage, ResolvesServerCert},
    sign::{CertifiedKey, SigningKey},
};
use std::sync::Arc;
use zeroize::Zeroizing;

/// Why no certificate or configuration could be made: our bug or a broken build.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// rustls does not take the key or the settings.
    #[error("TLS cannot be set up: {0}")]
    Rustls(#[from] rustls::Error),
    /// The self-signed certificate cannot be written.
    #[error("the certificate cannot be made: {0}")]
    Certificate(#[from] rcgen::Error),
}

/// An identity as TLS wants it: the key, loaded once, and its self-signed certificate.
/// Both are functions of the seed, so every start presents the same certificate.
#[derive(Debug, Clone)]
pub struct TlsIdentity {
    public: PublicKey,
    certified: Arc<CertifiedKey>,
    provider: Arc<CryptoProvider>,
}

impl TlsIdentity {
    /// Loads the key and signs its certificate.
    ///
    /// # Errors
    /// [`TlsError`]: our bug or a broken build.
    pub fn new(identity: &IdentityKey) -> Result<Self, TlsError> {
        let public = identity.public();
        let key = any_eddsa_type(&PrivatePkcs8KeyDer::from(&pkcs8(identity)[..]))?;
        let certificate = certificate_params(&public)?
            .self_signed(&Presenter { public: *public.as_bytes(), key: &*key })?;
        let certified = Arc::new(CertifiedKey::new(vec![certificate.into()], key));
        Ok(Self { public, certified, provider: Arc::new(provider()) })
    }

    /// The key that this identity proves.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// Server side: every peer must prove an Ed25519 key; `allow` says which.
    ///
    /// # Errors
    /// [`TlsError`]: our bug or a broken build.
    pub fn server_config(&self, allow: Option<Allow>) -> Result<ServerConfig, TlsError> {
        let verifier = AnyKey { allow, provider: Arc::clone(&self.provider) };
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .with_client_cert_verifier(Arc::new(verifier))
            .with_cert_resolver(Arc::new(Present(Arc::clone(&self.certified))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        // A resumed session would skip the certificate: every connection proves its key.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        config.max_early_data_size = 0;
        Ok(config)
    }

    /// Client side: only a server that proves exactly `expected` is talked to.
    ///
    /// # Errors
    /// [`TlsError`]: our bug or a broken build.
    pub fn client_config(&self, expected: PublicKey) -> Result<ClientConfig, TlsError> {
        let verifier = ExpectKey { expected, provider: Arc::clone(&self.provider) };
        let mut config = ClientConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_protocol_versions(&[&rustls::version::TLS13])?
            .dangerous() // our verifier is stricter: one key, by roster
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_client_cert_resolver(Arc::new(Present(Arc::clone(&self.certified))));
        config.alpn_protocols = vec![ALPN.to_vec()];
        config.resumption = Resumption::disabled();
        config.enable_early_data = false;
        config.enable_sni = false; // names decide nothing, so none are told
        Ok(config)
    }
}

pub(crate) const ALPN: &[u8] = b"h2";

/// aws-lc-rs, passed explicitly: a process-wide default could be replaced by a library.
/// The hybrid group comes first; plain X25519 stays for foreign tools. TLS 1.3 signs the
/// negotiation, so nobody on the path can force the second.
fn provider() -> CryptoProvider {
    let mut provider = aws_lc_rs::default_provider();
    provider.kx_groups = vec![kx_group::X25519MLKEM768, kx_group::X25519];
    provider
}

/// RFC 8410, version 1: the seed behind a fixed prefix.
fn pkcs8(identity: &IdentityKey) -> Zeroizing<[u8; 48]> {
    const PREFIX: [u8; 16] = [
        0x30, 0x2e, 0x02, 0x01, 0x00, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x04, 0x22, 0x04,
        0x20,
    ];
    let mut der = Zeroizing::new([0; 48]);
    der[..16].copy_from_slice(&PREFIX);
    der[16..].copy_from_slice(&identity.seed()[..]);
    der
}

/// A short name for people who look at a capture. rcgen's period is 1975 to 4096: nobody
/// checks it (see `verify`), and a foreign tool that does is not locked out by a date.
fn certificate_params(public: &PublicKey) -> Result<rcgen::CertificateParams, rcgen::Error> {
    let mut params = rcgen::CertificateParams::new(Vec::<String>::new())?;
    let name = format!("quorate {}", &public.to_string()[..16]);
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, name);
    params.key_usages = vec![rcgen::KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![
        rcgen::ExtendedKeyUsagePurpose::ServerAuth,
        rcgen::ExtendedKeyUsagePurpose::ClientAuth,
    ];
    Ok(params)
}

/// Lets rcgen sign with the key that rustls holds, so that there is no further copy.
struct Presenter<'a> {
    public: [u8; 32],
    key: &'a dyn SigningKey,
}

impl rcgen::PublicKeyData for Presenter<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ED25519
    }
}

impl rcgen::SigningKey for Presenter<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        self.key
            .choose_scheme(&[SignatureScheme::ED25519])
            .and_then(|signer| signer.sign(message).ok())
            .ok_or(rcgen::Error::RemoteKeyError)
    }
}

/// Presents the one certificate to every peer that knows Ed25519.
#[derive(Debug)]
struct Present(Arc<CertifiedKey>);

impl ResolvesServerCert for Present {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        hello.signature_schemes().contains(&SignatureScheme::ED25519).then(|| Arc::clone(&self.0))
    }
}

impl ResolvesClientCert for Present {
    fn resolve(&self, _hints: &[&[u8]], schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        schemes.contains(&SignatureScheme::ED25519).then(|| Arc::clone(&self.0))
    }

    fn has_certs(&self) -> bool {
        true
    }
}
