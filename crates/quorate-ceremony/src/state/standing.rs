//! The epochs of a key version at a node: which are held, which answer, which are over.
//! The rules of DESIGN §4.2 that say what is never given away and what is erased.

use crate::message::{ActivateRequest, Certified};
use quorate_types::{CodecError, EpochName, Format, Part, Reader, Writer, codec::ascending};

/// The most attempts of one key version that keep secrets at a node: four orders' worth.
pub const MAX_LIVE: usize = 4096;

/// What a node holds to for a key version as a whole.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// The one epoch of a genesis that the node has signed active, for ever.
    pub active: Option<Certified>,
    /// The newest certificate of an epoch of which the node holds no share.
    pub noted: Option<ActivateRequest>,
    /// The epoch of the highest birth or retire certificate known here. Nothing below it,
    /// and no child of anything below it, is prepared, received or activated any more.
    pub in_force: Option<EpochName>,
    /// Attempts whose secrets are kept, by ascending number.
    pub live: Vec<Live>,
}

/// An attempt whose secrets are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Live {
    /// Its epoch number.
    pub number: u64,
    /// The epoch whose shares are dealt on; `None` in a genesis.
    pub parent: Option<EpochName>,
    /// Whether the node has dealt or received: then others may certify the attempt,
    /// whatever this node hears of it.
    pub dealt: bool,
    /// The epoch whose receipt the node has signed: its share is held.
    pub epoch: Option<EpochName>,
    /// Whether the node has signed it active.
    pub active: bool,
}

impl Live {
    /// A fresh attempt.
    #[must_use]
    pub fn prepared(number: u64, parent: Option<EpochName>) -> Self {
        Self { number, parent, dealt: false, epoch: None, active: false }
    }
}

impl Part for Live {
    fn write(&self, w: &mut Writer) {
        w.u64(self.number);
        w.option(self.parent.as_ref());
        w.bool(self.dealt);
        w.option(self.epoch.as_ref());
        w.bool(self.active);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self {
            number: r.u64("live attempt")?,
            parent: r.option("parent epoch")?,
            dealt: r.bool("dealt")?,
            epoch: r.option("held epoch")?,
            active: r.bool("active")?,
        })
    }
}

/// What the secrets of an attempt become when an epoch comes into force.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Erased; its number stays used.
    Erase(u64),
    /// Erased and forgotten: its number is below what is in force.
    Forget(u64),
}

impl Standing {
    /// The attempt with this number, if its secrets are kept.
    #[must_use]
    pub fn live(&self, number: u64) -> Option<&Live> {
        let at = self.live.binary_search_by_key(&number, |l| l.number).ok()?;
        Some(&self.live[at])
    }

    /// Whether the secrets of an attempt are kept.
    #[must_use]
    pub fn is_live(&self, number: u64) -> bool {
        self.live(number).is_some()
    }

    /// The epochs whose shares answer requests, ascending: the one in force, and every
    /// higher one that the node has signed active. Before a birth, the one signed active;
    /// after it, no other one of the genesis.
    pub fn serves(&self) -> impl Iterator<Item = EpochName> + '_ {
        self.live.iter().filter(|l| l.active).filter_map(|l| {
            let epoch = l.epoch?;
            let other = self.highest_active().is_some_and(|n| n != l.number);
            if other && planted!(ServeOnlyNew)
                || other && planted!(ServeNewestOfTwo) && Some(epoch) != self.in_force
            {
                return None;
            }
            let serves = match self.in_force {
                None => true,
                Some(in_force) => {
                    epoch == in_force || (l.number > in_force.number && l.parent.is_some())
                }
            };
            serves.then_some(epoch)
        })
    }

    /// The highest epoch that is signed active and not in force: what a survey shows.
    #[must_use]
    pub fn highest_active(&self) -> Option<u64> {
        let above = |l: &&Live| {
            l.active && self.in_force.is_none_or(|e| l.number > e.number && l.parent.is_some())
        };
        self.live.iter().rfind(above).map(|l| l.number)
    }

    /// Whether an attempt with this parent may still make an epoch here.
    #[must_use]
    pub fn descends(&self, number: u64, parent: Option<EpochName>) -> bool {
        parent == self.in_force && self.in_force.is_none_or(|e| number > e.number)
    }

    /// Changes what is known of a live attempt, or adds it.
    pub(crate) fn enliven(&mut self, live: Live) {
        match self.live.binary_search_by_key(&live.number, |l| l.number) {
            Ok(at) => self.live[at] = live,
            Err(at) => self.live.insert(at, live),
        }
    }

    /// Changes a live attempt; false if its secrets are gone.
    pub(crate) fn mark(&mut self, number: u64, change: impl FnOnce(&mut Live)) -> bool {
        match self.live.binary_search_by_key(&number, |l| l.number) {
            Ok(at) => {
                change(&mut self.live[at]);
                true
            }
            Err(_) => false,
        }
    }

    /// A birth or retire certificate of this epoch is at hand: it comes into force, and
    /// what that ends is given. None if the epoch is not above the one in force. `member`:
    /// whether the node is in its committee, and may still receive its share.
    pub(crate) fn put_in_force(&mut self, epoch: EpochName, member: bool) -> Option<Vec<End>> {
        if self.in_force.is_some_and(|e| e.number >= epoch.number) {
            return None;
        }
        let birth = self.in_force.is_none();
        let promised = self.active.as_ref().map(|a| a.certificate.public.epoch.number);
        self.in_force = Some(epoch);
        let mut ends = Vec::new();
        self.live.retain_mut(|l| {
            if l.number == epoch.number && l.epoch.is_none_or(|e| e == epoch) && member {
                l.active = l.epoch.is_some();
                return true;
            }
            let keep = match (birth, l.parent) {
                // Only an epoch signed active stays of a genesis, as the node has promised.
                (true, None) => promised == Some(l.number),
                // A promise holds until a certificate of a higher epoch.
                _ if l.number > epoch.number && planted!(DropPromised) => l.parent == Some(epoch),
                _ if l.number > epoch.number && planted!(KeepOrphans) => {
                    l.active || l.epoch.is_some() || l.parent == Some(epoch)
                }
                _ if l.number > epoch.number => l.active || l.parent == Some(epoch),
                _ => false,
            };
            if !keep && !(l.epoch.is_none() && planted!(ForgetCeremonyKeyLate)) {
                let below = l.number < epoch.number && !birth;
                ends.push(if below { End::Forget(l.number) } else { End::Erase(l.number) });
            }
            keep
        });
        Some(ends)
    }
}

impl Part for Standing {
    fn write(&self, w: &mut Writer) {
        w.option(self.active.as_ref());
        w.option(self.noted.as_ref());
        w.option(self.in_force.as_ref());
        w.list(&self.live);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let active = r.option("active epoch")?;
        let noted = r.option("noted certificate")?;
        let in_force = r.option("epoch in force")?;
        let live: Vec<Live> = r.list(MAX_LIVE, "live attempts")?;
        ascending(&live, "live attempts", |l| l.number)?;
        Ok(Self { active, noted, in_force, live })
    }
}

impl Format for Standing {
    const KIND: &'static str = "QSTD";
    const VERSION: u16 = 2; // since there are reshares
}
