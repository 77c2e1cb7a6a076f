//! The slow, obviously right model: no batching, no tables, no shared code with the crate
//! but the group, the hash and the cipher. It writes the vectors, and it is the
//! malicious dealer of the tests: it deals whatever it is told.
#![allow(dead_code, unreachable_pub)] // each test binary uses a part

use chacha20poly1305::{
    ChaCha20Poly1305, KeyInit,
    aead::{Aead, Payload},
};
use curve25519_dalek::{
    constants::RISTRETTO_BASEPOINT_POINT as B, ristretto::RistrettoPoint, scalar::Scalar,
};
use hkdf::Hkdf;
use sha2::{Digest, Sha512};

pub const LABEL: &str = "quorate/v1/";

pub fn h(label: &str, parts: &[&[u8]]) -> [u8; 64] {
    let label = format!("{LABEL}{label}");
    let mut input = (label.len() as u64).to_be_bytes().to_vec();
    input.extend(label.as_bytes());
    for part in parts {
        input.extend((part.len() as u64).to_be_bytes());
        input.extend(*part);
    }
    Sha512::digest(input).into()
}

pub fn h32(label: &str, parts: &[&[u8]]) -> [u8; 32] {
    h(label, parts)[..32].try_into().unwrap()
}

pub fn h_scalar(label: &str, parts: &[&[u8]]) -> Scalar {
    Scalar::from_bytes_mod_order_wide(&h(label, parts))
}

pub fn enc(point: &RistrettoPoint) -> [u8; 32] {
    point.compress().0
}

/// `x^k` by multiplying k times.
pub fn power(x: u16, k: usize) -> Scalar {
    (0..k).fold(Scalar::ONE, |acc, _| acc * Scalar::from(x))
}

/// `Σ a_k·x^k`, term by term.
pub fn evaluate(coefficients: &[Scalar], x: u16) -> Scalar {
    coefficients.iter().enumerate().map(|(k, a)| a * power(x, k)).sum()
}

pub fn commit(coefficients: &[Scalar]) -> Vec<RistrettoPoint> {
    coefficients.iter().map(|a| a * B).collect()
}

/// `Σ x^k·C_k`, term by term.
pub fn commitment_at(commitments: &[RistrettoPoint], x: u16) -> RistrettoPoint {
    commitments.iter().enumerate().map(|(k, c)| power(x, k) * c).sum()
}

/// `λ_i` one by one, one inversion for each factor.
pub fn lagrange(indices: &[u16]) -> Vec<Scalar> {
    let factor = |i: u16, j: u16| Scalar::from(j) * (Scalar::from(j) - Scalar::from(i)).invert();
    let others = |i: u16| indices.iter().filter(move |j| **j != i);
    indices.iter().map(|i| others(*i).map(|j| factor(*i, *j)).product()).collect()
}

pub struct Schnorr {
    pub nonce: Scalar,
    pub r: RistrettoPoint,
    pub proof: [u8; 64],
}

pub fn schnorr(label: &str, parts: &[&[u8]], secret: &Scalar, fresh: &[u8; 32]) -> Schnorr {
    let full = format!("{LABEL}{label}");
    let key = secret.to_bytes();
    let mut nonce_parts: Vec<&[u8]> = vec![fresh, &key, full.as_bytes()];
    nonce_parts.extend(parts);
    let nonce = h_scalar("schnorr/nonce.", &nonce_parts);
    let r = nonce * B;
    let (p, r_bytes) = (enc(&(secret * B)), enc(&r));
    let mut challenge_parts = parts.to_vec();
    challenge_parts.extend([&p[..], &r_bytes]);
    let c = h_scalar(label, &challenge_parts);
    Schnorr { nonce, r, proof: pair(&c, &(nonce + c * secret)) }
}

pub struct Dleq {
    pub seed: [u8; 64],
    pub weights: Vec<Scalar>,
    pub m: RistrettoPoint,
    pub z: RistrettoPoint,
    pub nonce: Scalar,
    pub a: RistrettoPoint,
    pub a_bar: RistrettoPoint,
    pub proof: [u8; 64],
}

