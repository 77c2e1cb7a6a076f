//! What TDH2, streams and answers cost: `cargo bench -p quorate-crypto --bench tdh2`.
#![allow(missing_docs, clippy::unwrap_used)]

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use curve25519_dalek::scalar::Scalar;
use quorate_crypto::{
    EncodedPoint, SecretBytes, SecretScalar, ShareIndex, Threshold,
    answer::{AnswerKey, OpeningSession, ReplyKey, SealingSession},
    stream::{CHUNK_LEN, Opener, Sealer, TAG_LEN},
    tdh2::{
        Binding, Ciphertext, Combiner, Verified, encapsulate, partial, partial_batch,
        prove_partials, verify, verify_batch, verify_partials,
    },
};
use std::hint::black_box;

const LABEL: &[u8] = b"tenant=acme";
const HEADER: &[u8] = b"a header of about the usual length, sixty-four bytes or thereabouts";
const BATCH: usize = 256;

/// 3 of 5.
struct Fixture {
    coefficients: [Scalar; 3],
    public: EncodedPoint,
}

impl Fixture {
    fn new() -> Self {
        let coefficients = [(); 3].map(|()| Scalar::random(&mut rand::rng()));
        let public = EncodedPoint::new(SecretScalar::new(coefficients[0]).public()).unwrap();
        Self { coefficients, public }
    }

    fn share(&self, i: u16) -> SecretScalar {
        let [a, b, c] = self.coefficients;
        SecretScalar::new(a + Scalar::from(i) * (b + Scalar::from(i) * c))
    }

    fn binding(&self) -> Binding<'_> {
        Binding::new(&[7; 32], b"payments/cards", 1, &self.public)
    }
}

fn tdh2(c: &mut Criterion) {
    let fixture = Fixture::new();
    let (binding, rng) = (fixture.binding(), &mut rand::rng());
    let mut g = c.benchmark_group("tdh2");
    g.bench_function("encapsulate", |b| b.iter(|| encapsulate(&binding, LABEL, HEADER, rng)));

    let (ciphertext, _) = encapsulate(&binding, LABEL, HEADER, rng);
    g.bench_function("verify", |b| {
        b.iter(|| verify(&binding, LABEL, HEADER, black_box(&ciphertext)).unwrap())
    });
    let verified = verify(&binding, LABEL, HEADER, &ciphertext).unwrap();
    let share = fixture.share(1);
    g.bench_function("partial", |b| b.iter(|| partial(black_box(&share), &verified)));

    let (one, public) = ([verified.clone()], EncodedPoint::new(share.public()).unwrap());
    let answers = [partial(&share, &verified)];
    g.bench_function("prove_partials of 1", |b| {
        b.iter(|| prove_partials(b"ctx", &share, &public, &one, &answers, rng).unwrap())
    });
    let proof = prove_partials(b"ctx", &share, &public, &one, &answers, rng).unwrap();
    g.bench_function("verify_partials of 1", |b| {
        b.iter(|| verify_partials(b"ctx", &public, &one, &answers, &proof).unwrap())
    });

    let nodes = [1, 2, 3].map(|i| ShareIndex::new(i).unwrap());
    let partials = [1, 2, 3].map(|i| partial(&fixture.share(i), &verified));
    let threshold = Threshold::new(3, 5).unwrap();
    g.bench_function("combiner for 3 nodes", |b| {
        b.iter(|| Combiner::new(threshold, black_box(&nodes)).unwrap())
    });
    let combiner = Combiner::new(threshold, &nodes).unwrap();
    g.bench_function("open with 3 partials", |b| {
        b.iter(|| combiner.open(&binding, LABEL, HEADER, &ciphertext, &partials).unwrap())
    });
}

