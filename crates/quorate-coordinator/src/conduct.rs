//! Drives a [`Conductor`]: brings what it wants sent to the nodes, and the answers back.
//! Postman and clock, no more: what the answers mean is decided in quorate-ceremony.

use crate::{
    imports,
    orders::Reporter,
    postman::StepAnswer,
    records::Known,
    state::{State, now},
};
use quorate_ceremony::{
    Conductor, Culprit, Descent, FailReason, Failure, Outcome, Pace, Progress, Send, Ticket,
};
use quorate_rpc::{
    Deadline, Fault, FaultKind,
    v1::{self, OrderProgress},
};
use quorate_types::{
    Format, Hash, ImportKey, KeyRecord, KeyVersion, NodeIndex, Reshare, SignedOrder, VerifiedOrder,
};
use std::{collections::BTreeMap, time::Duration};
use tokio::{task::JoinSet, time::timeout};

/// How long one step's RPC may take: less than the conductor waits for an answer.
const ONE_RPC: Duration = Duration::from_secs(15);
/// For how long what the nodes have shown of a key is taken for where its shares are.
const RECENT: Duration = Duration::from_secs(10);
/// How often the conductor is asked what to do when nothing happens.
const TICK: Duration = Duration::from_millis(100);

impl State {
    /// Conducts the birth of the key that `order` makes, or moves its shares. Nothing is
    /// lost when this is dropped or the process dies: the same order, submitted again,
    /// finishes it.
    pub(crate) async fn conduct(
        &self,
        order: &VerifiedOrder,
        earlier: Vec<SignedOrder>,
        deadline: Deadline,
        report: &Reporter,
    ) -> Result<OrderProgress, Fault> {
        let cluster = self.cluster();
        let pace = self.pace(deadline);
        let conductor = match order.reshare() {
            None => {
                let first = order.terms().map_or(1, |terms| terms.first_number);
                Conductor::starting_at(cluster, order.clone(), earlier, first, pace)
            }
            Some(to) => {
                let descent = self.descent(to, deadline).await?;
                Conductor::reshare(cluster, order.clone(), earlier, descent, pace)
            }
        };
        let mut conductor = conductor.map_err(|e| Fault::invalid(e.to_string()))?;
        let mut unwilling = Unwilling::default();
        let outcome = self.drive(&mut conductor, order, deadline, report, &mut unwilling).await?;
        self.ended(&outcome, &unwilling)
    }

    /// Conducts the next move of a schedule. Otherwise gives the code and the words of the
    /// node that refused, or none and what failed.
    pub(crate) async fn conduct_again(
        &self,
        order: &VerifiedOrder,
        deadline: Deadline,
    ) -> Result<(), (Option<u16>, String)> {
        let failed = |fault: Fault| (None, fault.to_string());
        let to = order.reshare().ok_or((None, "the order moves no shares".to_owned()))?;
        let descent = self.descent(to, deadline).await.map_err(failed)?;
        let (cluster, pace) = (self.cluster(), self.pace(deadline));
        let mut conductor = Conductor::again(cluster, order.clone(), descent, pace)
            .map_err(|e| (None, e.to_string()))?;
        let mut unwilling = Unwilling::default();
        let nobody = &Reporter::nobody();
        let outcome = self.drive(&mut conductor, order, deadline, nobody, &mut unwilling).await;
        match outcome.map_err(failed)? {
            Outcome::Moved { record, .. } => {
                self.keep_newest(&record);
                Ok(())
            }
            Outcome::Failed { reason: FailReason::Refused { code, message, .. }, .. } => {
                Err((Some(code), message))
            }
            Outcome::Failed { reason, .. } => Err((None, unwilling.explain(&reason))),
            Outcome::Born { .. } => Err((None, "a schedule bears no key".into())),
        }
    }

