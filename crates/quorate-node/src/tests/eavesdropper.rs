//! Whoever sees what one node signs, and with what: each signature share is a linear equation
//! about the node's share and two nonces, and everything else in it is public.

use curve25519_dalek::{
    edwards::{CompressedEdwardsY, EdwardsPoint},
    scalar::Scalar,
};
use quorate_crypto::{SecretScalar, ShareIndex, sharing::lagrange_at_zero};
use sha2::{Digest, Sha512};
use std::collections::BTreeMap;

/// A signer with its commitments, hiding ‖ binding.
pub(crate) type Signer = (ShareIndex, [u8; 64]);

/// What the equations are about. Nonces are told apart by what was committed to: wherever the same
/// point comes again, it is the same nonce.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unknown {
    Nonce([u8; 32]),
    Share,
}

/// A sum of unknowns, and what it is.
struct Equation {
    terms: BTreeMap<Unknown, Scalar>,
    equals: Scalar,
}

/// Listens to one node, in one epoch of a key.
pub(crate) struct Eavesdropper {
    node: ShareIndex,
    key: [u8; 32],
    /// By its first unknown, which has the factor 1.
    known: BTreeMap<Unknown, Equation>,
}

impl Eavesdropper {
    pub(crate) fn of(node: ShareIndex, key: &[u8; 32]) -> Self {
        Self { node, key: *key, known: BTreeMap::new() }
    }

    /// `z_i = d + ρ_i·e + λ_i·c·s_i` (RFC 9591 §5.2).
    pub(crate) fn hears(&mut self, message: &[u8], signers: &[Signer], z: &[u8; 32]) {
        let nodes: Vec<ShareIndex> = signers.iter().map(|(node, _)| *node).collect();
        let at = nodes.iter().position(|node| *node == self.node).unwrap();
        let (rho, c) = self.factors(message, signers, at);
        let lambda = lagrange_at_zero(&nodes).unwrap()[at];
        let (d, e) = halves(&signers[at].1);
        let mut terms = BTreeMap::from([(Unknown::Share, lambda * c)]);
        for (point, factor) in [(d, Scalar::ONE), (e, rho)] {
            *terms.entry(Unknown::Nonce(point)).or_default() += factor;
        }
        self.learns(Equation { terms, equals: Scalar::from_canonical_bytes(*z).unwrap() });
    }

    /// The node's share, if it follows from what was heard.
    pub(crate) fn share(&self) -> Option<SecretScalar> {
        // Nothing comes after the share: an equation that begins with it is about nothing else.
        self.known.get(&Unknown::Share).map(|known| SecretScalar::new(known.equals))
    }

    fn learns(&mut self, mut new: Equation) {
        let mut rest: Option<Unknown> = new.terms.keys().next().copied();
        let mut first = None;
        while let Some(unknown) = rest {
            let factor = new.terms[&unknown];
            match self.known.get(&unknown) {
                Some(known) => {
                    for (of, f) in &known.terms {
                        *new.terms.entry(*of).or_default() -= factor * f;
                    }
                    new.equals -= factor * known.equals;
                }
                None if factor != Scalar::ZERO => first = first.or(Some(unknown)),
                None => {}
            }
            rest = new.terms.range(unknown..).nth(1).map(|(of, _)| *of);
        }
        let Some(first) = first else { return };
        let inverse = new.terms[&first].invert();
        new.terms.retain(|_, f| *f != Scalar::ZERO);
        new.terms.values_mut().for_each(|f| *f *= inverse);
        new.equals *= inverse;
        self.known.insert(first, new);
    }

    /// `ρ_i` and `c`, by the RFC's text (§4.4, §4.6, §6.1).
    fn factors(&self, message: &[u8], signers: &[Signer], at: usize) -> (Scalar, Scalar) {
        let number = |node: ShareIndex| Scalar::from(node.get()).to_bytes();
        let encoded: Vec<u8> = signers
            .iter()
            .flat_map(|(i, points)| [&number(*i)[..], &points[..]].concat())
            .collect();
        let (h4, h5) = (hash(&[CONTEXT, b"msg", message]), hash(&[CONTEXT, b"com", &encoded]));
        let rho = |node| {
            let parts: [&[u8]; 6] = [CONTEXT, b"rho", &self.key, &h4, &h5, &number(node)];
            Scalar::from_bytes_mod_order_wide(&hash(&parts))
        };
        let r: EdwardsPoint = signers
            .iter()
            .map(|(node, points)| {
                let (d, e) = halves(points);
                point(d) + rho(*node) * point(e)
            })
            .sum();
        let c = hash(&[&r.compress().0, &self.key, message]);
        (rho(signers[at].0), Scalar::from_bytes_mod_order_wide(&c))
    }
}

const CONTEXT: &[u8] = b"FROST-ED25519-SHA512-v1";

fn hash(parts: &[&[u8]]) -> [u8; 64] {
    let mut h = Sha512::new();
    parts.iter().for_each(|part| h.update(part));
    h.finalize().into()
}

fn halves(points: &[u8; 64]) -> ([u8; 32], [u8; 32]) {
    let (hiding, binding) = points.split_at(32);
    (hiding.try_into().unwrap(), binding.try_into().unwrap())
}

fn point(bytes: [u8; 32]) -> EdwardsPoint {
    CompressedEdwardsY(bytes).decompress().unwrap()
}
