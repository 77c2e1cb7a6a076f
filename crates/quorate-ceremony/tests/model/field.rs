//! Shamir's sharing over the field of 101 elements: small, so that a wrong share shows.

/// The size of the field.
const P: u32 = 101;

/// The secret key that every epoch shares.
pub(crate) const SECRET: u8 = 42;

/// Nodes have the bits 0 to 4 of a mask, and the points 1 to 5.
pub(crate) const MAX_NODES: usize = 5;

/// What every node of a mask has, by its bit.
pub(crate) type Values = [u8; MAX_NODES];

/// The bits of a mask, ascending.
pub(crate) fn bits(mask: u8) -> impl Iterator<Item = usize> {
    (0..MAX_NODES).filter(move |i| mask >> i & 1 == 1)
}

/// The subsets of a mask, ascending.
pub(crate) fn subsets(mask: u8) -> impl Iterator<Item = u8> {
    (0..1 << MAX_NODES).filter(move |s| s & !mask == 0)
}

/// How many nodes a mask has.
pub(crate) fn count(mask: u8) -> usize {
    mask.count_ones() as usize
}

/// The value of a polynomial at a node's point.
pub(crate) fn evaluate(coefficients: &[u8], node: usize) -> u8 {
    let x = node as u32 + 1;
    let value = coefficients.iter().rev().fold(0, |sum, c| (sum * x + u32::from(*c)) % P);
    value as u8
}

/// Σ λ_i v_i with Lagrange coefficients at zero over the nodes of the mask.
pub(crate) fn interpolate(mask: u8, values: &Values) -> u8 {
    let mut sum = 0;
    for i in bits(mask) {
        let (mut over, mut under) = (1, 1);
        for j in bits(mask).filter(|j| *j != i) {
            over = over * (j as u32 + 1) % P;
            under = under * (P + j as u32 - i as u32) % P;
        }
        sum = (sum + u32::from(values[i]) * over % P * inverse(under)) % P;
    }
    sum as u8
}

/// Whether all `t`-subsets of the nodes of a mask give the secret.
pub(crate) fn all_give_the_secret(mask: u8, t: usize, values: &Values) -> bool {
    subsets(mask).filter(|s| count(*s) == t).all(|s| interpolate(s, values) == SECRET)
}

/// Fermat: x^(P − 2).
fn inverse(x: u32) -> u32 {
    (0..P - 2).fold(1, |power, _| power * x % P)
}
