//! Quorate's canonical codec: what is signed, hashed or stored.
//!
//! Integers are big-endian. Byte strings carry a `u32` length, lists a `u16` count.
//! A top-level [`Format`] begins with a 4-byte kind and a `u16` version and leaves no
//! trailing bytes. A value has one encoding only; a decoder refuses every other.

use thiserror::Error;

/// Why bytes are no value of a format.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CodecError {
    /// The input ends too early.
    #[error("{what}: the input ends too early")]
    Truncated {
        /// What was being read.
        what: &'static str,
    },
    /// Bytes follow the value.
    #[error("{count} bytes follow the value; expected its end")]
    Trailing {
        /// How many.
        count: usize,
    },
    /// A length or count is over its limit.
    #[error("{what}: at most {max} allowed, got {got}")]
    TooLong {
        /// What was being read.
        what: &'static str,
        /// The limit.
        max: usize,
        /// What the input claims.
        got: usize,
    },
    /// Another format.
    #[error("expected format {expected}, got other bytes")]
    Kind {
        /// The kind's four letters.
        expected: &'static str,
    },
    /// A version that this software does not speak.
    #[error(
        "format {kind} version {got} is not known here (newest known: {known}); update Quorate"
    )]
    Version {
        /// The kind's four letters.
        kind: &'static str,
        /// The newest version known here.
        known: u16,
        /// The input's version.
        got: u16,
    },
    /// A value that breaks a rule of its type.
    #[error("{what}: {rule}")]
    Invalid {
        /// What was being read.
        what: &'static str,
        /// The rule that it breaks.
        rule: String,
    },
}

impl CodecError {
    /// A broken rule, in the words of the type that has it.
    pub fn invalid(what: &'static str, rule: impl ToString) -> Self {
        Self::Invalid { what, rule: rule.to_string() }
    }
}

/// Something with one canonical encoding inside a larger one.
pub trait Part: Sized {
    /// Appends the encoding.
    fn write(&self, w: &mut Writer);

    /// Reads one value.
    ///
    /// # Errors
    /// [`CodecError`] for anything but the canonical encoding of a valid value.
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError>;
}

/// A top-level format: kind, version, value, end.
pub trait Format: Part {
    /// Four letters that name the format.
    const KIND: &'static str;
    /// The version that this software writes and the newest that it reads.
    const VERSION: u16 = 1;

    /// The canonical bytes.
    fn to_bytes(&self) -> Vec<u8> {
        let mut w = Writer::new();
        w.raw(Self::KIND.as_bytes());
        w.u16(Self::VERSION);
        self.write(&mut w);
        w.finish()
    }

    /// Parses canonical bytes.
    ///
    /// # Errors
    /// [`CodecError`]; also for another kind, another version and trailing bytes.
    fn from_bytes(bytes: &[u8]) -> Result<Self, CodecError> {
        let mut r = Reader::new(bytes);
        let value = Self::read_from(&mut r)?;
        r.finish()?;
        Ok(value)
    }

    /// Reads a value with its kind and version from the front of a longer input.
    ///
    /// # Errors
    /// As [`Format::from_bytes`], but bytes may follow.
    fn read_from(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let kind = r.array::<4>("format kind")?;
        if kind != Self::KIND.as_bytes() {
            return Err(CodecError::Kind { expected: Self::KIND });
        }
        let got = r.u16("format version")?;
        if got != Self::VERSION {
            return Err(CodecError::Version { kind: Self::KIND, known: Self::VERSION, got });
        }
        Self::read(r)
    }
}

/// Builds an encoding.
#[derive(Default)]
pub struct Writer(Vec<u8>);

impl Writer {
    /// An empty encoding.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Bytes of a length that the format fixes.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    /// One byte.
    pub fn u8(&mut self, v: u8) {
        self.0.push(v);
    }

    /// Big-endian.
    pub fn u16(&mut self, v: u16) {
        self.raw(&v.to_be_bytes());
    }

    /// Big-endian.
    pub fn u32(&mut self, v: u32) {
        self.raw(&v.to_be_bytes());
    }

    /// Big-endian.
    pub fn u64(&mut self, v: u64) {
        self.raw(&v.to_be_bytes());
    }

    /// 0 or 1.
    pub fn bool(&mut self, v: bool) {
        self.u8(u8::from(v));
    }

    /// A byte string with its `u32` length.
    ///
    /// # Panics
    /// Never for values of this crate: all are far below 4 GiB.
    pub fn bytes(&mut self, bytes: &[u8]) {
        self.u32(u32::try_from(bytes.len()).expect("limits keep every string below 4 GiB"));
        self.raw(bytes);
    }

