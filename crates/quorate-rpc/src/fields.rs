//! From loose protobuf fields to fixed values. The canonical bytes inside are parsed by
//! their own types.

use crate::v1::ProtocolVersion;

/// A field that is not what it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FieldError {
    /// Wrong length.
    #[error("field {field}: expected {expected} bytes, got {got}")]
    Length {
        /// Its name in the proto file.
        field: &'static str,
        /// Bytes it must have.
        expected: usize,
        /// Bytes it has.
        got: usize,
    },
    /// Not a node index.
    #[error("field {field}: a node index is 1 to 65535, got {got}")]
    Index {
        /// Its name in the proto file.
        field: &'static str,
        /// Its value.
        got: u32,
    },
    /// Absent.
    #[error("field {field} is missing")]
    Missing {
        /// Its name in the proto file.
        field: &'static str,
    },
    /// A protocol that is not spoken here.
    #[error("protocol version {got} is not spoken, expected {expected}: update the older side")]
    Version {
        /// Major version spoken here.
        expected: u32,
        /// Major version asked for.
        got: u32,
    },
}

/// Exactly `N` bytes.
///
/// # Errors
/// [`FieldError::Length`].
pub fn array<const N: usize>(field: &'static str, bytes: &[u8]) -> Result<[u8; N], FieldError> {
    bytes.try_into().map_err(|_| FieldError::Length { field, expected: N, got: bytes.len() })
}

/// A hash or public key.
///
/// # Errors
/// [`FieldError::Length`].
pub fn array32(field: &'static str, bytes: &[u8]) -> Result<[u8; 32], FieldError> {
    array(field, bytes)
}

/// A signature.
///
/// # Errors
/// [`FieldError::Length`].
pub fn array64(field: &'static str, bytes: &[u8]) -> Result<[u8; 64], FieldError> {
    array(field, bytes)
}

/// A node index, which protobuf widens to 32 bits.
///
/// # Errors
/// [`FieldError::Index`].
pub fn index(field: &'static str, value: u32) -> Result<u16, FieldError> {
    match u16::try_from(value) {
        Ok(index) if index != 0 => Ok(index),
        _ => Err(FieldError::Index { field, got: value }),
    }
}

/// Refuses a major version that is not spoken; an absent one counts as ours.
///
/// # Errors
/// [`FieldError::Version`].
pub fn version(version: Option<&ProtocolVersion>) -> Result<(), FieldError> {
    let expected = ProtocolVersion::spoken().major;
    match version {
        Some(v) if v.major != expected => Err(FieldError::Version { expected, got: v.major }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wrong_lengths_are_told_apart() {
        assert_eq!(array32("root", &[3; 32]), Ok([3; 32]));
        assert_eq!(
            array64("signature", &[0; 63]),
            Err(FieldError::Length { field: "signature", expected: 64, got: 63 })
        );
        assert!(array32("root", &[]).is_err());
        assert!(array32("root", &[0; 33]).is_err());
    }

    #[test]
    fn a_node_index_is_never_zero_or_wide() {
        assert_eq!(index("node", 65535), Ok(65535));
        assert!(index("node", 0).is_err());
        assert!(index("node", 65536).is_err());
    }

    #[test]
    fn another_major_version_is_refused() {
        assert!(version(None).is_ok());
        assert!(version(Some(&ProtocolVersion { major: 1, minor: 9 })).is_ok());
        assert!(version(Some(&ProtocolVersion { major: 2, minor: 0 })).is_err());
    }
}
