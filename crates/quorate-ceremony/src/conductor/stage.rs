//! What a conductor awaits, and when it has waited enough.

use super::{Conductor, FailReason, Outcome};
use crate::{
    ActivateRequest, Bundle, Certified, DealRequest, Plan, PrepareAnswer, PrepareList,
    ReceiveRequest, RetireRequest, SignedDealing, StepKind, Subject,
};
use quorate_types::{
    Certificate, Committee, EpochPublic, KeyRecord, Millis, NodeIndex, NodeSignature, VerifiedOrder,
};
use std::collections::BTreeMap;

/// Answers by member. A member counts once.
pub(super) type By<T> = BTreeMap<NodeIndex, T>;

/// An epoch that somebody has signed active, with its verified order.
pub(super) type Signed = (VerifiedOrder, Certified);

/// Named for what is awaited.
pub(super) enum Stage {
    /// Everybody's ceremony key and commitment.
    ExpectPrepared {
        plan: Plan,
        answers: By<PrepareAnswer>,
        /// Members that have proven to have signed an epoch active already.
        certified: By<Signed>,
        /// Why there will be no full list.
        refusal: Option<FailReason>,
    },
    /// Everybody's dealing.
    ExpectDealings { plan: Plan, list: Box<PrepareList>, dealings: By<SignedDealing> },
    /// All receipts, or `q` of them once patience ends.
    ExpectReceipts {
        plan: Plan,
        request: Box<ReceiveRequest>,
        bundle: Box<Bundle>,
        receipts: By<NodeSignature>,
        /// Members that have used this number for another bundle.
        elsewhere: bool,
    },
    /// All active signatures, or `q` of them once patience ends.
    ExpectActives {
        order: VerifiedOrder,
        certificate: Box<Certificate>,
        actives: By<NodeSignature>,
        /// Members that have proven to have signed another epoch active.
        others: By<Signed>,
        /// Whether a member says that it has no share.
        shareless: bool,
    },
    /// All reports that the birth certificate is stored, or `t` once patience ends.
    ExpectStored { order: VerifiedOrder, record: Box<KeyRecord> },
    /// Nothing.
    Over(Outcome),
}

impl Stage {
    pub(super) fn prepare(plan: Plan) -> Self {
        Self::ExpectPrepared { plan, answers: By::new(), certified: By::new(), refusal: None }
    }

    fn committee(&self) -> Option<&Committee> {
        match self {
            Self::ExpectPrepared { plan, .. }
            | Self::ExpectDealings { plan, .. }
            | Self::ExpectReceipts { plan, .. } => Some(plan.committee()),
            Self::ExpectActives { certificate, .. } => Some(&certificate.public.committee),
            Self::ExpectStored { record, .. } => Some(&record.certificate.public.committee),
            Self::Over(_) => None,
        }
    }

    pub(super) fn members(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.committee().into_iter().flat_map(Committee::indices)
    }

    /// How many members must do the step.
    pub(super) fn needed(&self) -> usize {
        match self {
            Self::ExpectPrepared { plan, .. } | Self::ExpectDealings { plan, .. } => {
                plan.committee().size()
            }
            Self::ExpectReceipts { plan, .. } => usize::from(plan.create().q),
            Self::ExpectActives { order, .. } => q(order),
            Self::ExpectStored { record, .. } => {
                record.certificate.public.committee.threshold().as_usize()
            }
            Self::Over(_) => 0,
        }
    }
}

pub(super) fn q(order: &VerifiedOrder) -> usize {
    order.create_key().map_or(usize::MAX, |create| usize::from(create.q))
}