pub fn dleq(
    context: &[u8],
    secret: &Scalar,
    inputs: &[RistrettoPoint],
    outputs: &[RistrettoPoint],
    fresh: &[u8; 32],
) -> Dleq {
    let join = |ps: &[RistrettoPoint]| ps.iter().flat_map(enc).collect::<Vec<u8>>();
    let public = enc(&(secret * B));
    let parts: [&[u8]; 5] = [context, &enc(&B), &public, &join(inputs), &join(outputs)];
    let seed = h("dleq/seed.", &parts);
    let weight = |i: usize| {
        let mut low = [0; 32];
        low[..16].copy_from_slice(&h("dleq/weight.", &[&seed, &(i as u32).to_be_bytes()])[..16]);
        if i == 0 { Scalar::ONE } else { Scalar::from_bytes_mod_order(low) }
    };
    let weights: Vec<Scalar> = (0..inputs.len()).map(weight).collect();
    let fold = |ps: &[RistrettoPoint]| weights.iter().zip(ps).map(|(w, p)| w * p).sum();
    let (m, z): (RistrettoPoint, RistrettoPoint) = (fold(inputs), fold(outputs));
    let nonce = h_scalar("dleq/nonce.", &[fresh, &secret.to_bytes(), &seed]);
    let (a, a_bar) = (nonce * B, nonce * m);
    let c = h_scalar("dleq/challenge.", &[&seed, &enc(&m), &enc(&z), &enc(&a), &enc(&a_bar)]);
    let proof = pair(&c, &(nonce - c * secret));
    Dleq { seed, weights, m, z, nonce, a, a_bar, proof }
}

fn pair(c: &Scalar, s: &Scalar) -> [u8; 64] {
    [c.to_bytes(), s.to_bytes()].concat().try_into().unwrap()
}

/// What the model deals; every field can be a lie.
#[derive(Clone)]
pub struct Deal {
    pub ctx: [u8; 32],
    pub dealer: u16,
    pub identity: [u8; 32],
    pub coefficients: Vec<Scalar>,
    pub receivers: Vec<(u16, RistrettoPoint)>,
    /// The 32 bytes drawn for each proof of knowledge and the ephemeral secret, in order.
    pub fresh: [[u8; 32]; 3],
}

#[derive(Clone)]
pub struct Sealed {
    pub index: u16,
    pub value: [u8; 32],
    pub shared: RistrettoPoint,
    pub binding: [u8; 64],
    pub key: [u8; 32],
    pub sealed: Vec<u8>,
}

pub struct Dealt {
    pub commitments: Vec<[u8; 32]>,
    pub statement: [u8; 32],
    pub knowledge: Schnorr,
    pub ephemeral_secret: Scalar,
    pub ephemeral: RistrettoPoint,
    pub sealed: Vec<Sealed>,
    pub ephemeral_knowledge: Schnorr,
    pub bytes: Vec<u8>,
}

impl Deal {
    pub fn statement(&self) -> [u8; 32] {
        let concat = commit(&self.coefficients).iter().flat_map(enc).collect::<Vec<u8>>();
        let parts: [&[u8]; 4] = [&self.ctx, &self.dealer.to_be_bytes(), &self.identity, &concat];
        h32("dealing/statement.", &parts)
    }

    pub fn deal(&self) -> Dealt {
        self.deal_values(|_, honest| honest)
    }