    /// A list with its `u16` count.
    ///
    /// # Panics
    /// Never for values of this crate: all lists have limits below 65,536.
    pub fn list<T: Part>(&mut self, items: &[T]) {
        self.u16(u16::try_from(items.len()).expect("limits keep every list below 65,536"));
        for item in items {
            item.write(self);
        }
    }

    /// A presence byte, then the value if there is one.
    pub fn option<T: Part>(&mut self, value: Option<&T>) {
        self.bool(value.is_some());
        if let Some(v) = value {
            v.write(self);
        }
    }

    /// The encoding.
    #[must_use]
    pub fn finish(self) -> Vec<u8> {
        self.0
    }
}

/// Reads an encoding; never allocates by a claimed length.
pub struct Reader<'a> {
    rest: &'a [u8],
}

impl<'a> Reader<'a> {
    /// Reads from the front of `bytes`.
    #[must_use]
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }

    /// How many bytes are left.
    #[must_use]
    pub fn remaining(&self) -> usize {
        self.rest.len()
    }

    /// `n` bytes.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn take(&mut self, n: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        if n > self.rest.len() {
            return Err(CodecError::Truncated { what });
        }
        let (head, rest) = self.rest.split_at(n);
        self.rest = rest;
        Ok(head)
    }

    /// Bytes of a fixed length.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn array<const N: usize>(&mut self, what: &'static str) -> Result<[u8; N], CodecError> {
        let mut out = [0; N];
        out.copy_from_slice(self.take(N, what)?);
        Ok(out)
    }

    /// One byte.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn u8(&mut self, what: &'static str) -> Result<u8, CodecError> {
        Ok(self.array::<1>(what)?[0])
    }

    /// Big-endian.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn u16(&mut self, what: &'static str) -> Result<u16, CodecError> {
        self.array(what).map(u16::from_be_bytes)
    }

    /// Big-endian.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn u32(&mut self, what: &'static str) -> Result<u32, CodecError> {
        self.array(what).map(u32::from_be_bytes)
    }

    /// Big-endian.
    ///
    /// # Errors
    /// [`CodecError::Truncated`].
    pub fn u64(&mut self, what: &'static str) -> Result<u64, CodecError> {
        self.array(what).map(u64::from_be_bytes)
    }

    /// 0 or 1.
    ///
    /// # Errors
    /// [`CodecError`] for any other byte.
    pub fn bool(&mut self, what: &'static str) -> Result<bool, CodecError> {
        match self.u8(what)? {
            0 => Ok(false),
            1 => Ok(true),
            other => Err(CodecError::invalid(what, format!("expected 0 or 1, got {other}"))),
        }
    }

    /// A byte string of at most `max` bytes.
    ///
    /// # Errors
    /// [`CodecError::TooLong`], [`CodecError::Truncated`].
    pub fn bytes(&mut self, max: usize, what: &'static str) -> Result<&'a [u8], CodecError> {
        let got = self.u32(what)? as usize;
        if got > max {
            return Err(CodecError::TooLong { what, max, got });
        }
        self.take(got, what)
    }

    /// UTF-8 text of at most `max` bytes.
    ///
    /// # Errors
    /// [`CodecError`]; also for what is not UTF-8.
    pub fn text(&mut self, max: usize, what: &'static str) -> Result<&'a str, CodecError> {
        std::str::from_utf8(self.bytes(max, what)?)
            .map_err(|_| CodecError::invalid(what, "must be UTF-8"))
    }

    /// A list of at most `max` values.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn list<T: Part>(&mut self, max: usize, what: &'static str) -> Result<Vec<T>, CodecError> {
        let got = usize::from(self.u16(what)?);
        if got > max {
            return Err(CodecError::TooLong { what, max, got });
        }
        let mut items = Vec::new();
        for _ in 0..got {
            items.push(T::read(self)?);
        }
        Ok(items)
    }

    /// A value behind its presence byte.
    ///
    /// # Errors
    /// [`CodecError`].
    pub fn option<T: Part>(&mut self, what: &'static str) -> Result<Option<T>, CodecError> {
        if self.bool(what)? { T::read(self).map(Some) } else { Ok(None) }
    }

    /// Ends the input.
    ///
    /// # Errors
    /// [`CodecError::Trailing`].
    pub fn finish(self) -> Result<(), CodecError> {
        match self.rest.len() {
            0 => Ok(()),
            count => Err(CodecError::Trailing { count }),
        }
    }
}

/// Refuses a list that is not strictly ascending by `key`: one set, one encoding.
///
/// # Errors
/// [`CodecError::Invalid`].
pub fn ascending<T, K: Ord>(
    items: &[T],
    what: &'static str,
    key: impl Fn(&T) -> K,
) -> Result<(), CodecError> {
    if items.windows(2).all(|w| key(&w[0]) < key(&w[1])) {
        Ok(())
    } else {
        Err(CodecError::invalid(what, "must be strictly ascending, without duplicates"))
    }
}
