//! Who may connect: TLS decides by key, and by nothing else.

use crate::{Port, call, client, identity};
use quorate_crypto::IdentityKey;
use quorate_rpc::{FaultKind, Limits, TlsIdentity};
use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PKCS_RSA_SHA256};
use rustls::{
    ClientConfig, NamedGroup, ServerConfig, SignatureAlgorithm, SignatureScheme,
    client::{
        ResolvesClientCert,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    },
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime},
    server::{ClientHello, ResolvesServerCert},
    sign::{CertifiedKey, Signer, SigningKey},
};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, TlsConnector, client::TlsStream};

#[tokio::test]
async fn the_service_sees_the_proven_key() {
    let port = Port::start(1, Limits::default()).await;
    for seed in [7, 8] {
        let seen = call(&mut port.client(seed)).await.unwrap();
        assert_eq!(seen, identity(seed).public().as_bytes());
    }
    assert_eq!(port.handle.stats().served, 2);
}

#[tokio::test]
async fn a_server_with_another_key_is_refused() {
    let port = Port::start(1, Limits::default()).await;
    let mut client = client(7, port.addr(), identity(2).public());
    let fault = call(&mut client).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::WrongPeer, "{fault}");
    assert!(fault.message.contains(&identity(2).public().to_string()), "{fault}");
    assert_eq!(port.calls(), 0);
}

/// Row 47: poisoned DNS, swapped addresses. Nothing reaches the wrong node.
#[tokio::test]
async fn swapped_addresses_are_refused_by_identity() {
    let (a, b) = (Port::start(1, Limits::default()).await, Port::start(2, Limits::default()).await);
    for (addr, key) in [(a.addr(), b.key), (b.addr(), a.key)] {
        let fault = call(&mut client(7, addr, key)).await.unwrap_err();
        assert_eq!(fault.kind, FaultKind::WrongPeer);
    }
    assert_eq!((a.calls(), b.calls()), (0, 0));
    assert!(call(&mut a.client(7)).await.is_ok());
}

#[tokio::test]
async fn keys_off_the_list_are_refused_in_the_handshake() {
    let allowed = identity(7).public();
    let class = quorate_rpc::Class::status();
    let port = Port::with(1, Limits::default(), &class, |builder| {
        builder.allow(Arc::new(move |key| *key == allowed))
    })
    .await;
    assert!(call(&mut port.client(7)).await.is_ok());
    let fault = call(&mut port.client(8)).await.unwrap_err();
    assert!(!fault.kind.is_decision(), "a refusal in TLS is no answer: {fault}");
    assert_eq!(port.calls(), 1);
}

/// A certificate and a key that signs, rightly or not, as Ed25519.
#[derive(Debug)]
struct Liar {
    certified: Arc<CertifiedKey>,
}

impl Liar {
    /// Presents `chain`, signs with `key`.
    fn new(chain: Vec<CertificateDer<'static>>, key: Arc<dyn SigningKey>) -> Arc<Self> {
        let key: Arc<dyn SigningKey> = Arc::new(Claims(key));
        Arc::new(Self { certified: Arc::new(CertifiedKey::new(chain, key)) })
    }
}

impl ResolvesClientCert for Liar {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

impl ResolvesServerCert for Liar {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.certified))
    }
}

/// Offers a scheme of its own even where only Ed25519 is asked for.
#[derive(Debug)]
struct Claims(Arc<dyn SigningKey>);

impl SigningKey for Claims {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let all = [
            SignatureScheme::ECDSA_NISTP256_SHA256,
            SignatureScheme::RSA_PSS_SHA256,
            SignatureScheme::ED25519,
        ];
        self.0.choose_scheme(offered).or_else(|| self.0.choose_scheme(&all))
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.0.algorithm()
    }
}

#[derive(Debug)]
struct TrustAnyone;

impl ServerCertVerifier for TrustAnyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &rustls::DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ED25519]
    }
}

fn signing_key(pair: &KeyPair) -> Arc<dyn SigningKey> {
    let der = PrivateKeyDer::try_from(pair.serialize_der()).unwrap();
    aws_lc_rs::sign::any_supported_type(&der).unwrap()
}

