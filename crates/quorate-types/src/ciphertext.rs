//! Ciphertexts describe themselves: header, key encapsulation, then chunks of payload.

use crate::{
    codec::{CodecError, Format, Part, Reader, Writer},
    ids::{Fingerprint, KeyName, KeyVersion},
    suite::{Purpose, Suite},
};

/// Bytes of a TDH2 key encapsulation.
pub const KEM_BYTES: usize = 240;
/// Bytes of a wrapping's nonce.
pub const NONCE_BYTES: usize = 16;
/// Bytes of the commitment to a one-time key.
pub const COMMITMENT_BYTES: usize = 32;
/// The largest head: header and key encapsulation.
pub const MAX_HEAD: usize = 6 + 1 + 8 + 4 + 128 + 4 + KEM_BYTES;

/// What a ciphertext says of itself. Bound by the key encapsulation's proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CiphertextHeader {
    /// The scheme: one that encrypts.
    pub suite: Suite,
    /// The first 8 bytes of the cluster's fingerprint: tells a foreign ciphertext.
    pub cluster: [u8; 8],
    /// The key.
    pub key: KeyName,
    /// Its version.
    pub version: KeyVersion,
}

impl CiphertextHeader {
    /// The header of a ciphertext for a key of a cluster.
    #[must_use]
    pub fn new(suite: Suite, fingerprint: &Fingerprint, key: KeyName, version: KeyVersion) -> Self {
        let mut cluster = [0; 8];
        cluster.copy_from_slice(&fingerprint.0[..8]);
        Self { suite, cluster, key, version }
    }

    /// Whether the ciphertext claims to be of this cluster.
    #[must_use]
    pub fn is_of(&self, fingerprint: &Fingerprint) -> bool {
        fingerprint.0[..8] == self.cluster
    }
}

impl Part for CiphertextHeader {
    fn write(&self, w: &mut Writer) {
        self.suite.write(w);
        w.raw(&self.cluster);
        self.key.write(w);
        self.version.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let suite: Suite = Part::read(r)?;
        if !suite.allows(Purpose::Decrypt) && !suite.allows(Purpose::Wrap) {
            return Err(CodecError::invalid("suite", format!("nothing is encrypted to {suite}")));
        }
        Ok(Self {
            suite,
            cluster: r.array("cluster prefix")?,
            key: Part::read(r)?,
            version: Part::read(r)?,
        })
    }
}

impl Format for CiphertextHeader {
    const KIND: &'static str = "QRT1";
}

/// Header and key encapsulation: the part of a ciphertext that nodes see, and one item
/// of a decrypt request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CiphertextHead {
    /// What the ciphertext says of itself.
    pub header: CiphertextHeader,
    /// TDH2's fixed-size part.
    pub kem: [u8; KEM_BYTES],
}

impl CiphertextHead {
    /// Header bytes, then the encapsulation.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_bytes();
        bytes.extend_from_slice(&self.kem);
        bytes
    }

    /// Parses a head with nothing after it.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let (head, used) = Self::split(bytes)?;
        match bytes.len() - used {
            0 => Ok(head),
            count => Err(CodecError::Trailing { count }),
        }
    }

    /// Parses the head at the front of a ciphertext; also how many bytes it takes.
    ///
    /// # Errors
    /// [`CodecError`]; [`CodecError::Truncated`] when more bytes are needed, which is
    /// never so with [`MAX_HEAD`] at hand.
    pub fn split(bytes: &[u8]) -> Result<(Self, usize), CodecError> {
        match Sealed::split(bytes)? {
            (Sealed::Encrypted(head), used) => Ok((head, used)),
            (Sealed::Wrapped(head), _) => {
                let rule = format!("no key encapsulation is of suite {}", head.header.suite);
                Err(CodecError::invalid("suite", rule))
            }
        }
    }
}

/// The head of what was sealed under a key that wraps.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrappedHead {
    /// What the ciphertext says of itself.
    pub header: CiphertextHeader,
    /// Names the one-time key: one item of a request to wrap.
    pub nonce: [u8; NONCE_BYTES],
    /// To the one-time key.
    pub commitment: [u8; COMMITMENT_BYTES],
}

impl WrappedHead {
    /// Header bytes, nonce, commitment.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = self.header.to_bytes();
        bytes.extend_from_slice(&self.nonce);
        bytes.extend_from_slice(&self.commitment);
        bytes
    }
}

/// The head of a ciphertext, by the suite that its header names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Sealed {
    /// To a public key.
    Encrypted(CiphertextHead),
    /// Under a one-time key.
    Wrapped(WrappedHead),
}

impl Sealed {
    /// What the ciphertext says of itself.
    #[must_use]
    pub fn header(&self) -> &CiphertextHeader {
        match self {
            Self::Encrypted(head) => &head.header,
            Self::Wrapped(head) => &head.header,
        }
    }

    /// What a key must be for that opens it.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        match self {
            Self::Encrypted(_) => Purpose::Decrypt,
            Self::Wrapped(_) => Purpose::Wrap,
        }
    }

    /// Parses the head at the front of a ciphertext; also how many bytes it takes.
    ///
    /// # Errors
    /// [`CodecError`]; [`CodecError::Truncated`] when more bytes are needed, which is
    /// never so with [`MAX_HEAD`] at hand.
    pub fn split(bytes: &[u8]) -> Result<(Self, usize), CodecError> {
        let mut r = Reader::new(bytes);
        let header = CiphertextHeader::read_from(&mut r)?;
        let head = if header.suite.allows(Purpose::Decrypt) {
            Self::Encrypted(CiphertextHead { header, kem: r.array("key encapsulation")? })
        } else {
            let (nonce, commitment) = (r.array("nonce")?, r.array("key commitment")?);
            Self::Wrapped(WrappedHead { header, nonce, commitment })
        };
        Ok((head, bytes.len() - r.remaining()))
    }
}
