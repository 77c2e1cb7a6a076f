//! Combination: local to the client.

use super::{Binding, Ciphertext, seal::wrapping_cipher};
use crate::{
    SecretBytes, ShareIndex, Threshold,
    group::{PointBytes, decode_point},
    sharing::lagrange_at_zero,
};
use aes_gcm::aead::AeadInOut;
use curve25519_dalek::{ristretto::RistrettoPoint, scalar::Scalar, traits::VartimeMultiscalarMul};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

/// Why a ciphertext does not open.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// A node answered with bytes that are no group element.
    #[error("the partial of node {index} is no canonical point: it lies, ask another node")]
    Partial {
        /// The node to leave out.
        index: ShareIndex,
    },
    /// A partial is wrong, or the ciphertext is for another key or context.
    #[error(
        "the partials do not open this ciphertext: ask again with proofs, leave out who fails \
         (if all proofs hold, key, context or ciphertext is not the one sealed)"
    )]
    Commitment,
    /// The commitment holds but the payload key does not unwrap: whoever sealed it made it so,
    /// or the header was changed.
    #[error("the payload key does not unwrap: the header was changed, or the sender sealed junk")]
    Wrapped,
    /// The caller's: not exactly `t` partials, or one node twice.
    #[error("exactly {expected} partials of distinct nodes are combined, got {got} distinct")]
    Count {
        /// The threshold.
        expected: u16,
        /// Distinct nodes offered, or partials offered for an item.
        got: usize,
    },
}

/// The Lagrange coefficients of one set of `t` nodes: make it once, open a batch.
#[derive(Clone, Debug)]
pub struct Combiner {
    nodes: Vec<ShareIndex>,
    /// `λ_i / 2`: the sum is doubled while it is encoded, so that a batch shares one inversion.
    half_lambdas: Vec<Scalar>,
}

impl Combiner {
    /// A combiner for exactly `threshold` distinct nodes.
    ///
    /// # Errors
    /// [`OpenError::Count`].
    pub fn new(threshold: Threshold, nodes: &[ShareIndex]) -> Result<Self, OpenError> {
        let mut distinct = nodes.to_vec();
        distinct.sort_unstable();
        distinct.dedup();
        let count = OpenError::Count { expected: threshold.get(), got: distinct.len() };
        if distinct.len() != threshold.as_usize() {
            return Err(count);
        }
        // Refuses a node that stands twice.
        let lambdas = lagrange_at_zero(nodes).map_err(|_| count)?;
        let half_lambdas = lambdas.iter().map(Scalar::div_by_2).collect();
        Ok(Self { nodes: nodes.to_vec(), half_lambdas })
    }

    /// Opens one ciphertext. `partials` stand in the order of the combiner's nodes.
    ///
    /// # Security
    /// Nothing is assumed of the partials: a wrong one gives [`OpenError::Commitment`], never a
    /// wrong payload key. Partials of two epochs do the same.
    ///
    /// # Errors
    /// [`OpenError`], one variant for each whose fault it is.
    pub fn open(
        &self,
        binding: &Binding<'_>,
        label: &[u8],
        header: &[u8],
        ciphertext: &Ciphertext,
        partials: &[PointBytes],
    ) -> Result<SecretBytes<32>, OpenError> {
        let half = self.half_shared(partials)?;
        let mut shared = RistrettoPoint::double_and_compress_batch([&*half]);
        let opened = unwrap(binding, label, header, ciphertext, &shared[0].0);
        shared.zeroize();
        opened
    }

