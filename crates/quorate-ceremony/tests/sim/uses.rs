//! What clients do with the key meanwhile: one use of its purpose, by a quorum of which one node may
//! lie. The lie is found and laid at that node's door, and without it the use comes out right; what
//! is to be the same for ever is so in every epoch.

use quorate_crypto::{
    SecretBytes, SecretScalar, Threshold,
    dleq::Proof,
    frost::{self, AggregateError, KeyShare, SigningSet},
    group::{B, decode_point, encode_point},
    sharing::Commitments,
    tdh2::{self, Binding, Combiner, OpenError},
    voprf::{self, Batch},
    wrap::{self, Scope, Wrapping},
};
use quorate_types::{NodeIndex, Purpose};
use rand::rngs::StdRng;

const INPUT: &[u8] = b"the same input, epoch by epoch";

/// A quorum's shares of one epoch, and whose answer is a lie.
pub(crate) struct Quorum<'a> {
    pub(crate) threshold: Threshold,
    pub(crate) commitments: &'a Commitments,
    pub(crate) shares: &'a [(NodeIndex, SecretScalar)],
    pub(crate) liar: Option<NodeIndex>,
}

/// Uses the key; gives what must never change, if there is such a thing.
pub(crate) fn of(
    purpose: Purpose,
    quorum: &Quorum<'_>,
    rng: &mut StdRng,
) -> Result<Option<Vec<u8>>, String> {
    match purpose {
        Purpose::Decrypt => quorum.decrypt(rng).map(|()| None),
        Purpose::Sign => quorum.sign(rng).map(|()| None),
        Purpose::Derive => quorum.derive(rng).map(Some),
        Purpose::Wrap => quorum.wrap(rng).map(Some),
    }
}

