//! Step 4. Enough members hold their shares: the epoch is put in service.

use super::unknown_tag;
use quorate_types::{
    Certificate, CertificateError, Cluster, CodecError, Format, KeyRecord, NodeSignature, Part,
    Reader, SignedOrder, VerifiedOrder, Writer,
};

/// Conductor to node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActivateRequest {
    /// The order behind the epoch, which may be an earlier one than the newest.
    pub order: SignedOrder,
    /// The epoch with at least `q` receipts.
    pub certificate: Certificate,
}

impl Part for ActivateRequest {
    fn write(&self, w: &mut Writer) {
        self.order.write(w);
        self.certificate.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { order: Part::read(r)?, certificate: Part::read(r)? })
    }
}

impl Format for ActivateRequest {
    const KIND: &'static str = "QC4R";
    const VERSION: u16 = 2; // since epochs have parents
}

/// Proof that a node has signed an epoch active: whoever has it can finish that epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certified {
    /// The order behind the epoch.
    pub order: SignedOrder,
    /// The epoch and its receipts.
    pub certificate: Certificate,
    /// The node's active signature.
    pub active: NodeSignature,
}

impl Certified {
    /// Verifies order, receipts and signature.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn verify(&self, cluster: &Cluster) -> Result<VerifiedOrder, CertificateError> {
        let order = VerifiedOrder::verify(cluster, &self.order)?;
        self.certificate.verify(&order)?;
        if self.certificate.public.verifies_active(&self.active) {
            Ok(order)
        } else {
            Err(CertificateError::Signatures { what: "the epoch active", needed: 1, got: 0 })
        }
    }
}

impl Part for Certified {
    fn write(&self, w: &mut Writer) {
        self.order.write(w);
        self.certificate.write(w);
        self.active.write(w);
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        Ok(Self { order: Part::read(r)?, certificate: Part::read(r)?, active: Part::read(r)? })
    }
}

/// Node to conductor.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ActivateAnswer {
    /// *I serve this epoch.*
    Active(NodeSignature),
    /// The node holds no share of the epoch: it keeps the certificate and signs nothing.
    Noted,
    /// The node has signed another public key of this version active, and signs one only.
    Other(Box<Certified>),
    /// Another epoch is in force here: a genesis that was born, or one above this epoch or
    /// its parent. This one never will be.
    Born(Box<KeyRecord>),
}

impl Part for ActivateAnswer {
    fn write(&self, w: &mut Writer) {
        match self {
            Self::Active(signature) => {
                w.u8(1);
                signature.write(w);
            }
            Self::Noted => w.u8(2),
            Self::Other(certified) => {
                w.u8(3);
                certified.write(w);
            }
            Self::Born(record) => {
                w.u8(4);
                record.write(w);
            }
        }
    }
    fn read(r: &mut Reader<'_>) -> Result<Self, CodecError> {
        match r.u8("activate answer")? {
            1 => Part::read(r).map(Self::Active),
            2 => Ok(Self::Noted),
            3 => Part::read(r).map(|c| Self::Other(Box::new(c))),
            4 => Part::read(r).map(|k| Self::Born(Box::new(k))),
            other => Err(unknown_tag("activate answer", other)),
        }
    }
}

impl Format for ActivateAnswer {
    const KIND: &'static str = "QC4A";
    const VERSION: u16 = 2; // since epochs have parents
}
