//! The one place where hash and signature inputs are built.
//!
//! `H(label, parts…)` is SHA-512 over the label and the parts, each prefixed with
//! its length as a big-endian `u64`. No two lists of parts have the same input, and
//! no two labels do. A scalar is the 64 bytes reduced mod ℓ.

use curve25519_dalek::scalar::Scalar;
use sha2::{Digest, Sha512};
use zeroize::Zeroize;

/// What a hash or signature is for. Every label stands in [`LABELS`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Label(&'static str);

impl Label {
    /// The label as it is hashed.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        self.0
    }

    /// The label's bytes.
    #[must_use]
    pub const fn as_bytes(self) -> &'static [u8] {
        self.0.as_bytes()
    }
}

macro_rules! labels {
    ($($(#[$doc:meta])* $name:ident = $text:literal;)*) => {
        impl Label {
            $($(#[$doc])* pub const $name: Label = Label(concat!("quorate/v1/", $text));)*
        }

        /// The table of all labels: no other label exists.
        pub const LABELS: &[Label] = &[$(Label::$name),*];
    };
}

labels! {
    /// The second generator `B2` (hash to ristretto255).
    SECOND_GENERATOR = "group/second-generator.";
    /// TDH2: key that wraps the payload key, and key commitment.
    TDH2_DEM = "tdh2/dem.";
    /// TDH2: challenge of a ciphertext's proof.
    TDH2_PROOF = "tdh2/proof.";
    /// TDH2: weights of the batch check of ciphertexts.
    TDH2_WEIGHTS = "tdh2/weights.";
    /// TDH2: the hedged randomness of an encapsulation.
    TDH2_NONCE = "tdh2/nonce.";
    /// VOPRF: what a derivation is of, context and input; the rest is RFC 9497's.
    VOPRF_INPUT = "voprf/input.";
    /// VOPRF: the prover's nonce.
    VOPRF_NONCE = "voprf/nonce.";
    /// FROST: the randomness of a nonce, hashed from fresh bytes and what is unique to it.
    FROST_NONCE = "frost/nonce.";
    /// Wrap: what is hashed to the group.
    WRAP_INPUT = "wrap/input.";
    /// Wrap: a nonce, hashed from fresh bytes and what is wrapped.
    WRAP_NONCE = "wrap/nonce.";
    /// Wrap: one-time key, and key commitment.
    WRAP_DEM = "wrap/dem.";
    /// DLEQ: challenge of a partial's proof.
    DLEQ_CHALLENGE = "dleq/challenge.";
    /// DLEQ: the prover's nonce.
    DLEQ_NONCE = "dleq/nonce.";
    /// DLEQ: seed of the weights of a batch.
    DLEQ_SEED = "dleq/seed.";
    /// DLEQ: one weight of a batch.
    DLEQ_WEIGHT = "dleq/weight.";
    /// Dealing: what every proof and sealed value of one dealing is bound to.
    DEALING_STATEMENT = "dealing/statement.";
    /// Dealing: proof of knowledge of the constant term.
    DEALING_POK = "dealing/pok.";
    /// Dealing: proof of knowledge of the ephemeral secret.
    DEALING_EPHEMERAL = "dealing/ephemeral.";
    /// Schnorr: the prover's nonce.
    SCHNORR_NONCE = "schnorr/nonce.";
    /// Dealing: the ephemeral secret.
    DEALING_EPHEMERAL_SECRET = "dealing/ephemeral-secret.";
    /// Dealing: what an owner's dealing of the key that is imported has for randomness.
    DEALING_OWNER = "dealing/owner.";
    /// Dealing: binding and key of one value sealed to one receiver.
    DEALING_SEAL = "dealing/seal.";
    /// Dealing: hash that commits a dealer to its commitments.
    DEALING_COMMIT = "dealing/commit.";
    /// Dealing: hash that names a dealing.
    DEALING_HASH = "dealing/hash.";
    /// Dealing: context of a complaint's proof.
    DEALING_COMPLAINT = "dealing/complaint.";
    /// Key files and sealed blobs under a passphrase.
    ENVELOPE = "envelope/key.";
    /// HPKE: info string of an answer session.
    ANSWER_INFO = "answer/info.";
    /// HPKE: exporter context of the key that seals answers.
    ANSWER_KEY = "answer/key.";
    /// HPKE: info string of a share that is sealed to the recipient of an exported key.
    EXPORT_INFO = "export/info.";
    /// Hash of a roster that is not the genesis roster.
    ROSTER_HASH = "roster/hash.";
    /// Hash of an order.
    ORDER_HASH = "order/hash.";
    /// Hash of a request's head.
    REQUEST_HASH = "request/hash.";
    /// Names one attempt of a ceremony: what a dealer's commitment hash binds.
    ATTEMPT_HASH = "ceremony/attempt.";
    /// Hash of what a node signed in a step, as its audit log keeps it.
    STATEMENT_HASH = "ceremony/statement.";
    /// Names the sealed records of one attempt in a node's store.
    STORE_EPOCH = "store/epoch.";
    /// Hash of a ceremony context.
    CONTEXT_HASH = "ceremony/context.";
    /// Hash of the full list of prepare answers.
    PREPARE_LIST_HASH = "ceremony/prepare-list.";
    /// Hash of a bundle of dealings.
    BUNDLE_HASH = "ceremony/bundle.";
    /// Hash of a certificate.
    CERTIFICATE_HASH = "ceremony/certificate.";
    /// Context that a partial's proof binds.
    PARTIAL_CONTEXT = "partial/context.";

    /// Signature: a party's public part for a roster, by that party.
    SIG_CARD = "sig/card.";
    /// Store: a physical record, as a leaf of the manifest's tree.
    STORE_LEAF = "store/leaf.";
    /// Store: a physical record's key, which chooses its bucket.
    STORE_PLACE = "store/place.";
    /// Store: a bucket of leaves.
    STORE_BUCKET = "store/bucket.";
    /// Store: an inner node of the manifest's tree.
    STORE_INNER = "store/inner.";
    /// Store: hash of a manifest.
    STORE_MANIFEST = "store/manifest.";
    /// Store: check of a small file or header against chance, not against anybody.
    STORE_CHECK = "store/check.";
    /// Store: key that wraps the root key, from the KEK.
    STORE_WRAP = "store/wrap.";
    /// Store: associated data of the wrapped root key.
    STORE_ROOT_KEY = "store/root-key.";
    /// Store: associated data of an epoch's key.
    STORE_EPOCH_KEY = "store/epoch-key.";
    /// Store: associated data of the block of epochs' keys.
    STORE_EPOCHS = "store/epochs.";
    /// Store: associated data of a sealed record.
    STORE_SEALED = "store/sealed.";

    /// Signature: a roster, by operators.
    SIG_ROSTER = "sig/roster.";
    /// Signature: an order, by operators.
    SIG_ORDER = "sig/order.";
    /// Signature: a request, by a client.
    SIG_REQUEST = "sig/request.";
    /// Signature: a share sealed to the recipient of an exported key, by its node.
    SIG_EXPORT = "sig/export.";
    /// Signature: a refusal, by a node.
    SIG_REFUSAL = "sig/refusal.";
    /// Signature: an answer key, by a node.
    SIG_ANSWER_KEY = "sig/answer-key.";
    /// Signature: a prepare answer, by a receiver.
    SIG_PREPARE = "sig/prepare.";
    /// Signature: a dealing, by its dealer.
    SIG_DEALING = "sig/dealing.";
    /// Signature: a complaint, by a receiver.
    SIG_COMPLAINT = "sig/complaint.";
    /// Signature: a receipt, by a receiver.
    SIG_RECEIPT = "sig/receipt.";
    /// Signature: an epoch is active, by a node.
    SIG_ACTIVE = "sig/active.";
    /// Signature: a lower epoch is erased, by a node.
    SIG_ERASED = "sig/erased.";
    /// Signature: all of a key is destroyed, by a node.
    SIG_DESTROYED = "sig/destroyed.";
    /// Signature: a store's manifest, by its node.
    SIG_MANIFEST = "sig/manifest.";
    /// Signature: how far a node's store is, by the node.
    SIG_CHECKPOINT = "sig/checkpoint.";
    /// Signature: what a node has seen of another, by the one that has.
    SIG_WITNESS = "sig/witness.";
    /// Signature: what a node says of itself (status), by the node.
    SIG_STATUS = "sig/status.";
}

/// `H(label, parts…)`: 64 bytes.
#[must_use]
pub fn hash(label: Label, parts: &[&[u8]]) -> [u8; 64] {
    let mut h = Sha512::new();
    absorb(&mut h, label.as_bytes());
    for part in parts {
        absorb(&mut h, part);
    }
    h.finalize().into()
}

/// The first 32 bytes of `H(label, parts…)`: names a public object.
#[must_use]
pub fn hash32(label: Label, parts: &[&[u8]]) -> [u8; 32] {
    let wide = hash(label, parts);
    let mut out = [0; 32];
    out.copy_from_slice(&wide[..32]);
    out
}

/// `H(label, parts…)` reduced mod ℓ.
#[must_use]
pub fn hash_to_scalar(label: Label, parts: &[&[u8]]) -> Scalar {
    let mut wide = hash(label, parts);
    let scalar = Scalar::from_bytes_mod_order_wide(&wide);
    wide.zeroize();
    scalar
}

fn absorb(h: &mut Sha512, part: &[u8]) {
    h.update((part.len() as u64).to_be_bytes());
    h.update(part);
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn labels_are_unique_prefixed_and_none_is_a_prefix_of_another() {
        let all: HashSet<_> = LABELS.iter().map(|l| l.as_str()).collect();
        assert_eq!(all.len(), LABELS.len());
        for a in LABELS {
            assert!(a.as_str().starts_with("quorate/v1/"));
            for b in LABELS {
                assert!(a == b || !b.as_str().starts_with(a.as_str()), "{a:?} starts {b:?}");
            }
        }
    }

    #[test]
    fn moving_a_byte_between_parts_changes_the_hash() {
        let l = Label::ORDER_HASH;
        assert_ne!(hash(l, &[b"a", b"bc"]), hash(l, &[b"ab", b"c"]));
        assert_ne!(hash(l, &[b"abc"]), hash(l, &[b"abc", b""]));
        assert_ne!(hash(l, &[b"abc"]), hash(Label::REQUEST_HASH, &[b"abc"]));
    }
}