    /// Conducts the birth of one version under a schedule of versions. Otherwise gives why it was
    /// not born.
    pub(crate) async fn conduct_birth(
        &self,
        order: &VerifiedOrder,
        version: KeyVersion,
        deadline: Deadline,
    ) -> Result<(), Unborn> {
        let failed = |text: String| Unborn { code: None, burnt: false, text };
        let first = order.rotation().map_or(1, |rotate| rotate.create.first_number);
        // For nodes that were away when they came.
        let earlier = match order.order().predecessor == Hash::default() {
            true => Vec::new(),
            false => self.earlier(order, deadline).await,
        };
        let (cluster, pace) = (self.cluster(), self.pace(deadline));
        let mut conductor = Conductor::birth(cluster, order.clone(), version, earlier, first, pace)
            .map_err(|e| failed(e.to_string()))?;
        let mut unwilling = Unwilling::default();
        let nobody = &Reporter::nobody();
        let outcome = self.drive(&mut conductor, order, deadline, nobody, &mut unwilling).await;
        match outcome.map_err(|fault| failed(fault.to_string()))? {
            // Under this order or another one: operators may have rotated the key by hand.
            Outcome::Born { record, .. } => {
                self.keep(&record);
                Ok(())
            }
            Outcome::Failed { reason, burnt, .. } => match reason {
                FailReason::Refused { code, message, .. } => {
                    Err(Unborn { code: Some(code), burnt, text: message })
                }
                reason => Err(Unborn { code: None, burnt, text: unwilling.explain(&reason) }),
            },
            Outcome::Moved { .. } => Err(failed("no shares move at a birth".into())),
        }
    }

    /// What is known to be in force of the key whose shares move. The conductor asks the
    /// members for anything newer; only long ago there may have been quite other ones.
    async fn descent(&self, to: &Reshare, deadline: Deadline) -> Result<Descent, Fault> {
        let known = match self.records.recent(&to.name, to.version.get(), RECENT) {
            Some(known) => known,
            None => self.fresh_record(&to.name, to.version.get(), deadline).await?,
        };
        Ok(Descent {
            birth: known.birth.record().clone(),
            newest: known.newest.as_ref().map(|e| e.record().clone()),
        })
    }

    /// Carries messages until the conductor is done.
    async fn drive(
        &self,
        conductor: &mut Conductor,
        order: &VerifiedOrder,
        deadline: Deadline,
        report: &Reporter,
        unwilling: &mut Unwilling,
    ) -> Result<Outcome, Fault> {
        let _under_way = self.postman.ceremony();
        let grace = order.terms().map_or(0, |terms| u64::from(terms.grace));
        let deadline = Deadline::after(deadline.remaining() + Duration::from_secs(grace));
        let mut under_way: JoinSet<(Ticket, StepAnswer)> = JoinSet::new();
        let mut told: Option<Progress> = None;
        loop {
            for send in conductor.poll(now()) {
                match order.import().filter(|_| send.ticket.node == NodeIndex::OWNER) {
                    Some(import) => {
                        let answer = self.ask_owner(&send, order.hash(), import, deadline, report);
                        under_way.spawn(answer.await);
                    }
                    None => drop(under_way.spawn(self.carry(send, deadline))),
                }
            }
            if let Some(outcome) = conductor.outcome() {
                self.moved.notify_one();
                for Culprit { node, blame, .. } in culprits_of(outcome) {
                    let order = order.hash();
                    tracing::warn!(%order, %node, %blame, "a node broke a ceremony's rules");
                }
                return Ok(outcome.clone());
            }
            let progress = conductor.progress();
            if told.as_ref() != Some(&progress) {
                let Progress { step, number, done, of, .. } = &progress;
                tracing::debug!(order = %order.hash().short(), %step, number, done, of, "conducts");
                report.step(describe(&progress));
                told = Some(progress);
            }
            if deadline.remaining().is_zero() {
                return Err(out_of_time(&conductor.progress()));
            }
            match timeout(TICK, under_way.join_next()).await {
                Ok(Some(Ok((ticket, answer)))) => {
                    unwilling.note(ticket.node, &answer);
                    deliver(conductor, &ticket, answer);
                }
                // A call that panicked counts as lost: the conductor asks again.
                Ok(Some(Err(_))) | Err(_) => {}
                Ok(None) => tokio::time::sleep(TICK).await,
            }
        }
    }

    fn pace(&self, deadline: Deadline) -> Pace {
        let millis = |d: Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let patience = millis(self.step_patience);
        Pace {
            patience: patience.min(Pace::default().patience),
            give_up: patience.min(millis(deadline.remaining())),
            ..Pace::default()
        }
    }

    fn carry(
        &self,
        send: Send,
        deadline: Deadline,
    ) -> impl Future<Output = (Ticket, StepAnswer)> + use<> {
        let postman = self.postman.clone();
        async move {
            let Send { ticket, request } = send;
            let deadline = deadline.min(Deadline::after(ONE_RPC));
            let answer = postman.send(ticket.node, ticket.step, request.to_vec(), deadline).await;
            (ticket, answer)
        }
    }

