//! What travels in the five steps: one request and one answer each, canonical bytes.
//!
//! Nothing here is verified by decoding alone, but for the rules that a format can
//! hold: limits, canonical order, no trailing bytes.

mod activate;
mod deal;
mod prepare;
mod receive;
mod retire;
mod survey;

pub use activate::{ActivateAnswer, ActivateRequest, Certified};
pub use deal::{DealRequest, MAX_DEALING, SignedDealing};
pub(crate) use prepare::read_answers;
pub use prepare::{Descent, MAX_EARLIER, PrepareAnswer, PrepareReply, PrepareRequest};
pub use receive::{Receipt, ReceiveAnswer, ReceiveRequest, SignedComplaint};
pub use retire::{RetireAnswer, RetireRequest};
pub(crate) use survey::survey_bundle_fits;
pub use survey::{SurveyAnswer, SurveyRequest};

use quorate_types::{CodecError, Part, Reader, Writer};

/// A format that has one kind of message for each tag.
pub(crate) fn unknown_tag(what: &'static str, tag: u8) -> CodecError {
    CodecError::invalid(what, format!("{tag} is not known here"))
}

/// Epoch numbers begin at 1.
pub(crate) fn read_number(r: &mut Reader<'_>) -> Result<u64, CodecError> {
    match r.u64("epoch number")? {
        0 => Err(CodecError::invalid("epoch number", "must be 1 or more")),
        number => Ok(number),
    }
}

/// Writes parts one after the other: the statement of a signature.
pub(crate) fn statement(parts: &[&dyn WritePart]) -> Vec<u8> {
    let mut w = Writer::new();
    parts.iter().for_each(|p| p.put(&mut w));
    w.finish()
}

/// [`Part::write`] as an object.
pub(crate) trait WritePart {
    fn put(&self, w: &mut Writer);
}

impl<T: Part> WritePart for T {
    fn put(&self, w: &mut Writer) {
        self.write(w);
    }
}
