//! Verifies one answer, and keeps it or blames its node.

use super::{Blame, Conductor, Culprit, FailReason, stage::Stage};
use crate::{
    ActivateAnswer, BundleFault, PrepareReply, ReceiveAnswer, RetireAnswer, SignedComplaint,
    SignedDealing, StepKind,
    bundle::{judge, verify_dealing},
    prepare_list::verify_answer,
};
use quorate_crypto::complaint::Verdict;
use quorate_types::{EpochPublic, Format, KeyRecord, NodeIndex, VerifiedOrder};

/// What a good answer asks the conductor to do.
pub(super) enum Taken {
    /// It counts.
    Done,
    /// It is honest, but does not count.
    Out,
    /// The key is born already.
    Born(Box<VerifiedOrder>, Box<KeyRecord>),
    /// A higher epoch is in force.
    Past(Box<KeyRecord>),
    /// A receiver has proven that this dealer cheated it.
    Cheated(NodeIndex),
}

impl Conductor {
    /// Takes a member's answer to the current round.
    pub(super) fn take(&mut self, node: NodeIndex, bytes: &[u8]) {
        let taken = match &mut self.stage {
            Stage::ExpectSurvey { .. } => self.shown(node, bytes),
            Stage::ExpectPrepared { .. } => self.prepared(node, bytes),
            Stage::ExpectDealings { .. } => self.dealt(node, bytes),
            Stage::ExpectReceipts { .. } => self.received(node, bytes),
            Stage::ExpectActives { .. } => self.activated(node, bytes),
            Stage::ExpectStored { .. } => self.stored(node, bytes),
            Stage::ExpectBundle { .. } => self.bundle_of(bytes),
            Stage::ExpectLate { .. } => Ok(Taken::Done), // its own report says whether it has it
            Stage::ExpectGrace { .. } | Stage::Over(_) => return,
        };
        match taken {
            Ok(Taken::Done) => self.round.done(node),
            Ok(Taken::Out) => self.round.out(node),
            Ok(Taken::Born(order, record)) => self.store(*order, *record),
            Ok(Taken::Past(record)) => self.overtaken(*record),
            Ok(Taken::Cheated(dealer)) => {
                let culprit = self.blame(dealer, Blame::BadValue { receiver: node }, bytes);
                self.without_dealer(dealer, FailReason::Culprit(Box::new(culprit)));
            }
            Err(blame) => {
                let culprit = self.blame(node, blame, bytes);
                self.out(node, FailReason::Culprit(Box::new(culprit)));
            }
        }
    }

    /// A member will not do this step.
    pub(super) fn refused(&mut self, node: NodeIndex, code: u16, message: String) {
        let step = self.round.step;
        let reason = FailReason::Refused { node, step, code, message };
        self.round.refusal.get_or_insert_with(|| reason.clone());
        self.out(node, reason);
    }

    /// Goes on without a member, if it can: a genesis needs everybody to prepare and deal.
    fn out(&mut self, node: NodeIndex, reason: FailReason) {
        self.round.out(node);
        match &mut self.stage {
            Stage::ExpectPrepared { refusal, .. } => {
                refusal.get_or_insert(reason);
            }
            Stage::ExpectDealings { .. } => self.without_dealer(node, reason),
            _ => {}
        }
    }

    /// A member has used this number for something else.
    pub(super) fn number_used(&mut self, node: NodeIndex) {
        match &mut self.stage {
            Stage::ExpectPrepared { .. } | Stage::ExpectDealings { .. } => self.next_number(),
            Stage::ExpectReceipts { elsewhere, .. } => {
                *elsewhere = true;
                self.round.out(node);
            }
            _ => self.round.out(node),
        }
    }

    fn blame(&mut self, node: NodeIndex, blame: Blame, answer: &[u8]) -> Culprit {
        let request = self.round.request.clone();
        let culprit = Culprit { node, blame, request, answer: answer.to_vec() };
        self.culprits.push(culprit.clone());
        culprit
    }

    fn prepared(&mut self, node: NodeIndex, bytes: &[u8]) -> Result<Taken, Blame> {
        let Stage::ExpectPrepared { plan, answers, certified, .. } = &mut self.stage else {
            return Ok(Taken::Out);
        };
        let wrong = |rule: String| Blame::Answer { step: StepKind::Prepare, rule };
        let same_key = |public: &EpochPublic| {
            (&public.key, public.version) == (plan.terms().name, plan.terms().version)
        };
        match PrepareReply::from_bytes(bytes).map_err(|e| wrong(e.to_string()))? {
            PrepareReply::Prepared(answer) => {
                if answer.node != node {
                    return Err(wrong("it is another node's".into()));
                }
                verify_answer(plan, &answer).map_err(|e| wrong(e.to_string()))?;
                answers.insert(node, answer);
                Ok(Taken::Done)
            }
            PrepareReply::Past(record) => self.past(&record).map_err(wrong),
            PrepareReply::Certified(_) | PrepareReply::Born(_) if plan.parent().is_some() => {
                Err(wrong("it is a genesis's".into()))
            }
            PrepareReply::Certified(c) => {
                let order = c.verify(&self.cluster).map_err(|e| wrong(e.to_string()))?;
                if !same_key(&c.certificate.public) || c.active.node != node {
                    return Err(wrong("it is about another key or node".into()));
                }
                certified.insert(node, (order, *c));
                Ok(Taken::Out)
            }
            PrepareReply::Born(record) => {
                let key = record.verify(&self.cluster).map_err(|e| wrong(e.to_string()))?;
                if !same_key(key.public()) {
                    return Err(wrong("it is about another key".into()));
                }
                Ok(Taken::Born(Box::new(key.order().clone()), record))
            }
        }
    }

