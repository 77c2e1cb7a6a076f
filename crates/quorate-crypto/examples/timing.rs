//! Does the time of a partial depend on the share? A t-test in the manner of dudect
//! (Reparaz, Balasch, Verbauwhede 2017): two classes of shares, one fixed, one random, in random order;
//! Welch's t over all samples and over samples cropped at several percentiles.
//!
//! `cargo run --release -p quorate-crypto --example timing -- [samples for each class]`
//!
//! On a quiet core |t| below 5 is no evidence of a leak; above 10 is one. A multiplication that
//! skips zero bits runs through the same test, to show that the method sees what it should.
#![allow(clippy::unwrap_used)]

use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar};
use quorate_crypto::{
    EncodedPoint, SecretScalar,
    group::decode_point,
    tdh2::{Binding, Verified, encapsulate, partial, partial_batch, verify},
    voprf::{BlindedElement, evaluate},
};
use rand::RngExt;
use std::{hint::black_box, time::Instant};

fn main() {
    let samples = std::env::args().nth(1).map_or(100_000, |n| n.parse().unwrap());
    let rng = &mut rand::rng();
    let public = EncodedPoint::new(SecretScalar::random(rng).public()).unwrap();
    let binding = Binding::new(&[7; 32], b"key", 1, &public);
    let (ciphertext, _) = encapsulate(&binding, b"label", b"header", rng);
    let verified = verify(&binding, b"label", b"header", &ciphertext).unwrap();
    let u: [u8; 32] = ciphertext.to_bytes()[..32].try_into().unwrap();
    let point = decode_point(&u).unwrap();
    let batch: Vec<Verified> = vec![verified.clone(); 4];
    let elements = vec![BlindedElement::from_bytes(&u).unwrap(); 4];

    // Few bits set; and one that is the group order less one, where carries are longest.
    let classes = [
        ("1", Scalar::ONE),
        ("2^128", Scalar::from(1_u128 << 127) * Scalar::from(2_u8)),
        ("-1", -Scalar::ONE),
    ];
    let mut worst = 0.0_f64;
    for (name, fixed) in classes {
        let t = test(fixed, samples, |share| partial(share, &verified));
        println!("partial,       share {name:>5} or random: |t| = {t:.2}");
        worst = worst.max(t);
        let t = test(fixed, samples / 4, |share| partial_batch(share, &batch));
        println!("partial_batch, share {name:>5} or random: |t| = {t:.2}");
        worst = worst.max(t);
        let t = test(fixed, samples / 4, |share| evaluate(share, &elements));
        println!("evaluate,      share {name:>5} or random: |t| = {t:.2}");
        worst = worst.max(t);
    }
    let leak = test(Scalar::ONE, samples / 20, |s| leaky(s.expose(), &point));
    println!("a leaky multiplication, for comparison: |t| = {leak:.2}");
    assert!(leak > 50.0, "the method does not see a plain leak: its verdict means nothing");
    println!(
        "{}",
        if worst < 5.0 { "no evidence of a leak" } else { "look closer, on a quiet core" }
    );
}

/// The largest |t| over all crops.
fn test<T>(fixed: Scalar, samples: usize, operation: impl Fn(&SecretScalar) -> T) -> f64 {
    const BLOCK: usize = 1000;
    let rng = &mut rand::rng();
    let mut times: [Vec<f64>; 2] = Default::default();
    for block in 0..(2 * samples).div_ceil(BLOCK) + 1 {
        // All inputs lie ready, so that making them is not measured.
        let inputs: Vec<(usize, SecretScalar)> = (0..BLOCK)
            .map(|_| {
                let (class, random) = (rng.random_range(0..2), Scalar::random(rng));
                (class, SecretScalar::new(if class == 0 { fixed } else { random }))
            })
            .collect();
        for (class, share) in &inputs {
            let start = Instant::now();
            black_box(operation(black_box(share)));
            let nanoseconds = start.elapsed().as_nanos() as f64;
            if block > 0 {
                times[*class].push(nanoseconds); // the first block warms up
            }
        }
    }
    let mut all = times.concat();
    all.sort_by(f64::total_cmp);
    let crops = [0.5, 0.75, 0.9, 0.95, 0.99, 1.0];
    crops
        .iter()
        .map(|p| all[((all.len() - 1) as f64 * p) as usize])
        .map(|limit| welch(times.each_ref().map(|t| moments(t.iter().filter(|t| **t <= limit)))))
        .fold(0.0, f64::max)
}

/// Number, mean and variance.
fn moments<'a>(times: impl Iterator<Item = &'a f64>) -> (f64, f64, f64) {
    let (mut n, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for t in times {
        n += 1.0;
        let delta = t - mean;
        mean += delta / n;
        squares += delta * (t - mean);
    }
    (n, mean, squares / (n - 1.0))
}

fn welch([(n, a, va), (m, b, vb)]: [(f64, f64, f64); 2]) -> f64 {
    (a - b).abs() / (va / n + vb / m).sqrt()
}

/// Double and add, skipping the additions of zero bits: leaks the number of ones.
fn leaky(k: &Scalar, point: &RistrettoPoint) -> [u8; 32] {
    let mut sum = RistrettoPoint::default();
    for bit in (0..256).rev() {
        sum += sum;
        if k.as_bytes()[bit / 8] >> (bit % 8) & 1 == 1 {
            sum += point;
        }
    }
    sum.compress().0
}