    /// Opens many ciphertexts under one label, each with its own partials in the order of the
    /// combiner's nodes. One answer for each item, in order.
    #[must_use]
    pub fn open_batch(
        &self,
        binding: &Binding<'_>,
        label: &[u8],
        items: &[(&[u8], &Ciphertext, &[PointBytes])],
    ) -> Vec<Result<SecretBytes<32>, OpenError>> {
        let partials: Vec<&[PointBytes]> = items.iter().map(|(_, _, partials)| *partials).collect();
        let mut opened = Vec::with_capacity(items.len());
        for (shared, (header, ciphertext, _)) in self.shared_batch(&partials).iter().zip(items) {
            let shared = shared.as_ref().map_err(|e| *e);
            opened.push(shared.and_then(|s| unwrap(binding, label, header, ciphertext, s)));
        }
        opened
    }

    /// `Σ λ_i·U_i` of many items, encoded: they share one field inversion.
    pub(crate) fn shared_batch(
        &self,
        items: &[&[PointBytes]],
    ) -> Vec<Result<Zeroizing<PointBytes>, OpenError>> {
        let halves: Vec<_> = items.iter().map(|partials| self.half_shared(partials)).collect();
        let good = halves.iter().filter_map(|half| half.as_deref().ok());
        let shared = Zeroizing::new(RistrettoPoint::double_and_compress_batch(good));
        let mut shared = shared.iter();
        let encoded = |half: Result<_, OpenError>| {
            half?;
            let point = shared.next().expect("one encoding for each good half");
            Ok(Zeroizing::new(point.0))
        };
        halves.into_iter().map(encoded).collect()
    }

    /// `½ Σ λ_i·U_i`. Variable time in `λ` and `i` only, which are public: field arithmetic on
    /// the points is constant time.
    fn half_shared(&self, partials: &[PointBytes]) -> Result<Zeroizing<RistrettoPoint>, OpenError> {
        if partials.len() != self.nodes.len() {
            let expected = u16::try_from(self.nodes.len()).expect("as many as a threshold, a u16");
            return Err(OpenError::Count { expected, got: partials.len() });
        }
        let mut points = Zeroizing::new(Vec::with_capacity(partials.len()));
        for (index, partial) in self.nodes.iter().zip(partials) {
            let point = decode_point(partial);
            points.push(point.map_err(|_| OpenError::Partial { index: *index })?);
        }
        let half = RistrettoPoint::vartime_multiscalar_mul(&self.half_lambdas, points.iter());
        Ok(Zeroizing::new(half))
    }
}

/// Opens one ciphertext with exactly `threshold` partials of distinct nodes. For more than one
/// ciphertext, keep a [`Combiner`].
///
/// # Errors
/// As [`Combiner::new`] and [`Combiner::open`].
pub fn decapsulate(
    binding: &Binding<'_>,
    label: &[u8],
    header: &[u8],
    ciphertext: &Ciphertext,
    threshold: Threshold,
    partials: &[(ShareIndex, PointBytes)],
) -> Result<SecretBytes<32>, OpenError> {
    let (nodes, points): (Vec<_>, Vec<_>) = partials.iter().copied().unzip();
    Combiner::new(threshold, &nodes)?.open(binding, label, header, ciphertext, &points)
}

/// Commitment first, in constant time; then the payload key.
fn unwrap(
    binding: &Binding<'_>,
    label: &[u8],
    header: &[u8],
    ciphertext: &Ciphertext,
    shared: &PointBytes,
) -> Result<SecretBytes<32>, OpenError> {
    let dem = binding.dem(&ciphertext.u, shared, label);
    if !bool::from(dem[32..].ct_eq(&ciphertext.commitment)) {
        return Err(OpenError::Commitment);
    }
    let (body, tag) = ciphertext.wrapped.split_at(32);
    let mut key: Zeroizing<[u8; 32]> = Zeroizing::new(std::array::from_fn(|i| body[i]));
    let tag: [u8; 16] = std::array::from_fn(|i| tag[i]);
    wrapping_cipher(&dem)
        .decrypt_inout_detached(&[0; 12].into(), header, key.as_mut_slice().into(), &tag.into())
        .map_err(|_| OpenError::Wrapped)?;
    Ok(SecretBytes::new(*key))
}
