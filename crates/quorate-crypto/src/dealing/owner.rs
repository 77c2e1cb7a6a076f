//! The dealing of a key's owner, who imports it.

use super::{DealError, Dealing, DealingParams, deal};
use crate::{
    hash::{Label, hash},
    hashed::Hashed,
    secret::{SecretBytes, SecretScalar},
    sharing::Polynomial,
};

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
    let mut stream = stream(params, key);
    let polynomial =
        Polynomial::random(params.threshold(), key, &mut stream).map_err(|_| DealError::Zero)?;
    deal(params, &polynomial, &mut stream)
}

/// Hashed from a seed and a count: as good as random to whoever does not know the seed.
fn stream(params: &DealingParams<'_>, key: &SecretScalar) -> Hashed<impl FnMut(u64) -> Block> {
    let (bytes, index) = (key.to_bytes(), params.dealer().get().to_be_bytes());
    let group = params.group().binding().unwrap_or(b"ristretto255");
    let parts: [&[u8]; 5] = [&bytes[..], params.ctx(), &index, params.dealer_identity(), group];
    let seed = SecretBytes::new(hash(Label::DEALING_OWNER, &parts));
    Hashed::new(move |count| {
        let parts: [&[u8]; 2] = [seed.expose(), &count.to_be_bytes()];
        SecretBytes::new(hash(Label::DEALING_OWNER, &parts))
    })
}

type Block = SecretBytes<64>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        dealing::Receivers,
        group::{EncodedPoint, Group},
        index::{ShareIndex, Threshold},
    };
    use rand_core::TryRng;

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
        let mut first_stream = stream(&params, &key);
        let mut all = [0; 640];
        first_stream.try_fill_bytes(&mut all).unwrap();
        let blocks: std::collections::BTreeSet<&[u8]> = all.chunks(64).collect();
        assert_eq!(blocks.len(), 10);
        let (mut again, mut first) = (stream(&params, &key), [0; 32]);
        again.try_fill_bytes(&mut first).unwrap();
        assert_eq!(first, all[..32]);
    }

    /// An owner may begin with one release and go on with the next.
    #[test]
    fn the_stream_is_the_same_in_every_release() {
        let (receivers, t) = (receivers(1), Threshold::new(2, 5).unwrap());
        let (owner, group) = (ShareIndex::OWNER, Group::Edwards25519);
        let params = DealingParams::new(group, [1; 32], owner, [2; 32], t, &receivers).unwrap();
        let key = SecretScalar::new(curve25519_dalek::Scalar::from(3_u64));
        let mut bytes = [0; 80];
        stream(&params, &key).try_fill_bytes(&mut bytes).unwrap();
        assert_eq!(
            hex::encode(bytes),
            concat!(
                "1e072fc141f478f083c99d384d9a1e48736125c9879db7148a307bc2d798c5d250f1ee1c393478a7",
                "d105ca3f311eeec3a4f1f783a111e96c8e313bff6315e956a025cd7dc47c98216636aff096694fb5"
            )
        );
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
