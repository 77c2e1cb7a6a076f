//! Quorate's disk: sled behind a barrier, sealed records, a manifest, the audit file
