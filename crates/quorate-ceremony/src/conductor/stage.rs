//! What a conductor awaits, and when it has waited enough.

use super::{
    Conductor, FailReason, Outcome,
    reshare::{Found, Reports},
};
use crate::{
    ActivateRequest, Bundle, Certified, DealRequest, Plan, PrepareAnswer, PrepareList,
    ReceiveRequest, RetireRequest, SignedDealing, StepKind, Subject,
};
use quorate_crypto::dealing::VerifiedDealing;
use quorate_types::{
    Certificate, EpochPublic, KeyRecord, Millis, NodeIndex, NodeSignature, VerifiedOrder,
};
use std::collections::{BTreeMap, BTreeSet};

/// Answers by member. A member counts once.
pub(super) type By<T> = BTreeMap<NodeIndex, T>;

/// A dealing as it came, and verified.
pub(super) type Dealt = (SignedDealing, VerifiedDealing);

/// An epoch that somebody has signed active, with its verified order.
pub(super) type Signed = (VerifiedOrder, Certified);

/// Named for what is awaited.
#[allow(clippy::large_enum_variant, reason = "one for each conductor")]
pub(super) enum Stage {
    /// In a reshare: what everybody has.
    ExpectSurvey { parties: BTreeSet<NodeIndex>, found: Found },
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
    ExpectDealings { plan: Plan, list: Box<PrepareList>, dealings: By<Dealt> },
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
    /// In a reshare: the end of the time for which both epochs are served.
    ExpectGrace { order: VerifiedOrder, record: Box<KeyRecord>, until: Option<Millis> },
    /// All reports that the certificate is stored, or enough of them once patience ends.
    ExpectStored { order: VerifiedOrder, record: Box<KeyRecord>, reports: Reports },
    /// In a reshare: the bundle, from anyone who has it, for members that missed it.
    ExpectBundle { order: VerifiedOrder, record: Box<KeyRecord>, reports: Reports },
    /// In a reshare: receipts of members that missed the bundle.
    ExpectLate { order: VerifiedOrder, record: Box<KeyRecord>, reports: Reports },
    /// Nothing.
    Over(Outcome),
}

impl Stage {
    pub(super) fn prepare(plan: Plan) -> Self {
        Self::ExpectPrepared { plan, answers: By::new(), certified: By::new(), refusal: None }
    }

    pub(super) fn members(&self) -> Vec<NodeIndex> {
        match self {
            Self::ExpectSurvey { parties, .. } => parties.iter().copied().collect(),
            Self::ExpectPrepared { plan, .. } => plan.parties().into_iter().collect(),
            Self::ExpectDealings { list, .. } => list.dealers().to_vec(),
            Self::ExpectReceipts { plan, request, .. } => {
                let answered = request.answers.iter().map(|a| a.node);
                answered.filter(|n| plan.committee().member(*n).is_some()).collect()
            }
            Self::ExpectActives { certificate, .. } => {
                certificate.public.committee.indices().collect()
            }
            Self::ExpectStored { reports, .. } => reports.parties.iter().copied().collect(),
            Self::ExpectBundle { reports, .. } => reports.serving.iter().copied().collect(),
            Self::ExpectLate { reports, .. } => reports.late().collect(),
            Self::ExpectGrace { .. } | Self::Over(_) => Vec::new(),
        }
    }

    /// How many members must do the step.
    pub(super) fn needed(&self) -> usize {
        match self {
            Self::ExpectPrepared { plan, .. } => match plan.parent() {
                None => plan.committee().size(),
                Some(_) => usize::from(plan.terms().q),
            },
            Self::ExpectDealings { list, .. } => list.dealers().len(),
            Self::ExpectReceipts { plan, .. } => usize::from(plan.terms().q),
            Self::ExpectActives { order, certificate, .. } => q(order, certificate),
            Self::ExpectStored { record, .. } => {
                record.certificate.public.committee.threshold().as_usize()
            }
            Self::ExpectSurvey { .. } | Self::ExpectBundle { .. } => 1,
            Self::ExpectGrace { .. } | Self::ExpectLate { .. } | Self::Over(_) => 0,
        }
    }

    /// Whether the step is done by enough members, of which so many have done it.
    fn is_ready(&self, done: usize, excluded: &BTreeSet<NodeIndex>) -> bool {
        match self {
            Self::ExpectPrepared { plan, answers, .. } if plan.parent().is_some() => {
                let receivers = answers.keys().filter(|n| plan.committee().member(**n).is_some());
                receivers.count() >= self.needed()
                    && willing(answers, excluded).count() >= plan.least_dealers()
            }
            Self::ExpectStored { reports, .. } => done >= self.needed() && reports.erased_enough(),
            _ => done >= self.needed(),
        }
    }
}

