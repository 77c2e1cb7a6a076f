//! Keys ready for use: what was ordered, public values and share, verified and decoded once.

use quorate_crypto::{
    EncodedPoint, PublicKey, SecretScalar, Threshold, frost::KeyShare, group::Group,
};
use quorate_types::{
    CreateKey, EpochPublic, Grant, KeyName, KeyVersion, NodeIndex, Operation, RefusalReason,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// The most epochs whose shares answer one request: the one in force, and the highest ones
/// above it.
pub(crate) const MAX_SERVED: usize = 4;

/// One key version as a request meets it.
pub(crate) struct KeyState {
    create: CreateKey,
    shares: Vec<Share>,
    refuses: Option<RefusalReason>,
    older: bool,
}

/// A served epoch's share with its public values.
pub(crate) struct Share {
    pub(crate) public: EpochPublic,
    /// `s_i`.
    pub(crate) secret: SecretScalar,
    pub(crate) of: Of,
}

/// What a share is ready for, by the group of its suite.
pub(crate) enum Of {
    /// Partials over ristretto255.
    Ristretto {
        /// `Y`.
        key: EncodedPoint,
        /// `Y_i = s_i·B`.
        own: EncodedPoint,
    },
    /// Ed25519 signature shares.
    Edwards(KeyShare),
}

/// The public values do not fit the share, or are no points.
#[derive(Debug)]
pub(crate) struct BadShare;

impl Share {
    /// `node` is whose share it is.
    pub(crate) fn new(
        public: EpochPublic,
        node: NodeIndex,
        secret: SecretScalar,
    ) -> Result<Self, BadShare> {
        let of = match public.suite.group() {
            Group::Ristretto255 => Of::Ristretto {
                key: EncodedPoint::decode(public.public_key()).map_err(|_| BadShare)?,
                own: EncodedPoint::new(secret.public()).map_err(|_| BadShare)?,
            },
            Group::Edwards25519 => {
                let commitments = public.decode_commitments().map_err(|_| BadShare)?;
                let threshold = public.committee.threshold();
                let key = KeyShare::new(node, &secret, threshold, &commitments);
                Of::Edwards(key.map_err(|_| BadShare)?)
            }
        };
        Ok(Self { public, secret, of })
    }
}

impl KeyState {
    /// `create` is what operators ordered for this version.
    pub(crate) fn new(create: CreateKey, shares: Vec<Share>) -> Self {
        Self { create, shares, refuses: None, older: false }
    }

    /// With why it refuses every use, if it does.
    pub(crate) fn refusing(self, refuses: Option<RefusalReason>) -> Self {
        Self { refuses, ..self }
    }

    /// With whether a newer version is born.
    pub(crate) fn with_newer(self, older: bool) -> Self {
        Self { older, ..self }
    }

    /// Why it refuses an operation, if a newer version is born: it signs nothing new. A node
    /// cannot tell wrapping from unwrapping, nor what a derived secret is for.
    pub(crate) fn refuses_to(&self, operation: Operation) -> Option<RefusalReason> {
        let signs = matches!(operation, Operation::Sign | Operation::SignCommit);
        (self.older && signs).then_some(RefusalReason::OlderVersion)
    }

    /// Why it refuses every use, as operators have ordered.
    pub(crate) fn refuses(&self) -> Option<RefusalReason> {
        self.refuses
    }

    pub(crate) fn create(&self) -> &CreateKey {
        &self.create
    }

    pub(crate) fn grant(&self, client: &PublicKey) -> Option<&Grant> {
        self.create().grant(client)
    }

    /// The greatest threshold of an epoch that is served, or that of the order.
    pub(crate) fn threshold(&self) -> Option<Threshold> {
        let served = self.shares.iter().map(|share| share.public.committee.threshold()).max();
        served.or_else(|| Some(self.create().committee.threshold()))
    }

    /// The share of the epoch in force.
    pub(crate) fn share(&self) -> Option<&Share> {
        self.shares.first()
    }

    /// The shares of all epochs that are served, the one in force first.
    pub(crate) fn shares(&self) -> &[Share] {
        &self.shares
    }
}

type Id = (KeyName, KeyVersion);

/// The keys used last. Shares leave memory (wiped) with their entry.
pub(crate) struct KeyCache {
    max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    keys: HashMap<Id, (Arc<KeyState>, u64)>,
    uses: u64,
    /// Counts invalidations: what was loaded before one is not kept after it.
    generation: u64,
}

impl KeyCache {
    pub(crate) fn new(max: usize) -> Self {
        Self { max: max.max(1), kept: Mutex::default() }
    }

    /// The key from memory, or from `load`, which gives `None` for a key that is not known.
    pub(crate) fn get<E>(
        &self,
        name: &KeyName,
        version: KeyVersion,
        load: impl FnOnce() -> Result<Option<KeyState>, E>,
    ) -> Result<Option<Arc<KeyState>>, E> {
        let id = (name.clone(), version);
        let generation = {
            let mut kept = self.lock();
            kept.uses += 1;
            let uses = kept.uses;
            if let Some((key, used)) = kept.keys.get_mut(&id) {
                *used = uses;
                return Ok(Some(Arc::clone(key)));
            }
            kept.generation
        };
        let Some(key) = load()?.map(Arc::new) else { return Ok(None) };
        let mut kept = self.lock();
        if kept.generation == generation {
            if kept.keys.len() >= self.max {
                kept.evict();
            }
            let uses = kept.uses;
            kept.keys.insert(id, (Arc::clone(&key), uses));
        }
        Ok(Some(key))
    }

    /// Forgets all versions of a key: a ceremony or an order has changed it.
    pub(crate) fn forget(&self, name: &KeyName) {
        let mut kept = self.lock();
        kept.generation += 1;
        kept.keys.retain(|(n, _), _| n != name);
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    /// The one used longest ago. A scan of all, but only where more keys are in use than
    /// are kept, and then each miss has read the disk anyway.
    fn evict(&mut self) {
        let oldest = self.keys.iter().min_by_key(|(_, (_, used))| *used).map(|(id, _)| id.clone());
        if let Some(id) = oldest {
            self.keys.remove(&id);
        }
    }
}
