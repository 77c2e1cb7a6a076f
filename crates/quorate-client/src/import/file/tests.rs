//! Key files of others, and everything that is none.

use super::*;
use crate::import::ImportError;
use quorate_types::Suite;

/// RFC 8410, §10.3: without and with attributes and public key.
const RFC: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
";
const RFC_WITH_PUBLIC: &str = "-----BEGIN PRIVATE KEY-----
MHICAQEwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
oB8wHQYKKoZIhvcNAQkJFDEPDA1DdXJkbGUgQ2hhaXJzgSEAGb9ECWmEzf6FQbrB
Z9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PRIVATE KEY-----
";
const RFC_PUBLIC: &str = "19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1";
/// Made for this test: `openssl genpkey -algorithm ed25519`, and `ssh-keygen -t ed25519`.
const OPENSSL: &str = "-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEIOKTTuuCBGzNT9m70W/Q63k7im/xR5t6qe8MVT3L+00M
-----END PRIVATE KEY-----
";
const OPENSSL_PUBLIC: &str = "a273cf30ea3f5f6c9e6c80128952180cdf4011fd0856497f22ea0dd81e907b41";
const OPENSSH: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAABG5vbmUAAAAEbm9uZQAAAAAAAAABAAAAMwAAAAtzc2gtZW
QyNTUxOQAAACBI8wf3NxGOTeue06M0BrXbsL2xjvhzho1kbuku5WUpMwAAAJA9DEjePQxI
3gAAAAtzc2gtZWQyNTUxOQAAACBI8wf3NxGOTeue06M0BrXbsL2xjvhzho1kbuku5WUpMw
AAAECeuRlAdIuBnCAVL1oRA6ENPY4Fgzz4mts/XOwzxwiE/UjzB/c3EY5N657TozQGtduw
vbGO+HOGjWRu6S7lZSkzAAAACWEgY29tbWVudAECAwQ=
-----END OPENSSH PRIVATE KEY-----
";
const OPENSSH_PUBLIC: &str = "48f307f737118e4deb9ed3a33406b5dbb0bdb18ef873868d646ee92ee5652933";
/// The same under a passphrase.
const OPENSSH_SEALED: &str = "-----BEGIN OPENSSH PRIVATE KEY-----
b3BlbnNzaC1rZXktdjEAAAAACmFlczI1Ni1jdHIAAAAGYmNyeXB0AAAAGAAAABCY26UkaX
GcS95sLr11R6y4AAAAEAAAAAEAAAAzAAAAC3NzaC1lZDI1NTE5AAAAIKSIKPaZNhD7NANn
fhMsJAsYCUQNOfGFU9Vqr+RxIY9iAAAAkNlEZZcPGCe72S5947uFUbgAD+dV9cRf3/eIi7
yQfv8ILN9UqTU048PP4zqdNI5rr787mbmZiwpK89edU14YWV+v70xdkyXjFPDKpq1mYFn/
X3bozMfV0EjRKLGYLoY8OZkWTb3VPJdRKe/UXWX9Rq97/nfBzbujznBupwP4dwLDPwY+Oe
zR7rG/YT0IuVMeBg==
-----END OPENSSH PRIVATE KEY-----
";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn public(text: &str) -> String {
    hex(&OwnedKey::parse(text.as_bytes()).unwrap().public_key(Suite::FrostEd25519).unwrap())
}

fn refused(bytes: &[u8]) -> String {
    OwnedKey::parse(bytes).unwrap_err().to_string()
}

#[test]
fn files_of_openssl_and_openssh_give_the_public_key_that_they_state() {
    assert_eq!(public(RFC), RFC_PUBLIC);
    assert_eq!(public(RFC_WITH_PUBLIC), RFC_PUBLIC);
    assert_eq!(public(OPENSSL), OPENSSL_PUBLIC);
    assert_eq!(public(OPENSSH), OPENSSH_PUBLIC);
    assert_eq!(public(&OPENSSH.replace('\n', "\r\n")), OPENSSH_PUBLIC);
    // They sign, and do nothing else.
    for text in [RFC, OPENSSH] {
        let key = OwnedKey::parse(text.as_bytes()).unwrap();
        for suite in [Suite::Tdh2Ristretto255, Suite::VoprfRistretto255] {
            assert_eq!(key.public_key(suite), Err(ImportError::Form));
        }
    }
}

