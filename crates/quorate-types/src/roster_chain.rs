//! The roster chain as one file: what every party keeps in its home.

use crate::{
    armor::{self, Title},
    codec::{CodecError, Format, Part, Reader, Writer},
    roster::{MAX_CHAIN, SignedRoster},
};

/// A roster chain, genesis first; nothing about it is verified yet
/// ([`crate::Cluster::verify`] does).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RosterChain(pub Vec<SignedRoster>);

impl RosterChain {
    /// As text, for `roster.json` in a home and for people to carry.
    #[must_use]
    pub fn to_text(&self) -> String {
        armor::write(Title::ROSTER, self)
    }

    /// # Errors
    /// [`CodecError`].
    pub fn from_text(text: &str) -> Result<Self, CodecError> {
        armor::read(Title::ROSTER, text)
    }
}

impl Part for RosterChain {
    fn write(&self, w: &mut Writer) {
        w.list(&self.0);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.list(MAX_CHAIN, "roster chain").map(Self)
    }
}

impl Format for RosterChain {
    const KIND: &'static str = "QRCH";
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signed::Signed;

    #[test]
    fn a_chain_survives_as_text() {
        let chain = RosterChain(vec![
            SignedRoster(Signed::unsigned(b"one".to_vec())),
            SignedRoster(Signed::unsigned(b"two".to_vec())),
        ]);
        assert_eq!(RosterChain::from_text(&chain.to_text()), Ok(chain.clone()));
        assert!(RosterChain::from_text(&chain.to_text().replace("ROSTER", "ORDER")).is_err());
        assert_eq!(chain.to_bytes()[..8], *b"QRCH\0\x01\0\x02");
    }
}