impl Conductor {
    /// Goes on if enough answers are there, or if none can come any more.
    pub(super) fn advance(&mut self, now: Millis) {
        if self.outcome().is_some() {
            return;
        }
        let (done, needed) = (self.round.answered(), self.stage.needed());
        let open = self.round.open().count();
        let waited = open == 0 || self.round.age(now) >= self.pace.patience;
        if done >= needed && waited {
            return self.go_on();
        }
        match &mut self.stage {
            // Everybody is heard first: somebody may know of an epoch to be finished.
            Stage::ExpectPrepared { certified, refusal, .. } => {
                if waited && !certified.is_empty() {
                    let certified = std::mem::take(certified);
                    return self.finish(certified);
                }
                if waited && let Some(reason) = refusal.take() {
                    return self.fail(reason);
                }
            }
            // Here too: which epoch can still be finished, all of them together know.
            Stage::ExpectActives { .. } if !waited => {}
            _ if done + open < needed => return self.too_few(done + open, needed),
            _ => {}
        }
        if self.round.age(now) >= self.pace.give_up {
            let nodes = self.round.open().collect();
            self.fail(FailReason::Silent { step: self.round.step, nodes });
        }
    }

    /// The step is done by enough members: put together what comes next.
    fn go_on(&mut self) {
        let taken = std::mem::replace(&mut self.stage, Stage::Over(NOTHING));
        match taken {
            Stage::ExpectPrepared { plan, answers, .. } => self.list(plan, answers),
            Stage::ExpectDealings { plan, list, dealings } => self.bundle(plan, *list, dealings),
            Stage::ExpectReceipts { plan, bundle, receipts, .. } => {
                let receipts = receipts.into_values().collect();
                let certificate = Certificate { public: bundle.public().clone(), receipts };
                self.activate(plan.order().clone(), certificate, By::new(), By::new());
            }
            Stage::ExpectActives { order, certificate, actives, .. } => {
                let record = KeyRecord {
                    order: order.signed().clone(),
                    certificate: *certificate,
                    actives: actives.into_values().collect(),
                };
                self.store(order, record);
            }
            Stage::ExpectStored { order, record } => self.born(*record, &order),
            over @ Stage::Over(_) => self.stage = over,
        }
    }

    /// All have prepared: the list goes to everybody.
    fn list(&mut self, plan: Plan, answers: By<PrepareAnswer>) {
        let answers: Vec<_> = answers.into_values().collect();
        match PrepareList::verify(&plan, answers.clone()) {
            Ok(list) => {
                let request = DealRequest { subject: subject(&plan), answers };
                let number = plan.number();
                let stage =
                    Stage::ExpectDealings { plan, list: Box::new(list), dealings: By::new() };
                self.begin(StepKind::Deal, number, &request, stage);
            }
            // Each answer was verified when it came: without a full list there is none.
            Err(_) => self.fail(FailReason::TooFew {
                step: StepKind::Prepare,
                possible: answers.len(),
                needed: plan.committee().size(),
            }),
        }
    }

    /// All have dealt: the bundle goes to everybody.
    fn bundle(&mut self, plan: Plan, list: PrepareList, dealings: By<SignedDealing>) {
        let signed: Vec<_> = dealings.into_values().collect();
        match Bundle::verify(&plan, &list, &signed) {
            Ok(bundle) => {
                let request = ReceiveRequest {
                    subject: subject(&plan),
                    answers: list.answers().to_vec(),
                    bundle: signed,
                };
                let number = plan.number();
                let stage = Stage::ExpectReceipts {
                    plan,
                    request: Box::new(request.clone()),
                    bundle: Box::new(bundle),
                    receipts: By::new(),
                    elsewhere: false,
                };
                self.begin(StepKind::Receive, number, &request, stage);
            }
            // Each dealing was verified when it came: all members together cheat.
            Err(_) => self.fail(FailReason::TooFew {
                step: StepKind::Deal,
                possible: 0,
                needed: plan.committee().size(),
            }),
        }
    }

    /// An epoch is certified: everybody is asked to serve it.
    pub(super) fn activate(
        &mut self,
        order: VerifiedOrder,
        certificate: Certificate,
        actives: By<NodeSignature>,
        others: By<Signed>,
    ) {
        let request =
            ActivateRequest { order: order.signed().clone(), certificate: certificate.clone() };
        let number = certificate.public.epoch.number;
        let (done, out): (Vec<_>, Vec<_>) =
            (actives.keys().copied().collect(), others.keys().copied().collect());
        let certificate = Box::new(certificate);
        let stage = Stage::ExpectActives { order, certificate, actives, others, shareless: false };
        self.begin(StepKind::Activate, number, &request, stage);
        done.into_iter().for_each(|n| self.round.done(n));
        out.into_iter().for_each(|n| self.round.out(n));
    }

