//! The epochs of a key version at a node: which are held, which answer, which are over.
//! The rules of DESIGN §4.2 that say what is never given away and what is erased.
//!
//! The steps verify, then do what these methods say; the model in `tests/model` checks
//! these same methods exhaustively. That is why they are generic over the proofs that a
//! node keeps, and public.

use crate::message::{ActivateRequest, Certified};
use quorate_types::{
    CodecError, EpochName, EpochPublic, Format, Millis, Part, Reader, Writer, codec::ascending,
};

/// The most attempts of one key version that keep secrets at a node: four orders' worth.
pub const MAX_LIVE: usize = 4096;

/// The public values of an epoch, as far as the rules look at them.
pub trait Named: PartialEq {
    /// Its name.
    fn epoch(&self) -> EpochName;
    /// The epoch whose shares were dealt on; `None` in a genesis.
    fn parent(&self) -> Option<EpochName>;
}

impl Named for EpochPublic {
    fn epoch(&self) -> EpochName {
        self.epoch
    }
    fn parent(&self) -> Option<EpochName> {
        self.parent
    }
}

/// A verified proof about an epoch, which a node keeps.
pub trait Proof {
    /// What it is about.
    type Of: Named;
    /// What it is about.
    fn of(&self) -> &Self::Of;
}

impl Proof for Certified {
    type Of = EpochPublic;
    fn of(&self) -> &EpochPublic {
        &self.certificate.public
    }
}

impl Proof for ActivateRequest {
    type Of = EpochPublic;
    fn of(&self) -> &EpochPublic {
        &self.certificate.public
    }
}

/// What a node holds to for a key version as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Standing<A = Certified, N = ActivateRequest> {
    /// The one epoch of a genesis that the node has signed active, for ever.
    pub active: Option<A>,
    /// The newest certificate of an epoch of which the node holds no share.
    pub noted: Option<N>,
    /// The epoch of the highest birth or retire certificate known here. Nothing below it,
    /// and no child of anything below it, is prepared, received or activated any more.
    pub in_force: Option<EpochName>,
    /// When that came here, by this node's clock: schedules count from it.
    pub in_force_since: Millis,
    /// Attempts whose secrets are kept, by ascending number.
    pub live: Vec<Live>,
}

impl<A, N> Default for Standing<A, N> {
    fn default() -> Self {
        Self {
            active: None,
            noted: None,
            in_force: None,
            in_force_since: Millis::default(),
            live: Vec::new(),
        }
    }
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
pub enum End {
    /// Erased; its number stays used.
    Erase(u64),
    /// Erased and forgotten: its number is below what is in force.
    Forget(u64),
}

/// Whether a node may take its share out of a verified bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Receiving {
    /// Yes: the epoch is in force here, or certified.
    Always,
    /// Only if its order is the newest that the node knows.
    UnderNewestOrder,
    /// No: what is in force is not its parent, nor below it.
    Never,
}

/// What a node does about an epoch with a verified certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activation {
    /// It has signed the epoch active, and signs the same again.
    Again,
    /// What is in force is not the epoch's parent, nor below it.
    Past,
    /// It has signed another epoch of the genesis active.
    Other,
    /// It holds the share: [`Standing::activate`], and sign.
    Active,
    /// It holds no share: [`Standing::note`], and sign nothing.
    Noted,
}

impl<A: Proof, N: Proof<Of = A::Of>> Standing<A, N> {
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

    /// Whether the share of an epoch is held and answers.
    #[must_use]
    pub fn holds_active(&self, epoch: EpochName) -> bool {
        self.live(epoch.number).is_some_and(|l| l.active && l.epoch == Some(epoch))
    }

    /// Begins an attempt. Under a `newer` order than before, no earlier one goes on in which
    /// the node has not dealt: nobody can finish it, and what that ends is given. None if the
    /// node keeps the secrets of [`MAX_LIVE`] attempts.
    #[must_use]
    pub fn prepare(
        &mut self,
        number: u64,
        parent: Option<EpochName>,
        newer: bool,
    ) -> Option<Vec<End>> {
        let mut ends = Vec::new();
        if newer {
            self.live.retain(|l| {
                let keep = l.dealt || planted!(SupersededOrder);
                if !keep {
                    ends.push(End::Erase(l.number));
                }
                keep
            });
        }
        if self.live.len() >= MAX_LIVE {
            return None;
        }
        let fresh = Live::prepared(number, parent);
        match self.live.binary_search_by_key(&number, |l| l.number) {
            Ok(at) => self.live[at] = fresh,
            Err(at) => self.live.insert(at, fresh),
        }
        Some(ends)
    }

