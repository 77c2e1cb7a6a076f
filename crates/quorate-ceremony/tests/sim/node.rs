//! A node's driver with its disk and its power supply, and what is checked of every answer.

use crate::{
    broken::{Broken, Held, holds},
    disk::Disk,
    planted,
    sim::Sim,
    view::View,
};
use quorate_ceremony::*;
use quorate_types::*;
use rand::RngExt;

/// What a node suffers.
pub(crate) struct Weather {
    pub(crate) down_until: Millis,
    /// The disk fails: no step is done.
    pub(crate) failing_until: Millis,
    /// The disk has no room for new ceremonies.
    pub(crate) full_until: Millis,
    /// Disk images that somebody has taken.
    pub(crate) images: Vec<Disk>,
    /// What would be there after a power cut, if that is less than what was answered.
    pub(crate) flushed: Option<Disk>,
}

impl Weather {
    pub(crate) fn fair() -> Self {
        let (down_until, failing_until, full_until) = (Millis(0), Millis(0), Millis(0));
        Self { down_until, failing_until, full_until, images: Vec::new(), flushed: None }
    }
}

/// No answer, or one.
pub(crate) type Answer = Option<Result<Vec<u8>, Failure>>;

impl Sim {
    /// A request reaches a node.
    pub(crate) fn at_node(
        &mut self,
        node: NodeIndex,
        step: StepKind,
        request: &[u8],
    ) -> Result<Answer, Broken> {
        if self.world.now < self.weather[&node].down_until {
            return Ok(Some(Err(Failure::Unreachable)));
        }
        if self.liars.contains(&node)
            && let Some(lie) = self.lie(node, step, request)
        {
            self.seen.lies += 1;
            return Ok(lie);
        }
        let done = match self.world.step(node.get(), step, request) {
            Ok(done) => done,
            Err(fault) => return Ok(Some(Err(failure(&fault)))),
        };
        let crash = if self.calm { 100 } else { self.dice.random_range(0..100) };
        if crash < self.crashes {
            self.crash(node); // what was not flushed is gone
            return Ok(None);
        }
        let honest = !self.ledger.faulty.contains(&node);
        if !done.persist.list.is_empty() {
            let (weather, now) = (&self.weather[&node], self.world.now);
            let no_room = step == StepKind::Prepare && now < weather.full_until;
            if now < weather.failing_until || no_room {
                self.seen.disk_faults += 1;
                let message = "the disk fails".to_string();
                return Ok(Some(Err(Failure::Fault { code: fault::UNAVAILABLE, message })));
            }
            // A liar, and a node that runs on an old image, goes on with a frozen key.
            if honest || !matches!(done.send, Err(Fault::Impersonated(_))) {
                self.persist(node, &done.persist);
            }
        }
        if let Ok(answer) = &done.send
            && honest
        {
            self.says(node, step, request, answer)?;
        }
        if let Err(fault) = &done.send
            && honest
        {
            let calm = fault.code() < 64 && !fault.to_string().starts_with("alarm");
            holds!("alarm", calm, "node {node} at {step}: {fault}");
        }
        if crash < 2 * self.crashes {
            self.crash(node); // the answer is gone, what it says is not
            return Ok(None);
        }
        Ok(Some(done.send.map_err(|f| failure(&f))))
    }

    fn persist(&mut self, node: NodeIndex, changes: &Changes) {
        let disk = &mut self.world.nodes.get_mut(&node).unwrap().disk;
        if planted::answers_before_flush() {
            let weather = self.weather.get_mut(&node).unwrap();
            weather.flushed.get_or_insert_with(|| disk.clone());
            if self.dice.random_bool(0.3) {
                weather.flushed = None;
            }
        }
        disk.apply(changes);
        self.touched = Some(node);
    }

    pub(crate) fn crash(&mut self, node: NodeIndex) {
        self.seen.kills += 1;
        let weather = self.weather.get_mut(&node).unwrap();
        weather.down_until = self.world.now.plus(self.dice.random_range(0..1500));
        if let Some(flushed) = weather.flushed.take() {
            self.world.nodes.get_mut(&node).unwrap().disk = flushed;
            self.touched = Some(node);
        }
    }