fn ensure(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

/// Another point than the right one.
fn lie(partials: &mut [[u8; 32]]) {
    for partial in partials {
        *partial = encode_point(&(decode_point(partial).unwrap() + B));
    }
}

impl Quorum<'_> {
    /// Partials of every node, those of the liar wrong, with the proof that each can give.
    fn answers<P>(
        &self,
        partials: impl Fn(&SecretScalar) -> Vec<[u8; 32]>,
        mut prove: P,
    ) -> Vec<(NodeIndex, Vec<[u8; 32]>, Proof)>
    where
        P: FnMut(NodeIndex, &SecretScalar, &[[u8; 32]]) -> Proof,
    {
        let one = |(node, share): &(NodeIndex, SecretScalar)| {
            let mut made = partials(share);
            if self.liar == Some(*node) {
                lie(&mut made);
            }
            let proof = prove(*node, share, &made);
            (*node, made, proof)
        };
        self.shares.iter().map(one).collect()
    }

    /// Exactly the liar's proof fails.
    fn named(&self, node: NodeIndex, holds: bool) -> Result<(), String> {
        let says = if holds { "goes unnoticed" } else { "is accused of a lie" };
        ensure(holds != (self.liar == Some(node)), &format!("node {node} {says}"))
    }

    fn honest(&self, partials: impl Fn(&SecretScalar) -> Vec<[u8; 32]>) -> Vec<[u8; 32]> {
        self.shares.iter().map(|(_, share)| partials(share)[0]).collect()
    }

    fn nodes(&self) -> Vec<NodeIndex> {
        self.shares.iter().map(|(node, _)| *node).collect()
    }

    fn decrypt(&self, rng: &mut StdRng) -> Result<(), String> {
        let public = self.commitments.constant().ristretto().copied().unwrap();
        let public = quorate_crypto::EncodedPoint::new(public).unwrap();
        let binding = Binding::new(&[7; 32], b"key", 1, &public);
        let (sealed, key) = tdh2::encapsulate(&binding, b"", b"head", rng);
        let verified = [tdh2::verify(&binding, b"", b"head", &sealed).map_err(|e| e.to_string())?];
        let partials = |share: &SecretScalar| vec![tdh2::partial(share, &verified[0])];
        let own = |node| self.commitments.ristretto_at(node).unwrap();
        let answers = self.answers(partials, |node, share, made| {
            tdh2::prove_partials(b"", share, &own(node), &verified, made, rng).unwrap()
        });
        let combiner = Combiner::new(self.threshold, &self.nodes()).unwrap();
        let open = |partials: &[[u8; 32]]| combiner.open(&binding, b"", b"head", &sealed, partials);
        let all: Vec<_> = answers.iter().map(|(_, made, _)| made[0]).collect();
        match open(&all) {
            Ok(opened) => {
                ensure(self.liar.is_none() && opened.expose() == key.expose(), "wrong key")?
            }
            Err(OpenError::Commitment) => ensure(self.liar.is_some(), "no lie, and no key")?,
            Err(other) => return Err(other.to_string()),
        }
        for (node, made, proof) in &answers {
            let holds = tdh2::verify_partials(b"", &own(*node), &verified, made, proof).is_ok();
            self.named(*node, holds)?;
        }
        let opened: SecretBytes<32> = open(&self.honest(partials)).map_err(|e| e.to_string())?;
        ensure(opened.expose() == key.expose(), "another payload key")
    }

    fn sign(&self, rng: &mut StdRng) -> Result<(), String> {
        let share = |(node, share): &(NodeIndex, SecretScalar)| {
            KeyShare::new(*node, share, self.threshold, self.commitments).unwrap()
        };
        let keys: Vec<_> = self.shares.iter().map(share).collect();
        let mut attempt = |liar: Option<NodeIndex>| {
            let drawn: Vec<_> = keys.iter().map(|key| frost::commit(key, b"", rng)).collect();
            let signers = keys.iter().zip(&drawn).map(|(key, (_, known))| (key.index(), *known));
            let set = SigningSet::new(INPUT, signers.collect());
            let mut shares = Vec::new();
            for (key, (pair, _)) in keys.iter().zip(drawn) {
                let mut made = frost::sign(pair, &set, key).unwrap();
                if liar == Some(key.index()) {
                    made[0] ^= 1;
                }
                shares.push((key.index(), made));
            }
            frost::aggregate(&set, &shares, self.threshold, self.commitments)
        };
        if let Some(liar) = self.liar {
            let named = attempt(Some(liar));
            ensure(named == Err(AggregateError::Cheaters(vec![liar])), &format!("{named:?}"))?;
        }
        let signature = attempt(None).map_err(|e| format!("{e:?}"))?;
        frost::verify(self.commitments.constant_bytes(), INPUT, &signature)
            .map_err(|e| e.to_string())
    }

    fn derive(&self, rng: &mut StdRng) -> Result<Vec<u8>, String> {
        let batch = Batch::new(&[INPUT], rng).map_err(|e| e.to_string())?;
        let partials = |share: &SecretScalar| voprf::evaluate(share, batch.elements());
        let own = |node| self.commitments.ristretto_at(node).unwrap();
        let answers = self.answers(partials, |node, share, made| {
            voprf::prove(share, &own(node), batch.elements(), made, rng).unwrap()
        });
        let mut verified = Vec::new();
        for (node, made, proof) in &answers {
            let good = batch.verify(&own(*node), made, proof);
            self.named(*node, good.is_ok())?;
            if let Ok(good) = good {
                verified.push((*node, good));
            }
        }
        if let Some(liar) = self.liar {
            ensure(batch.finalize(self.threshold, &verified).is_err(), "too few, and an output")?;
            // Another node would step in; here the same one, honest.
            let (node, share) = self.shares.iter().find(|(node, _)| *node == liar).unwrap();
            let made = partials(share);
            let proof = voprf::prove(share, &own(*node), batch.elements(), &made, rng).unwrap();
            verified.push((*node, batch.verify(&own(*node), &made, &proof).unwrap()));
        }
        let outputs = batch.finalize(self.threshold, &verified).map_err(|e| e.to_string())?;
        Ok(outputs[0].expose().to_vec())
    }

    fn wrap(&self, rng: &mut StdRng) -> Result<Vec<u8>, String> {
        let scope = Scope::new(&[7; 32], b"key", 1, b"");
        let points = [scope.point(&[9; 16]).map_err(|e| e.to_string())?];
        let partials = |share: &SecretScalar| wrap::partials(share, &points);
        let own = |node| self.commitments.ristretto_at(node).unwrap();
        let answers = self.answers(partials, |node, share, made| {
            wrap::prove(b"", share, &own(node), &points, made, rng).unwrap()
        });
        for (node, made, proof) in &answers {
            let holds = wrap::verify(b"", &own(*node), &points, made, proof).is_ok();
            self.named(*node, holds)?;
        }
        let combiner = Combiner::new(self.threshold, &self.nodes()).unwrap();
        let commitment = |partials: &[[u8; 32]]| {
            let wrapping = Wrapping { header: b"", nonce: [9; 16], partials };
            let key = scope.keys(&combiner, &[wrapping]).remove(0).map_err(|e| e.to_string())?;
            Ok::<_, String>(key.commitment().to_vec())
        };
        let right = commitment(&self.honest(partials))?;
        let all: Vec<_> = answers.iter().map(|(_, made, _)| made[0]).collect();
        ensure((commitment(&all)? == right) == self.liar.is_none(), "a lie gives the right key")?;
        Ok(right)
    }
}