    /// Deals `lie(index, honest value)` instead of the honest values, with proofs that hold.
    pub fn deal_values(&self, lie: impl Fn(u16, [u8; 32]) -> [u8; 32]) -> Dealt {
        let statement = self.statement();
        let knowledge =
            schnorr("dealing/pok.", &[&statement], &self.coefficients[0], &self.fresh[0]);
        let polynomial: Vec<u8> = self.coefficients.iter().flat_map(Scalar::to_bytes).collect();
        let parts: [&[u8]; 3] = [&self.fresh[1], &polynomial, &statement];
        let ephemeral_secret = h_scalar("dealing/ephemeral-secret.", &parts);
        let ephemeral = ephemeral_secret * B;
        let seal_one = |(index, key): &(u16, RistrettoPoint)| {
            let value = lie(*index, evaluate(&self.coefficients, *index).to_bytes());
            seal(&statement, &ephemeral, *index, key, &(ephemeral_secret * key), value)
        };
        let sealed: Vec<Sealed> = self.receivers.iter().map(seal_one).collect();
        let commitments: Vec<_> = commit(&self.coefficients).iter().map(enc).collect();
        let mut bytes = (commitments.len() as u16).to_be_bytes().to_vec();
        bytes.extend(commitments.as_flattened());
        bytes.extend(knowledge.proof);
        bytes.extend(enc(&ephemeral));
        bytes.extend((sealed.len() as u16).to_be_bytes());
        for s in &sealed {
            bytes.extend(s.index.to_be_bytes());
            bytes.extend(&s.sealed);
        }
        let bound: [&[u8]; 2] = [&statement, &bytes];
        let ephemeral_knowledge =
            schnorr("dealing/ephemeral.", &bound, &ephemeral_secret, &self.fresh[2]);
        bytes.extend(ephemeral_knowledge.proof);
        Dealt {
            commitments,
            statement,
            knowledge,
            ephemeral_secret,
            ephemeral,
            sealed,
            ephemeral_knowledge,
            bytes,
        }
    }
}

pub fn seal(
    statement: &[u8; 32],
    ephemeral: &RistrettoPoint,
    index: u16,
    key: &RistrettoPoint,
    shared: &RistrettoPoint,
    value: [u8; 32],
) -> Sealed {
    let parts: [&[u8]; 4] = [statement, &enc(ephemeral), &index.to_be_bytes(), &enc(key)];
    let binding = h("dealing/seal.", &parts);
    let salt = format!("{LABEL}dealing/seal.");
    let mut key = [0; 32];
    Hkdf::<Sha512>::new(Some(salt.as_bytes()), &enc(shared)).expand(&binding, &mut key).unwrap();
    let payload = Payload { msg: &value, aad: &binding };
    let sealed = ChaCha20Poly1305::new(&key.into()).encrypt(&[0; 12].into(), payload).unwrap();
    Sealed { index, value, shared: *shared, binding, key, sealed }
}

/// The context of a complaint's proof.
pub fn complaint_context(ctx: &[u8; 32], dealing: &[u8], statement: &[u8; 32], j: u16) -> [u8; 64] {
    let name = h32("dealing/hash.", &[ctx, dealing]);
    h("dealing/complaint.", &[&name, statement, &j.to_be_bytes()])
}

/// The generator of the vectors: blocks `SHA-512(seed ‖ u64 counter)`, counter from 0,
/// big-endian, strung together.
pub struct VectorRng {
    seed: &'static str,
    counter: u64,
    rest: Vec<u8>,
}

impl VectorRng {
    pub fn new(seed: &'static str) -> Self {
        Self { seed, counter: 0, rest: Vec::new() }
    }

    pub fn bytes<const N: usize>(&mut self) -> [u8; N] {
        let mut out = [0; N];
        self.fill(&mut out);
        out
    }

    pub fn scalar(&mut self) -> Scalar {
        Scalar::from_bytes_mod_order_wide(&self.bytes())
    }

    fn fill(&mut self, out: &mut [u8]) {
        while self.rest.len() < out.len() {
            let block = [self.seed.as_bytes(), &self.counter.to_be_bytes()].concat();
            self.rest.extend(Sha512::digest(block));
            self.counter += 1;
        }
        out.copy_from_slice(&self.rest[..out.len()]);
        self.rest.drain(..out.len());
    }
}

impl rand_core::TryRng for VectorRng {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        Ok(u32::from_le_bytes(self.bytes()))
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        Ok(u64::from_le_bytes(self.bytes()))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Self::Error> {
        self.fill(out);
        Ok(())
    }
}

impl rand_core::TryCryptoRng for VectorRng {}