    fn dealt(&mut self, node: NodeIndex, bytes: &[u8]) -> Result<Taken, Blame> {
        let Stage::ExpectDealings { plan, list, dealings } = &mut self.stage else {
            return Ok(Taken::Out);
        };
        let wrong = |rule: String| Blame::Answer { step: StepKind::Deal, rule };
        let dealing = SignedDealing::from_bytes(bytes).map_err(|e| wrong(e.to_string()))?;
        if dealing.dealer != node {
            return Err(wrong("it is another node's".into()));
        }
        match verify_dealing(plan, list, &dealing) {
            Ok(verified) => {
                dealings.insert(node, (dealing, verified));
                Ok(Taken::Done)
            }
            Err(BundleFault::Lie { lie, .. }) => Err(Blame::Dealing(lie)),
            Err(other) => Err(wrong(other.to_string())),
        }
    }

    fn received(&mut self, node: NodeIndex, bytes: &[u8]) -> Result<Taken, Blame> {
        let Stage::ExpectReceipts { bundle, receipts, .. } = &mut self.stage else {
            return Ok(Taken::Out);
        };
        let wrong = |rule: String| Blame::Answer { step: StepKind::Receive, rule };
        match ReceiveAnswer::from_bytes(bytes).map_err(|e| wrong(e.to_string()))? {
            ReceiveAnswer::Receipt(receipt) => {
                let (public, signature) = (bundle.public(), receipt.signature);
                if receipt.public != *public {
                    return Err(wrong("the receipt is for another epoch".into()));
                }
                if signature.node != node || !public.verifies_receipt(&signature) {
                    return Err(wrong("the receipt is not signed by this node".into()));
                }
                receipts.insert(node, signature);
                Ok(Taken::Done)
            }
            ReceiveAnswer::Complaint(complaint) => self.complaint(node, &complaint),
        }
    }

    fn complaint(&self, node: NodeIndex, complaint: &SignedComplaint) -> Result<Taken, Blame> {
        let Stage::ExpectReceipts { plan, request, .. } = &self.stage else {
            return Ok(Taken::Out);
        };
        match judge(plan, request, node, complaint) {
            Ok(Verdict::DealerLied) => Ok(Taken::Cheated(complaint.dealer)),
            Ok(Verdict::ReceiverLied) => Err(Blame::FalseComplaint { dealer: complaint.dealer }),
            Err(e) => Err(Blame::Answer { step: StepKind::Receive, rule: e.to_string() }),
        }
    }

    fn activated(&mut self, node: NodeIndex, bytes: &[u8]) -> Result<Taken, Blame> {
        let Stage::ExpectActives { certificate, actives, others, shareless, .. } = &mut self.stage
        else {
            return Ok(Taken::Out);
        };
        let wrong = |rule: String| Blame::Answer { step: StepKind::Activate, rule };
        let public = &certificate.public;
        match ActivateAnswer::from_bytes(bytes).map_err(|e| wrong(e.to_string()))? {
            ActivateAnswer::Active(signature) => {
                if signature.node != node || !public.verifies_active(&signature) {
                    return Err(wrong("the active signature is not this node's".into()));
                }
                actives.insert(node, signature);
                Ok(Taken::Done)
            }
            ActivateAnswer::Noted => {
                *shareless = true;
                Ok(Taken::Out)
            }
            ActivateAnswer::Born(record) if public.parent.is_some() => {
                self.past(&record).map_err(wrong)
            }
            ActivateAnswer::Born(record) => {
                let key = record.verify(&self.cluster).map_err(|e| wrong(e.to_string()))?;
                let born = key.public();
                if (&born.key, born.version) != (&public.key, public.version) {
                    return Err(wrong("it is about another key".into()));
                }
                Ok(Taken::Born(Box::new(key.order().clone()), record))
            }
            ActivateAnswer::Other(certified) => {
                let order = certified.verify(&self.cluster).map_err(|e| wrong(e.to_string()))?;
                let other = &certified.certificate.public;
                if (&other.key, other.version) != (&public.key, public.version)
                    || other == public
                    || certified.active.node != node
                {
                    return Err(wrong("it does not show another epoch signed active".into()));
                }
                others.insert(node, (order, *certified));
                Ok(Taken::Out)
            }
        }
    }

    fn stored(&mut self, node: NodeIndex, bytes: &[u8]) -> Result<Taken, Blame> {
        let Stage::ExpectStored { record, reports, .. } = &mut self.stage else {
            return Ok(Taken::Out);
        };
        let wrong = |rule: String| Blame::Answer { step: StepKind::Retire, rule };
        let public = &record.certificate.public;
        let answer = RetireAnswer::from_bytes(bytes).map_err(|e| wrong(e.to_string()))?;
        let identity = reports.identity(public, node);
        if answer.node == node && identity.is_some_and(|i| answer.verifies(public, &i)) {
            reports.take(public, &answer);
            Ok(Taken::Done)
        } else {
            Err(wrong("the report is not signed by this node".into()))
        }
    }
}
