//! One key's life: its orders, what is known of its epochs, and what never changes.

use super::Broken;
use crate::{core::Core, records, tests::fixture::World};
use quorate_ceremony::{Conductor, Descent, Pace, message::MAX_EARLIER};
use quorate_crypto::ShareIndex;
use quorate_types::*;
use std::{collections::BTreeMap, sync::Arc};

pub(crate) struct Story {
    pub(crate) name: &'static str,
    pub(crate) purpose: Purpose,
    /// Its chain, oldest first.
    pub(crate) orders: Vec<SignedOrder>,
    /// Proofs of what has come into force, by number; the first is the birth.
    pub(crate) records: BTreeMap<u64, KeyRecord>,
    /// Of every epoch that was served.
    pub(crate) publics: BTreeMap<EpochName, EpochPublic>,
    /// The public key, once one is known.
    pub(crate) public: Option<[u8; 32]>,
    /// What the derivation and the wrapping have given.
    pub(crate) output: Option<Vec<u8>>,
    liars: Option<ShareIndex>,
    /// It can never be born.
    pub(crate) burnt: bool,
}

/// Hasty, so that many attempts come to nothing.
pub(crate) const PACE: Pace =
    Pace { patience: 400, give_up: 15_000, retry_after: 100, answer_within: 1_500 };

impl Story {
    pub(crate) fn new(world: &World, purpose: Purpose, liar: Option<ShareIndex>) -> Self {
        let name = match purpose {
            Purpose::Decrypt => "payroll",
            Purpose::Sign => "release",
            Purpose::Derive => "ids",
            Purpose::Wrap => "vault",
        };
        Self {
            name,
            purpose,
            orders: vec![world.create_to(purpose, 2, name, 1, Hash::default())],
            records: BTreeMap::new(),
            publics: BTreeMap::new(),
            public: None,
            output: None,
            liars: liar,
            burnt: false,
        }
    }

    pub(crate) fn liars(&self) -> Option<&[ShareIndex]> {
        self.liars.as_ref().map(std::slice::from_ref)
    }

    pub(crate) fn birth(&self) -> Option<&KeyRecord> {
        self.records.values().next()
    }

    pub(crate) fn newest(&self) -> Option<&KeyRecord> {
        self.records.values().next_back()
    }

    /// Orders that the shares move, with this threshold.
    pub(crate) fn order_move(&mut self, world: &World, threshold: u16) {
        let Some(birth) = self.birth() else { return };
        let refresh = world.refresh_order(birth, self.orders.last().unwrap());
        let mut order = Order::from_bytes(&refresh.0.body).unwrap();
        let Action::Reshare(to) = &mut order.action else { unreachable!("it moves shares") };
        let members = to.committee.members().to_vec();
        to.committee = Committee::new(members, threshold).unwrap();
        self.orders.push(world.signed(order, &[101, 103]));
    }

    /// A conductor under one of the orders.
    pub(crate) fn conductor(&self, world: &World, at: usize) -> Option<Conductor> {
        let cluster = Arc::new(world.cluster.clone());
        let order = VerifiedOrder::verify(&world.cluster, &self.orders[at]).unwrap();
        if at == 0 {
            return Conductor::new(cluster, order, PACE).ok();
        }
        let birth = self.birth()?.clone();
        let newest = self.newest().filter(|newest| **newest != birth).cloned();
        let earlier = self.orders[at.saturating_sub(MAX_EARLIER)..at].to_vec();
        Conductor::reshare(cluster, order, earlier, Descent { birth, newest }, PACE).ok()
    }

    /// A proof that something has come into force.
    pub(crate) fn hear(&mut self, record: &KeyRecord) -> Result<(), Broken> {
        let public = &record.certificate.public;
        let key = *public.public_key();
        if *self.public.get_or_insert(key) != key {
            let how = format!("{}: epoch {:?} is of another key", self.name, public.epoch);
            return Err(Broken { rule: "public key", how });
        }
        self.publics.insert(public.epoch, public.clone());
        let known = self.records.entry(public.epoch.number).or_insert_with(|| record.clone());
        if known.certificate.public.epoch != public.epoch {
            let how = format!("{}: two epochs {} are in force", self.name, public.epoch.number);
            return Err(Broken { rule: "epochs", how });
        }
        Ok(())
    }

    /// What a node shows of the key: what is in force, and what it serves.
    pub(crate) fn look(&mut self, core: &Core) -> Result<(), Broken> {
        let name: KeyName = self.name.parse().unwrap();
        let (record, newest) = (
            records::record(&*core.store, &name, KeyVersion::FIRST),
            records::newest(&*core.store, &name, KeyVersion::FIRST),
        );
        // A node whose power is off shows nothing.
        let (Ok(record), Ok(newest)) = (record, newest) else { return Ok(()) };
        for record in record.iter().chain(&newest) {
            self.hear(record)?;
        }
        let Ok(Some(key)) = records::load_key(core, &name, KeyVersion::FIRST) else {
            return Ok(());
        };
        for share in key.shares() {
            self.publics.insert(share.public.epoch, share.public.clone());
        }
        Ok(())
    }
}
