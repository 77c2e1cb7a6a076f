//! The order under which a key gets its next versions by itself, on a calendar.

use crate::{
    codec::{CodecError, Part, Reader, Writer},
    ids::{KeyName, KeyVersion, Millis},
    order::{Action, CreateKey, MAX_VERSIONS, NUMBERS_PER_ORDER, OrderError, VerifiedOrder},
    reshare::{MAX_SCHEDULE, REPEAT_EVERY},
    rights::Rights,
};
use std::borrow::Cow;

/// A standing order: a coordinator may have versions of a key born, each from its date on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RotateKey {
    /// What every version is made with; its version is the first that may be born. Each version
    /// may use all numbers of the order: what nodes keep of numbers is kept for each version.
    pub create: CreateKey,
    /// When the first version is due, by each node's own clock.
    pub from: Millis,
    /// Seconds from one version to the next.
    pub every: u32,
    /// How many versions; 0 ends the schedule.
    pub times: u16,
    /// No node begins another one after this.
    pub until: Millis,
}

impl RotateKey {
    /// The key.
    #[must_use]
    pub fn name(&self) -> &KeyName {
        &self.create.name
    }

    /// The last version that may be born under it; of one that ends a schedule, the one before
    /// the first.
    #[must_use]
    pub fn last(&self) -> u32 {
        self.create.version.get().saturating_add(u32::from(self.times)) - 1
    }

    /// The last epoch number that the order allows.
    #[must_use]
    pub fn last_number(&self) -> u64 {
        self.create.first_number.saturating_add(NUMBERS_PER_ORDER - 1)
    }

    /// The last version whose time comes: in the order's time and among its versions. None if no
    /// version's does.
    #[must_use]
    pub fn last_in_time(&self) -> Option<KeyVersion> {
        let late = self.until.0.checked_sub(self.from.0)? / (u64::from(self.every.max(1)) * 1000);
        let first = self.create.version.get();
        let last = u32::try_from(late).map_or(u32::MAX, |late| first.saturating_add(late));
        KeyVersion::new(last.min(self.last())).filter(|last| last.get() >= first)
    }

    /// When a version is due; `None` for one that is not of this order.
    #[must_use]
    pub fn due(&self, version: KeyVersion) -> Option<Millis> {
        let after = version.get().checked_sub(self.create.version.get())?;
        let wait = u64::from(self.every).saturating_mul(1000).saturating_mul(after.into());
        (version.get() <= self.last()).then(|| self.from.plus(wait))
    }

    /// What a version is made with; `None` for one that is not of this order.
    #[must_use]
    pub fn create(&self, version: KeyVersion) -> Option<CreateKey> {
        self.due(version).map(|_| CreateKey { version, ..self.create.clone() })
    }

    pub(crate) fn check(&self, issued_at: Millis) -> Result<(), OrderError> {
        let rule = |text: &str| Err(OrderError::Rule(text.into()));
        self.create.check_grants(issued_at)?;
        let numbers = self.create.first_number.checked_add(NUMBERS_PER_ORDER);
        if self.create.first_number == 0 || numbers.is_none() {
            return rule("epoch numbers begin at 1");
        }
        if self.create.version == KeyVersion::FIRST {
            return rule("the first version of a key is made by an order of its own");
        }
        if self.last() > MAX_VERSIONS {
            return rule(&format!("a key has at most {MAX_VERSIONS} versions; make another key"));
        }
        let (least, most) = REPEAT_EVERY.into_inner();
        if !REPEAT_EVERY.contains(&self.every) {
            return rule(&format!("a schedule repeats every {least} to {most} seconds"));
        }
        if self.from.max(self.until) > issued_at.plus(MAX_SCHEDULE) {
            return rule("a schedule goes on for ten years at most");
        }
        Ok(())
    }
}

impl Part for RotateKey {
    fn write(&self, w: &mut Writer) {
        w.option(Some(&self.create.rights).filter(|rights| **rights != Rights::NONE));
        self.create.write(w);
        self.from.write(w);
        w.u32(self.every);
        w.u16(self.times);
        self.until.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let rights = r.option("rights")?.unwrap_or(Rights::NONE);
        Ok(Self {
            create: CreateKey { rights, ..Part::read(r)? },
            from: Part::read(r)?,
            every: r.u32("interval")?,
            times: r.u16("times")?,
            until: Part::read(r)?,
        })
    }
}

impl Action {
    /// What a version of a key is made with, if this order may make that version.
    #[must_use]
    pub fn create_key_of(&self, version: KeyVersion) -> Option<Cow<'_, CreateKey>> {
        match self {
            Self::RotateKey(rotate) => rotate.create(version).map(Cow::Owned),
            other => other.create_key().filter(|c| c.version == version).map(Cow::Borrowed),
        }
    }
}

impl VerifiedOrder {
    /// The schedule of versions that it gives, or ends, if it does.
    #[must_use]
    pub fn rotation(&self) -> Option<&RotateKey> {
        match &self.order().action {
            Action::RotateKey(rotate) => Some(rotate),
            _ => None,
        }
    }

    /// What a version of a key is made with, if this order may make that version.
    #[must_use]
    pub fn create_key_of(&self, version: KeyVersion) -> Option<Cow<'_, CreateKey>> {
        self.order().action.create_key_of(version)
    }
}