/// Who offers to deal, and is not left out.
fn willing<'a>(
    answers: &'a By<PrepareAnswer>,
    excluded: &'a BTreeSet<NodeIndex>,
) -> impl Iterator<Item = NodeIndex> + 'a {
    answers
        .values()
        .filter(|a| a.commitment.is_some() && !excluded.contains(&a.node))
        .map(|a| a.node)
}

pub(super) fn q(order: &VerifiedOrder, certificate: &Certificate) -> usize {
    let terms = order.terms_of(certificate.public.version);
    terms.map_or(usize::MAX, |terms| usize::from(terms.q))
}

impl Conductor {
    /// Goes on if enough answers are there, or if none can come any more.
    pub(super) fn advance(&mut self, now: Millis) {
        if self.outcome().is_some() {
            return;
        }
        if let Stage::ExpectGrace { order, until, .. } = &mut self.stage {
            let grace = u64::from(order.terms().map_or(0, |t| t.grace)) * 1000;
            if now >= *until.get_or_insert(now.plus(grace)) {
                self.go_on();
            }
            return;
        }
        let (done, needed) = (self.round.answered(), self.stage.needed());
        let open = self.round.open().count();
        // Nobody waits for those who have just not answered at all.
        let patient = self.round.age(now) < self.pace.patience;
        let waited = !patient || self.round.open().all(|n| self.absent.contains(&n));
        if waited && self.stage.is_ready(done, &self.excluded) {
            return self.go_on();
        }
        if !patient && self.slow_dealers() {
            return;
        }
        match &mut self.stage {
            // Everybody is heard first: somebody may know of an epoch to be finished.
            Stage::ExpectPrepared { plan, certified, refusal, .. } if plan.parent().is_none() => {
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
            Stage::ExpectSurvey { .. } | Stage::ExpectBundle { .. } if open > 0 => {}
            Stage::ExpectPrepared { .. } if open > 0 => {}
            Stage::ExpectPrepared { refusal, .. } => {
                let refusal = refusal.take();
                let step = StepKind::Prepare;
                let few = || FailReason::TooFew { step, possible: done, needed };
                let reason = refusal.or_else(|| self.few_shares()).unwrap_or_else(few);
                return self.fail(reason);
            }
            Stage::ExpectStored { .. } if open > 0 => {}
            Stage::ExpectStored { .. } | Stage::ExpectBundle { .. } => return self.go_on(),
            _ if done + open < needed => return self.too_few(done + open, needed),
            _ => {}
        }
        if self.round.age(now) >= self.pace.give_up {
            if let Stage::ExpectStored { .. } | Stage::ExpectBundle { .. } = &self.stage
                && self.descent.is_some()
            {
                return self.go_on(); // in force all the same; who is missing is told
            }
            let nodes = self.missed();
            let reason = match &self.stage {
                Stage::ExpectActives { certificate, others, .. }
                    if !others.is_empty() && certificate.public.parent.is_none() =>
                {
                    FailReason::Undecided { epoch: certificate.public.epoch, nodes }
                }
                _ => FailReason::Silent { step: self.round.step, nodes },
            };
            let reason = self.few_shares().unwrap_or(reason);
            self.fail(reason);
        }
    }

    /// Who has not answered and is needed. Enough members of the parent have offered to deal, or
    /// that would be the reason; one of them that leaves the committee is not waited for.
    fn missed(&self) -> Vec<NodeIndex> {
        let receives = |n: &NodeIndex| match &self.stage {
            Stage::ExpectPrepared { plan, .. } => plan.committee().member(*n).is_some(),
            _ => true,
        };
        self.round.open().filter(receives).collect()
    }

    /// Whether a reshare cannot begin since too few members offer a share to deal on.
    fn few_shares(&self) -> Option<FailReason> {
        let Stage::ExpectPrepared { plan, answers, .. } = &self.stage else { return None };
        let (epoch, needed) = (plan.parent()?.name().number, plan.least_dealers());
        let holders: Vec<_> = willing(answers, &BTreeSet::new()).collect();
        // Whoever was left out as a liar or as slow has its share all the same.
        let silent = self.round.missing().collect();
        (holders.len() < needed).then_some(FailReason::FewShares { epoch, holders, needed, silent })
    }

    /// The step is done by enough members: put together what comes next.
    fn go_on(&mut self) {
        let taken = std::mem::replace(&mut self.stage, Stage::Over(NOTHING));
        match taken {
            Stage::ExpectSurvey { found, .. } => self.surveyed(found),
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
                match record.certificate.public.parent {
                    None => self.store(order, record),
                    Some(_) => self.grace(order, record),
                }
            }
            Stage::ExpectGrace { order, record, .. } => self.store(order, *record),
            Stage::ExpectStored { order, record, reports } => {
                self.stored_by(order, record, reports)
            }
            Stage::ExpectBundle { order, record, reports } => self.late(order, record, reports),
            Stage::ExpectLate { order, record, reports } => self.store_late(order, record, reports),
            over @ Stage::Over(_) => self.stage = over,
        }
    }

