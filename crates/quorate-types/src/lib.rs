//! The words of Quorate's domain, valid by construction, with their canonical bytes
