//! The mobile adversary: what it has recorded and stolen, and all that follows from it.

use crate::rig::*;
use curve25519_dalek::scalar::Scalar;
use quorate_ceremony::*;
use quorate_crypto::{
    SecretScalar, Threshold,
    dealing::{Weights, combine_share},
    sharing::{Polynomial, lagrange_at_zero},
};
use quorate_types::{Format, NodeIndex};
use std::collections::BTreeMap;

/// What belongs to a node in an epoch.
type Of = (u64, NodeIndex);

#[derive(Clone, Default)]
pub(crate) struct Adversary {
    /// The bundle that was last sent: it counts if an epoch comes of it.
    heard: Option<ReceiveRequest>,
    /// That of each epoch, the first of a genesis.
    bundles: BTreeMap<u64, Bundle>,
    shares: BTreeMap<Of, Scalar>,
    ceremony_keys: BTreeMap<Of, Scalar>,
    /// `f_d(i)`, by epoch and dealer `d`, then `i`.
    values: BTreeMap<(Of, NodeIndex), Scalar>,
}

impl Adversary {
    /// Listens to a ceremony.
    pub(crate) fn taps(&mut self) -> impl FnMut(&mut World, &Ticket, &[u8]) -> Meddled + '_ {
        |_, ticket, request| {
            if ticket.step == StepKind::Receive {
                self.heard = Some(ReceiveRequest::from_bytes(request).unwrap());
            }
            None
        }
    }

    /// The bundle that was heard has made the epoch of this plan.
    pub(crate) fn keeps(&mut self, plan: &Plan) {
        let heard = self.heard.take().unwrap();
        assert_eq!(heard.subject.number, plan.number());
        let list = PrepareList::verify(plan, heard.answers.clone(), heard.dealers()).unwrap();
        let bundle = Bundle::verify(plan, &list, &heard.bundle).unwrap();
        self.bundles.insert(plan.number(), bundle);
    }

    /// All secrets of these epochs that are on a node's disk.
    pub(crate) fn takes(&mut self, world: &World, node: u16, numbers: &[u64]) {
        for number in numbers {
            let Secrets { ceremony_key, polynomial, share } = world.state(node, *number).secrets;
            if let Some(share) = share {
                self.has_share(*number, index(node), &share);
            }
            if let Some(key) = ceremony_key {
                self.has_ceremony_key(*number, index(node), &key);
            }
            if let Some(bytes) = polynomial {
                let f = Polynomial::from_bytes(Threshold::new(3, 5).unwrap(), &bytes).unwrap();
                for at in all() {
                    let value = *f.evaluate(at).expose();
                    self.values.insert(((*number, index(node)), at), value);
                }
            }
        }
    }

    pub(crate) fn has_share(&mut self, number: u64, node: NodeIndex, share: &SecretScalar) {
        self.shares.insert((number, node), *share.expose());
    }

    pub(crate) fn has_ceremony_key(&mut self, number: u64, node: NodeIndex, key: &SecretScalar) {
        self.ceremony_keys.insert((number, node), *key.expose());
    }

    /// Tries every key that it has on every value of every bundle, and makes shares of what
    /// opens.
    pub(crate) fn opens_what_it_can(&mut self) {
        for (number, bundle) in &self.bundles {
            for dealing in bundle.dealings() {
                for (node, key) in
                    all().iter().flat_map(|n| self.ceremony_keys.values().map(move |k| (*n, k)))
                {
                    if let Ok(value) = dealing.open(node, &SecretScalar::new(*key)) {
                        self.values.insert(((*number, dealing.dealer()), node), *value.expose());
                    }
                }
            }
            for node in all() {
                let value = |d: NodeIndex| {
                    Some((d, SecretScalar::new(*self.values.get(&((*number, d), node))?)))
                };
                let Some(values) = dealers(bundle).map(value).collect::<Option<Vec<_>>>() else {
                    continue;
                };
                let share = *combine_share(&values, self.weights(*number)).unwrap().expose();
                let stolen = self.shares.insert((*number, node), share);
                assert!(stolen.is_none_or(|s| s == share), "what opens is what was stolen");
            }
        }
    }

    pub(crate) fn shares(&self) -> Vec<(NodeIndex, SecretScalar)> {
        self.shares.iter().map(|((_, node), share)| (*node, SecretScalar::new(*share))).collect()
    }

    /// The key, if all that is known determines it. The unknowns are the coefficients of every
    /// polynomial that was ever dealt; everything else is linear in them.
    pub(crate) fn solves(&self) -> Option<SecretScalar> {
        let polynomials = self.bundles.iter().flat_map(|(n, b)| dealers(b).map(|d| (*n, d)));
        let mut known = Equations::about(polynomials.collect());
        let before = self.bundles.keys().zip(self.bundles.keys().skip(1));
        for (parent, number) in before {
            // Who deals in a reshare deals its share: f_d(0) = Σ w·f_parent(d).
            for d in dealers(&self.bundles[number]) {
                let mut terms = self.share(*parent, scalar(d));
                terms.push(Term { of: (*number, d), at: Scalar::ZERO, weight: -Scalar::ONE });
                known.add(&terms, Scalar::ZERO);
            }
        }
        for ((number, node), share) in &self.shares {
            known.add(&self.share(*number, scalar(*node)), *share);
        }
        for ((of, at), value) in &self.values {
            known.add(&[Term { of: *of, at: scalar(*at), weight: Scalar::ONE }], *value);
        }
        let birth = self.bundles.keys().next()?;
        known.follows(&self.share(*birth, Scalar::ZERO)).map(SecretScalar::new)
    }

    /// What an epoch shares, at a place: Σ w·f_d(at).
    fn share(&self, number: u64, at: Scalar) -> Vec<Term> {
        let dealers: Vec<NodeIndex> = dealers(&self.bundles[&number]).collect();
        let weights = match self.weights(number) {
            Weights::Sum => vec![Scalar::ONE; dealers.len()],
            Weights::LagrangeAtZero => lagrange_at_zero(&dealers).unwrap(),
        };
        let terms = dealers.into_iter().zip(weights);
        terms.map(|(d, weight)| Term { of: (number, d), at, weight }).collect()
    }

    fn weights(&self, number: u64) -> Weights {
        match self.bundles.keys().next() == Some(&number) {
            true => Weights::Sum,
            false => Weights::LagrangeAtZero,
        }
    }
}

