//! The dealing of a key's owner, who imports it.

use super::{DealError, Dealing, DealingParams, deal};
use crate::{
    hash::{Label, hash},
    secret::{SecretBytes, SecretScalar},
    sharing::Polynomial,
};
use rand_core::{Infallible, TryCryptoRng, TryRng};

/// Deals `key` itself: the constant of the polynomial. The same key in the same ceremony is
/// dealt by the same bytes, whenever that is asked for, so that an owner who dies half-way keeps
/// nothing on disk and yet never deals twice differently for one step.
///
/// # Security
/// What is random in other dealings comes here from a hash of the key and the ceremony context.
/// Whoever could guess the key to compute it could tell that it is the right one by its public key
/// already. The context binds every receiver's ceremony key, so that to other receivers other
/// coefficients and another ephemeral secret are used.
///
/// # Errors
/// [`DealError`]; [`DealError::Zero`] for a key of zero.
pub fn deal_owned(params: &DealingParams<'_>, key: &SecretScalar) -> Result<Dealing, DealError> {
    let mut stream = Stream::of(params, key);
    let polynomial =
        Polynomial::random(params.threshold(), key, &mut stream).map_err(|_| DealError::Zero)?;
    deal(params, &polynomial, &mut stream)
}

/// SHA-512 over a seed and a counter: as good as random to whoever does not know the seed.
struct Stream {
    seed: SecretBytes<64>,
    block: u64,
}

impl Stream {
    fn of(params: &DealingParams<'_>, key: &SecretScalar) -> Self {
        let (bytes, index) = (key.to_bytes(), params.dealer().get().to_be_bytes());
        let group = params.group().binding().unwrap_or(b"ristretto255");
        let parts: [&[u8]; 5] = [&bytes[..], params.ctx(), &index, params.dealer_identity(), group];
        Self { seed: SecretBytes::new(hash(Label::DEALING_OWNER, &parts)), block: 0 }
    }
}

impl TryRng for Stream {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        let mut bytes = [0; 4];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u32::from_le_bytes(bytes))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        let mut bytes = [0; 8];
        self.try_fill_bytes(&mut bytes)?;
        Ok(u64::from_le_bytes(bytes))
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        // What is left of a block is not used: no state but the counter.
        for chunk in out.chunks_mut(64) {
            let parts: [&[u8]; 2] = [self.seed.expose(), &self.block.to_be_bytes()];
            let block = SecretBytes::new(hash(Label::DEALING_OWNER, &parts));
            chunk.copy_from_slice(&block.expose()[..chunk.len()]);
            self.block += 1;
        }
        Ok(())
    }
}

impl TryCryptoRng for Stream {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dealing::Receivers,
        group::{EncodedPoint, Group},
        index::{ShareIndex, Threshold},
    };

    fn receivers(seed: u64) -> Receivers {
        let key = |i: u64| {
            let scalar = SecretScalar::new(curve25519_dalek::Scalar::from(seed * 100 + i));
            (ShareIndex::new(i as u16).unwrap(), EncodedPoint::new(scalar.public()).unwrap())
        };
        Receivers::new((1..=5).map(key).collect()).unwrap()
    }

    fn dealt(ctx: u8, identity: u8, group: Group, key: &SecretScalar) -> Dealing {
        let (receivers, t) = (receivers(3), Threshold::new(3, 5).unwrap());
        let (ctx, id) = ([ctx; 32], [identity; 32]);
        let params = DealingParams::new(group, ctx, ShareIndex::OWNER, id, t, &receivers).unwrap();
        let dealing = deal_owned(&params, key).unwrap();
        let constant = group.mul_base(key);
        let verified = dealing.verify(&params, Some(&constant)).unwrap();
        for (i, _) in receivers.iter() {
            let secret = SecretScalar::new((300 + u64::from(i.get())).into());
            verified.open(i, &secret).unwrap();
        }
        dealing
    }

    /// An owner who dies half-way and begins again has dealt the same.
    #[test]
    fn an_owner_deals_the_same_bytes_for_one_step_and_others_for_any_other() {
        let key = SecretScalar::random(&mut rand::rng());
        let group = Group::Ristretto255;
        let first = dealt(1, 1, group, &key);
        assert_eq!(first, dealt(1, 1, group, &key));
        let other = SecretScalar::random(&mut rand::rng());
        let others = [
            dealt(2, 1, group, &key),
            dealt(1, 2, group, &key),
            dealt(1, 1, Group::Edwards25519, &key),
            dealt(1, 1, group, &other),
        ];
        for second in others {
            // Nothing that is secret is the same: no coefficient but the key, no ephemeral.
            assert_ne!(first.commitments()[1], second.commitments()[1]);
            assert_ne!(first.commitments()[2], second.commitments()[2]);
            assert_ne!(first.ephemeral, second.ephemeral);
        }
    }

    #[test]
    fn the_stream_never_repeats_and_depends_on_no_piece_length() {
        let (receivers, t) = (receivers(1), Threshold::new(2, 5).unwrap());
        let key = SecretScalar::random(&mut rand::rng());
        let params = DealingParams::new(
            Group::Ristretto255,
            [0; 32],
            ShareIndex::OWNER,
            [0; 32],
            t,
            &receivers,
        )
        .unwrap();
        let mut stream = Stream::of(&params, &key);
        let mut all = [0; 640];
        stream.try_fill_bytes(&mut all).unwrap();
        let blocks: std::collections::BTreeSet<&[u8]> = all.chunks(64).collect();
        assert_eq!(blocks.len(), 10);
        let (mut again, mut first) = (Stream::of(&params, &key), [0; 32]);
        again.try_fill_bytes(&mut first).unwrap();
        assert_eq!(first, all[..32]);
    }

    #[test]
    fn a_key_of_zero_is_not_dealt() {
        let (receivers, t) = (receivers(1), Threshold::new(2, 5).unwrap());
        let params = DealingParams::new(
            Group::Ristretto255,
            [0; 32],
            ShareIndex::OWNER,
            [0; 32],
            t,
            &receivers,
        )
        .unwrap();
        let zero = SecretScalar::new(curve25519_dalek::Scalar::ZERO);
        assert_eq!(deal_owned(&params, &zero).unwrap_err(), DealError::Zero);
    }
}
