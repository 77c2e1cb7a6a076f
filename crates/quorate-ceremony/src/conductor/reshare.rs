//! What a conductor does for a reshare beside the steps: it asks what there is, finishes
//! what others have begun, deals on what is in force, leaves liars out, and brings those up
//! to date who missed a step.

use super::{
    Blame, Conductor, FailReason, Outcome, Pace,
    collect::Taken,
    round::Round,
    stage::{By, Signed, Stage},
};
use crate::{
    Descent, Fault, Plan, ReceiveRequest, RetireAnswer, StepKind, SurveyAnswer, SurveyRequest,
};
use quorate_crypto::PublicKey;
use quorate_types::{
    Cluster, EpochPublic, Format, KeyRecord, NodeIndex, SignedOrder, VerifiedEpoch, VerifiedKey,
    VerifiedOrder,
};
use std::{collections::BTreeSet, sync::Arc};

/// How often a conductor begins anew because another epoch has come into force, or one that
/// others have begun cannot be finished.
const MAX_SURVEYS: u32 = 16;

/// What a survey has found.
#[derive(Default)]
pub(super) struct Found {
    /// The highest epoch in force.
    in_force: Option<VerifiedEpoch>,
    /// Epochs that somebody has signed active and that are not in force.
    active: By<Signed>,
}

/// Who has reported that a certificate is stored.
pub(super) struct Reports {
    /// The committee, and the parent's.
    pub(super) parties: BTreeSet<NodeIndex>,
    /// Members that serve the epoch.
    pub(super) serving: BTreeSet<NodeIndex>,
    /// Members that hold no share of it.
    shareless: BTreeSet<NodeIndex>,
    /// Members of the parent's committee that have erased, with those that have not.
    leaving: By<(PublicKey, bool)>,
    /// How many of them must have.
    needed: usize,
    /// Whether the bundle has been brought to those that missed it.
    helped: bool,
}

impl Reports {
    pub(super) fn awaited(record: &KeyRecord, descent: Option<&Descent>) -> Self {
        let committee = &record.certificate.public.committee;
        let parent = descent.map(|d| &d.parent().certificate.public.committee);
        let leaving: By<_> = parent
            .into_iter()
            .flat_map(|c| c.members())
            .map(|m| (m.index, (m.identity, false)))
            .collect();
        Self {
            parties: committee.indices().chain(leaving.keys().copied()).collect(),
            serving: BTreeSet::new(),
            shareless: BTreeSet::new(),
            needed: parent.map_or(0, |c| c.size() - c.threshold().as_usize() + 1),
            leaving,
            helped: false,
        }
    }

    /// The identity that signs a node's report.
    pub(super) fn identity(&self, public: &EpochPublic, node: NodeIndex) -> Option<PublicKey> {
        let member = public.committee.member(node).map(|m| m.identity);
        member.or_else(|| self.leaving.get(&node).map(|(identity, _)| *identity))
    }

    pub(super) fn take(&mut self, public: &EpochPublic, answer: &RetireAnswer) {
        let node = answer.node;
        let signer = self.identity(public, node);
        if let Some((identity, erased)) = self.leaving.get_mut(&node)
            && signer == Some(*identity)
        {
            *erased = true;
        }
        if public.committee.member(node).is_none() {
            return;
        }
        if answer.serving {
            self.shareless.remove(&node);
            self.serving.insert(node);
        } else {
            self.shareless.insert(node);
        }
    }

    /// Whether so many of the old committee have erased that no `t` shares are left.
    pub(super) fn erased_enough(&self) -> bool {
        self.leaving.values().filter(|(_, erased)| *erased).count() >= self.needed
    }

    /// Members that are there and hold no share.
    pub(super) fn late(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.shareless.iter().copied()
    }
}

