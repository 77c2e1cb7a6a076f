//! The owner of a key that is imported, with the secret and with any lie.

use crate::rig::*;
use quorate_ceremony::*;
use quorate_crypto::{
    EncodedPoint, IdentityKey, SecretScalar, ShareIndex, Signature, Threshold,
    dealing::{self, DealingParams, Receivers, deal_owned},
    hash::Label,
    sharing::Polynomial,
};
use quorate_types::*;

/// Key 77 deals.
pub(crate) struct Owner {
    pub(crate) key: IdentityKey,
    pub(crate) secret: SecretScalar,
    pub(crate) suite: Suite,
}

impl Owner {
    pub(crate) fn of(world: &mut World, suite: Suite) -> Self {
        Self { key: key(77), secret: SecretScalar::random(&mut world.rng), suite }
    }

    pub(crate) fn public_key(&self) -> [u8; 32] {
        self.suite.group().mul_base(&self.secret).encode()
    }

    pub(crate) fn import(&self) -> ImportKey {
        let (create, public_key) = (create_key_of(self.suite), self.public_key());
        ImportKey { create, public_key, dealer: self.key.public() }
    }

    pub(crate) fn draft(&self, world: &World, change: impl FnOnce(&mut ImportKey)) -> Order {
        let mut import = self.import();
        change(&mut import);
        Order { action: Action::ImportKey(import), ..world.draft(None, |_| {}) }
    }

    pub(crate) fn order(&self, world: &World) -> VerifiedOrder {
        let signed = sign(&self.draft(world, |_| {}), &[101, 103]);
        VerifiedOrder::verify(&world.cluster, &signed).unwrap()
    }

    /// What the owner answers to a request to deal.
    pub(crate) fn deal(&self, world: &World, order: &VerifiedOrder, request: &[u8]) -> Vec<u8> {
        let known = Dealer::of(self, world, order, request);
        let t = order.terms().unwrap().committee.threshold().get();
        let params = known.params(t, known.list.receivers());
        let dealing = deal_owned(&params, &self.secret).unwrap();
        known.sign(world, dealing.to_bytes()).to_bytes()
    }

    /// A whole import with nobody in the way.
    pub(crate) fn conduct(&self, world: &mut World, order: &VerifiedOrder) -> Outcome {
        let mut conductor = world.conductor(order);
        world.run(&mut conductor, |world, t, request| {
            is_owner(t).then(|| Ok(self.deal(world, order, request)))
        })
    }
}

pub(crate) fn is_owner(ticket: &Ticket) -> bool {
    ticket.node == NodeIndex::OWNER
}

/// A dealer with what it needs to deal, as whoever it says it is.
pub(crate) struct Dealer {
    pub(crate) list: PrepareList,
    key: IdentityKey,
    suite: Suite,
}

impl Dealer {
    pub(crate) fn of(owner: &Owner, world: &World, order: &VerifiedOrder, request: &[u8]) -> Self {
        let request = DealRequest::from_bytes(request).unwrap();
        let plan = world.plan(order, request.subject.number);
        let list = PrepareList::verify(&plan, request.answers, request.dealers).unwrap();
        Self { list, key: owner.key.clone(), suite: owner.suite }
    }

    pub(crate) fn params<'a>(&self, t: u16, receivers: &'a Receivers) -> DealingParams<'a> {
        let (ctx, identity) = (*self.list.ctx().as_bytes(), *self.key.public().as_bytes());
        let t = Threshold::new(t, receivers.len()).unwrap();
        let group = self.suite.group();
        DealingParams::new(group, ctx, ShareIndex::OWNER, identity, t, receivers).unwrap()
    }

    /// Deals any secret with any threshold to any keys.
    pub(crate) fn deal(
        &self,
        world: &mut World,
        secret: &SecretScalar,
        t: u16,
        receivers: &Receivers,
    ) -> Vec<u8> {
        let polynomial =
            Polynomial::random(Threshold::new(t, 5).unwrap(), secret, &mut world.rng).unwrap();
        let params = self.params(t, receivers);
        dealing::deal(&params, &polynomial, &mut world.rng).unwrap().to_bytes()
    }

    /// The receivers, but one of them with a key that it does not have.
    pub(crate) fn astray(&self, world: &mut World, node: u16) -> Receivers {
        let stray = EncodedPoint::new(SecretScalar::random(&mut world.rng).public()).unwrap();
        let of =
            |(i, k): (ShareIndex, &EncodedPoint)| (i, if i.get() == node { stray } else { *k });
        Receivers::new(self.list.receivers().iter().map(of).collect()).unwrap()
    }

    pub(crate) fn sign(&self, world: &World, dealing: Vec<u8>) -> SignedDealing {
        self.sign_as(&self.key, world, dealing)
    }

    pub(crate) fn sign_as(
        &self,
        key: &IdentityKey,
        world: &World,
        dealing: Vec<u8>,
    ) -> SignedDealing {
        let dealer = ShareIndex::OWNER;
        let mut signed = SignedDealing { dealer, dealing, signature: Signature([0; 64]) };
        let ctx = self.list.ctx();
        let said = [&ctx.0[..], &dealer.get().to_be_bytes(), &signed.hash(ctx).0].concat();
        let fingerprint = world.cluster.fingerprint().as_bytes();
        signed.signature = key.sign(Label::SIG_DEALING, fingerprint, &said);
        signed
    }
}
