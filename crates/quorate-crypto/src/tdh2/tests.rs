use super::*;
use crate::{SecretScalar, ShareIndex, Threshold};
use curve25519_dalek::scalar::Scalar;

const FINGERPRINT: [u8; 32] = [7; 32];

pub(super) fn index(i: u16) -> ShareIndex {
    ShareIndex::new(i).unwrap()
}

#[test]
fn any_t_nodes_open_and_a_batch_says_the_same() {
    let rng = &mut rand::rng();
    let (a, b, c) = (Scalar::random(rng), Scalar::random(rng), Scalar::random(rng));
    let f = |i: u16| {
        let x = Scalar::from(i);
        SecretScalar::new(a + b * x + c * x * x)
    };
    let y = EncodedPoint::new(SecretScalar::new(a).public()).unwrap();
    let binding = Binding::new(&FINGERPRINT, b"key", 1, &y);
    let (ct, k) = encapsulate(&binding, b"label", b"header", rng);
    let v = verify(&binding, b"label", b"header", &ct).unwrap();
    let ps: Vec<_> = [5, 1, 900].map(|i| (index(i), partial(&f(i), &v))).into();
    let t = Threshold::new(3, 5).unwrap();
    let got = decapsulate(&binding, b"label", b"header", &ct, t, &ps).unwrap();
    assert_eq!(got.expose(), k.expose());
}
