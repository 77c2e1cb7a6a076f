//! Quorate's network: generated code, TLS identity, limits, status codes