    /// Has the owner of a key that is imported asked to deal: in the progress of the order, which
    /// the owner reads.
    async fn ask_owner(
        &self,
        send: &Send,
        order: Hash,
        import: &ImportKey,
        deadline: Deadline,
        report: &Reporter,
    ) -> impl Future<Output = (Ticket, StepAnswer)> + use<> {
        let ticket = send.ticket;
        let deadline = deadline.min(Deadline::after(ONE_RPC));
        let dealing = self.imports.expect(order, ticket.number, import.dealer);
        let request = OrderProgress {
            step: ticket.step.as_str().to_owned(),
            of: 1,
            number: ticket.number,
            deal: send.request.to_vec(),
            message: "the key's owner deals it".into(),
            ..OrderProgress::default()
        };
        let asked = report.ask(request, deadline).await;
        async move {
            match asked {
                true => (ticket, imports::dealt(dealing, deadline).await),
                false => (ticket, imports::no_owner()),
            }
        }
    }

    fn ended(&self, outcome: &Outcome, unwilling: &Unwilling) -> Result<OrderProgress, Fault> {
        match outcome {
            Outcome::Born { record, as_ordered: true, absent, culprits } => {
                self.keep(record);
                Ok(OrderProgress {
                    step: "done".into(),
                    done: u32::try_from(record.actives.len()).unwrap_or(u32::MAX),
                    of: u32::try_from(record.certificate.public.committee.size())
                        .unwrap_or(u32::MAX),
                    waiting_for: absent.iter().map(|n| u32::from(n.get())).collect(),
                    record: record.to_bytes(),
                    number: record.certificate.public.epoch.number,
                    ..blamed(culprits)
                })
            }
            Outcome::Born { .. } => Err(Fault::new(
                FaultKind::AlreadyExists,
                "the key was born under an earlier order; this one made nothing",
            )),
            Outcome::Moved { record, absent, unerased, culprits } => {
                self.keep_newest(record);
                let numbers =
                    |nodes: &[NodeIndex]| nodes.iter().map(|n| u32::from(n.get())).collect();
                let public = &record.certificate.public;
                let (size, away) = (public.committee.size(), absent.len());
                Ok(OrderProgress {
                    step: "done".into(),
                    done: u32::try_from(size - away).unwrap_or(u32::MAX),
                    of: u32::try_from(size).unwrap_or(u32::MAX),
                    waiting_for: numbers(absent),
                    unerased: numbers(unerased),
                    record: record.to_bytes(),
                    number: public.epoch.number,
                    ..blamed(culprits)
                })
            }
            Outcome::Failed { reason, culprits, .. } => Ok(OrderProgress {
                step: "failed".into(),
                message: unwilling.explain(reason),
                ..blamed(culprits)
            }),
        }
    }

    fn keep(&self, record: &KeyRecord) {
        // The conductor has verified it; a cache keeps only what verifies.
        if let Ok(birth) = record.verify(&self.cluster()) {
            tracing::info!(key = %birth.create().name, "a key was born");
            self.records.keep(Known { birth, newest: None, exports: BTreeMap::new() });
        }
    }

    fn keep_newest(&self, record: &KeyRecord) {
        let public = &record.certificate.public;
        tracing::info!(key = %public.key, epoch = public.epoch.number, "shares have moved");
        let known = self.records.cached(&public.key, public.version.get());
        if let (Some(known), Ok(newest)) = (known, record.verify_epoch(&self.cluster()))
            && known.birth.has(&newest)
        {
            let (birth, exports) = (known.birth.clone(), known.exports.clone());
            self.records.keep(Known { birth, newest: Some(newest), exports });
        }
    }
}

const fn culprits_of(outcome: &Outcome) -> &Vec<Culprit> {
    match outcome {
        Outcome::Born { culprits, .. }
        | Outcome::Moved { culprits, .. }
        | Outcome::Failed { culprits, .. } => culprits,
    }
}

/// Who broke the rules, and how: named whatever came of the ceremony.
fn blamed(culprits: &[Culprit]) -> OrderProgress {
    let blame = |c: &Culprit| {
        let (node, what) = (u32::from(c.node.get()), c.blame.to_string());
        v1::Blame { node, what: what.chars().take(300).collect() }
    };
    let nodes = || culprits.iter().filter(|c| c.node != NodeIndex::OWNER);
    OrderProgress {
        culprits: indices(culprits.iter().map(|c| c.node)),
        blames: nodes().map(blame).collect(),
        ..OrderProgress::default()
    }
}

/// Why a version was not born under its schedule.
pub(crate) struct Unborn {
    /// The code of the node that refused, if one did.
    pub(crate) code: Option<u16>,
    /// It never will be: the next one takes its place.
    pub(crate) burnt: bool,
    /// For people.
    pub(crate) text: String,
}

