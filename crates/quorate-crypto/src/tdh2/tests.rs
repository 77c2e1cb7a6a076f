use super::*;
use crate::{SecretBytes, SecretScalar, ShareIndex, Threshold};
use rand_core::{Infallible, TryCryptoRng, TryRng};

pub(super) const FINGERPRINT: [u8; 32] = [7; 32];
pub(super) const KEY: &[u8] = b"payments/cards";
pub(super) const LABEL: &[u8] = b"tenant=acme";
pub(super) const HEADER: &[u8] = b"file 17";

/// A shared key: `f` of degree `t − 1`, as if dealt.
pub(super) struct Toy {
    pub(super) coefficients: Vec<Scalar>,
    pub(super) y: EncodedPoint,
}

impl Toy {
    pub(super) fn new(t: usize) -> Self {
        Self::of((0..t).map(|_| Scalar::random(&mut rand::rng())).collect())
    }

    pub(super) fn of(coefficients: Vec<Scalar>) -> Self {
        let y = EncodedPoint::new(SecretScalar::new(coefficients[0]).public()).unwrap();
        Self { coefficients, y }
    }

    /// The next epoch: the same key, other shares.
    pub(super) fn refreshed(&self) -> Self {
        let mut next = Self::new(self.coefficients.len());
        next.coefficients[0] = self.coefficients[0];
        Self::of(next.coefficients)
    }

    pub(super) fn threshold(&self) -> Threshold {
        Threshold::new(self.coefficients.len() as u16, 64).unwrap()
    }

    pub(super) fn binding(&self) -> Binding<'_> {
        Binding::new(&FINGERPRINT, KEY, 1, &self.y)
    }

    pub(super) fn share(&self, i: u16) -> SecretScalar {
        let x = Scalar::from(i);
        SecretScalar::new(self.coefficients.iter().rev().fold(Scalar::ZERO, |v, c| v * x + c))
    }

    pub(super) fn share_public(&self, i: u16) -> EncodedPoint {
        EncodedPoint::new(self.share(i).public()).unwrap()
    }

    pub(super) fn seal(&self) -> (Ciphertext, SecretBytes<32>) {
        encapsulate(&self.binding(), LABEL, HEADER, &mut rand::rng())
    }

    pub(super) fn verified(&self, ciphertext: &Ciphertext) -> Verified {
        verify(&self.binding(), LABEL, HEADER, ciphertext).unwrap()
    }

    pub(super) fn partials(&self, v: &Verified, nodes: &[u16]) -> Vec<(ShareIndex, PointBytes)> {
        nodes.iter().map(|i| (index(*i), partial(&self.share(*i), v))).collect()
    }

    pub(super) fn open(
        &self,
        ciphertext: &Ciphertext,
        partials: &[(ShareIndex, PointBytes)],
    ) -> Result<SecretBytes<32>, OpenError> {
        decapsulate(&self.binding(), LABEL, HEADER, ciphertext, self.threshold(), partials)
    }
}

pub(super) fn index(i: u16) -> ShareIndex {
    ShareIndex::new(i).unwrap()
}

/// A generator that always says the same.
pub(crate) struct Stuck;

impl TryRng for Stuck {
    type Error = Infallible;
    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(0x0707_0707)
    }
    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(0x0707_0707_0707_0707)
    }
    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        out.fill(7);
        Ok(())
    }
}

impl TryCryptoRng for Stuck {}

#[test]
fn any_t_nodes_open_and_so_does_any_later_epoch() {
    let toy = Toy::new(3);
    let (ciphertext, key) = toy.seal();
    let v = toy.verified(&ciphertext);
    for nodes in [[1, 2, 3], [5, 1, 4], [65535, 2, 900]] {
        let opened = toy.open(&ciphertext, &toy.partials(&v, &nodes)).unwrap();
        assert_eq!(opened.expose(), key.expose());
        let later = toy.refreshed();
        let opened = later.open(&ciphertext, &later.partials(&v, &nodes)).unwrap();
        assert_eq!(opened.expose(), key.expose());
    }
}