fn self_signed(pair: &KeyPair) -> CertificateDer<'static> {
    CertificateParams::default().self_signed(pair).unwrap().into()
}

fn provider() -> Arc<rustls::crypto::CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn attacker(certificate: Option<Arc<Liar>>) -> ClientConfig {
    let builder = ClientConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(TrustAnyone));
    let mut config = match certificate {
        Some(liar) => builder.with_client_cert_resolver(liar),
        None => builder.with_no_client_auth(),
    };
    config.alpn_protocols = vec![b"h2".to_vec()];
    config
}

pub(crate) async fn tls(
    addr: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let tcp = TcpStream::connect(addr).await?;
    let name = ServerName::try_from("localhost").unwrap();
    TlsConnector::from(Arc::new(config)).connect(name, tcp).await
}

/// In TLS 1.3 the client is done before the server has judged it: the refusal is seen at
/// the first read.
async fn is_refused(addr: SocketAddr, config: ClientConfig) -> bool {
    let Ok(mut stream) = tls(addr, config).await else { return true };
    // A server that accepts sends its SETTINGS unasked.
    !matches!(stream.read(&mut [0; 9]).await, Ok(1..))
}

#[tokio::test]
async fn the_attackers_tool_works_with_a_good_certificate() {
    let port = Port::start(1, Limits::default()).await;
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let good = Liar::new(vec![self_signed(&pair)], signing_key(&pair));
    assert!(!is_refused(port.addr(), attacker(Some(good))).await);
}

#[tokio::test]
async fn no_certificate_is_refused() {
    let port = Port::start(1, Limits::default()).await;
    assert!(is_refused(port.addr(), attacker(None)).await);
    assert_eq!(port.handle.stats().served, 0);
}

#[tokio::test]
async fn rsa_and_ecdsa_certificates_are_refused() {
    let port = Port::start(1, Limits::default()).await;
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_RSA_SHA256] {
        let pair = KeyPair::generate_for(algorithm).unwrap();
        let liar = Liar::new(vec![self_signed(&pair)], signing_key(&pair));
        assert!(is_refused(port.addr(), attacker(Some(liar))).await, "{algorithm:?}");
    }
    assert_eq!(port.handle.stats().served, 0);
}

#[tokio::test]
async fn a_stolen_certificate_without_its_key_is_refused() {
    let port = Port::start(1, Limits::default()).await;
    let (victim, thief) = (
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
        KeyPair::generate_for(&PKCS_ED25519).unwrap(),
    );
    let liar = Liar::new(vec![self_signed(&victim)], signing_key(&thief));
    assert!(is_refused(port.addr(), attacker(Some(liar))).await);
    assert_eq!(port.handle.stats().served, 0);
}

#[tokio::test]
async fn a_chain_is_refused() {
    let port = Port::start(1, Limits::default()).await;
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let chain = vec![self_signed(&pair), self_signed(&pair)];
    let liar = Liar::new(chain, signing_key(&pair));
    assert!(is_refused(port.addr(), attacker(Some(liar))).await);
}

/// A server that shows the roster's certificate but has not its key.
#[tokio::test]
async fn a_stolen_server_certificate_is_refused() {
    let node = identity(1);
    let thief = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let liar = Liar::new(vec![certificate_of(&node)], signing_key(&thief));
    let mut config = ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(liar);
    config.alpn_protocols = vec![b"h2".to_vec()];

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let seen = tokio::spawn(async move {
        let (tcp, _) = listener.accept().await.unwrap();
        TlsAcceptor::from(Arc::new(config)).accept(tcp).await.is_ok()
    });
    let fault = call(&mut client(7, addr, node.public())).await.unwrap_err();
    assert_eq!(fault.kind, FaultKind::WrongPeer, "{fault}");
    assert!(!seen.await.unwrap());
}

fn certificate_of(identity: &IdentityKey) -> CertificateDer<'static> {
    certificate_with(identity, |_| {})
}

