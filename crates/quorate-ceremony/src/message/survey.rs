//! What a node has of a key version: asked before a reshare, and by operators. Changes
//! nothing and promises nothing; what counts in it proves itself.

use super::{ActivateRequest, Certified};
use crate::state::{Live, MAX_LIVE};
use quorate_types::{
    CodecError, Format, KeyName, KeyRecord, KeyVersion, Part, Reader, Writer, codec::ascending,
};

/// The largest bundle that an answer carries, in bytes.
const MAX_BUNDLE: usize = 1 << 20;

/// Whether a bundle is small enough to travel in an answer.
pub(crate) fn survey_bundle_fits(bundle: &[u8]) -> bool {
    bundle.len() <= MAX_BUNDLE
}

/// Conductor to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SurveyRequest {
    /// The key.
    pub key: KeyName,
    /// Its version.
    pub version: KeyVersion,
    /// The epoch number whose bundle is wanted too, for a member that missed it; or 0.
    pub bundle: u64,
}

impl Part for SurveyRequest {
    fn write(&self, w: &mut Writer) {
        self.key.write(w);
        self.version.write(w);
        w.u64(self.bundle);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { key: Part::read(r)?, version: Part::read(r)?, bundle: r.u64("bundle number")? })
    }
}

impl Format for SurveyRequest {
    const KIND: &'static str = "QC0R";
}

/// Node to conductor.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SurveyAnswer {
    /// The birth certificate.
    pub birth: Option<KeyRecord>,
    /// The newest retire certificate, if that is not the birth certificate.
    pub newest: Option<KeyRecord>,
    /// The highest epoch that the node has signed active and that is not in force.
    pub active: Option<Certified>,
    /// The newest certificate of an epoch of which the node holds no share.
    pub noted: Option<ActivateRequest>,
    /// Attempts with secrets here, by ascending number: hints for people.
    pub live: Vec<Live>,
    /// The bundle that was asked for, if it is here: a receive request's bytes.
    pub bundle: Option<Vec<u8>>,
}

impl SurveyAnswer {
    /// The proof of the epoch in force here.
    #[must_use]
    pub fn in_force(&self) -> Option<&KeyRecord> {
        self.newest.as_ref().or(self.birth.as_ref())
    }

    /// Whether the node says that it holds a share of the epoch in force and serves it.
    #[must_use]
    pub fn serves(&self) -> bool {
        let epoch = self.in_force().map(|r| r.certificate.public.epoch);
        self.live.iter().any(|l| l.active && l.epoch.is_some() && l.epoch == epoch)
    }
}

impl Part for SurveyAnswer {
    fn write(&self, w: &mut Writer) {
        w.option(self.birth.as_ref());
        w.option(self.newest.as_ref());
        w.option(self.active.as_ref());
        w.option(self.noted.as_ref());
        w.list(&self.live);
        w.bool(self.bundle.is_some());
        if let Some(bundle) = &self.bundle {
            w.bytes(bundle);
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        let (birth, newest) = (r.option("birth certificate")?, r.option("newest record")?);
        let (active, noted) = (r.option("active epoch")?, r.option("noted certificate")?);
        let live: Vec<Live> = r.list(MAX_LIVE, "live attempts")?;
        ascending(&live, "live attempts", |l| l.number)?;
        let bundle = match r.bool("bundle")? {
            true => Some(r.bytes(MAX_BUNDLE, "bundle")?.to_vec()),
            false => None,
        };
        Ok(Self { birth, newest, active, noted, live, bundle })
    }
}

impl Format for SurveyAnswer {
    const KIND: &'static str = "QC0A";
}