#[test]
fn a_batch_says_what_single_calls_say() {
    let toy = Toy::new(2);
    let rng = &mut rand::rng();
    for n in [0, 1, 2, 40] {
        let headers: Vec<Vec<u8>> = (0..n).map(|i| vec![i as u8; i]).collect();
        let sealed: Vec<_> =
            headers.iter().map(|h| encapsulate(&toy.binding(), LABEL, h, rng)).collect();
        let items: Vec<(&[u8], Ciphertext)> =
            headers.iter().zip(&sealed).map(|(h, (c, _))| (&h[..], c.clone())).collect();
        let verified = verify_batch(&toy.binding(), LABEL, &items, rng).unwrap();
        assert_eq!(verified.len(), n);

        let combiner = Combiner::new(toy.threshold(), &[index(9), index(4)]).unwrap();
        let by_node = [9, 4].map(|i| partial_batch(&toy.share(i), &verified));
        for (i, share) in [9, 4].map(|i| toy.share(i)).iter().enumerate() {
            let single: Vec<_> = verified.iter().map(|v| partial(share, v)).collect();
            assert_eq!(by_node[i], single);
        }
        let partials: Vec<[PointBytes; 2]> =
            (0..n).map(|i| [by_node[0][i], by_node[1][i]]).collect();
        let asked: Vec<(&[u8], &Ciphertext, &[PointBytes])> =
            items.iter().zip(&partials).map(|((h, c), p)| (*h, c, &p[..])).collect();
        let opened = combiner.open_batch(&toy.binding(), LABEL, &asked);
        assert_eq!(opened.len(), n);
        for (opened, (_, key)) in opened.iter().zip(&sealed) {
            assert_eq!(opened.as_ref().unwrap().expose(), key.expose());
        }
    }
}

#[test]
fn a_failing_item_leaves_the_rest_of_a_batch_alone() {
    let toy = Toy::new(2);
    let (ciphertext, key) = toy.seal();
    let v = toy.verified(&ciphertext);
    let good: Vec<PointBytes> = toy.partials(&v, &[1, 2]).iter().map(|p| p.1).collect();
    let wrong = [good[1], good[0]];
    let torn = [good[0], [0xff; 32]];
    let combiner = Combiner::new(toy.threshold(), &[index(1), index(2)]).unwrap();
    let asked: [(&[u8], &Ciphertext, &[PointBytes]); 5] = [
        (HEADER, &ciphertext, &torn),
        (HEADER, &ciphertext, &good),
        (HEADER, &ciphertext, &wrong),
        (b"other", &ciphertext, &good),
        (HEADER, &ciphertext, &good[..1]),
    ];
    let opened = combiner.open_batch(&toy.binding(), LABEL, &asked);
    let said: Vec<_> = opened.iter().map(|o| o.as_ref().map(SecretBytes::expose).ok()).collect();
    assert_eq!(said, [None, Some(key.expose()), None, None, None]);
    assert_eq!(opened[0].as_ref().err(), Some(&OpenError::Partial { index: index(2) }));
    assert_eq!(opened[2].as_ref().err(), Some(&OpenError::Commitment));
    assert_eq!(opened[3].as_ref().err(), Some(&OpenError::Wrapped));
    assert_eq!(opened[4].as_ref().err(), Some(&OpenError::Count { expected: 2, got: 1 }));
}

#[test]
fn bytes_come_back_and_no_other_length_is_read() {
    let (ciphertext, _) = Toy::new(2).seal();
    let bytes = ciphertext.to_bytes();
    assert_eq!(Ciphertext::from_bytes(&bytes), Ok(ciphertext));
    for got in [0, 239, 241, 480] {
        let long = [bytes, bytes].concat();
        assert_eq!(Ciphertext::from_bytes(&long[..got]), Err(CiphertextFault::Length { got }));
    }
}

#[test]
fn a_proof_of_partials_holds_for_one_and_for_many() {
    let toy = Toy::new(2);
    for n in [1, 2, 17] {
        let verified: Vec<_> = (0..n).map(|_| toy.verified(&toy.seal().0)).collect();
        let (share, public) = (toy.share(3), toy.share_public(3));
        let partials = partial_batch(&share, &verified);
        let rng = &mut rand::rng();
        let proof = prove_partials(b"ctx", &share, &public, &verified, &partials, rng).unwrap();
        assert_eq!(verify_partials(b"ctx", &public, &verified, &partials, &proof), Ok(()));
    }
}

#[test]
fn a_generator_that_repeats_itself_does_not_repeat_the_nonce() {
    let toy = Toy::new(2);
    let seal = |label, header| encapsulate(&toy.binding(), label, header, &mut Stuck).0;
    let (a, b, c) = (seal(LABEL, b"a"), seal(LABEL, b"b"), seal(b"other", b"a"));
    for (x, y) in [(&a, &b), (&a, &c), (&b, &c)] {
        assert!(x.u != y.u && x.w != y.w);
    }
    assert_ne!(a.u, a.w);
}
