//! Step 1. An order becomes an attempt: each member makes a ceremony key and commits to
//! what it is going to deal.

use super::{Certified, PrepareAnswer, read_number, unknown_tag};
use quorate_types::{CodecError, Format, KeyRecord, KeyVersion, Part, Reader, SignedOrder, Writer};

/// The most orders that a node may have missed and be told of in passing.
pub const MAX_EARLIER: usize = 16;

/// Conductor to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PrepareRequest {
    /// The order behind the ceremony.
    pub order: SignedOrder,
    /// Earlier orders of the key's chain, oldest first, for nodes that missed them.
    pub earlier: Vec<SignedOrder>,
    /// The number of the epoch that this attempt makes.
    pub number: u64,
    /// In a reshare: where the shares come from.
    pub descent: Option<Box<Descent>>,
    /// Under a schedule of versions: which one is to be born. Never beside a descent.
    pub scheduled: Option<KeyVersion>,
}

/// Where the shares of a reshare come from: it proves itself to a node without history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Descent {
    /// The birth certificate of the key version.
    pub birth: KeyRecord,
    /// The retire certificate of the parent epoch, if that is not the one of the birth.
    pub newest: Option<KeyRecord>,
}

impl Descent {
    /// The proof of the parent epoch.
    #[must_use]
    pub fn parent(&self) -> &KeyRecord {
        self.newest.as_ref().unwrap_or(&self.birth)
    }
}

impl Part for Descent {
    fn write(&self, w: &mut Writer) {
        self.birth.write(w);
        w.option(self.newest.as_ref());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { birth: Part::read(r)?, newest: r.option("newest record")? })
    }
}

impl Part for PrepareRequest {
    fn write(&self, w: &mut Writer) {
        self.order.write(w);
        w.list(&self.earlier);
        w.u64(self.number);
        match (&self.descent, &self.scheduled) {
            (Some(descent), _) => {
                w.u8(1);
                descent.write(w);
            }
            (None, Some(version)) => {
                w.u8(2);
                version.write(w);
            }
            (None, None) => w.u8(0),
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let mut request = Self {
            order: Part::read(r)?,
            earlier: r.list(MAX_EARLIER, "earlier orders")?,
            number: read_number(r)?,
            descent: None,
            scheduled: None,
        };
        match r.u8("descent")? {
            0 => {}
            1 => request.descent = Some(Box::new(Part::read(r)?)),
            2 => request.scheduled = Some(Part::read(r)?),
            other => return Err(unknown_tag("descent", other)),
        }
        Ok(request)
    }
}

impl Format for PrepareRequest {
    const KIND: &'static str = "QC1R";
    const VERSION: u16 = 2; // since there are reshares
}

/// Node to conductor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PrepareReply {
    /// The node takes part.
    Prepared(PrepareAnswer),
    /// The node takes no part in a new attempt: it has signed another one active, and
    /// signs one only. That one is to be finished.
    Certified(Box<Certified>),
    /// The key version is born.
    Born(Box<KeyRecord>),
    /// In a reshare: another epoch than the parent is in force here, and this proves it.
    Past(Box<KeyRecord>),
}

impl Part for PrepareReply {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Prepared(answer) => {
                w.u8(1);
                answer.write(w);
            }
            Self::Certified(certified) => {
                w.u8(2);
                certified.write(w);
            }
            Self::Born(record) => {
                w.u8(3);
                record.write(w);
            }
            Self::Past(record) => {
                w.u8(4);
                record.write(w);
            }
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("prepare reply")? {
            1 => Part::read(r).map(Self::Prepared),
            2 => Part::read(r).map(|c| Self::Certified(Box::new(c))),
            3 => Part::read(r).map(|k| Self::Born(Box::new(k))),
            4 => Part::read(r).map(|k| Self::Past(Box::new(k))),
            other => Err(unknown_tag("prepare reply", other)),
        }
    }
}

impl Format for PrepareReply {
    const KIND: &'static str = "QC1A";
    const VERSION: u16 = 2; // since there are reshares
}