impl Conductor {
    /// Conducts a reshare, from what is known to be in force; what is newer, the nodes say.
    /// Nodes are told of `earlier` orders as in a genesis.
    ///
    /// # Errors
    /// [`Fault::WrongAction`] for an order that moves no shares, [`Fault::Parent`] and
    /// [`Fault::Certificate`] for records that are not of its key.
    pub fn reshare(
        cluster: Arc<Cluster>,
        order: VerifiedOrder,
        earlier: Vec<SignedOrder>,
        descent: Descent,
        pace: Pace,
    ) -> Result<Self, Fault> {
        let to = order.reshare().ok_or(Fault::WrongAction)?;
        let (first, version) = (to.first_number, to.version);
        let (birth, parent) = verify(&cluster, &descent)?;
        if !of_key(&birth, &order) || !birth.has(&parent) {
            return Err(Fault::Parent);
        }
        let (request, parties) = survey(&order, &parent);
        let round = Round::new(0, StepKind::Survey, 0, request, parties.iter().copied());
        let stage = Stage::ExpectSurvey { parties, found: Found::default() };
        let mut conductor = Self::at(cluster, order, version, earlier, pace, round, stage);
        conductor.next = first;
        conductor.descent = Some(Box::new(descent));
        Ok(conductor)
    }

    /// Conducts the next move of a schedule, whose order has moved shares before.
    ///
    /// # Errors
    /// As [`Conductor::reshare`].
    pub fn again(
        cluster: Arc<Cluster>,
        order: VerifiedOrder,
        descent: Descent,
        pace: Pace,
    ) -> Result<Self, Fault> {
        let number = descent.parent().certificate.public.epoch.number;
        let mut conductor = Self::reshare(cluster, order, Vec::new(), descent, pace)?;
        conductor.again_after = Some(number);
        Ok(conductor)
    }

    /// Asks what there is, before anything is begun and whenever it has changed.
    pub(super) fn survey(&mut self) {
        self.surveys += 1;
        let Some(Ok((_, parent))) = self.descent.as_ref().map(|d| verify(&self.cluster, d)) else {
            return self.fail(FailReason::Overtaken); // verified when it came
        };
        if self.surveys > MAX_SURVEYS {
            return self.fail(FailReason::Overtaken);
        }
        let (request, parties) = survey(&self.order, &parent);
        self.rounds += 1;
        self.round = Round::new(self.rounds, StepKind::Survey, 0, request, parties.iter().copied());
        self.stage = Stage::ExpectSurvey { parties, found: Found::default() };
    }

    /// A member shows what it has. What does not prove itself is left aside.
    pub(super) fn shown(&mut self, node: NodeIndex, bytes: &[u8]) -> Result<Taken, Blame> {
        let wrong = |rule: String| Blame::Answer { step: StepKind::Survey, rule };
        let answer = SurveyAnswer::from_bytes(bytes).map_err(|e| wrong(e.to_string()))?;
        let epoch = match answer.in_force() {
            Some(record) => Some(self.of_this_key(record).map_err(wrong)?),
            None => None,
        };
        let active = match answer.active {
            Some(c) if c.certificate.public.parent.is_some() => {
                let order = c.verify(&self.cluster).map_err(|e| wrong(e.to_string()))?;
                if c.active.node != node || !same_key(&c.certificate.public, &self.order) {
                    return Err(wrong("it is about another key or node".into()));
                }
                Some((order, c))
            }
            _ => None,
        };
        let Stage::ExpectSurvey { found, .. } = &mut self.stage else { return Ok(Taken::Out) };
        if let Some(signed) = active {
            found.active.insert(node, signed);
        }
        if let Some(epoch) = epoch
            && found.in_force.as_ref().is_none_or(|e| e.name() < epoch.name())
        {
            found.in_force = Some(epoch);
        }
        Ok(Taken::Done)
    }

