//! What the primitives cost on one core. `cargo bench -p quorate-crypto`.
#![allow(missing_docs, clippy::unwrap_used)] // criterion's macros; a bench

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use curve25519_dalek::ristretto::RistrettoPoint;
use quorate_crypto::{
    EncodedPoint, SecretScalar, ShareIndex, Threshold,
    dealing::{Dealing, DealingParams, Receivers, VerifiedDealing, deal},
    dleq,
    group::Group,
    sharing::{Polynomial, combine_points},
};
use std::hint::black_box;

/// Committee sizes: small, usual, large, the largest.
const COMMITTEES: [(u16, usize); 4] = [(2, 3), (3, 5), (7, 13), (33, 64)];

struct Scene {
    t: Threshold,
    secrets: Vec<SecretScalar>,
    receivers: Receivers,
    polynomial: Polynomial,
}

impl Scene {
    fn of(t: u16, n: usize) -> Self {
        let rng = &mut rand::rng();
        let t = Threshold::new(t, n).unwrap();
        let secrets: Vec<_> = (0..n).map(|_| SecretScalar::random(rng)).collect();
        let keys = secrets.iter().map(|s| EncodedPoint::new(s.public()).unwrap());
        let receivers = Receivers::new((1..).map(index).zip(keys).collect()).unwrap();
        let polynomial = Polynomial::random(t, &SecretScalar::random(rng), rng).unwrap();
        Self { t, secrets, receivers, polynomial }
    }

    fn params(&self) -> DealingParams<'_> {
        DealingParams::new(Group::Ristretto255, [1; 32], index(1), [2; 32], self.t, &self.receivers)
            .unwrap()
    }

    fn deal(&self) -> Dealing {
        deal(&self.params(), &self.polynomial, &mut rand::rng()).unwrap()
    }
}

fn index(i: u16) -> ShareIndex {
    ShareIndex::new(i).unwrap()
}

fn dealing(c: &mut Criterion) {
    let mut group = c.benchmark_group("dealing");
    for (t, n) in COMMITTEES {
        let scene = Scene::of(t, n);
        let id = |name| BenchmarkId::new(name, format!("{t}-of-{n}"));
        group.bench_function(id("deal"), |b| b.iter(|| scene.deal()));
        let bytes = scene.deal().to_bytes();
        let verify = || -> VerifiedDealing {
            Dealing::from_bytes(&bytes).unwrap().verify(&scene.params(), None).unwrap()
        };
        group.bench_function(id("verify"), |b| b.iter(verify));
        let verified = verify();
        let open = || verified.open(index(1), &scene.secrets[0]).unwrap();
        group.bench_function(id("open"), |b| b.iter(open));
    }
    group.finish();
}

fn sharing(c: &mut Criterion) {
    let mut group = c.benchmark_group("sharing");
    for (t, n) in COMMITTEES {
        let scene = Scene::of(t, n);
        let id = |name| BenchmarkId::new(name, format!("{t}-of-{n}"));
        let commitments = scene.polynomial.commit(Group::Ristretto255);
        let share = scene.polynomial.evaluate(index(n as u16));
        let verify = || commitments.verify_share(index(n as u16), &share);
        group.bench_function(id("verify_share"), |b| b.iter(verify));
        group.bench_function(id("at"), |b| b.iter(|| commitments.at(index(n as u16))));
        let partial = |i| (index(i), scene.polynomial.evaluate(index(i)).public());
        let points: Vec<_> = (1..=t).map(partial).collect();
        let combine = || combine_points(scene.t, black_box(&points)).unwrap();
        group.bench_function(id("combine_points"), |b| b.iter(combine));
    }
    group.finish();
}

fn dleq_batches(c: &mut Criterion) {
    let mut group = c.benchmark_group("dleq");
    for n in [1, 8, 64, 512] {
        let rng = &mut rand::rng();
        let secret = SecretScalar::random(rng);
        let encode = |p: RistrettoPoint| EncodedPoint::new(p).unwrap();
        let public = encode(secret.public());
        let inputs: Vec<_> = (0..n).map(|_| encode(RistrettoPoint::random(rng))).collect();
        let outputs: Vec<_> = inputs.iter().map(|c| encode(c.point() * secret.expose())).collect();
        let prove = || {
            let rng = &mut rand::rng();
            dleq::prove_encoded(b"bench", &secret, &public, &inputs, &outputs, rng).unwrap()
        };
        group.bench_function(BenchmarkId::new("prove", n), |b| b.iter(prove));
        let proof = prove();
        let verify = || dleq::verify_encoded(b"bench", &public, &inputs, &outputs, &proof);
        group.bench_function(BenchmarkId::new("verify", n), |b| b.iter(verify));
    }
    group.finish();
}

criterion_group!(primitives, dealing, sharing, dleq_batches);
criterion_main!(primitives);