    /// The node deals in an attempt; false if its secrets are gone.
    #[must_use]
    pub fn deal(&mut self, number: u64) -> bool {
        self.mark(number, |l| l.dealt = true)
    }

    /// Whether the node may take its share of an epoch, with the epoch `in_force` here. One
    /// that missed the step may still have its share of an epoch that was certified without
    /// it, or came into force; below and beside what is in force, of nothing else.
    #[must_use]
    pub fn receiving(&self, public: &A::Of, in_force: Option<&A::Of>) -> Receiving {
        if in_force == Some(public) {
            return Receiving::Always;
        }
        if !self.descends(public.epoch().number, public.parent()) {
            return Receiving::Never;
        }
        match &self.noted {
            Some(noted) if noted.of() == public => Receiving::Always,
            _ => Receiving::UnderNewestOrder,
        }
    }

    /// The node has its share of an epoch; false if the attempt's secrets are gone.
    #[must_use]
    pub fn receive(&mut self, epoch: EpochName) -> bool {
        self.mark(epoch.number, |l| (l.dealt, l.epoch) = (true, Some(epoch)))
    }

    /// What to do about an epoch that is certified, with the epoch `in_force` here and the
    /// `receipt` that the node has signed for its number.
    #[must_use]
    pub fn activation(
        &self,
        public: &A::Of,
        in_force: Option<&A::Of>,
        receipt: Option<&A::Of>,
    ) -> Activation {
        let (epoch, parent) = (public.epoch(), public.parent());
        let live = self
            .live(epoch.number)
            .filter(|l| l.epoch == Some(epoch) || l.epoch.is_some() && planted!(NumberAlone));
        let active = self.active.as_ref();
        // A born epoch is served whether the node had signed it active or another one; of a
        // genesis it signs only the one.
        let signed = match parent {
            None => active.is_some_and(|a| a.of() == public),
            Some(_) => live.is_some_and(|l| l.active),
        };
        if signed {
            return Activation::Again;
        }
        // Above what is in force, and a child of it; in a genesis before anything is.
        if !self.descends(epoch.number, parent) && in_force.is_some_and(|e| e != public) {
            return Activation::Past;
        }
        // One public key of a version, for ever: every attempt of a genesis makes another key.
        if parent.is_none() && active.is_some() {
            return Activation::Other;
        }
        let held = receipt == Some(public) || receipt.is_some() && planted!(NumberAlone);
        if held && live.is_some() { Activation::Active } else { Activation::Noted }
    }

    /// The node signs an epoch active whose share it holds.
    pub fn activate(&mut self, number: u64) {
        self.mark(number, |l| l.active = true);
    }

    /// The node keeps the certificate of an epoch of which it holds no share, if it is the
    /// newest.
    pub fn note(&mut self, noted: N) {
        if self.noted.as_ref().is_none_or(|n| n.of().epoch() < noted.of().epoch()) {
            self.noted = Some(noted);
        }
    }

    /// A birth or retire certificate of an epoch has been taken over. A share that the node
    /// `holds` is served from now on, whether it had been activated or not. Gives whether
    /// the node serves the epoch.
    pub fn retire(&mut self, epoch: EpochName, holds: bool) -> bool {
        if self.noted.as_ref().is_some_and(|n| n.of().epoch() <= epoch) {
            self.noted = None;
        }
        self.in_force == Some(epoch) && holds && self.mark(epoch.number, |l| l.active = true)
    }

    /// Changes a live attempt; false if its secrets are gone.
    fn mark(&mut self, number: u64, change: impl FnOnce(&mut Live)) -> bool {
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
    pub fn put_in_force(&mut self, epoch: EpochName, member: bool) -> Option<Vec<End>> {
        if self.in_force.is_some_and(|e| e.number >= epoch.number) {
            return None;
        }
        let birth = self.in_force.is_none();
        let promised = self.active.as_ref().map(|a| a.of().epoch().number);
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
            let forgotten = l.epoch.is_none() && planted!(ForgetCeremonyKeyLate);
            if !keep && !forgotten {
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
        self.in_force_since.write(w);
        w.list(&self.live);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let active = r.option("active epoch")?;
        let noted = r.option("noted certificate")?;
        let (in_force, in_force_since) = (r.option("epoch in force")?, Part::read(r)?);
        let live: Vec<Live> = r.list(MAX_LIVE, "live attempts")?;
        ascending(&live, "live attempts", |l| l.number)?;
        Ok(Self { active, noted, in_force, in_force_since, live })
    }
}

impl Format for Standing {
    const KIND: &'static str = "QSTD";
    const VERSION: u16 = 2; // since there are reshares
}