    /// The key is born: everybody is asked to keep the proof.
    pub(super) fn store(&mut self, order: VerifiedOrder, record: KeyRecord) {
        let request = RetireRequest { record: record.clone() };
        let number = record.certificate.public.epoch.number;
        let stage = Stage::ExpectStored { order, record: Box::new(record) };
        self.begin(StepKind::Retire, number, &request, stage);
    }

    /// Not enough members can do the step any more.
    fn too_few(&mut self, possible: usize, needed: usize) {
        let step = self.round.step;
        match &self.stage {
            Stage::ExpectReceipts { elsewhere: true, .. } => self.next_number(),
            Stage::ExpectActives { .. } => self.split(possible, needed),
            _ => self.fail(FailReason::TooFew { step, possible, needed }),
        }
    }

    /// Members have signed other epochs active, or hold no share of this one.
    fn split(&mut self, possible: usize, needed: usize) {
        let Stage::ExpectActives { order, certificate, actives, others, shareless } = &self.stage
        else {
            return;
        };
        // Everybody known to have signed something, with what.
        let mut signed: By<Signed> = others.clone();
        for (node, active) in actives {
            let certified = Certified {
                order: order.signed().clone(),
                certificate: (**certificate).clone(),
                active: *active,
            };
            signed.insert(*node, (order.clone(), certified));
        }
        if !reachable(&signed, order, certificate) {
            return self.finish(signed);
        }
        // Members without a share can still have it: all steps again, for the bundle.
        let epoch = certificate.public.epoch;
        match Plan::new(order.clone(), epoch.number) {
            Ok(plan) if *shareless && self.revisited.insert(epoch) => self.prepare(plan),
            _ => {
                let step = StepKind::Activate;
                self.fail(FailReason::TooFew { step, possible, needed });
            }
        }
    }

    /// Finishes the epoch that most have signed active, of those that can still have
    /// enough signatures.
    fn finish(&mut self, signed: By<Signed>) {
        let epoch = |(_, c): &&Signed| c.certificate.public.epoch;
        let signers = |public: &EpochPublic| {
            signed.values().filter(|(_, c)| c.certificate.public == *public).count()
        };
        let best = signed
            .values()
            .filter(|(order, c)| reachable(&signed, order, &c.certificate))
            .max_by_key(|s| (signers(&s.1.certificate.public), epoch(s)));
        let Some((order, chosen)) = best.cloned() else {
            if let Some(highest) = signed.values().map(|s| epoch(&s)).max() {
                self.fail(FailReason::Split(highest));
            }
            return;
        };
        let public = chosen.certificate.public.clone();
        let (ours, others): (By<_>, By<_>) =
            signed.into_iter().partition(|(_, (_, c))| c.certificate.public == public);
        let actives = ours.into_iter().map(|(n, (_, c))| (n, c.active)).collect();
        self.activate(order, chosen.certificate, actives, others);
    }
}

/// Whether an epoch can still have `q` active signatures, if everybody signs it who is
/// not known to have signed another.
fn reachable(signed: &By<Signed>, order: &VerifiedOrder, candidate: &Certificate) -> bool {
    let committee = &candidate.public.committee;
    let elsewhere = signed
        .iter()
        .filter(|(n, _)| committee.member(**n).is_some())
        .filter(|(_, (_, c))| c.certificate.public != candidate.public)
        .count();
    committee.size() - elsewhere >= q(order)
}

fn subject(plan: &Plan) -> Subject {
    Subject {
        key: plan.create().name.clone(),
        version: plan.create().version,
        number: plan.number(),
    }
}

/// Stands for the stage while it is being replaced.
const NOTHING: Outcome =
    Outcome::Failed { reason: FailReason::NumbersUsed, culprits: Vec::new(), burnt: false };