fn tdh2_batch(c: &mut Criterion) {
    let fixture = Fixture::new();
    let (binding, rng) = (fixture.binding(), &mut rand::rng());
    let items: Vec<(&[u8], Ciphertext)> =
        (0..BATCH).map(|_| (HEADER, encapsulate(&binding, LABEL, HEADER, rng).0)).collect();
    let mut g = c.benchmark_group(format!("tdh2, batch of {BATCH}"));
    g.throughput(Throughput::Elements(BATCH as u64)).sample_size(30);
    g.bench_function("verify_batch", |b| {
        b.iter(|| verify_batch(&binding, LABEL, &items, rng).unwrap())
    });
    let verified: Vec<Verified> = verify_batch(&binding, LABEL, &items, rng).unwrap();
    let share = fixture.share(1);
    let public = EncodedPoint::new(share.public()).unwrap();
    g.bench_function("partial_batch", |b| b.iter(|| partial_batch(&share, &verified)));
    let partials = partial_batch(&share, &verified);
    g.bench_function("prove_partials", |b| {
        b.iter(|| prove_partials(b"ctx", &share, &public, &verified, &partials, rng).unwrap())
    });
    let proof = prove_partials(b"ctx", &share, &public, &verified, &partials, rng).unwrap();
    g.bench_function("verify_partials", |b| {
        b.iter(|| verify_partials(b"ctx", &public, &verified, &partials, &proof).unwrap())
    });

    let nodes = [1, 2, 3].map(|i| ShareIndex::new(i).unwrap());
    let by_node = [1, 2, 3].map(|i| partial_batch(&fixture.share(i), &verified));
    let points: Vec<_> = (0..BATCH).map(|i| by_node.each_ref().map(|p| p[i])).collect();
    let asked: Vec<_> = items.iter().zip(&points).map(|((h, c), p)| (*h, c, &p[..])).collect();
    let combiner = Combiner::new(Threshold::new(3, 5).unwrap(), &nodes).unwrap();
    g.bench_function("open_batch with 3 partials each", |b| {
        b.iter(|| combiner.open_batch(&binding, LABEL, &asked))
    });
}

fn stream(c: &mut Criterion) {
    let key = SecretBytes::new([1; 32]);
    let mut buffer = Vec::with_capacity(CHUNK_LEN + TAG_LEN);
    let mut g = c.benchmark_group("stream");
    g.throughput(Throughput::Bytes(CHUNK_LEN as u64));
    g.bench_function("seal a chunk", |b| {
        let mut sealer = Sealer::new(&key);
        b.iter(|| {
            buffer.resize(CHUNK_LEN, 0);
            sealer.seal_chunk(&mut buffer, false).unwrap();
        })
    });
    let sealed = {
        let mut chunk = vec![0; CHUNK_LEN];
        Sealer::new(&key).seal_chunk(&mut chunk, false).unwrap();
        chunk
    };
    g.bench_function("copy and open a chunk", |b| {
        b.iter(|| {
            buffer.clear();
            buffer.extend_from_slice(&sealed);
            Opener::new(&key).open_chunk(&mut buffer, false).unwrap();
        })
    });
}

fn answer(c: &mut Criterion) {
    let rng = &mut rand::rng();
    let (node, client) = (AnswerKey::generate(rng), ReplyKey::generate(rng));
    let mut g = c.benchmark_group("answer");
    g.bench_function("set a session up", |b| {
        b.iter(|| SealingSession::new(&node, &client.public(), b"info", rng).unwrap())
    });
    let sealing = SealingSession::new(&node, &client.public(), b"info", rng).unwrap();
    g.bench_function("seal 32 bytes", |b| b.iter(|| sealing.seal(b"request", &[7; 32]).unwrap()));
    let encapsulated = sealing.encapsulated();
    g.bench_function("find a session again", |b| {
        b.iter(|| OpeningSession::new(&client, &node.public(), &encapsulated, b"info").unwrap())
    });
    let opening = OpeningSession::new(&client, &node.public(), &encapsulated, b"info").unwrap();
    let (counter, sealed) = sealing.seal(b"request", &[7; 32]).unwrap();
    g.bench_function("open 32 bytes", |b| {
        b.iter(|| opening.open(counter, b"request", &sealed).unwrap())
    });
}

criterion_group!(benches, tdh2, tdh2_batch, stream, answer);
criterion_main!(benches);
