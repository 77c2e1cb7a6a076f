use super::*;

const CHEAP: Cost = Cost::danger_for_tests();
const CONTEXT: &[u8] = b"identity key";

fn sealed() -> Vec<u8> {
    seal_with_passphrase(b"correct horse", CONTEXT, b"secret", &CHEAP, &mut rand::rng()).unwrap()
}

fn open_cheap(envelope: &[u8]) -> Result<Zeroizing<Vec<u8>>, EnvelopeError> {
    open_with_passphrase(b"correct horse", CONTEXT, envelope, &CHEAP)
}

/// Where the header says the memory.
const MEMORY: std::ops::Range<usize> = 7..11;

#[test]
fn what_is_sealed_opens_under_the_same_passphrase_and_context_only() {
    let envelope = sealed();
    assert_eq!(open_cheap(&envelope).unwrap().as_slice(), b"secret");
    let wrong = open_with_passphrase(b"correct hors", CONTEXT, &envelope, &CHEAP);
    assert_eq!(wrong.err(), Some(EnvelopeError::Open));
    let moved = open_with_passphrase(b"correct horse", b"kek", &envelope, &CHEAP);
    assert_eq!(moved.err(), Some(EnvelopeError::Open));
    assert_ne!(sealed(), sealed());
}

#[test]
fn every_flipped_byte_cut_and_extension_is_refused() {
    let key = SecretBytes::new([5; 32]);
    let raw = seal_with_key(&key, CONTEXT, b"secret", &mut rand::rng()).unwrap();
    assert_eq!(open_with_key(&key, CONTEXT, &raw).unwrap().as_slice(), b"secret");
    let pass = sealed();
    for at in 0..pass.len() {
        let mut changed = pass.clone();
        changed[at] ^= 1;
        assert!(open_cheap(&changed).is_err(), "byte {at}");
        assert!(open_cheap(&pass[..at]).is_err(), "cut to {at}");
    }
    for at in 0..raw.len() {
        let mut changed = raw.clone();
        changed[at] ^= 1;
        assert!(open_with_key(&key, CONTEXT, &changed).is_err(), "byte {at}");
        assert!(open_with_key(&key, CONTEXT, &raw[..at]).is_err(), "cut to {at}");
    }
    assert!(open_cheap(&[&pass[..], &[0]].concat()).is_err());
    assert!(open_with_key(&key, CONTEXT, &[&raw[..], &[0]].concat()).is_err());
}

#[test]
fn a_downgraded_envelope_is_refused() {
    let refused = open_with_passphrase(b"correct horse", CONTEXT, &sealed(), &Cost::FLOOR);
    assert!(matches!(refused.err(), Some(EnvelopeError::Cost(CostError::BelowFloor { .. }))));
    // Each parameter by itself.
    let floor = Cost::FLOOR.to_bytes();
    for at in [3, 7, 11] {
        let mut below = floor;
        let word = &mut below[at - 3..=at];
        let lowered = u32::from_be_bytes(word.try_into().unwrap()) - 1;
        word.copy_from_slice(&lowered.to_be_bytes());
        let refused = Cost::from_bytes(&below, &Cost::FLOOR);
        assert!(matches!(refused, Err(CostError::BelowFloor { .. })), "{refused:?}");
    }
    assert_eq!(Cost::from_bytes(&floor, &Cost::FLOOR), Ok(Cost::FLOOR));
    assert_eq!(Cost::from_bytes(&Cost::DEFAULT.to_bytes(), &Cost::FLOOR), Ok(Cost::DEFAULT));
}

#[test]
fn a_memory_bomb_is_refused_before_any_work() {
    for at in [7, 11, 15] {
        let mut bomb = sealed();
        bomb[at..at + 4].copy_from_slice(&u32::MAX.to_be_bytes());
        let refused = open_cheap(&bomb).err();
        let above = matches!(refused, Some(EnvelopeError::Cost(CostError::AboveCeiling { .. })));
        assert!(above, "{refused:?}");
    }
}

#[test]
fn an_impossible_cost_is_an_error_not_a_panic() {
    let mut odd = sealed();
    odd[MEMORY].copy_from_slice(&33_u32.to_be_bytes()); // fine
    assert_eq!(open_cheap(&odd).err(), Some(EnvelopeError::Open));
    odd[15..19].copy_from_slice(&4_u32.to_be_bytes()); // 4 lanes, 32 KiB is the least: fine
    assert_eq!(open_cheap(&odd).err(), Some(EnvelopeError::Open));
    let zero = Cost::from_bytes(&[0; Cost::LEN], &Cost::from_bytes_unchecked([0; 3]));
    let refused = zero.unwrap().derive(b"", &[0; 16]);
    assert!(matches!(refused.err(), Some(CostError::Argon2 { .. })));
}

#[test]
fn methods_and_keys_are_not_confused() {
    let key = SecretBytes::new([5; 32]);
    let raw = seal_with_key(&key, CONTEXT, b"secret", &mut rand::rng()).unwrap();
    let wrong_method = open_with_key(&key, CONTEXT, &sealed()).err();
    assert_eq!(wrong_method, Some(EnvelopeError::Method { found: "passphrase", asked: "key" }));
    assert!(matches!(open_cheap(&raw).err(), Some(EnvelopeError::Method { .. })));
    let other = open_with_key(&SecretBytes::new([6; 32]), CONTEXT, &raw).err();
    assert_eq!(other, Some(EnvelopeError::Open));
    assert_eq!(open_with_key(&key, CONTEXT, b"").err(), Some(EnvelopeError::Format));
}

#[test]
fn lengths_are_bounded() {
    let key = SecretBytes::new([5; 32]);
    let most = vec![1; MAX_SECRET];
    let raw = seal_with_key(&key, CONTEXT, &most, &mut rand::rng()).unwrap();
    assert_eq!(open_with_key(&key, CONTEXT, &raw).unwrap().len(), MAX_SECRET);
    let refused = seal_with_key(&key, CONTEXT, &[0; MAX_SECRET + 1], &mut rand::rng());
    assert_eq!(refused.err(), Some(EnvelopeError::Length { got: MAX_SECRET + 1 }));
}

#[test]
fn argon2id_is_that_of_the_reference_implementation() {
    // phc-winner-argon2, src/test.c: Argon2id, version 0x13, t = 2, m = 2^16 KiB, p = 1.
    let cost = Cost::from_bytes_unchecked([1 << 16, 2, 1]);
    let out = cost.derive(b"password", b"somesalt").unwrap();
    let expected = "09316115d5cf24ed5a15a31a3ba326e5cf32edc24702987c02b6566f61913cf7";
    assert_eq!(hex::encode(out.expose()), expected);
}

#[test]
fn an_envelope_with_a_foreign_commitment_is_refused_although_its_tag_holds() {
    // What two passphrases that open one file would need.
    let key = SecretBytes::new([5; 32]);
    let nonce = [9; NONCE_LEN];
    let (cipher, commitment) = keys(METHOD_KEY, &key, &nonce);
    let made = |commitment: [u8; 32]| {
        let header = [&prefix(METHOD_KEY)[..], &nonce, &commitment].concat();
        let aad = [&header[..], CONTEXT].concat();
        let sealed = cipher.encrypt(&nonce.into(), Payload { msg: b"secret", aad: &aad }).unwrap();
        [header, sealed].concat()
    };
    assert!(open_with_key(&key, CONTEXT, &made(commitment)).is_ok());
    assert_eq!(open_with_key(&key, CONTEXT, &made([0; 32])).err(), Some(EnvelopeError::Open));
}
