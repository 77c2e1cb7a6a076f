//! The floor that the mathematics sets on this machine: the primitives' own cost, summed
//! over `t` nodes and the client, measured in the same run as what it is compared with.

use quorate_crypto::{
    EncodedPoint, IdentityKey, SecretScalar, ShareIndex, Threshold,
    answer::{AnswerKey, OpeningSession, ReplyKey, SealingSession},
    hash::Label,
    merkle::merkle_root,
    tdh2::{self, Binding, Ciphertext, Combiner},
};
use rand::rngs::SysRng;
use rand_core::UnwrapErr;
use serde_json::{Value, json};
use std::{
    hint::black_box,
    io::Write,
    path::Path,
    time::{Duration, Instant},
};

/// What one decrypt request costs in mathematics.
#[derive(Debug, Clone)]
pub struct Floor {
    /// Items in the request.
    pub items: usize,
    /// Nodes that answer.
    pub threshold: u16,
    /// One node: signature, ciphertext proofs, partials, sealing.
    pub node: Duration,
    /// The client: signature, opening, combination, unwrapping.
    pub client: Duration,
}

impl Floor {
    /// Processor time of the whole request.
    #[must_use]
    pub fn total(&self) -> Duration {
        self.node * u32::from(self.threshold) + self.client
    }

    /// For `--output json`.
    #[must_use]
    pub fn json(&self) -> Value {
        json!({
            "items": self.items,
            "threshold": self.threshold,
            "node_us": micros(self.node),
            "client_us": micros(self.client),
            "total_us": micros(self.total()),
        })
    }
}

/// Microseconds, to a tenth.
#[must_use]
pub fn micros(d: Duration) -> f64 {
    (d.as_nanos() as f64 / 100.0).round() / 10.0
}

/// Median time of `work` over `rounds`.
fn median<T>(rounds: usize, mut work: impl FnMut() -> T) -> Duration {
    let mut times: Vec<Duration> = (0..rounds)
        .map(|_| {
            let begun = Instant::now();
            black_box(work());
            begun.elapsed()
        })
        .collect();
    times.sort_unstable();
    times[times.len() / 2]
}

/// A key of `t` shares, made here for measuring only.
struct Bed {
    shares: Vec<(ShareIndex, SecretScalar)>,
    public: EncodedPoint,
    threshold: Threshold,
}

fn bed(t: u16) -> Bed {
    let mut rng = UnwrapErr(SysRng);
    // Any t scalars are shares of some key of threshold t; its public key is combined
    // from theirs.
    let shares: Vec<_> = (1..=t)
        .filter_map(|i| Some((ShareIndex::new(i).ok()?, SecretScalar::random(&mut rng))))
        .collect();
    let threshold = Threshold::new(t, usize::from(t)).expect("a measured threshold is 2 or more");
    let points: Vec<_> = shares.iter().map(|(i, s)| (*i, s.public())).collect();
    let public = quorate_crypto::sharing::combine_points(threshold, &points)
        .expect("t shares of distinct nodes combine");
    Bed {
        shares,
        public: EncodedPoint::new(public).expect("random shares do not cancel"),
        threshold,
    }
}

/// Measures the floor of a decrypt request of `items` ciphertexts at threshold `t`.
#[must_use]
pub fn decrypt(t: u16, items: usize) -> Floor {
    let mut rng = UnwrapErr(SysRng);
    let bed = bed(t);
    let fingerprint = [7; 32];
    let binding = Binding::new(&fingerprint, b"bench", 1, &bed.public);
    let header = vec![0u8; 40];
    let sealed: Vec<Ciphertext> =
        (0..items).map(|_| tdh2::encapsulate(&binding, b"", &header, &mut rng).0).collect();
    let batch: Vec<(&[u8], Ciphertext)> =
        sealed.iter().map(|c| (header.as_slice(), c.clone())).collect();
    let rounds = if items == 1 { 101 } else { 7 };

    let client_key = IdentityKey::generate(&mut rng);
    let head = vec![1u8; 300];
    let signature = client_key.sign(Label::SIG_REQUEST, &fingerprint, &head);
    let (answer_key, reply_key) = (AnswerKey::generate(&mut rng), ReplyKey::generate(&mut rng));
    let session = SealingSession::new(&answer_key, &reply_key.public(), b"", &mut rng)
        .expect("a fresh reply key is no small-order point");
    let opening =
        OpeningSession::new(&reply_key, &answer_key.public(), &session.encapsulated(), b"")
            .expect("a fresh answer key is no small-order point");
    let plain = vec![0u8; 32 * items + 8];

    let node = median(rounds, || {
        let verified =
            client_key.public().verify(Label::SIG_REQUEST, &fingerprint, &head, &signature);
        let checked = if items == 1 {
            vec![tdh2::verify(&binding, b"", batch[0].0, &batch[0].1).expect("made above")]
        } else {
            tdh2::verify_batch(&binding, b"", &batch, &mut UnwrapErr(SysRng)).expect("made above")
        };
        let partials = tdh2::partial_batch(&bed.shares[0].1, &checked);
        (verified, partials, session.seal(b"", &plain))
    });
    let checked: Vec<_> = (batch.iter())
        .map(|(h, c)| tdh2::verify(&binding, b"", h, c).expect("made above"))
        .collect();
    let partials: Vec<Vec<[u8; 32]>> = (0..items)
        .map(|i| bed.shares.iter().map(|(_, s)| tdh2::partial(s, &checked[i])).collect())
        .collect();
    let nodes: Vec<ShareIndex> = bed.shares.iter().map(|(i, _)| *i).collect();
    let (counter, answer) = session.seal(b"", &plain).expect("far from 2^32 answers");
    let bytes: Vec<[u8; 240]> = sealed.iter().map(Ciphertext::to_bytes).collect();
    let client = median(rounds, || {
        let root = merkle_root(&bytes);
        let signature = client_key.sign(Label::SIG_REQUEST, &fingerprint, &head);
        for _ in 0..t {
            black_box(opening.open(counter, b"", &answer)).expect("sealed above");
        }
        let combiner = Combiner::new(bed.threshold, &nodes).expect("t distinct nodes");
        let items: Vec<_> =
            (batch.iter().zip(&partials)).map(|((h, c), p)| (*h, c, p.as_slice())).collect();
        let opened = combiner.open_batch(&binding, b"", &items);
        assert!(opened.iter().all(Result::is_ok), "the floor measures work that succeeds");
        (root, signature, opened)
    });
    Floor { items, threshold: t, node, client }
}

/// Median time of one durable 200-byte append where the system keeps temporary files: the
/// flush that every answer of a node waits for.
///
/// # Errors
/// When the directory cannot be written.
pub fn flush(dir: &Path) -> std::io::Result<Duration> {
    let mut file = tempfile::tempfile_in(dir)?;
    file.write_all(&[0; 4096])?;
    file.sync_all()?;
    let mut times = Vec::new();
    for _ in 0..51 {
        let begun = Instant::now();
        file.write_all(&[0x5a; 200])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    times.sort_unstable();
    Ok(times[times.len() / 2])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_floor_has_a_part_for_node_and_client() {
        let one = decrypt(3, 1);
        assert!(one.node > Duration::ZERO && one.client > Duration::ZERO);
    }
}
