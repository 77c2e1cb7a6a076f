//! `docs/protocol/vectors/stream.json`: made with RustCrypto's AES-GCM, checked against the
//! code. To make it again: `cargo test -p quorate-crypto stream::vectors -- --ignored`.

use super::*;
use aes_gcm::{
    Aes256Gcm,
    aead::{Aead, KeyInit},
};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/protocol/vectors/stream.json");
const KEY: [u8; 32] = [0x6b; 32];
const LENGTHS: [usize; 6] = [0, 1, 100, 65_536, 65_537, 131_072];

fn plaintext(len: usize) -> Vec<u8> {
    (0..len).map(|i| ((i * 7 + i / 251) % 256) as u8).collect()
}

/// Nonce and sealed bytes of each chunk.
fn model(len: usize) -> Vec<([u8; 12], Vec<u8>)> {
    let cipher = Aes256Gcm::new(&KEY.into());
    let text = plaintext(len);
    let number = if len == 0 { 1 } else { len.div_ceil(65_536) };
    (0..number)
        .map(|i| {
            let [a, b, c, d] = (i as u32).to_be_bytes();
            let nonce = [0, 0, 0, 0, 0, 0, 0, a, b, c, d, u8::from(i + 1 == number)];
            let chunk = &text[i * 65_536..len.min((i + 1) * 65_536)];
            (nonce, cipher.encrypt(&nonce.into(), chunk).unwrap())
        })
        .collect()
}

fn case(len: usize) -> Value {
    let chunks = model(len);
    let sealed: Vec<u8> = chunks.iter().flat_map(|(_, chunk)| chunk.clone()).collect();
    let chunks: Vec<Value> = chunks
        .iter()
        .map(|(nonce, sealed)| {
            let tag = &sealed[sealed.len() - 16..];
            json!({ "nonce": hex::encode(nonce), "len": sealed.len(), "tag": hex::encode(tag) })
        })
        .collect();
    let mut case = json!({
        "plaintext_len": len,
        "chunks": chunks,
        "sealed_sha256": hex::encode(Sha256::digest(&sealed)),
    });
    if len <= 100 {
        case["sealed"] = json!(hex::encode(sealed));
    }
    case
}

fn file() -> String {
    let all = json!({
        "source": "quorate-crypto, src/stream/vectors.rs; described in docs/protocol/stream.md",
        "key": hex::encode(KEY),
        "plaintext": "byte i is (7·i + ⌊i / 251⌋) mod 256",
        "cases": LENGTHS.map(case),
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

#[test]
fn the_code_says_what_the_model_says() {
    for len in LENGTHS {
        let (text, model) = (plaintext(len), model(len));
        let mut sealer = Sealer::new(&SecretBytes::new(KEY));
        for (i, (_, expected)) in model.iter().enumerate() {
            let mut chunk = text[i * CHUNK_LEN..len.min((i + 1) * CHUNK_LEN)].to_vec();
            sealer.seal_chunk(&mut chunk, i + 1 == model.len()).unwrap();
            assert!(chunk == *expected, "chunk {i} of {len} bytes");
        }
    }
}
