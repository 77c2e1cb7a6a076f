//! The operators: one chain of orders, and the proofs of what has come into force so far as
//! they have heard of it.

use crate::{owner::Owner, rig::*};
use quorate_ceremony::*;
use quorate_types::*;
use rand::{RngExt, rngs::StdRng, seq::SliceRandom};
use std::{collections::BTreeSet, sync::Arc};

pub(crate) struct Operators {
    /// How many nodes there are.
    size: u16,
    /// What the key is for.
    pub(crate) purpose: Purpose,
    /// Of a key that is imported.
    pub(crate) owner: Option<Owner>,
    /// The key's chain, oldest first.
    pub(crate) orders: Vec<VerifiedOrder>,
    /// Beside it: under which the key's next version is born by itself too.
    pub(crate) schedule: Option<VerifiedOrder>,
    /// The birth certificate, and retire certificates, by ascending number.
    pub(crate) records: Vec<KeyRecord>,
}

/// Who is to share the key, and what bears an epoch.
struct Terms {
    nodes: Vec<u16>,
    t: u16,
    q: u16,
}

impl Operators {
    pub(crate) fn of(size: u16, purpose: Purpose) -> Self {
        Self { size, purpose, owner: None, orders: Vec::new(), schedule: None, records: Vec::new() }
    }

    pub(crate) fn head(&self) -> &VerifiedOrder {
        self.orders.last().unwrap()
    }

    /// An order of either chain.
    pub(crate) fn order(&self, hash: Hash) -> Option<&VerifiedOrder> {
        self.orders.iter().chain(&self.schedule).find(|o| o.hash() == hash)
    }

    /// The first number above those of both chains.
    fn next_number(&self) -> u64 {
        let head = self.orders.last().map_or(0, |o| *o.terms().unwrap().numbers().end());
        let schedule = self.schedule.iter().filter_map(VerifiedOrder::rotation);
        schedule.map(RotateKey::last_number).fold(head, u64::max) + 1
    }

    /// A schedule, under which a version is due now.
    pub(crate) fn schedule(
        &mut self,
        world: &World,
        dice: &mut StdRng,
        version: KeyVersion,
        faulty: &BTreeSet<NodeIndex>,
    ) {
        let terms = self.terms(dice, faulty, &BTreeSet::new());
        let create = CreateKey {
            version,
            committee: committee(&terms.nodes, terms.t),
            q: terms.q,
            first_number: self.next_number(),
            acknowledge_fragile: true,
            ..create_key_of(self.purpose.suite())
        };
        let (from, until) = (world.now, world.now.plus(Millis::DAY));
        let rotate = RotateKey { create, from, every: 3600, times: 3, until };
        let order = Order { action: Action::RotateKey(rotate), ..world.draft(None, |_| {}) };
        let signed = sign(&order, &[101, 102]);
        self.schedule = Some(VerifiedOrder::verify(&world.cluster, &signed).unwrap());
    }

    pub(crate) fn birth(&self) -> &KeyRecord {
        &self.records[0]
    }

    /// Takes a proof over.
    pub(crate) fn hear(&mut self, record: &KeyRecord) {
        let number = |r: &KeyRecord| r.certificate.public.epoch;
        if let Err(at) = self.records.binary_search_by_key(&number(record), number) {
            self.records.insert(at, record.clone());
        }
    }

    /// An order that makes a version of the key, among those who are trusted to deal.
    pub(crate) fn create(
        &mut self,
        world: &World,
        dice: &mut StdRng,
        version: KeyVersion,
        faulty: &BTreeSet<NodeIndex>,
        without: &BTreeSet<NodeIndex>,
    ) -> VerifiedOrder {
        let terms = self.terms(dice, faulty, without);
        let draft = world.draft(self.orders.last(), |c| {
            c.version = version;
            c.first_number = self.next_number();
            (c.suite, c.purpose) = (self.purpose.suite(), self.purpose);
            c.committee = committee(&terms.nodes, terms.t);
            c.q = terms.q;
            c.acknowledge_fragile = true;
        });
        let order = match (&self.owner, draft.action) {
            (Some(owner), Action::CreateKey(create)) => {
                let import = ImportKey { create, ..owner.import() };
                Order { action: Action::ImportKey(import), ..draft }
            }
            (_, action) => Order { action, ..draft },
        };
        let order = VerifiedOrder::verify(&world.cluster, &sign(&order, &[101, 103])).unwrap();
        self.orders.push(order.clone());
        order
    }

