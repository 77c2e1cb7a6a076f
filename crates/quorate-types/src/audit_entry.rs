//! What a node writes into its audit log before an answer leaves.

use crate::{
    answer::RefusalReason,
    checkpoint::Split,
    codec::{CodecError, Format, Part, Reader, Writer},
    ids::{EpochName, Hash, KeyName, KeyVersion, Millis, NodeIndex},
    request::MAX_HEAD,
};
use quorate_crypto::Signature;

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Partials of this epoch's share left the node.
    Granted(EpochName),
    /// Refused.
    Refused(RefusalReason),
}

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The process started: everything before was written by an earlier one.
    Started,
    /// A client's authenticated request, with the client's own signature, so that a
    /// node cannot invent a use.
    Request {
        /// Canonical request head.
        head: Vec<u8>,
        /// The client's, over the head.
        signature: Signature,
        /// How it ended.
        decision: Decision,
    },
    /// An order was applied.
    Order {
        /// Its hash.
        order: Hash,
    },
    /// A step of a ceremony was done.
    Ceremony {
        /// "prepare", "deal", "receive", "complain", "activate", "retire".
        step: CeremonyStep,
        /// The key.
        key: KeyName,
        /// Its version.
        version: KeyVersion,
        /// The attempt's epoch number.
        number: u64,
        /// Hash of what the node signed in this step.
        statement: Hash,
    },
    /// All that the node held of a key is destroyed, as an order said.
    Destroyed {
        /// The key.
        key: KeyName,
        /// The order.
        order: Hash,
    },
    /// The share of an epoch was sealed to the recipient of an export order.
    Exported {
        /// Hash of the order.
        order: Hash,
        /// The key.
        key: KeyName,
        /// Its version.
        version: KeyVersion,
        /// The epoch whose share it was.
        epoch: EpochName,
        /// Hash of what left the node.
        statement: Hash,
    },
    /// An alarm: one identity, also the node's own, has signed what is not one history.
    Split {
        /// Whose.
        node: NodeIndex,
        /// What it looks like.
        split: Split,
        /// Hash of the sighting that proves it.
        evidence: Hash,
    },
}

/// The steps of a ceremony, as logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum CeremonyStep {
    /// A ceremony key was made.
    Prepare = 1,
    /// A dealing was made.
    Deal = 2,
    /// A share was received, the receipt signed.
    Receive = 3,
    /// A bad value was complained about.
    Complain = 4,
    /// The epoch was activated.
    Activate = 5,
    /// The birth or retire certificate was stored.
    Retire = 6,
}

impl CeremonyStep {
    /// The word for people.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Deal => "deal",
            Self::Receive => "receive",
            Self::Complain => "complain",
            Self::Activate => "activate",
            Self::Retire => "retire",
        }
    }

    fn from_code(code: u8) -> Option<Self> {
        use CeremonyStep::{Activate, Complain, Deal, Prepare, Receive, Retire};
        [Prepare, Deal, Receive, Complain, Activate, Retire].into_iter().find(|s| *s as u8 == code)
    }
}

/// One entry of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditEntry {
    /// By the node's clock.
    pub at: Millis,
    /// What happened.
    pub event: Event,
}

impl Part for AuditEntry {
    fn write(&self, w: &mut Writer) {
        self.at.write(w);
        match &self.event {
            Event::Started => w.u8(1),
            Event::Request { head, signature, decision } => {
                w.u8(2);
                w.bytes(head);
                signature.write(w);
                match decision {
                    Decision::Granted(epoch) => {
                        w.u8(1);
                        epoch.write(w);
                    }
                    Decision::Refused(reason) => {
                        w.u8(2);
                        w.u16(reason.code());
                    }
                }
            }
            Event::Order { order } => {
                w.u8(3);
                order.write(w);
            }
            Event::Ceremony { step, key, version, number, statement } => {
                w.u8(4);
                w.u8(*step as u8);
                key.write(w);
                version.write(w);
                w.u64(*number);
                statement.write(w);
            }
            Event::Destroyed { key, order } => {
                w.u8(6);
                key.write(w);
                order.write(w);
            }
            Event::Exported { order, key, version, epoch, statement } => {
                w.u8(8);
                order.write(w);
                key.write(w);
                version.write(w);
                epoch.write(w);
                statement.write(w);
            }
            Event::Split { node, split, evidence } => {
                w.u8(5);
                node.write(w);
                w.u8(*split as u8);
                evidence.write(w);
            }
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let at = Part::read(r)?;
        let event = match r.u8("audit event")? {
            1 => Event::Started,
            2 => Event::Request {
                head: r.bytes(MAX_HEAD, "request head")?.to_vec(),
                signature: Part::read(r)?,
                decision: read_decision(r)?,
            },
            3 => Event::Order { order: Part::read(r)? },
            4 => Event::Ceremony {
                step: CeremonyStep::from_code(r.u8("ceremony step")?)
                    .ok_or_else(|| CodecError::invalid("ceremony step", "is not known here"))?,
                key: Part::read(r)?,
                version: Part::read(r)?,
                number: r.u64("epoch number")?,
                statement: Part::read(r)?,
            },
            5 => Event::Split {
                node: Part::read(r)?,
                split: Split::from_code(r.u8("split")?)
                    .ok_or_else(|| CodecError::invalid("split", "is not known here"))?,
                evidence: Part::read(r)?,
            },
            6 => Event::Destroyed { key: Part::read(r)?, order: Part::read(r)? },
            8 => Event::Exported {
                order: Part::read(r)?,
                key: Part::read(r)?,
                version: Part::read(r)?,
                epoch: Part::read(r)?,
                statement: Part::read(r)?,
            },
            other => {
                return Err(CodecError::invalid("audit event", format!("{other} is not known")));
            }
        };
        Ok(Self { at, event })
    }
}

fn read_decision(r: &mut Reader<'_>) -> Result<Decision, CodecError> {
    match r.u8("decision")? {
        1 => Ok(Decision::Granted(Part::read(r)?)),
        2 => {
            let code = r.u16("refusal reason")?;
            RefusalReason::from_code(code)
                .map(Decision::Refused)
                .ok_or_else(|| CodecError::invalid("refusal reason", "is not known here"))
        }
        other => Err(CodecError::invalid("decision", format!("{other} is not known here"))),
    }
}

impl Format for AuditEntry {
    const KIND: &'static str = "QAUD";
}
