//! The coordinator's side of one key's ceremony: what to send to whom, and what the
//! answers make.
//!
//! A conductor believes nothing that it can check: a bad answer names its node. It
//! keeps nothing that it could lose: every step is idempotent at the nodes, so a new
//! conductor under the same order collects what they have already signed, and finishes.
//! Two conductors at once get the same answers and make the same epoch.

mod collect;
mod outcome;
mod reshare;
mod round;
mod stage;

pub use outcome::{Blame, Culprit, FailReason, Failure, Outcome, Pace, Progress, Send, Ticket};

use crate::{Advice, Descent, Plan, PrepareRequest, ReceiveRequest, StepKind};
use quorate_types::{
    Cluster, EpochName, Format, KeyRecord, KeyVersion, Millis, NodeIndex, SignedOrder,
    VerifiedOrder,
};
use round::Round;
use stage::Stage;
use std::{collections::BTreeSet, sync::Arc};

/// Conducts the genesis of one key version, or a reshare.
pub struct Conductor {
    cluster: Arc<Cluster>,
    order: VerifiedOrder,
    /// The version whose epoch it makes.
    version: KeyVersion,
    earlier: Vec<SignedOrder>,
    pace: Pace,
    rounds: u32,
    round: Round,
    stage: Stage,
    culprits: Vec<Culprit>,
    /// The number to take next, if this attempt comes to nothing.
    next: u64,
    /// Epochs whose attempts were gone through again for members that had no share; in a
    /// reshare those that cannot be finished.
    revisited: BTreeSet<EpochName>,
    /// In a reshare: the newest epoch known to be in force.
    descent: Option<Box<Descent>>,
    /// Dealers that lied, or did not deal in time.
    excluded: BTreeSet<NodeIndex>,
    /// Members that did not answer the survey: they are asked, and not waited for.
    absent: BTreeSet<NodeIndex>,
    /// How often it was asked what there is.
    surveys: u32,
    /// Of a schedule: the epoch above which the next one is to be made.
    again_after: Option<u64>,
    /// The bundle of the attempt, for members that miss it.
    bundle: Option<Box<ReceiveRequest>>,
}

impl Conductor {
    /// Begins at the first number of the order.
    ///
    /// # Errors
    /// [`crate::Fault::WrongAction`] for an order that makes no key.
    pub fn new(
        cluster: Arc<Cluster>,
        order: VerifiedOrder,
        pace: Pace,
    ) -> Result<Self, crate::Fault> {
        let first = order.terms().ok_or(crate::Fault::WrongAction)?.first_number;
        Self::starting_at(cluster, order, Vec::new(), first, pace)
    }

    /// Begins at any number of the order, and tells nodes of `earlier` orders of the
    /// key's chain (oldest first, at most [`crate::message::MAX_EARLIER`]) in passing.
    ///
    /// # Errors
    /// [`crate::Fault::WrongAction`], [`crate::Fault::NumberRange`].
    pub fn starting_at(
        cluster: Arc<Cluster>,
        order: VerifiedOrder,
        earlier: Vec<SignedOrder>,
        number: u64,
        pace: Pace,
    ) -> Result<Self, crate::Fault> {
        let version = order.terms().ok_or(crate::Fault::WrongAction)?.version;
        Self::birth(cluster, order, version, earlier, number, pace)
    }

    /// Conducts the birth of a version that its order may make, be it one of many.
    ///
    /// # Errors
    /// [`crate::Fault::WrongAction`], [`crate::Fault::NumberRange`].
    pub fn birth(
        cluster: Arc<Cluster>,
        order: VerifiedOrder,
        version: KeyVersion,
        earlier: Vec<SignedOrder>,
        number: u64,
        pace: Pace,
    ) -> Result<Self, crate::Fault> {
        let plan = Plan::birth(order, version, number)?;
        let round = prepare_round(0, &plan, &earlier, None);
        let mut conductor = Self::at(
            cluster,
            plan.order().clone(),
            version,
            earlier,
            pace,
            round,
            Stage::prepare(plan),
        );
        conductor.next = number.saturating_add(1);
        Ok(conductor)
    }

