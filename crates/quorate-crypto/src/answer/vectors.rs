//! `docs/protocol/vectors/answer.json`: RFC 9180 done by hand, step by step, checked against
//! the code. To make it again: `cargo test -p quorate-crypto answer::vectors -- --ignored`.

use super::*;
use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use curve25519_dalek::MontgomeryPoint;
use hkdf::Hkdf;
use rand_core::{Infallible, TryCryptoRng, TryRng};
use serde_json::json;
use sha2::Sha256;

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/answer.json");
const KEM: &[u8] = b"KEM\x00\x20";
const SUITE: &[u8] = b"HPKE\x00\x20\x00\x01\x00\x03";
const INFO: &[u8] = b"what the caller binds: cluster, node, client";
const AAD: &[u8] = b"request hash, node, epoch";
const PLAINTEXT: &[u8] = b"a partial";

fn extract(suite: &[u8], salt: &[u8], label: &[u8], ikm: &[u8]) -> [u8; 32] {
    let ikm = [b"HPKE-v1", suite, label, ikm].concat();
    Hkdf::<Sha256>::extract(Some(salt), &ikm).0.into()
}

fn expand(suite: &[u8], prk: &[u8; 32], label: &[u8], info: &[u8]) -> [u8; 32] {
    let info = [&[0, 32], &b"HPKE-v1"[..], suite, label, info].concat();
    let mut out = [0; 32];
    Hkdf::<Sha256>::from_prk(prk).unwrap().expand(&info, &mut out).unwrap();
    out
}

fn derive_secret(ikm: [u8; 32]) -> [u8; 32] {
    expand(KEM, &extract(KEM, b"", b"dkp_prk", &ikm), b"sk", b"")
}

fn public(secret: [u8; 32]) -> [u8; 32] {
    MontgomeryPoint::mul_base_clamped(secret).0
}

fn dh(secret: [u8; 32], public: [u8; 32]) -> [u8; 32] {
    MontgomeryPoint(public).mul_clamped(secret).0
}

struct Model {
    secrets: [[u8; 32]; 3],
    publics: [[u8; 32]; 3],
    info: Vec<u8>,
    shared_secret: [u8; 32],
    exporter_secret: [u8; 32],
    key: [u8; 32],
}

/// `[node, client, ephemeral]` seeds.
const SEEDS: [[u8; 32]; 3] = [[0x11; 32], [0x22; 32], [0x33; 32]];

fn model() -> Model {
    let secrets = SEEDS.map(derive_secret);
    let publics = secrets.map(public);
    let ([node, _, ephemeral], [node_pub, client_pub, ephemeral_pub]) = (secrets, publics);
    // AuthEncap (section 4.1).
    let dh = [dh(ephemeral, client_pub), dh(node, client_pub)].concat();
    let kem_context = [ephemeral_pub, client_pub, node_pub].concat();
    let prk = extract(KEM, b"", b"eae_prk", &dh);
    let shared_secret = expand(KEM, &prk, b"shared_secret", &kem_context);
    // KeySchedule (section 5.1), mode_auth = 2, no PSK.
    let info = [b"quorate/v1/answer/info.", INFO].concat();
    let psk_id_hash = extract(SUITE, b"", b"psk_id_hash", b"");
    let info_hash = extract(SUITE, b"", b"info_hash", &info);
    let context = [&[2][..], &psk_id_hash, &info_hash].concat();
    let secret = extract(SUITE, &shared_secret, b"secret", b"");
    let exporter_secret = expand(SUITE, &secret, b"exp", &context);
    // Export (section 5.3).
    let key = expand(SUITE, &exporter_secret, b"sec", b"quorate/v1/answer/key.");
    Model { secrets, publics, info, shared_secret, exporter_secret, key }
}

fn sealed(key: &[u8; 32], counter: u64) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, key).unwrap());
    let nonce: [u8; 12] = [&[0; 4][..], &counter.to_be_bytes()].concat().try_into().unwrap();
    let (nonce, mut out) = (Nonce::assume_unique_for_key(nonce), PLAINTEXT.to_vec());
    key.seal_in_place_append_tag(nonce, Aad::from(AAD), &mut out).unwrap();
    out
}

fn file() -> String {
    let m = model();
    let [node, client, ephemeral] = [0, 1, 2].map(|i| {
        json!({
            "ikm": hex::encode(SEEDS[i]),
            "secret": hex::encode(m.secrets[i]),
            "public": hex::encode(m.publics[i]),
        })
    });
    let answers = [0, 1, (1 << 32) - 1].map(
        |counter| json!({ "counter": counter, "sealed": hex::encode(sealed(&m.key, counter)) }),
    );
    let all = json!({
        "source": "quorate-crypto, src/answer/vectors.rs; described in docs/protocol/answers.md",
        "node_answer_key": node,
        "client_reply_key": client,
        "ephemeral_key": ephemeral,
        "caller_info": hex::encode(INFO),
        "info": hex::encode(m.info),
        "shared_secret": hex::encode(m.shared_secret),
        "exporter_secret": hex::encode(m.exporter_secret),
        "answer_key": hex::encode(m.key),
        "aad": hex::encode(AAD),
        "plaintext": hex::encode(PLAINTEXT),
        "answers": answers,
    });
    serde_json::to_string_pretty(&all).unwrap() + "\n"
}

#[test]
#[ignore = "writes the file"]
fn generate() {
    std::fs::write(FILE, file()).unwrap();
}

#[test]
fn the_file_is_what_the_model_says() {
    assert_eq!(std::fs::read_to_string(FILE).unwrap(), file());
}

/// Says one byte for ever.
struct Says(u8);

impl TryRng for Says {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(self.0);
        Ok(())
    }
}

impl TryCryptoRng for Says {}

#[test]
fn the_code_says_what_the_model_says() {
    let m = model();
    let (node, client) =
        (AnswerKey::generate(&mut Says(0x11)), ReplyKey::generate(&mut Says(0x22)));
    assert_eq!([node.public(), client.public()], m.publics[..2]);
    let sealing = SealingSession::new(&node, &client.public(), INFO, &mut Says(0x33)).unwrap();
    assert_eq!(sealing.encapsulated(), m.publics[2]);
    assert_eq!(sealing.key.expose(), &m.key);
    let opening = OpeningSession::new(&client, &node.public(), &m.publics[2], INFO).unwrap();
    for counter in 0..3 {
        let expected = sealed(&m.key, counter);
        assert_eq!(sealing.seal(AAD, PLAINTEXT), Ok((counter, expected.clone())));
        assert_eq!(opening.open(counter, AAD, &expected).unwrap(), PLAINTEXT);
    }
}
