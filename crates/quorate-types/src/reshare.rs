//! The order that moves the shares of a key to a new epoch: refresh, other members,
//! another threshold and repair are its parameters.

use crate::{
    codec::{CodecError, Part, Reader, Writer},
    committee::Committee,
    ids::{KeyName, KeyVersion, Millis},
    order::{NUMBERS_PER_ORDER, OrderError},
    suite::{Purpose, Suite},
};

/// The longest time for which an order keeps the old epoch beside the new one, in seconds.
pub const MAX_GRACE: u32 = 86_400;

/// The shortest and the longest time between two moves of a schedule, in seconds.
pub const REPEAT_EVERY: std::ops::RangeInclusive<u32> = 10..=366 * 86_400;
/// How long a schedule may go on.
pub const MAX_SCHEDULE: u64 = 10 * 366 * Millis::DAY;

/// A standing order: a coordinator may move the shares again by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Repeat {
    /// Seconds between two moves, by each node's own clock.
    pub every: u32,
    /// At most so many attempts, the first one included: as many epoch numbers.
    pub times: u16,
    /// No node begins another one after this.
    pub until: Millis,
}

impl Repeat {
    /// When the next move is due, if the last one was then: a little early, since clocks
    /// differ.
    #[must_use]
    pub fn due(&self, last: Millis) -> Millis {
        let every = u64::from(self.every) * 1000;
        last.plus(every - every / 10)
    }
}

impl Part for Repeat {
    fn write(&self, w: &mut Writer) {
        w.u32(self.every);
        w.u16(self.times);
        self.until.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { every: r.u32("interval")?, times: r.u16("times")?, until: Part::read(r)? })
    }
}

/// Moves the shares of a key version to a committee. The public key stays; the old shares
/// become worthless.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reshare {
    /// The key.
    pub name: KeyName,
    /// The version whose shares move.
    pub version: KeyVersion,
    /// The newest version of the key, so that the next order of the chain can follow.
    pub newest: KeyVersion,
    /// What the key does; stated, so that a node without history has it from here.
    pub suite: Suite,
    /// What it is for.
    pub purpose: Purpose,
    /// `Y`, encoded: it never changes.
    pub public_key: [u8; 32],
    /// Who shares the key from now on, with `t`.
    pub committee: Committee,
    /// How many receipts and active signatures put the epoch in force.
    pub q: u16,
    /// The first of [`crate::order::NUMBERS_PER_ORDER`] epoch numbers that attempts may take.
    pub first_number: u64,
    /// For how many seconds at least the old epoch is served beside the new one.
    pub grace: u32,
    /// Whether it may be done again and again: a schedule.
    pub repeat: Option<Repeat>,
    /// Allows one provider or jurisdiction `t` shares or more. For development.
    pub danger_concentrated: bool,
    /// Says that losing one jurisdiction may put the key out of reach.
    pub acknowledge_fragile: bool,
}

impl Reshare {
    pub(crate) fn check(&self, issued_at: Millis) -> Result<(), OrderError> {
        let rule = |text: &str| Err(OrderError::Rule(text.into()));
        if self.newest < self.version {
            return rule("the newest version of a key is not below the one whose shares move");
        }
        if self.grace > MAX_GRACE {
            return rule("the old epoch is kept for a day (86400 s) at most");
        }
        if let Some(repeat) = &self.repeat {
            let (least, most) = REPEAT_EVERY.into_inner();
            if !REPEAT_EVERY.contains(&repeat.every) {
                return rule(&format!("a schedule repeats every {least} to {most} seconds"));
            }
            if repeat.times == 0 || u64::from(repeat.times) > NUMBERS_PER_ORDER {
                return rule("a schedule allows 1 to 1024 attempts");
            }
            if repeat.until > issued_at.plus(MAX_SCHEDULE) {
                return rule("a schedule goes on for ten years at most");
            }
        }
        Ok(())
    }
}

impl Part for Reshare {
    fn write(&self, w: &mut Writer) {
        self.name.write(w);
        self.version.write(w);
        self.newest.write(w);
        self.suite.write(w);
        self.purpose.write(w);
        w.raw(&self.public_key);
        self.committee.write(w);
        w.u16(self.q);
        w.u64(self.first_number);
        w.u32(self.grace);
        w.option(self.repeat.as_ref());
        w.bool(self.danger_concentrated);
        w.bool(self.acknowledge_fragile);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            name: Part::read(r)?,
            version: Part::read(r)?,
            newest: Part::read(r)?,
            suite: Part::read(r)?,
            purpose: Part::read(r)?,
            public_key: r.array("public key")?,
            committee: Part::read(r)?,
            q: r.u16("q")?,
            first_number: r.u64("first epoch number")?,
            grace: r.u32("grace")?,
            repeat: r.option("schedule")?,
            danger_concentrated: r.bool("danger_concentrated")?,
            acknowledge_fragile: r.bool("acknowledge_fragile")?,
        })
    }
}
