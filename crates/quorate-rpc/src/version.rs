//! Which protocol a caller speaks. Each call says it in a header, as `major.minor`, and each server
//! looks at it before anything else: another major version is refused with both named, another
//! minor one is served. Who says nothing counts as ours.

use crate::{
    status::{Fault, FaultKind},
    v1::ProtocolVersion,
};
use http::HeaderMap;
use std::{fmt, sync::OnceLock};
use tonic::metadata::{MetadataMap, MetadataValue};

impl ProtocolVersion {
    /// What this build speaks.
    pub const CURRENT: Self = Self { major: 1, minor: 0 };

    /// What this process speaks: [`ProtocolVersion::CURRENT`].
    #[must_use]
    pub fn spoken() -> Self {
        *SPOKEN.get_or_init(|| Self::CURRENT)
    }

    fn parse(text: &str) -> Option<Self> {
        let (major, minor) = text.split_once('.')?;
        Some(Self { major: major.parse().ok()?, minor: minor.parse().ok()? })
    }
}

impl fmt::Display for ProtocolVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.major, self.minor)
    }
}

static SPOKEN: OnceLock<ProtocolVersion> = OnceLock::new();

/// Has this process speak another version than its build does: for tests of upgrades, before there
/// is another release. To be called before the first connection; later it changes nothing.
#[doc(hidden)]
pub fn danger_speak(version: ProtocolVersion) {
    // Only the first word counts.
    let _ = SPOKEN.set(version);
}

/// The header, in lower case as HTTP/2 wants it.
const HEADER: &str = "quorate-protocol";

/// Says what this process speaks.
pub(crate) fn state(metadata: &mut MetadataMap) {
    if let Ok(value) = MetadataValue::try_from(ProtocolVersion::spoken().to_string()) {
        metadata.insert(HEADER, value);
    }
}

/// Refuses a caller of another major version.
pub(crate) fn check(headers: &HeaderMap) -> Result<(), Fault> {
    let Some(value) = headers.get(HEADER) else { return Ok(()) };
    let theirs = value.to_str().ok().and_then(ProtocolVersion::parse);
    let theirs = theirs.ok_or_else(|| Fault::invalid(format!("{HEADER} is no major.minor")))?;
    let ours = ProtocolVersion::spoken();
    match theirs.major == ours.major {
        true => Ok(()),
        false => {
            let text = format!(
                "protocol {theirs} is not spoken here, only {ours}: let both run releases of one \
                 major version",
            );
            Err(Fault::new(FaultKind::FailedPrecondition, text))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn from(version: &'static str) -> Result<(), Fault> {
        let mut headers = HeaderMap::new();
        headers.insert(HEADER, HeaderValue::from_static(version));
        check(&headers)
    }

    #[test]
    fn a_caller_of_another_major_version_is_refused_and_both_are_named() {
        assert!(check(&HeaderMap::new()).is_ok());
        for served in ["1.0", "1.1", "1.4294967295"] {
            assert!(from(served).is_ok(), "{served}");
        }
        for refused in ["0.9", "2.0"] {
            let fault = from(refused).unwrap_err();
            assert_eq!(fault.kind, FaultKind::FailedPrecondition);
            let named = fault.message.contains(refused) && fault.message.contains("only 1.0");
            assert!(named, "{fault}");
        }
        for nonsense in ["", "1", "1.", ".0", "1.0.0", "one.two", "4294967296.0"] {
            assert_eq!(from(nonsense).unwrap_err().kind, FaultKind::InvalidArgument, "{nonsense}");
        }
    }

    #[test]
    fn a_call_says_what_it_speaks() {
        let mut metadata = MetadataMap::new();
        state(&mut metadata);
        assert_eq!(metadata.get(HEADER).unwrap(), "1.0");
    }
}
