//! From ciphertext heads to payload keys: ask a quorum, combine, and if that fails find out
//! who lied.

mod attempt;
mod prove;

pub(crate) use attempt::Opening;

use quorate_crypto::tdh2::Ciphertext;
use quorate_types::CiphertextHead;

/// One ciphertext's head, ready to be asked for.
pub(crate) struct Item {
    /// Header bytes, then the encapsulation: what the nodes get.
    pub(crate) bytes: Vec<u8>,
    /// The header's bytes: what the encapsulation binds.
    pub(crate) header: Vec<u8>,
    /// The encapsulation, parsed.
    pub(crate) ciphertext: Ciphertext,
    /// As parsed, for a diagnosis.
    pub(crate) head: CiphertextHead,
}
