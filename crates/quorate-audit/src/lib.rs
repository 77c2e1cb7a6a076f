//! A tamper-evident log over opaque leaves