    fn at(
        cluster: Arc<Cluster>,
        order: VerifiedOrder,
        version: KeyVersion,
        earlier: Vec<SignedOrder>,
        pace: Pace,
        round: Round,
        stage: Stage,
    ) -> Self {
        Self {
            cluster,
            order,
            version,
            earlier,
            pace,
            rounds: 0,
            round,
            stage,
            culprits: Vec::new(),
            next: 0,
            revisited: BTreeSet::new(),
            descent: None,
            excluded: BTreeSet::new(),
            absent: BTreeSet::new(),
            surveys: 0,
            again_after: None,
            bundle: None,
        }
    }

    /// What to send now. Call it after each answer, and from time to time while answers
    /// are awaited (every [`Pace::retry_after`] is enough).
    pub fn poll(&mut self, now: Millis) -> Vec<Send> {
        self.advance(now);
        if self.outcome().is_some() { Vec::new() } else { self.round.due(now, &self.pace) }
    }

    /// Tells what came back. Answers that nobody awaits any more are ignored.
    pub fn on_answer(&mut self, ticket: &Ticket, result: Result<&[u8], Failure>, now: Millis) {
        if self.outcome().is_some() || !self.round.awaits(ticket) {
            return;
        }
        match result {
            Ok(bytes) => self.take(ticket.node, bytes),
            Err(Failure::Unreachable) => self.round.retry(ticket.node, self.pace.retry_at(now)),
            Err(Failure::Fault { code, message }) => match Advice::of(code) {
                Advice::Retry => self.round.retry(ticket.node, self.pace.retry_at(now)),
                Advice::NextNumber => self.number_used(ticket.node),
                Advice::Stop => self.refused(ticket.node, code, message),
            },
        }
        self.advance(now);
    }

    /// How far it is.
    #[must_use]
    pub fn progress(&self) -> Progress {
        Progress {
            step: self.round.step,
            number: self.round.number,
            done: self.round.answered(),
            of: self.round.of(),
            needed: self.stage.needed(),
            waiting_for: self.round.open().collect(),
            culprits: self.culprits.clone(),
        }
    }

    /// How it ended, once it has.
    #[must_use]
    pub fn outcome(&self) -> Option<&Outcome> {
        match &self.stage {
            Stage::Over(outcome) => Some(outcome),
            _ => None,
        }
    }

    /// The next step of the same ceremony, or another attempt.
    fn begin(&mut self, step: StepKind, number: u64, request: &impl Format, stage: Stage) {
        self.rounds += 1;
        let members = stage.members();
        let bytes = request.to_bytes();
        self.round = Round::new(self.rounds, step, number, bytes, members.into_iter());
        self.stage = stage;
    }

    fn next_number(&mut self) {
        if self.descent.is_some() {
            return self.attempt();
        }
        match Plan::birth(self.order.clone(), self.version, self.next) {
            Ok(plan) => {
                self.next = self.next.saturating_add(1);
                self.prepare(plan);
            }
            Err(_) => self.fail(FailReason::NumbersUsed),
        }
    }

    /// Begins an attempt, or goes through one again from its first step.
    fn prepare(&mut self, plan: Plan) {
        self.rounds += 1;
        let descent = self.descent.as_deref();
        self.round = prepare_round(self.rounds, &plan, &self.earlier, descent);
        self.stage = Stage::prepare(plan);
    }

    fn fail(&mut self, reason: FailReason) {
        let burnt = matches!(reason, FailReason::Split(_));
        let culprits = self.culprits.clone();
        self.stage = Stage::Over(Outcome::Failed { reason, culprits, burnt });
    }

    fn born(&mut self, record: KeyRecord, made_by: &VerifiedOrder) {
        let as_ordered = made_by.hash() == self.order.hash();
        self.stage = Stage::Over(Outcome::Born {
            record: Box::new(record),
            as_ordered,
            absent: self.round.missing().collect(),
            culprits: self.culprits.clone(),
        });
    }
}

fn prepare_round(
    id: u32,
    plan: &Plan,
    earlier: &[SignedOrder],
    descent: Option<&Descent>,
) -> Round {
    let request = PrepareRequest {
        order: plan.order().signed().clone(),
        earlier: earlier.to_vec(),
        number: plan.number(),
        descent: descent.cloned().map(Box::new),
        scheduled: plan.order().rotation().map(|_| plan.version()),
    };
    let parties = plan.parties().into_iter();
    Round::new(id, StepKind::Prepare, plan.number(), request.to_bytes(), parties)
}
