//! A public key as SubjectPublicKeyInfo (RFC 8410), as `openssl` reads it.

use super::armored;

/// SEQUENCE { SEQUENCE { OID 1.3.101.112 }, BIT STRING of 33 bytes }, up to the key itself.
const PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// PEM.
#[must_use]
pub fn pem(public_key: &[u8; 32]) -> String {
    armored("PUBLIC KEY", &[&PREFIX[..], public_key].concat(), 64)
}

#[cfg(test)]
mod tests {
    /// RFC 8410 §10.1.
    #[test]
    fn the_example_of_rfc_8410() {
        let key = hex::decode("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1");
        let expected = "-----BEGIN PUBLIC KEY-----\n\
                        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
                        -----END PUBLIC KEY-----\n";
        assert_eq!(super::pem(&key.unwrap().try_into().unwrap()), expected);
    }
}
