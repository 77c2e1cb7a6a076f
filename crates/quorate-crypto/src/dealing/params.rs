//! What a dealing is for: agreed by everybody before it is made.

use crate::{
    group::{EncodedPoint, Group},
    index::{MAX_COMMITTEE, ShareIndex, Threshold},
};

/// Why there is no such set of receivers, or no such dealing. All are the caller's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ParamsError {
    /// Too few or too many receivers.
    #[error("a dealing has 2 to {MAX_COMMITTEE} receivers, got {0}")]
    Count(usize),
    /// Not strictly ascending: repeated or out of order.
    #[error("receivers must stand in ascending order, each once: {0} does not")]
    Order(ShareIndex),
    /// More shares needed than there are receivers.
    #[error("a threshold of {threshold} needs as many receivers, got {receivers}")]
    Threshold {
        /// The threshold.
        threshold: u16,
        /// The number of receivers.
        receivers: usize,
    },
}

/// The receivers' ceremony keys, in ascending order of their indices, each once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receivers(Vec<(ShareIndex, EncodedPoint)>);

impl Receivers {
    /// # Errors
    /// [`ParamsError::Count`], [`ParamsError::Order`].
    pub fn new(receivers: Vec<(ShareIndex, EncodedPoint)>) -> Result<Self, ParamsError> {
        if !(2..=MAX_COMMITTEE).contains(&receivers.len()) {
            return Err(ParamsError::Count(receivers.len()));
        }
        match receivers.windows(2).find(|w| w[0].0 >= w[1].0) {
            Some(pair) => Err(ParamsError::Order(pair[1].0)),
            None => Ok(Self(receivers)),
        }
    }

    /// How many receivers there are: 2 to [`MAX_COMMITTEE`].
    #[must_use]
    #[expect(clippy::len_without_is_empty, reason = "never empty")]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Index and ceremony key, ascending.
    pub fn iter(&self) -> impl Iterator<Item = (ShareIndex, &EncodedPoint)> {
        self.0.iter().map(|(index, key)| (*index, key))
    }

    /// A receiver's ceremony key.
    #[must_use]
    pub fn key(&self, index: ShareIndex) -> Option<&EncodedPoint> {
        let at = self.position(index)?;
        self.0.get(at).map(|(_, key)| key)
    }

    pub(super) fn position(&self, index: ShareIndex) -> Option<usize> {
        self.0.binary_search_by_key(&index, |(i, _)| *i).ok()
    }
}

/// What one dealer's dealing in one ceremony is bound to.
#[derive(Debug, Clone, Copy)]
pub struct DealingParams<'a> {
    group: Group,
    ctx: [u8; 32],
    dealer: ShareIndex,
    dealer_identity: [u8; 32],
    threshold: Threshold,
    receivers: &'a Receivers,
}

impl<'a> DealingParams<'a> {
    /// `group` is that of the dealt polynomial; ceremony keys are over ristretto255 always.
    /// `ctx` is the ceremony context; it must bind the receivers' ceremony keys.
    ///
    /// # Errors
    /// [`ParamsError::Threshold`].
    pub fn new(
        group: Group,
        ctx: [u8; 32],
        dealer: ShareIndex,
        dealer_identity: [u8; 32],
        threshold: Threshold,
        receivers: &'a Receivers,
    ) -> Result<Self, ParamsError> {
        if threshold.as_usize() > receivers.len() {
            let threshold = threshold.get();
            return Err(ParamsError::Threshold { threshold, receivers: receivers.len() });
        }
        Ok(Self { group, ctx, dealer, dealer_identity, threshold, receivers })
    }

    /// The group of the dealt polynomial.
    #[must_use]
    pub const fn group(&self) -> Group {
        self.group
    }

    /// The ceremony context.
    #[must_use]
    pub const fn ctx(&self) -> &[u8; 32] {
        &self.ctx
    }

    /// The dealer's share index.
    #[must_use]
    pub const fn dealer(&self) -> ShareIndex {
        self.dealer
    }

    /// The dealer's identity key.
    #[must_use]
    pub const fn dealer_identity(&self) -> &[u8; 32] {
        &self.dealer_identity
    }

    /// The new threshold.
    #[must_use]
    pub const fn threshold(&self) -> Threshold {
        self.threshold
    }

    /// Who receives.
    #[must_use]
    pub const fn receivers(&self) -> &'a Receivers {
        self.receivers
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::group::B;

    fn receivers(indices: &[u16]) -> Result<Receivers, ParamsError> {
        let key = EncodedPoint::new(B).unwrap();
        Receivers::new(indices.iter().map(|i| (ShareIndex::new(*i).unwrap(), key)).collect())
    }

    /// Attacks 1 and 2 (index 0 is no [`ShareIndex`]).
    #[test]
    fn repeated_and_unordered_receivers_are_refused() {
        let order = |i| Err(ParamsError::Order(ShareIndex::new(i).unwrap()));
        assert_eq!(receivers(&[1, 2, 2]), order(2));
        assert_eq!(receivers(&[2, 1, 3]), order(1));
        assert_eq!(receivers(&[7]), Err(ParamsError::Count(1)));
        assert_eq!(receivers(&[]), Err(ParamsError::Count(0)));
        let many: Vec<u16> = (1..=65).collect();
        assert_eq!(receivers(&many), Err(ParamsError::Count(65)));
        assert!(receivers(&[1, 5, 65535]).is_ok());
    }

    #[test]
    fn a_threshold_above_the_receivers_is_refused() {
        let three = receivers(&[1, 2, 3]).unwrap();
        let (t, d) = (Threshold::new(4, 4).unwrap(), ShareIndex::new(1).unwrap());
        let group = Group::Ristretto255;
        let error = DealingParams::new(group, [0; 32], d, [0; 32], t, &three).unwrap_err();
        assert_eq!(error, ParamsError::Threshold { threshold: 4, receivers: 3 });
    }
}
