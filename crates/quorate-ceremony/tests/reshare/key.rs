//! A key whose shares the test can see.

use crate::{owner::Owner, rig::*};
use quorate_ceremony::*;
use quorate_crypto::SecretScalar;
use quorate_types::*;
use std::sync::Arc;

/// A key that was born, and the newest order of its chain.
pub(crate) struct Key {
    pub(crate) birth: KeyRecord,
    pub(crate) newest: KeyRecord,
    pub(crate) order: VerifiedOrder,
    /// All before that.
    pub(crate) earlier: Vec<SignedOrder>,
}

/// What a reshare is to change.
pub(crate) struct To<'a> {
    pub(crate) nodes: &'a [u16],
    pub(crate) t: u16,
    pub(crate) q: u16,
}

impl Key {
    /// 3 of 5.
    pub(crate) fn born(world: &mut World) -> Self {
        Self::born_of(world, Suite::Tdh2Ristretto255)
    }

    pub(crate) fn born_of(world: &mut World, suite: Suite) -> Self {
        let order = world.order(|c| (c.suite, c.purpose) = (suite, suite.purpose()));
        let birth = born(world.conduct(&order));
        Self { newest: birth.clone(), birth, order, earlier: Vec::new() }
    }

    /// 3 of 5, of a key that its owner had before.
    pub(crate) fn imported(world: &mut World, owner: &Owner) -> Self {
        let order = owner.order(world);
        let birth = born(owner.conduct(world, &order));
        Self { newest: birth.clone(), birth, order, earlier: Vec::new() }
    }

    /// The order after the newest, signed by two of three operators.
    pub(crate) fn order(&self, world: &World, to: &To<'_>) -> VerifiedOrder {
        let signed = sign(&self.draft(world, to), &[101, 102]);
        VerifiedOrder::verify(&world.cluster, &signed).unwrap()
    }

    pub(crate) fn draft(&self, world: &World, to: &To<'_>) -> Order {
        let public = &self.birth.certificate.public;
        let terms = self.order.terms().unwrap();
        let reshare = Reshare {
            name: public.key.clone(),
            version: public.version,
            newest: terms.newest,
            suite: public.suite,
            purpose: public.purpose,
            public_key: *public.public_key(),
            committee: committee(to.nodes, to.t),
            q: to.q,
            first_number: terms.numbers().end() + 1,
            grace: 0,
            repeat: None,
            danger_concentrated: false,
            acknowledge_fragile: true,
        };
        let action = Action::Reshare(reshare);
        let (issued_at, expires_at) = (world.now, world.now.plus(Millis::DAY));
        let predecessor = self.order.hash();
        Order { action, predecessor, issued_at, expires_at, ..world.draft(None, |_| {}) }
    }

    pub(crate) fn descent(&self) -> Descent {
        let newest = (self.newest != self.birth).then(|| self.newest.clone());
        Descent { birth: self.birth.clone(), newest }
    }

    pub(crate) fn conductor(&self, world: &World, order: &VerifiedOrder) -> Conductor {
        let cluster = Arc::clone(&world.cluster);
        let mut earlier = self.earlier.clone();
        earlier.push(self.order.signed().clone());
        Conductor::reshare(cluster, order.clone(), earlier, self.descent(), PACE).unwrap()
    }

    /// A whole reshare with nobody in the way.
    pub(crate) fn reshare(&mut self, world: &mut World, to: &To<'_>) -> Moved {
        let order = self.order(world, to);
        let mut conductor = self.conductor(world, &order);
        let outcome = world.run(&mut conductor, |_, _, _| None);
        self.moved(order, outcome)
    }

    /// Takes the outcome over as the newest epoch.
    pub(crate) fn moved(&mut self, order: VerifiedOrder, outcome: Outcome) -> Moved {
        let Outcome::Moved { record, absent, unerased, culprits } = outcome else {
            panic!("no share has moved: {outcome:?}");
        };
        self.newest = *record;
        let before = std::mem::replace(&mut self.order, order);
        if before != self.order {
            self.earlier.push(before.signed().clone());
        }
        let numbers = |nodes: Vec<NodeIndex>| nodes.iter().map(|n| n.get()).collect();
        Moved {
            absent: numbers(absent),
            unerased: numbers(unerased),
            culprits: culprits.into_iter().map(|c| (c.node.get(), c.blame)).collect(),
        }
    }

    pub(crate) fn number(&self) -> u64 {
        self.newest.certificate.public.epoch.number
    }

    /// The share that a node serves in the newest epoch.
    pub(crate) fn share(&self, world: &World, node: u16) -> Option<SecretScalar> {
        share_of(world, node, &self.newest)
    }

    /// That these shares of the newest epoch are the key, and it is the one that was born.
    pub(crate) fn is_whole(&self, world: &World, nodes: &[u16]) {
        let shares: Vec<_> =
            nodes.iter().map(|n| (index(*n), self.share(world, *n).unwrap())).collect();
        let group = self.birth.certificate.public.suite.group();
        let whole = group.mul_base(&combined(&shares)).encode();
        assert_eq!(whole, *self.birth.certificate.public.public_key());
        let newest = &self.newest.certificate.public;
        assert_eq!(newest.public_key(), self.birth.certificate.public.public_key());
    }
}

pub(crate) struct Moved {
    pub(crate) absent: Vec<u16>,
    pub(crate) unerased: Vec<u16>,
    pub(crate) culprits: Vec<(u16, Blame)>,
}

pub(crate) fn share_of(world: &World, node: u16, record: &KeyRecord) -> Option<SecretScalar> {
    let epoch = record.certificate.public.epoch;
    let subject = Subject { version: record.certificate.public.version, ..subject(epoch.number) };
    let state = world.nodes[&index(node)].disk.load(&subject);
    if !state.standing.serves().any(|e| e == epoch) {
        return None;
    }
    state.secrets.share
}

/// Interpolates at zero.
pub(crate) fn combined(shares: &[(NodeIndex, SecretScalar)]) -> SecretScalar {
    use quorate_crypto::dealing::{Weights, combine_share};
    combine_share(shares, Weights::LagrangeAtZero).unwrap()
}

pub(crate) fn public(secret: &SecretScalar) -> [u8; 32] {
    *quorate_crypto::EncodedPoint::new(secret.public()).unwrap().bytes()
}

/// Whether a share is the one that the public values of an epoch say.
pub(crate) fn fits(share: &SecretScalar, node: u16, record: &KeyRecord) -> bool {
    let commitments = record.certificate.public.decode_commitments();
    commitments.unwrap().verify_share(index(node), share)
}