    /// All have prepared: the list goes to everybody who deals, in an import to the owner. In a reshare that is `t` of
    /// those who offer it: more would cost every receiver more and add nothing.
    fn list(&mut self, plan: Plan, answers: By<PrepareAnswer>) {
        let most = plan.least_dealers();
        let dealers: Vec<_> = match plan.owner() {
            Some(_) => vec![NodeIndex::OWNER],
            None => willing(&answers, &self.excluded).take(most).collect(),
        };
        let takes_part = |a: &PrepareAnswer| {
            plan.committee().member(a.node).is_some() || dealers.contains(&a.node)
        };
        let answers: Vec<_> = answers.into_values().filter(takes_part).collect();
        match PrepareList::verify(&plan, answers.clone(), dealers.clone()) {
            Ok(list) => {
                let request = DealRequest { subject: subject(&plan), answers, dealers };
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
    fn bundle(&mut self, plan: Plan, list: PrepareList, dealings: By<Dealt>) {
        let (signed, verified): (Vec<_>, Vec<_>) = dealings.into_values().unzip();
        match Bundle::of(&plan, &list, &signed, verified) {
            Ok(bundle) if self.is_another(bundle.public()) => {
                // Whoever took its share out of this one could never have the certified one's.
                let epoch = bundle.public().epoch;
                self.fail(FailReason::Changed { epoch });
            }
            Ok(bundle) => {
                let request = ReceiveRequest {
                    subject: subject(&plan),
                    answers: list.answers().to_vec(),
                    bundle: signed,
                    parent: plan.parent().map(|p| Box::new(p.record().clone())),
                };
                self.bundle = Some(Box::new(request.clone()));
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

    /// Whether this is a genesis attempt done once more for the sake of a certified epoch, and
    /// somebody has said something else than the first time.
    fn is_another(&self, public: &EpochPublic) -> bool {
        let again = self.revisited.iter().find(|e| e.number == public.epoch.number);
        public.parent.is_none() && again.is_some_and(|e| *e != public.epoch)
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

    /// The epoch is in force: everybody is asked to keep the proof, and to erase.
    pub(super) fn store(&mut self, order: VerifiedOrder, record: KeyRecord) {
        let reports = Reports::awaited(&record, self.descent.as_deref());
        self.store_with(order, Box::new(record), reports);
    }

    pub(super) fn store_with(
        &mut self,
        order: VerifiedOrder,
        record: Box<KeyRecord>,
        reports: Reports,
    ) {
        let birth = self.descent.as_ref().map(|d| d.birth.clone());
        let request = RetireRequest { record: (*record).clone(), birth };
        let number = record.certificate.public.epoch.number;
        let done: Vec<_> = reports.serving.iter().copied().collect();
        let stage = Stage::ExpectStored { order, record, reports };
        self.begin(StepKind::Retire, number, &request, stage);
        done.into_iter().for_each(|n| self.round.done(n));
    }

    /// Not enough members can do the step any more.
    fn too_few(&mut self, possible: usize, needed: usize) {
        let step = self.round.step;
        match &self.stage {
            // Of a reshare the epoch may be dead: others stay as they are.
            Stage::ExpectActives { certificate, .. } if certificate.public.parent.is_some() => {
                self.revisited.insert(certificate.public.epoch);
                self.survey();
            }
            Stage::ExpectReceipts { elsewhere: true, .. } => self.next_number(),
            Stage::ExpectActives { .. } => self.split(possible, needed),
            _ => {
                // What a member says tells operators more: a newer order has come, say.
                let refusal = self.round.refusal.take();
                self.fail(refusal.unwrap_or(FailReason::TooFew { step, possible, needed }));
            }
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
        let version = certificate.public.version;
        match Plan::birth(order.clone(), version, epoch.number) {
            Ok(plan) if *shareless && self.revisited.insert(epoch) => self.prepare(plan),
            _ if !signed.is_empty() => {
                let all = certificate.public.committee.indices();
                let nodes = all.filter(|n| !signed.contains_key(n)).collect();
                self.fail(FailReason::Undecided { epoch, nodes });
            }
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
    committee.size() - elsewhere >= q(order, candidate)
}

pub(super) fn subject(plan: &Plan) -> Subject {
    Subject { key: plan.terms().name.clone(), version: plan.version(), number: plan.number() }
}

/// Stands for the stage while it is being replaced.
const NOTHING: Outcome =
    Outcome::Failed { reason: FailReason::NumbersUsed, culprits: Vec::new(), burnt: false };