    /// The highest epoch in force is the parent; a higher one that somebody has signed
    /// active is finished first, if it can be.
    pub(super) fn surveyed(&mut self, found: Found) {
        if let Some(epoch) = &found.in_force {
            self.adopt(epoch);
        }
        let Some(parent) = self.parent() else { return self.fail(FailReason::Overtaken) };
        let members = self.round.open().collect();
        self.absent = members;
        let done = self.again_after.is_none_or(|number| parent.name().number > number);
        if parent.public().order == self.order.hash() && done {
            // Already done: everybody is brought up to date, and told so.
            return self.store(self.order.clone(), parent.record().clone());
        }
        let best = found
            .active
            .into_values()
            .filter(|(_, c)| {
                let epoch = c.certificate.public.epoch;
                epoch.number > parent.name().number && !self.revisited.contains(&epoch)
            })
            .max_by_key(|(_, c)| c.certificate.public.epoch);
        match best {
            Some((order, c)) => self.activate(order, c.certificate, By::new(), By::new()),
            None => self.attempt(),
        }
    }

    /// Begins an attempt at the next number, on what is in force.
    pub(super) fn attempt(&mut self) {
        let Some(parent) = self.parent() else { return self.fail(FailReason::Overtaken) };
        let number = self.next.max(parent.name().number.saturating_add(1));
        match Plan::reshare(self.order.clone(), number, parent) {
            Ok(plan) => {
                self.next = number.saturating_add(1);
                self.prepare(plan);
            }
            Err(_) => self.fail(FailReason::NumbersUsed),
        }
    }

    /// A dealer lied or will not deal: in a reshare the next attempt runs without it.
    pub(super) fn without_dealer(&mut self, dealer: NodeIndex, reason: FailReason) {
        if self.descent.is_none() {
            return self.fail(reason);
        }
        self.excluded.insert(dealer);
        self.attempt();
    }

    /// Dealers that are slow are left out of the next attempt of a reshare.
    pub(super) fn slow_dealers(&mut self) -> bool {
        if !matches!(self.stage, Stage::ExpectDealings { .. }) || self.descent.is_none() {
            return false;
        }
        self.excluded.extend(self.round.open().collect::<Vec<_>>());
        self.attempt();
        true
    }

    /// A member proves that a higher epoch is in force than the one that is dealt on.
    pub(super) fn past(&self, record: &KeyRecord) -> Result<Taken, String> {
        let epoch = self.of_this_key(record)?;
        match self.parent() {
            Some(parent) if epoch.name().number <= parent.name().number => {
                Err("what it says is in force is not above the parent epoch".into())
            }
            _ => Ok(Taken::Past(Box::new(record.clone()))),
        }
    }

    pub(super) fn overtaken(&mut self, record: KeyRecord) {
        if let Ok(epoch) = self.of_this_key(&record) {
            self.adopt(&epoch);
        }
        self.survey();
    }

    /// Both epochs are served for as long as the order says.
    pub(super) fn grace(&mut self, order: VerifiedOrder, record: KeyRecord) {
        self.stage = Stage::ExpectGrace { order, record: Box::new(record), until: None };
        self.rounds += 1;
        let number = self.round.number;
        self.round = Round::new(self.rounds, StepKind::Retire, number, Vec::new(), [].into_iter());
    }

    /// Enough have stored the certificate. Whoever missed the bundle gets it, once.
    pub(super) fn stored_by(
        &mut self,
        order: VerifiedOrder,
        record: Box<KeyRecord>,
        mut reports: Reports,
    ) {
        if self.descent.is_none() {
            return self.born(*record, &order);
        }
        if !reports.helped && reports.late().next().is_some() {
            reports.helped = true;
            let number = record.certificate.public.epoch.number;
            if self.bundle.as_ref().is_some_and(|b| b.subject.number == number) {
                return self.late(order, record, reports);
            }
            let public = &record.certificate.public;
            let (key, version) = (public.key.clone(), public.version);
            let request = SurveyRequest { key, version, bundle: number };
            let stage = Stage::ExpectBundle { order, record, reports };
            return self.begin(StepKind::Survey, number, &request, stage);
        }
        if order.hash() != self.order.hash() {
            // Somebody else's epoch is finished; now to our own order.
            let epoch = self.of_this_key(&record);
            if let Ok(epoch) = epoch {
                self.adopt(&epoch);
            }
            return self.survey();
        }
        let committee = &record.certificate.public.committee;
        let absent = committee.indices().filter(|n| !reports.serving.contains(n)).collect();
        let unerased = reports.leaving.iter().filter(|(_, (_, e))| !e).map(|(n, _)| *n).collect();
        let culprits = self.culprits.clone();
        self.stage = Stage::Over(Outcome::Moved { record, absent, unerased, culprits });
    }

