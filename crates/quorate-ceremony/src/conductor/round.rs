//! One step sent to every member, and who has answered.

use super::{FailReason, Pace, Send, Ticket};
use crate::StepKind;
use quorate_types::{Millis, NodeIndex};
use std::{collections::BTreeMap, sync::Arc};

/// The same bytes for every member. Telling two members different things would be the
/// conductor's own lie.
pub(super) struct Round {
    id: u32,
    pub(super) step: StepKind,
    pub(super) number: u64,
    pub(super) request: Arc<[u8]>,
    started: Option<Millis>,
    asks: BTreeMap<NodeIndex, Ask>,
    /// Why the first member that would not do the step would not.
    pub(super) refusal: Option<FailReason>,
}

/// How it stands with one member.
enum Ask {
    /// To be asked as soon as possible.
    Idle,
    /// Asked; lost if no answer comes in time.
    Sent(Millis),
    /// To be asked again then.
    Later(Millis),
    /// Has answered well.
    Done,
    /// Will not, in this round.
    Out,
}

impl Round {
    pub(super) fn new(
        id: u32,
        step: StepKind,
        number: u64,
        request: Vec<u8>,
        members: impl Iterator<Item = NodeIndex>,
    ) -> Self {
        let asks = members.map(|m| (m, Ask::Idle)).collect();
        Self { id, step, number, request: request.into(), started: None, asks, refusal: None }
    }

    /// Whom to ask now; they count as asked.
    pub(super) fn due(&mut self, now: Millis, pace: &Pace) -> Vec<Send> {
        self.started.get_or_insert(now);
        let mut sends = Vec::new();
        for (node, ask) in &mut self.asks {
            let due = match ask {
                Ask::Idle => true,
                Ask::Sent(at) => now >= at.plus(pace.answer_within),
                Ask::Later(at) => now >= *at,
                Ask::Done | Ask::Out => false,
            };
            if due {
                *ask = Ask::Sent(now);
                let ticket =
                    Ticket { node: *node, step: self.step, number: self.number, round: self.id };
                sends.push(Send { ticket, request: Arc::clone(&self.request) });
            }
        }
        sends
    }

    /// Whether an answer to this ticket is still awaited.
    pub(super) fn awaits(&self, ticket: &Ticket) -> bool {
        ticket.round == self.id
            && matches!(self.asks.get(&ticket.node), Some(Ask::Idle | Ask::Sent(_) | Ask::Later(_)))
    }

    pub(super) fn done(&mut self, node: NodeIndex) {
        self.set(node, Ask::Done);
    }

    pub(super) fn out(&mut self, node: NodeIndex) {
        self.set(node, Ask::Out);
    }

    pub(super) fn retry(&mut self, node: NodeIndex, at: Millis) {
        self.set(node, Ask::Later(at));
    }

    fn set(&mut self, node: NodeIndex, to: Ask) {
        if let Some(ask) = self.asks.get_mut(&node) {
            *ask = to;
        }
    }

    /// How long the round has lasted.
    pub(super) fn age(&self, now: Millis) -> u64 {
        self.started.map_or(0, |at| now.0.saturating_sub(at.0))
    }

    /// Members that may still answer.
    pub(super) fn open(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.asks.iter().filter(|(_, a)| !matches!(a, Ask::Done | Ask::Out)).map(|(n, _)| *n)
    }

    /// Members that have not answered well.
    pub(super) fn missing(&self) -> impl Iterator<Item = NodeIndex> + '_ {
        self.asks.iter().filter(|(_, a)| !matches!(a, Ask::Done)).map(|(n, _)| *n)
    }

    /// How many members have answered well.
    pub(super) fn answered(&self) -> usize {
        self.asks.values().filter(|a| matches!(a, Ask::Done)).count()
    }

    /// How many members there are.
    pub(super) fn of(&self) -> usize {
        self.asks.len()
    }
}