#[test]
fn a_scalar_is_read_as_it_is_or_in_hexadecimal_digits() {
    let mut raw = [7; 32];
    raw[31] = 0x0f;
    let key = OwnedKey::parse(&raw).unwrap();
    assert_eq!((*key.secret.to_bytes(), key.form()), (raw, KeyForm::Scalar));
    let text = hex(&raw);
    for text in [text.clone(), text.to_uppercase(), format!("  {text}\r\n")] {
        assert_eq!(*OwnedKey::parse(text.as_bytes()).unwrap().secret.to_bytes(), raw);
    }
    for suite in [Suite::Tdh2Ristretto255, Suite::FrostEd25519, Suite::VoprfRistretto255] {
        let public = key.public_key(suite).unwrap();
        suite.group().decode(&public).unwrap();
    }
}

#[test]
fn what_is_no_key_is_refused_with_what_to_do() {
    // The group order, and one less.
    let order = "edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010";
    assert!(refused(order.as_bytes()).contains("not canonical"));
    assert!(OwnedKey::parse(order.replacen("ed", "ec", 1).as_bytes()).is_ok());
    assert!(refused(&[0xff; 32]).contains("give its PKCS#8 or OpenSSH file"));
    assert!(refused(&[0; 32]).contains("zero"));
    assert!(refused(OPENSSH_SEALED.as_bytes()).contains("ssh-keygen -p -N '' -f COPY"));
    let sealed =
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nMIGb\n-----END ENCRYPTED PRIVATE KEY-----\n";
    assert!(refused(sealed.as_bytes()).contains("openssl pkey -in FILE -out PLAIN"));
    // An EC key in PKCS#8, and other titles.
    let ec = "-----BEGIN PRIVATE KEY-----\n\
        MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg2XuCVOeSdzXlJAuo\n\
        dJe4Y0ormeeaHpYONyqhUSdJA7ehRANCAARShwFNlURUseORp2cb/lpeFBAx+rIM\n\
        uWFZxAskny7Uu1eV90hYG0sDTDs0dpTA4DD2XiWq1m7IcQHG9XYaIVDl\n\
        -----END PRIVATE KEY-----\n";
    assert!(refused(ec.as_bytes()).contains("Ed25519"), "{}", refused(ec.as_bytes()));
    let rsa = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n";
    assert!(refused(rsa.as_bytes()).contains("no Ed25519 key"));
    let form = "expected a scalar";
    for none in [&b""[..], b"hello", &[7; 31], &[7; 33], &[0xff; 64], "é".repeat(32).as_bytes()] {
        assert!(refused(none).contains(form), "{none:?}: {}", refused(none));
    }
    assert!(refused(&vec![b' '; MAX_FILE + 1]).contains("bytes at most"));
}

/// Of any file with one bit changed, or its end cut off, the seed's bits are all that may be another
/// key's; and where the public key stands beside them, not even these.
#[test]
fn no_changed_or_cut_file_is_taken_for_another_key() {
    for (text, of_seed) in [(RFC, 32 * 8), (RFC_WITH_PUBLIC, 0), (OPENSSH, 0)] {
        let title = text.lines().next().unwrap();
        let label = title.trim_start_matches("-----BEGIN ").trim_end_matches("-----");
        let bytes = pem(text.trim(), label).unwrap().unwrap();
        let wrapped = |bytes: &[u8]| {
            let body = STANDARD.encode(bytes);
            format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n")
        };
        let original = public(text);
        assert_eq!(public(&wrapped(&bytes)), original);
        let mut others = 0;
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.to_vec();
            changed[bit / 8] ^= 1 << (bit % 8);
            let Ok(key) = OwnedKey::parse(wrapped(&changed).as_bytes()) else { continue };
            others += usize::from(hex(&key.public_key(Suite::FrostEd25519).unwrap()) != original);
        }
        assert_eq!(others, of_seed, "{label}");
        for length in 0..bytes.len() {
            assert!(OwnedKey::parse(wrapped(&bytes[..length]).as_bytes()).is_err(), "{length}");
        }
        let mut longer = bytes.to_vec();
        longer.push(0);
        assert!(OwnedKey::parse(wrapped(&longer).as_bytes()).is_err());
    }
}
