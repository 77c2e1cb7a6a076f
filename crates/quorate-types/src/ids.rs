//! Names, numbers and hashes of the domain, valid by construction.

use crate::codec::{CodecError, Part, Reader, Writer};
use quorate_crypto::{PublicKey, ShareIndex, Signature};
use std::{fmt, num::NonZeroU32, str::FromStr};
use thiserror::Error;

/// A node's index: the x-coordinate of its shares. Given by the operators in the
/// roster; never 0, never reused.
pub type NodeIndex = ShareIndex;

/// Why text is no name.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} must be {rule}")]
pub struct NameError {
    /// Which kind of name.
    pub what: &'static str,
    /// What it must look like.
    pub rule: &'static str,
}

macro_rules! text_type {
    ($(#[$doc:meta])* $name:ident, $what:literal, $max:literal, $rule:literal, $valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(String);

        impl $name {
            /// The most bytes.
            pub const MAX: usize = $max;

            /// # Errors
            /// [`NameError`] says what is allowed.
            pub fn new(text: impl Into<String>) -> Result<Self, NameError> {
                let text = text.into();
                let valid: fn(&str) -> bool = $valid;
                if !text.is_empty() && text.len() <= $max && valid(&text) {
                    Ok(Self(text))
                } else {
                    Err(NameError { what: $what, rule: $rule })
                }
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                Self::new(s)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Part for $name {
            fn write(&self, w: &mut Writer) {
                w.bytes(self.0.as_bytes());
            }
            fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                Self::new(r.text($max, $what)?).map_err(|e| CodecError::invalid($what, e.rule))
            }
        }
    };
}

fn is_name(s: &str) -> bool {
    s.starts_with(|c: char| c.is_ascii_alphanumeric())
        && s.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
}

text_type!(
    /// The name of a party: cluster, node, coordinator, operator or client.
    PartyName, "a name", 64,
    "1 to 64 of the letters a-z A-Z, digits and . _ -, beginning with a letter or digit",
    is_name
);
text_type!(
    /// The name of a key. Chosen by the operators in the order that makes it.
    KeyName, "a key name", 128,
    "1 to 128 of the letters a-z A-Z, digits and . _ - /, beginning with a letter or digit",
    |s| is_name(&s.replace('/', "."))
);
text_type!(
    /// The name of a tag of keys.
    TagName, "a tag's name", 64,
    "1 to 64 of the letters a-z A-Z, digits and . _ - / :, beginning with a letter or digit",
    |s| is_name(&s.replace(['/', ':'], "."))
);
text_type!(
    /// The value of a tag.
    TagValue, "a tag's value", 256,
    "1 to 256 bytes of text without control characters",
    |s| !s.chars().any(char::is_control)
);
text_type!(
    /// A provider, as people write it.
    ProviderName, "a provider", 64,
    "1 to 64 printable ASCII characters without quotes, not beginning or ending with a space",
    |s| s.trim() == s && s.bytes().all(|b| (0x20..0x7f).contains(&b) && b != b'"' && b != b'\\')
);
text_type!(
    /// A jurisdiction: ISO 3166-1 alpha-2, such as DE or US.
    Jurisdiction, "a jurisdiction", 2,
    "a two-letter country code such as DE (ISO 3166-1 alpha-2, upper case)",
    |s| s.len() == 2 && s.bytes().all(|b| b.is_ascii_uppercase())
);
text_type!(
    /// Where a party listens: `host:port`, with an IPv6 host in brackets.
    Endpoint, "an endpoint", 262,
    "host:port, for example node-1.example.org:7400 or [2001:db8::1]:7400",
    is_endpoint
);

fn is_endpoint(s: &str) -> bool {
    let Some((host, port)) = s.rsplit_once(':') else { return false };
    let host_ok = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
        Some(v6) => v6.parse::<std::net::Ipv6Addr>().is_ok(),
        None => is_name(host),
    };
    // One spelling of a port: digits, no sign, no leading zero.
    host_ok && port.parse::<u16>().is_ok_and(|p| p != 0 && p.to_string() == port)
}

impl Endpoint {
    /// The host without the port, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        let host = self.0.rsplit_once(':').map_or("", |(h, _)| h);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.0.rsplit_once(':').and_then(|(_, p)| p.parse().ok()).unwrap_or(0)
    }
}

