//! What later orders may do to a key that they may not do to others: said when it is made.

use crate::codec::{CodecError, Part, Reader, Writer};

/// Rights that a key is made with, and never gains later.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rights {
    /// An order may hand the key itself to a recipient.
    pub exportable: bool,
    /// It may be deleted sooner than after seven days.
    pub quick_deletion: bool,
}

impl Rights {
    /// What nearly every key has.
    pub const NONE: Self = Self { exportable: false, quick_deletion: false };
}

/// One byte of flags, never 0: without rights nothing is written.
impl Part for Rights {
    fn write(&self, w: &mut Writer) {
        w.u8(u8::from(self.exportable) | u8::from(self.quick_deletion) << 1);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("rights")? {
            flags @ 1..=3 => {
                Ok(Self { exportable: flags & 1 != 0, quick_deletion: flags & 2 != 0 })
            }
            0 => Err(CodecError::invalid("rights", "an order that gives none is a plain one")),
            other => Err(CodecError::invalid("rights", format!("{other} is not known here"))),
        }
    }
}
