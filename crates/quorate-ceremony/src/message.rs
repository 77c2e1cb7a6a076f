//! What travels in the five steps: one request and one answer each, canonical bytes.
//!
//! Nothing here is verified by decoding alone, but for the rules that a format can
//! hold: limits, canonical order, no trailing bytes.

mod activate;
mod prepare;
mod receive;
mod retire;
mod survey;

pub use activate::{ActivateAnswer, ActivateRequest, Certified};
pub use prepare::{Descent, MAX_EARLIER, PrepareReply, PrepareRequest};
pub use quorate_types::dealing::{DealRequest, MAX_DEALING, PrepareAnswer, SignedDealing};
pub(crate) use quorate_types::dealing::{read_answers, read_number};
pub use receive::{Receipt, ReceiveAnswer, ReceiveRequest, SignedComplaint};
pub use retire::{RetireAnswer, RetireRequest};
pub(crate) use survey::survey_bundle_fits;
pub use survey::{SurveyAnswer, SurveyRequest};

use quorate_types::{CodecError, Part, Writer};

/// A format that has one kind of message for each tag.
pub(crate) fn unknown_tag(what: &'static str, tag: u8) -> CodecError {
    CodecError::invalid(what, format!("{tag} is not known here"))
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