    /// A member gives the bundle that it keeps.
    pub(super) fn bundle_of(&mut self, bytes: &[u8]) -> Result<Taken, Blame> {
        let wrong = |rule: String| Blame::Answer { step: StepKind::Survey, rule };
        let answer = SurveyAnswer::from_bytes(bytes).map_err(|e| wrong(e.to_string()))?;
        let Some(bundle) = answer.bundle else { return Ok(Taken::Out) };
        let request = ReceiveRequest::from_bytes(&bundle).map_err(|e| wrong(e.to_string()))?;
        // Whoever receives it verifies it; a wrong one would be in the way of right ones.
        self.bundle = Some(Box::new(request));
        Ok(Taken::Done)
    }

    /// The bundle goes to those that missed it; then the certificate, again.
    pub(super) fn late(&mut self, order: VerifiedOrder, record: Box<KeyRecord>, reports: Reports) {
        let number = record.certificate.public.epoch.number;
        match self.bundle.clone().filter(|b| b.subject.number == number) {
            Some(bundle) => {
                let stage = Stage::ExpectLate { order, record, reports };
                self.begin(StepKind::Receive, number, &*bundle, stage);
            }
            None => self.stored_by(order, record, reports),
        }
    }

    pub(super) fn store_late(
        &mut self,
        order: VerifiedOrder,
        record: Box<KeyRecord>,
        reports: Reports,
    ) {
        self.store_with(order, record, reports);
    }

    /// The epoch that is dealt on.
    fn parent(&self) -> Option<VerifiedEpoch> {
        let descent = self.descent.as_ref()?;
        descent.parent().verify_epoch(&self.cluster).ok()
    }

    /// Takes an epoch for the newest in force, if it is above what is known.
    fn adopt(&mut self, epoch: &VerifiedEpoch) {
        if let Some(descent) = &mut self.descent
            && descent.parent().certificate.public.epoch.number < epoch.name().number
        {
            descent.newest = Some(epoch.record().clone());
        }
    }

    /// Verifies a record, and that it is of the key whose shares move.
    fn of_this_key(&self, record: &KeyRecord) -> Result<VerifiedEpoch, String> {
        let epoch = record.verify_epoch(&self.cluster).map_err(|e| e.to_string())?;
        let birth = self.descent.as_ref().map(|d| d.birth.verify(&self.cluster));
        match birth {
            Some(Ok(birth)) if birth.has(&epoch) => Ok(epoch),
            _ => Err("it is about another key".into()),
        }
    }
}

fn verify(cluster: &Cluster, descent: &Descent) -> Result<(VerifiedKey, VerifiedEpoch), Fault> {
    let birth = descent.birth.verify(cluster)?;
    let parent = match &descent.newest {
        Some(newest) => newest.verify_epoch(cluster)?,
        None => birth.epoch().clone(),
    };
    Ok((birth, parent))
}

fn survey(order: &VerifiedOrder, parent: &VerifiedEpoch) -> (Vec<u8>, BTreeSet<NodeIndex>) {
    let public = parent.public();
    let request =
        SurveyRequest { key: public.key.clone(), version: public.version, bundle: 0 }.to_bytes();
    let new = order.terms().into_iter().flat_map(|t| t.committee.indices().collect::<Vec<_>>());
    (request, new.chain(public.committee.indices()).collect())
}

fn of_key(birth: &VerifiedKey, order: &VerifiedOrder) -> bool {
    same_key(birth.public(), order)
        && order.terms().is_some_and(|t| t.public_key == Some(birth.public().public_key()))
}

fn same_key(public: &EpochPublic, order: &VerifiedOrder) -> bool {
    order.terms().is_some_and(|t| (&public.key, public.version) == (t.name, t.version))
}
