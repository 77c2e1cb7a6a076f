//! A committee and its dealers, honest and lying, for the tests of dealings.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used)] // each test binary uses a part

#[path = "../model/lib.rs"]
pub mod model;

use curve25519_dalek::scalar::Scalar;
use model::Deal;
use quorate_crypto::{
    EncodedPoint, SecretScalar, ShareIndex, Threshold,
    dealing::{
        Dealing, DealingFault, DealingParams, Receivers, VerifiedDealing, Weights, WireError,
        combine_share, deal,
    },
    group::Group,
    sharing::Polynomial,
};

pub const CTX: [u8; 32] = [7; 32];
pub const ORDER: &str = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";

pub fn index(i: u16) -> ShareIndex {
    ShareIndex::new(i).unwrap()
}

pub fn identity(dealer: u16) -> [u8; 32] {
    [dealer as u8; 32]
}

pub fn random() -> Scalar {
    Scalar::random(&mut rand::rng())
}

/// A committee with its ceremony keys.
pub struct Committee {
    pub t: Threshold,
    pub secrets: Vec<(ShareIndex, SecretScalar)>,
    pub receivers: Receivers,
}

impl Committee {
    pub fn of(indices: &[u16], t: u16) -> Self {
        let secrets: Vec<_> =
            indices.iter().map(|i| (index(*i), SecretScalar::random(&mut rand::rng()))).collect();
        let keys = secrets.iter().map(|(i, s)| (*i, EncodedPoint::new(s.public()).unwrap()));
        let receivers = Receivers::new(keys.collect()).unwrap();
        Self { t: Threshold::new(t, indices.len()).unwrap(), secrets, receivers }
    }

    pub fn params(&self, dealer: u16) -> DealingParams<'_> {
        DealingParams::new(
            Group::Ristretto255,
            CTX,
            index(dealer),
            identity(dealer),
            self.t,
            &self.receivers,
        )
        .unwrap()
    }

    pub fn deal(&self, dealer: u16, constant: &SecretScalar) -> Dealing {
        let rng = &mut rand::rng();
        let f = Polynomial::random(self.t, constant, rng).unwrap();
        deal(&self.params(dealer), &f, rng).unwrap()
    }

    /// The dealer that can lie: the model deals `coefficients`.
    pub fn model(&self, dealer: u16, coefficients: Vec<Scalar>) -> Deal {
        let receivers = self.receivers.iter().map(|(i, k)| (i.get(), *k.point())).collect();
        let fresh = [1, 2, 3].map(|_| random().to_bytes());
        let (ctx, identity) = (CTX, identity(dealer));
        Deal { ctx, dealer, identity, coefficients, receivers, fresh }
    }

    pub fn verify(&self, dealer: u16, bytes: &[u8]) -> Result<VerifiedDealing, Refused> {
        let dealing = Dealing::from_bytes(bytes).map_err(Refused::Wire)?;
        dealing.verify(&self.params(dealer), None).map_err(Refused::Fault)
    }

    pub fn secret(&self, i: u16) -> &SecretScalar {
        &self.secrets.iter().find(|(at, _)| *at == index(i)).unwrap().1
    }

    pub fn new_shares(
        &self,
        dealings: &[VerifiedDealing],
        weights: Weights,
    ) -> Vec<(ShareIndex, SecretScalar)> {
        let share = |(i, secret): &(ShareIndex, SecretScalar)| {
            let open = |d: &VerifiedDealing| (d.dealer(), d.open(*i, secret).unwrap());
            let values: Vec<_> = dealings.iter().map(open).collect();
            (*i, combine_share(&values, weights).unwrap())
        };
        self.secrets.iter().map(share).collect()
    }
}

#[derive(Debug, PartialEq)]
pub enum Refused {
    Wire(WireError),
    Fault(DealingFault),
}

pub fn fault(fault: DealingFault) -> Refused {
    Refused::Fault(fault)
}

pub fn coefficients(t: usize) -> Vec<Scalar> {
    (0..t).map(|_| random()).collect()
}