macro_rules! hash_type {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub [u8; 32]);

        impl $name {
            /// The bytes.
            #[must_use]
            pub const fn as_bytes(&self) -> &[u8; 32] {
                &self.0
            }

            /// The first eight hexadecimal digits, for people.
            #[must_use]
            pub fn short(&self) -> String {
                self.to_string()[..8].to_owned()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.iter().try_for_each(|b| write!(f, "{b:02x}"))
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}", self.short())
            }
        }

        impl FromStr for $name {
            type Err = NameError;
            fn from_str(s: &str) -> Result<Self, NameError> {
                parse_hex(s)
                    .map(Self)
                    .ok_or(NameError { what: $what, rule: "64 lower-case hexadecimal digits" })
            }
        }

        impl Part for $name {
            fn write(&self, w: &mut Writer) {
                w.raw(&self.0);
            }
            fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
                r.array($what).map(Self)
            }
        }
    };
}

hash_type!(
    /// Names a cluster: SHA-256 of the genesis roster's bytes. Pinned by everybody.
    Fingerprint, "a fingerprint"
);
hash_type!(
    /// Names a public object by its canonical bytes.
    Hash, "a hash"
);

fn parse_hex(s: &str) -> Option<[u8; 32]> {
    let digit = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let mut out = [0; 32];
    if s.len() != 64 {
        return None;
    }
    for (byte, pair) in out.iter_mut().zip(s.as_bytes().chunks_exact(2)) {
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(out)
}

/// Parses an Ed25519 public key written as 64 lower-case hexadecimal digits.
///
/// # Errors
/// [`NameError`] for anything else, also for keys of small order.
pub fn parse_public_key(s: &str) -> Result<PublicKey, NameError> {
    parse_hex(s).and_then(|bytes| PublicKey::from_bytes(bytes).ok()).ok_or(NameError {
        what: "a public key",
        rule: "64 lower-case hexadecimal digits of a valid Ed25519 public key",
    })
}

/// One generation of key material: 1, 2, 3, …
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyVersion(NonZeroU32);

impl KeyVersion {
    /// The first version of a key.
    pub const FIRST: Self = Self(NonZeroU32::MIN);

    /// `None` for 0.
    #[must_use]
    pub const fn new(version: u32) -> Option<Self> {
        match NonZeroU32::new(version) {
            Some(v) => Some(Self(v)),
            None => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0.get()
    }
}

impl fmt::Display for KeyVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Part for KeyVersion {
    fn write(&self, w: &mut Writer) {
        w.u32(self.get());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Self::new(r.u32("key version")?)
            .ok_or_else(|| CodecError::invalid("key version", "must be 1 or more"))
    }
}

/// Names an epoch: its number only orders, its bundle hash tells it from every other
/// attempt at that number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochName {
    /// 1 or more.
    pub number: u64,
    /// Hash of the bundle of dealings.
    pub bundle: Hash,
}

impl fmt::Display for EpochName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.number, self.bundle.short())
    }
}

impl Part for EpochName {
    fn write(&self, w: &mut Writer) {
        w.u64(self.number);
        self.bundle.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let number = r.u64("epoch number")?;
        if number == 0 {
            return Err(CodecError::invalid("epoch number", "must be 1 or more"));
        }
        Ok(Self { number, bundle: Hash::read(r)? })
    }
}

/// Milliseconds since 1970-01-01 UTC, by somebody's wall clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Millis(pub u64);

impl Millis {
    /// One day.
    pub const DAY: u64 = 24 * 60 * 60 * 1000;

    /// This long after, at most the end of time.
    #[must_use]
    pub const fn plus(self, millis: u64) -> Self {
        Self(self.0.saturating_add(millis))
    }
}

impl Part for Millis {
    fn write(&self, w: &mut Writer) {
        w.u64(self.0);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.u64("time").map(Self)
    }
}

impl Part for NodeIndex {
    fn write(&self, w: &mut Writer) {
        w.u16(self.get());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Self::new(r.u16("node index")?).map_err(|e| CodecError::invalid("node index", e))
    }
}

impl Part for PublicKey {
    fn write(&self, w: &mut Writer) {
        w.raw(self.as_bytes());
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Self::from_bytes(r.array("public key")?).map_err(|e| CodecError::invalid("public key", e))
    }
}

impl Part for Signature {
    fn write(&self, w: &mut Writer) {
        w.raw(&self.0);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array("signature").map(Self)
    }
}

impl Part for [u8; 32] {
    fn write(&self, w: &mut Writer) {
        w.raw(self);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        r.array("32 bytes")
    }
}
