//! What an order that makes an epoch states, whether it makes a key or moves its shares.

use crate::{
    coalition::Ownership,
    committee::Committee,
    ids::{KeyName, KeyVersion},
    import::ImportKey,
    order::{Action, CreateKey, NUMBERS_PER_ORDER, OrderError, VerifiedOrder},
    reshare::Repeat,
    roster::Roster,
    suite::{Purpose, Suite},
};
use quorate_crypto::PublicKey;
use std::ops::RangeInclusive;

/// The terms of an epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms<'a> {
    /// The key.
    pub name: &'a KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// The newest version of the key after this order.
    pub newest: KeyVersion,
    /// What the key does.
    pub suite: Suite,
    /// What it is for.
    pub purpose: Purpose,
    /// Who shares it, with `t`.
    pub committee: &'a Committee,
    /// How many receipts and active signatures make the epoch count.
    pub q: u16,
    /// The first epoch number that attempts may take.
    pub first_number: u64,
    /// `Y` of a key whose shares move, or that is imported; a key that is made has none yet.
    pub public_key: Option<&'a [u8; 32]>,
    /// Of a key that is imported: whose dealing makes it.
    pub dealer: Option<&'a PublicKey>,
    /// For how many seconds the old epoch is kept beside the new one.
    pub grace: u32,
    /// Whether the shares may be moved again and again under it.
    pub repeat: Option<Repeat>,
    /// Allows one provider or jurisdiction `t` shares or more. For development.
    pub danger_concentrated: bool,
    /// Says that losing one jurisdiction may put the key out of reach.
    pub acknowledge_fragile: bool,
}

impl<'a> Terms<'a> {
    /// Of an order that makes epochs of one version. A schedule of versions has terms for each:
    /// [`Self::of_version`].
    #[must_use]
    pub fn of(action: &'a Action) -> Option<Self> {
        Some(match action {
            Action::ImportKey(ImportKey { create, public_key, dealer }) => {
                Self { public_key: Some(public_key), dealer: Some(dealer), ..Self::of_key(create) }
            }
            Action::CreateKey(create) => Self::of_key(create),
            Action::Reshare(r) => Self {
                name: &r.name,
                version: r.version,
                newest: r.newest,
                suite: r.suite,
                purpose: r.purpose,
                committee: &r.committee,
                q: r.q,
                first_number: r.first_number,
                public_key: Some(&r.public_key),
                dealer: None,
                grace: r.grace,
                repeat: r.repeat,
                danger_concentrated: r.danger_concentrated,
                acknowledge_fragile: r.acknowledge_fragile,
            },
            _ => return None,
        })
    }

    /// Of the epochs of one version, if the order makes any.
    #[must_use]
    pub fn of_version(action: &'a Action, version: KeyVersion) -> Option<Self> {
        match action {
            Action::RotateKey(rotate) => {
                let terms = Self::of_key(&rotate.create);
                rotate.due(version).map(|_| Self { version, newest: version, ..terms })
            }
            other => Self::of(other).filter(|terms| terms.version == version),
        }
    }

    /// As the order states them: of a schedule of versions, for the first one.
    #[must_use]
    pub fn stated(action: &'a Action) -> Option<Self> {
        match action {
            Action::RotateKey(rotate) => Self::of_version(action, rotate.create.version),
            other => Self::of(other),
        }
    }

    fn of_key(c: &'a CreateKey) -> Self {
        Self {
            name: &c.name,
            version: c.version,
            newest: c.version,
            suite: c.suite,
            purpose: c.purpose,
            committee: &c.committee,
            q: c.q,
            first_number: c.first_number,
            public_key: None,
            dealer: None,
            grace: 0,
            repeat: None,
            danger_concentrated: c.danger_concentrated,
            acknowledge_fragile: c.acknowledge_fragile,
        }
    }

    /// The epoch numbers that attempts may take; as many as a schedule allows.
    #[must_use]
    pub fn numbers(&self) -> RangeInclusive<u64> {
        let count = self.repeat.map_or(NUMBERS_PER_ORDER, |r| u64::from(r.times));
        self.first_number..=self.first_number.saturating_add(count.saturating_sub(1))
    }

    /// Whether it makes a key, of its own or out of its owner's, so that nobody holds shares yet.
    #[must_use]
    pub fn is_birth(&self) -> bool {
        self.is_genesis() || self.dealer.is_some()
    }

    /// Whether it makes a key without a dealer.
    #[must_use]
    pub fn is_genesis(&self) -> bool {
        self.public_key.is_none()
    }

    /// How many members may lie without a share being lost, or a number being certified
    /// twice (DESIGN §4.2).
    #[must_use]
    pub fn tolerated_liars(&self) -> usize {
        let (n, t) = (self.committee.size(), self.committee.threshold().as_usize());
        let q = usize::from(self.q);
        (q - t).min((2 * q).saturating_sub(n + 1))
    }

    /// Checks the rules of a committee against the roster under which it is ordered.
    ///
    /// # Errors
    /// [`OrderError::Rule`].
    pub fn check(&self, roster: &Roster) -> Result<(), OrderError> {
        let rule = |text: String| Err(OrderError::Rule(text));
        for m in self.committee.members() {
            if roster.node(m.index).map(|n| n.identity) != Some(m.identity) {
                return rule(format!("node {} is not in the roster with this identity", m.index));
            }
        }
        if !self.suite.allows(self.purpose) {
            return rule(format!("a {} key cannot {}", self.suite, self.purpose));
        }
        let (least, n) = (self.committee.least_q(), self.committee.size());
        if self.q < least || usize::from(self.q) > n {
            return rule(format!("q must be {least} to {n} for this committee, got {}", self.q));
        }
        if self.first_number == 0 || self.first_number.checked_add(NUMBERS_PER_ORDER).is_none() {
            return rule("epoch numbers begin at 1".into());
        }
        let owners = Ownership::of(roster, self.committee);
        if let Some(h) = owners.concentrated().next()
            && !self.danger_concentrated
        {
            let (k, t) = (h.nodes.len(), self.committee.threshold());
            return rule(format!(
                "{} would hold {k} shares where {t} use the key; choose other nodes (or, for \
                 development only, say danger_concentrated)",
                h.holder
            ));
        }
        if let Some(h) = owners.fragile().next()
            && !self.acknowledge_fragile
        {
            return rule(format!(
                "without {} the key would be out of reach; add nodes elsewhere or acknowledge it",
                h.holder
            ));
        }
        Ok(())
    }
}

impl VerifiedOrder {
    /// The terms of the epochs that it makes, if it makes any, and of one version only.
    #[must_use]
    pub fn terms(&self) -> Option<Terms<'_>> {
        Terms::of(&self.order().action)
    }

    /// The terms of the epochs of one version, if it makes any.
    #[must_use]
    pub fn terms_of(&self, version: KeyVersion) -> Option<Terms<'_>> {
        Terms::of_version(&self.order().action, version)
    }
}