    /// What the owner answers to whatever a conductor asks.
    pub(crate) fn owner_deals(
        &self,
        world: &World,
        request: &[u8],
    ) -> Option<Result<Vec<u8>, Failure>> {
        let of = DealRequest::from_bytes(request).ok()?.answers.first()?.order;
        let order = self.orders.iter().find(|o| o.hash() == of)?;
        Some(Ok(self.owner.as_ref()?.deal(world, order, request)))
    }

    /// An order that moves the shares: to whoever the dice say, but so that the liars in the
    /// committee are no more than it bears and cannot stop it, and `without` are not in it.
    pub(crate) fn move_shares(
        &mut self,
        world: &World,
        dice: &mut StdRng,
        faulty: &BTreeSet<NodeIndex>,
        without: &BTreeSet<NodeIndex>,
    ) -> VerifiedOrder {
        let head = self.head().terms().unwrap();
        let nodes: Vec<u16> = head.committee.indices().map(NodeIndex::get).collect();
        let same = head.committee.indices().all(|n| !without.contains(&n));
        let refresh = same && !head.is_birth() && dice.random_bool(0.4);
        let terms = if refresh {
            Terms { nodes, t: head.committee.threshold().get(), q: head.q }
        } else {
            self.terms(dice, faulty, without)
        };
        let public = &self.birth().certificate.public;
        let reshare = Reshare {
            name: public.key.clone(),
            version: public.version,
            newest: head.newest.max(public.version),
            suite: public.suite,
            purpose: public.purpose,
            public_key: *public.public_key(),
            committee: committee(&terms.nodes, terms.t),
            q: terms.q,
            first_number: self.next_number(),
            grace: if dice.random_bool(0.3) { dice.random_range(1..3) } else { 0 },
            repeat: None,
            danger_concentrated: false,
            acknowledge_fragile: true,
        };
        let order = Order {
            action: Action::Reshare(reshare),
            predecessor: self.head().hash(),
            ..world.draft(None, |_| {})
        };
        let order = VerifiedOrder::verify(&world.cluster, &sign(&order, &[101, 102])).unwrap();
        self.orders.push(order.clone());
        order
    }

    /// A conductor under an order of the chain, which tells the nodes of the orders before it
    /// and begins at a record that an operator knows, not always the newest.
    pub(crate) fn conductor(
        &self,
        world: &World,
        dice: &mut StdRng,
        order: &VerifiedOrder,
    ) -> Conductor {
        if let Some(rotate) = order.rotation() {
            let number = rotate.create.first_number + dice.random_range(0..3);
            let (cluster, version) = (Arc::clone(&world.cluster), rotate.create.version);
            let order = order.clone();
            return Conductor::birth(cluster, order, version, Vec::new(), number, PACE).unwrap();
        }
        let at = self.orders.iter().position(|o| o == order).unwrap();
        let before = &self.orders[..at];
        let few = &before[before.len().saturating_sub(message::MAX_EARLIER)..];
        let earlier = few.iter().map(|o| o.signed().clone()).collect();
        let cluster = Arc::clone(&world.cluster);
        if order.terms().unwrap().is_birth() {
            let first = order.terms().unwrap().first_number;
            let number = first + dice.random_range(0..3);
            return Conductor::starting_at(cluster, order.clone(), earlier, number, PACE).unwrap();
        }
        let known = match dice.random_bool(0.7) {
            true => self.records.last(),
            false => self.records.get(dice.random_range(0..self.records.len())),
        };
        let newest = known.filter(|r| *r != self.birth()).cloned();
        let descent = Descent { birth: self.birth().clone(), newest };
        Conductor::reshare(cluster, order.clone(), earlier, descent, PACE).unwrap()
    }

    fn terms(
        &self,
        dice: &mut StdRng,
        faulty: &BTreeSet<NodeIndex>,
        without: &BTreeSet<NodeIndex>,
    ) -> Terms {
        let all: Vec<u16> = (1..=self.size).filter(|n| !without.contains(&index(*n))).collect();
        loop {
            let mut nodes = all.clone();
            nodes.shuffle(dice);
            let size = dice.random_range(3.min(all.len())..=all.len());
            nodes.truncate(size);
            nodes.sort_unstable();
            let n = nodes.len() as u16;
            let t = dice.random_range(2..=n / 2 + 1);
            let least = (n + t).div_ceil(2);
            let q = if dice.random_bool(0.6) { least } else { dice.random_range(least..=n) };
            let bad = nodes.iter().filter(|i| faulty.contains(&index(**i))).count() as u16;
            if bad <= (q - t).min(2 * q - n - 1) && n - bad >= q {
                return Terms { nodes, t, q };
            }
        }
    }
}