    /// What an honest node says, it has made durable, says once, and may say.
    fn says(&mut self, node: NodeIndex, step: StepKind, request: &[u8], answer: &[u8]) -> Held {
        let before = self.views.get(&node).cloned().unwrap_or_default();
        self.gives_no_secret_away(node, answer, &before)?;
        match step {
            StepKind::Survey => Ok(()),
            StepKind::Prepare => match PrepareReply::from_bytes(answer).unwrap() {
                PrepareReply::Prepared(a) => {
                    self.ledger.once("one ceremony key", node, a.number, &a.to_part())?;
                    Ok(())
                }
                _ => Ok(()),
            },
            StepKind::Deal => {
                let number = DealRequest::from_bytes(request).unwrap().subject.number;
                if self.ledger.once("one dealing", node, number, answer)? {
                    self.under_the_newest_order(node, number)?;
                }
                Ok(())
            }
            StepKind::Receive => match ReceiveAnswer::from_bytes(answer).unwrap() {
                ReceiveAnswer::Receipt(receipt) => self.signs_receipt(node, &receipt, &before),
                ReceiveAnswer::Complaint(_) => {
                    self.seen.complaints += 1;
                    let number = ReceiveRequest::from_bytes(request).unwrap().subject.number;
                    self.ledger.once("one complaint", node, number, answer).map(|_| ())
                }
            },
            StepKind::Activate => match ActivateAnswer::from_bytes(answer).unwrap() {
                ActivateAnswer::Active(_) => {
                    let request = ActivateRequest::from_bytes(request).unwrap();
                    self.ledger.active(node, &request.certificate.public)
                }
                _ => Ok(()),
            },
            StepKind::Retire => self.reports(node, request, answer),
        }
    }

    fn signs_receipt(&mut self, node: NodeIndex, receipt: &Receipt, before: &View) -> Held {
        let public = &receipt.public;
        let order = self.operators.order(public.order).unwrap();
        let q = usize::from(order.terms_of(public.version).unwrap().q);
        if self.ledger.receipt(node, public, q)? {
            self.seen.receipts += 1;
            self.seen.splits += u64::from(self.ledger.is_split(public.epoch.number));
            let in_force = before.standing.in_force;
            let child = public.parent == in_force;
            // Of a version that was given up nothing is in force.
            let ended = public.version < self.version && public.parent.is_none();
            let ok = child || ended || in_force == Some(public.epoch);
            holds!("I3 orphan", ok, "node {node} takes a share on an erased parent");
        }
        Ok(())
    }

    fn under_the_newest_order(&self, node: NodeIndex, number: u64) -> Held {
        let subject = Subject { number, ..self.subject() };
        let state = self.world.nodes[&node].disk.load(&subject);
        let newest = state.order == state.head || state.order == state.rotation;
        holds!("newest order", newest, "node {node} deals, number {number}");
        Ok(())
    }

    fn reports(&self, node: NodeIndex, request: &[u8], answer: &[u8]) -> Held {
        let record = RetireRequest::from_bytes(request).unwrap().record;
        let name = record.certificate.public.epoch;
        if record.certificate.public.version != self.version {
            return Ok(());
        }
        let state = self.world.nodes[&node].disk.load(&self.subject());
        let over = state.standing.in_force.is_some_and(|e| e.number >= name.number);
        holds!("report", over, "node {node} reports {name}, which is not in force there");
        let answer = RetireAnswer::from_bytes(answer).unwrap();
        let serves = !answer.serving || state.standing.serves().any(|e| e == name);
        holds!("report", serves, "node {node} says that it serves {name}");
        Ok(())
    }

    fn gives_no_secret_away(&self, node: NodeIndex, answer: &[u8], before: &View) -> Held {
        for secret in before.secrets.iter().flat_map(|s| s.chunks_exact(32)) {
            let shown = answer.windows(32).any(|w| w[0] == secret[0] && w == secret);
            holds!("secrecy", !shown, "node {node} gives a secret away");
        }
        Ok(())
    }
}

fn failure(fault: &Fault) -> Failure {
    Failure::Fault { code: fault.code(), message: fault.to_string() }
}

/// A part's own bytes.
trait ToPart: Part {
    fn to_part(&self) -> Vec<u8> {
        let mut w = Writer::new();
        self.write(&mut w);
        w.finish()
    }
}

impl<T: Part> ToPart for T {}
