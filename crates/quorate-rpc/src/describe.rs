//! What a stranger's tool may ask of a port: health and reflection.
//!
//! Both are served to authenticated peers only, like everything else.

use crate::{Class, ServerBuilder, v1};
pub use tonic_health::{ServingStatus, server::HealthReporter};
use tonic_reflection::server::Builder;

/// The descriptors are made by this build: they cannot fail to parse.
const DESCRIBED: &str = "the descriptors come from this build's own compiler run";

impl ServerBuilder {
    /// Adds `grpc.health.v1`, and reflection in its two versions, v1 and v1alpha (older
    /// tools know only the second). The reporter starts with the whole server, "", as
    /// `SERVING`; say otherwise before serving if that is not so.
    #[must_use]
    pub fn described(self, class: &Class) -> (Self, HealthReporter) {
        let (reporter, health) = tonic_health::server::health_reporter();
        let v1 = descriptors().build_v1().expect(DESCRIBED);
        let v1alpha = descriptors().build_v1alpha().expect(DESCRIBED);
        let health = crate::bounded!(health, SMALL);
        let builder =
            self.add_service(class, health).add_service(class, v1).add_service(class, v1alpha);
        (builder, reporter)
    }
}

/// Names of services, no more.
const SMALL: usize = 4096;

fn descriptors() -> Builder<'static> {
    Builder::configure()
        .register_encoded_file_descriptor_set(v1::FILE_DESCRIPTOR_SET)
        .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
}