fn dealers(bundle: &Bundle) -> impl Iterator<Item = NodeIndex> {
    bundle.dealings().iter().map(|d| d.dealer())
}

fn scalar(node: NodeIndex) -> Scalar {
    Scalar::from(node.get())
}

/// `weight · f(at)` of a polynomial.
struct Term {
    of: Of,
    at: Scalar,
    weight: Scalar,
}

/// Linear equations in the three coefficients of each of some polynomials, in echelon form:
/// by the first unknown that an equation has, with the coefficient 1. The last column is what it
/// is equal to.
struct Equations {
    polynomials: Vec<Of>,
    rows: BTreeMap<usize, Vec<Scalar>>,
}

impl Equations {
    fn about(polynomials: Vec<Of>) -> Self {
        Self { polynomials, rows: BTreeMap::new() }
    }

    fn add(&mut self, terms: &[Term], equals: Scalar) {
        let mut row = self.reduced(terms, equals);
        let last = row.len() - 1;
        match row[..last].iter().position(|x| *x != Scalar::ZERO) {
            Some(first) => {
                let inverse = row[first].invert();
                row.iter_mut().for_each(|x| *x *= inverse);
                self.rows.insert(first, row);
            }
            None => assert_eq!(row[last], Scalar::ZERO, "what is known contradicts itself"),
        }
    }

    /// What these terms are together, if the equations say so.
    fn follows(&self, terms: &[Term]) -> Option<Scalar> {
        let row = self.reduced(terms, Scalar::ZERO);
        let (equals, unknown) = row.split_last()?;
        unknown.iter().all(|x| *x == Scalar::ZERO).then_some(-equals)
    }

    fn reduced(&self, terms: &[Term], equals: Scalar) -> Vec<Scalar> {
        let mut row = vec![Scalar::ZERO; 3 * self.polynomials.len() + 1];
        for Term { of, at, weight } in terms {
            let column = 3 * self.polynomials.iter().position(|p| p == of).unwrap();
            for (x, power) in row[column..].iter_mut().zip([Scalar::ONE, *at, at * at]) {
                *x += weight * power;
            }
        }
        row[3 * self.polynomials.len()] = equals;
        for (first, known) in &self.rows {
            let factor = row[*first];
            if factor != Scalar::ZERO {
                row.iter_mut().zip(known).for_each(|(x, k)| *x -= factor * k);
            }
        }
        row
    }
}