fn certificate_with(
    identity: &IdentityKey,
    change: impl FnOnce(&mut CertificateParams),
) -> CertificateDer<'static> {
    let mut params = CertificateParams::default();
    change(&mut params);
    params.self_signed(&key_pair(identity)).unwrap().into()
}

fn key_pair(identity: &IdentityKey) -> KeyPair {
    let mut der = vec![0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];
    der.extend_from_slice(&identity.seed()[..]);
    KeyPair::try_from(der).unwrap()
}

/// The key is the identity and the roster its only validity: a date decides nothing.
#[tokio::test]
async fn dates_in_a_certificate_decide_nothing() {
    let port = Port::start(1, Limits::default()).await;
    let me = identity(7);
    for (from, to) in [(1990, 1991), (3000, 3001)] {
        let certificate = certificate_with(&me, |params| {
            params.not_before = rcgen::date_time_ymd(from, 1, 1);
            params.not_after = rcgen::date_time_ymd(to, 1, 1);
        });
        let config = attacker(Some(Liar::new(vec![certificate], signing_key(&key_pair(&me)))));
        assert!(!is_refused(port.addr(), config).await);
    }
}

#[tokio::test]
async fn the_hybrid_group_is_negotiated() {
    let port = Port::start(1, Limits::default()).await;
    let config = TlsIdentity::new(&identity(7)).unwrap().client_config(port.key).unwrap();
    let stream = tls(port.addr(), config).await.unwrap();
    let group = stream.get_ref().1.negotiated_key_exchange_group().unwrap();
    assert_eq!(group.name(), NamedGroup::X25519MLKEM768);
}

/// A session that could be resumed would skip the proof of the key.
#[tokio::test]
async fn no_session_ticket_is_given() {
    let port = Port::start(1, Limits::default()).await;
    let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
    let config = attacker(Some(Liar::new(vec![self_signed(&pair)], signing_key(&pair))));
    let mut stream = tls(port.addr(), config).await.unwrap();
    assert!(stream.read(&mut [0; 9]).await.unwrap() > 0);
    assert_eq!(stream.get_ref().1.tls13_tickets_received(), 0);
}

#[tokio::test]
async fn a_peer_without_http2_is_refused() {
    let port = Port::start(1, Limits::default()).await;
    for alpn in [vec![], vec![b"http/1.1".to_vec()]] {
        let pair = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut config = attacker(Some(Liar::new(vec![self_signed(&pair)], signing_key(&pair))));
        config.alpn_protocols = alpn;
        assert!(is_refused(port.addr(), config).await);
    }
}

/// A ClientHello as a TLS 1.2 client sends it: no `supported_versions`.
#[tokio::test]
async fn tls_1_2_is_refused() {
    let port = Port::start(1, Limits::default()).await;
    let mut hello = vec![0x03, 0x03];
    hello.extend_from_slice(&[0x42; 32]); // random
    hello.push(0); // no session
    hello.extend_from_slice(&[0, 2, 0xc0, 0x2b]); // ECDHE-ECDSA-AES128-GCM-SHA256
    hello.extend_from_slice(&[1, 0]); // no compression
    let extensions = [
        &[0x00, 0x0a, 0, 4, 0, 2, 0x00, 0x1d][..], // groups: x25519
        &[0x00, 0x0d, 0, 4, 0, 2, 0x08, 0x07][..], // signatures: ed25519
    ]
    .concat();
    hello.extend_from_slice(&(extensions.len() as u16).to_be_bytes());
    hello.extend_from_slice(&extensions);
    let mut record = vec![22, 3, 1];
    record.extend_from_slice(&(hello.len() as u16 + 4).to_be_bytes());
    record.extend_from_slice(&[1, 0]);
    record.extend_from_slice(&(hello.len() as u16).to_be_bytes());
    record.extend_from_slice(&hello);

    let mut tcp = TcpStream::connect(port.addr()).await.unwrap();
    tcp.write_all(&record).await.unwrap();
    let mut alert = [0; 7];
    tcp.read_exact(&mut alert).await.unwrap();
    assert_eq!(alert, [21, 3, 3, 0, 2, 2, 70], "fatal protocol_version");
}
