//! What a key does. One key, one suite, one purpose.

use crate::{
    codec::{CodecError, Part, Reader, Writer},
    request::MAX_ITEM,
    signing::MAX_SIGN_ITEM,
};
use quorate_crypto::group::Group;
use std::{fmt, str::FromStr};

macro_rules! word {
    ($(#[$doc:meta])* $name:ident, $what:literal { $($(#[$vdoc:meta])* $variant:ident = $code:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $name { $($(#[$vdoc])* $variant = $code),* }

        impl $name {
            /// Every one that there is.
            pub const ALL: &[Self] = &[$(Self::$variant),*];

            /// The word for people and protocols.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),* }
            }

            /// The byte in encodings.
            #[must_use]
            pub const fn code(self) -> u8 {
                self as u8
            }

            /// The one with this byte.
            #[must_use]
            pub const fn from_code(code: u8) -> Option<Self> {
                match code { $($code => Some(Self::$variant),)* _ => None }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = String;
            fn from_str(s: &str) -> Result<Self, String> {
                Self::ALL.iter().copied().find(|v| v.as_str() == s).ok_or_else(|| {
                    let known: Vec<_> = Self::ALL.iter().map(|v| v.as_str()).collect();
                    format!(concat!($what, " must be one of: {}"), known.join(", "))
                })
            }
        }

        impl Part for $name {
            fn write(&self, w: &mut Writer) {
                w.u8(self.code());
            }
            fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                let code = r.u8($what)?;
                Self::from_code(code)
                    .ok_or_else(|| CodecError::invalid($what, format!("{code} is not known here")))
            }
        }
    };
}

word! {
    /// The scheme of a key.
    Suite, "suite" {
        /// Threshold decryption (TDH2 over ristretto255).
        Tdh2Ristretto255 = 1, "tdh2-ristretto255";
        /// Threshold signatures that are Ed25519 signatures (FROST, RFC 9591).
        FrostEd25519 = 2, "frost-ed25519";
        /// Verifiable oblivious pseudorandom function (RFC 9497 over ristretto255, SHA-512).
        VoprfRistretto255 = 3, "voprf-ristretto255";
    }
}

word! {
    /// What a key may be used for; part of every transcript.
    Purpose, "purpose" {
        /// Encrypt locally, decrypt by quorum.
        Decrypt = 1, "decrypt";
        /// Sign messages.
        Sign = 2, "sign";
        /// Derive secrets from inputs that no node sees.
        Derive = 3, "derive";
        /// Wrap and unwrap under one-time keys of clear nonces.
        Wrap = 4, "wrap";
    }
}

word! {
    /// What a request asks for.
    Operation, "operation" {
        /// Partial decryptions of ciphertext headers.
        Decrypt = 1, "decrypt";
        /// Signature shares, each under a nonce pair that the node has committed to.
        Sign = 2, "sign";
        /// Partial evaluations of blinded elements.
        Derive = 3, "derive";
        /// Commitments to fresh nonces, for signatures to come.
        SignCommit = 4, "sign-commit";
        /// Partial one-time keys of nonces, to wrap or to unwrap: nodes cannot tell which.
        Wrap = 5, "wrap";
    }
}

impl Suite {
    /// Whether a key of this suite may have this purpose.
    #[must_use]
    pub const fn allows(self, purpose: Purpose) -> bool {
        matches!(
            (self, purpose),
            (Self::Tdh2Ristretto255, Purpose::Decrypt)
                | (Self::FrostEd25519, Purpose::Sign)
                | (Self::VoprfRistretto255, Purpose::Derive | Purpose::Wrap)
        )
    }

    /// The purpose of a key of this suite where no other is named.
    #[must_use]
    pub const fn purpose(self) -> Purpose {
        match self {
            Self::Tdh2Ristretto255 => Purpose::Decrypt,
            Self::FrostEd25519 => Purpose::Sign,
            Self::VoprfRistretto255 => Purpose::Derive,
        }
    }

    /// The group over which a key of this suite is shared.
    #[must_use]
    pub const fn group(self) -> Group {
        match self {
            Self::Tdh2Ristretto255 | Self::VoprfRistretto255 => Group::Ristretto255,
            Self::FrostEd25519 => Group::Edwards25519,
        }
    }
}

impl Purpose {
    /// Whether a key of this purpose may do this operation.
    #[must_use]
    pub const fn allows(self, operation: Operation) -> bool {
        matches!(
            (self, operation),
            (Self::Decrypt, Operation::Decrypt)
                | (Self::Sign, Operation::Sign | Operation::SignCommit)
                | (Self::Derive, Operation::Derive)
                | (Self::Wrap, Operation::Wrap)
        )
    }

    /// The suite of a new key with this purpose.
    #[must_use]
    pub const fn suite(self) -> Suite {
        match self {
            Self::Decrypt => Suite::Tdh2Ristretto255,
            Self::Sign => Suite::FrostEd25519,
            Self::Derive | Self::Wrap => Suite::VoprfRistretto255,
        }
    }
}

impl Operation {
    /// The largest item of a request for it, in bytes.
    #[must_use]
    pub const fn max_item(self) -> usize {
        match self {
            Self::Decrypt | Self::Derive | Self::SignCommit | Self::Wrap => MAX_ITEM,
            Self::Sign => MAX_SIGN_ITEM,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One key, one suite, one purpose, one operation: all other pairs are refused.
    #[test]
    fn nothing_is_allowed_across_purposes() {
        for purpose in Purpose::ALL {
            for suite in Suite::ALL {
                assert_eq!(suite.allows(*purpose), *suite == purpose.suite());
                assert!(suite.allows(suite.purpose()));
            }
            for operation in Operation::ALL {
                // A signature takes two requests; all else is named as its purpose.
                let named = operation.as_str().strip_suffix("-commit");
                let named = named.unwrap_or(operation.as_str());
                assert_eq!(purpose.allows(*operation), purpose.as_str() == named);
            }
        }
    }
}