/// What nodes said that would not take a call at all, of another protocol version for one. To the
/// conductor they are silent; to people their words say what to do.
#[derive(Debug, Default)]
struct Unwilling(BTreeMap<NodeIndex, String>);

impl Unwilling {
    fn note(&mut self, node: NodeIndex, answer: &StepAnswer) {
        match answer {
            StepAnswer::Unreachable(fault) if fault.kind.is_decision() => {
                self.0.insert(node, fault.message.clone());
            }
            StepAnswer::Unreachable(_) => {}
            StepAnswer::Done(_) | StepAnswer::Fault { .. } => drop(self.0.remove(&node)),
        }
    }

    fn explain(&self, reason: &FailReason) -> String {
        let said = self.0.iter().map(|(node, words)| format!("; node {node} says: {words}"));
        said.fold(reason.to_string(), |text, words| text + &words)
    }
}

fn deliver(conductor: &mut Conductor, ticket: &Ticket, answer: StepAnswer) {
    match answer {
        StepAnswer::Done(bytes) => conductor.on_answer(ticket, Ok(&bytes), now()),
        StepAnswer::Fault { code, message } => {
            conductor.on_answer(ticket, Err(Failure::Fault { code, message }), now());
        }
        StepAnswer::Unreachable(fault) => {
            tracing::debug!(node = %ticket.node, %fault, "a ceremony step got no answer");
            conductor.on_answer(ticket, Err(Failure::Unreachable), now());
        }
    }
}

fn describe(progress: &Progress) -> OrderProgress {
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    OrderProgress {
        step: progress.step.as_str().to_owned(),
        done: count(progress.done),
        of: count(progress.of),
        waiting_for: indices(progress.waiting_for.iter().copied()),
        culprits: indices(progress.culprits.iter().map(|c| c.node)),
        number: progress.number,
        ..OrderProgress::default()
    }
}

/// Nodes, for people: a key's owner is none.
fn indices(parties: impl Iterator<Item = NodeIndex>) -> Vec<u32> {
    parties.filter(|p| *p != NodeIndex::OWNER).map(|n| u32::from(n.get())).collect()
}

fn out_of_time(progress: &Progress) -> Fault {
    if progress.waiting_for == [NodeIndex::OWNER] {
        let text =
            "the key's owner has not dealt it: `quorate key import` again, with the same order";
        return Fault::new(FaultKind::DeadlineExceeded, text);
    }
    let nodes: Vec<String> = progress.waiting_for.iter().map(ToString::to_string).collect();
    let text = format!(
        "the {} step waits for node {}; submit the order again when they are back",
        progress.step,
        nodes.join(", ")
    );
    Fault::new(FaultKind::DeadlineExceeded, text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_ceremony::{Blame, StepKind};

    #[test]
    fn a_liar_is_named_with_what_it_did_also_where_the_ceremony_went_on_without_it() {
        let culprit =
            |node, blame| Culprit { node, blame, request: Vec::new().into(), answer: Vec::new() };
        let (two, three) = (NodeIndex::new(2).unwrap(), NodeIndex::new(3).unwrap());
        let lied = culprit(two, Blame::BadValue { receiver: three });
        let told = blamed(&[lied.clone(), culprit(NodeIndex::OWNER, lied.blame.clone())]);
        assert_eq!(told.culprits, [2]);
        let blames: Vec<_> = told.blames.iter().map(|b| (b.node, b.what.as_str())).collect();
        assert_eq!(
            blames,
            [(2, "it dealt a bad value to node 3, whose complaint proves it")],
            "a key's owner is no node"
        );
    }

    #[test]
    fn who_takes_no_call_is_quoted_until_it_takes_one() {
        let node = |i| NodeIndex::new(i).unwrap();
        let silent = FailReason::Silent { step: StepKind::Prepare, nodes: vec![node(2), node(4)] };
        let fault = |kind, text: &str| StepAnswer::Unreachable(Fault::new(kind, text));
        let mut unwilling = Unwilling::default();
        unwilling.note(node(2), &fault(FaultKind::Unavailable, "no connection"));
        unwilling.note(node(4), &fault(FaultKind::FailedPrecondition, "only 2.0"));
        // Nor does a call that is lost later take its words away.
        unwilling.note(node(4), &fault(FaultKind::DeadlineExceeded, "too late"));
        let text = unwilling.explain(&silent);
        assert_eq!(text, format!("{silent}; node 4 says: only 2.0"));
        unwilling.note(node(4), &StepAnswer::Done(Vec::new()));
        assert_eq!(unwilling.explain(&silent), silent.to_string());
    }
}
