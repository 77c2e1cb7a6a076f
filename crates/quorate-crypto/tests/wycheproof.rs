//! Project Wycheproof's Ed25519 cases against the verifier that users' signatures meet.
#![allow(clippy::unwrap_used)] // a test

use quorate_crypto::frost::verify;
use serde_json::Value;

fn bytes(case: &Value, what: &str) -> Vec<u8> {
    hex::decode(case[what].as_str().unwrap()).unwrap()
}

#[test]
fn every_ed25519_case_is_decided_as_it_should_be() {
    let file: Value = serde_json::from_str(include_str!("wycheproof/ed25519.json")).unwrap();
    let cases = file["tests"].as_array().unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for case in cases {
        let key = bytes(case, "key").try_into().unwrap();
        let holds = <[u8; 64]>::try_from(bytes(case, "sig"))
            .is_ok_and(|signature| verify(&key, &bytes(case, "msg"), &signature).is_ok());
        let expected = case["result"] == "valid";
        assert_eq!(holds, expected, "case {}: {}", case["id"], case["comment"]);
        *(if expected { &mut valid } else { &mut invalid }) += 1;
    }
    assert_eq!((valid, invalid), (88, 63), "all cases are here");
}
