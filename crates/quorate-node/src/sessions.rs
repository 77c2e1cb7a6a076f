//! Answers are sealed: one answer key a day, one HPKE set-up for each client process.

use crate::{clock::Now, entropy};
use quorate_crypto::{
    IdentityKey, PublicKey,
    answer::{AnswerError, AnswerKey, SealingSession},
};
use quorate_types::{
    Answer, AnswerKeyCard, EpochName, Fingerprint, Format, Hash, Millis, NodeIndex, SealedAnswer,
    answer::MAX_ANSWER_KEY_LIFE,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use zeroize::Zeroizing;

/// Sessions kept: one for each client process that asks. Setting one up costs some 150 µs.
const MAX_SESSIONS: usize = 4096;
/// A key is vouched for from a little earlier on, for clients whose clocks are behind.
const EARLY: u64 = 5 * 60 * 1000;
/// It is replaced before its life ends, so that a client never sees one that is over.
const LATE: u64 = 60 * 60 * 1000;

/// The answer key of today and its sessions. Lives in memory only.
pub(crate) struct Sessions {
    fingerprint: Fingerprint,
    node: NodeIndex,
    identity: IdentityKey,
    today: Mutex<Option<Today>>,
}

struct Today {
    key: AnswerKey,
    card: AnswerKeyCard,
    /// By client and reply key; with when it was used last.
    open: HashMap<(PublicKey, [u8; 32]), (Arc<SealingSession>, u64)>,
    uses: u64,
}

impl Sessions {
    pub(crate) fn new(fingerprint: Fingerprint, node: NodeIndex, identity: IdentityKey) -> Self {
        Self { fingerprint, node, identity, today: Mutex::new(None) }
    }

    /// Seals an answer for the client's reply key: canonical [`SealedAnswer`].
    pub(crate) fn seal(
        &self,
        client: &PublicKey,
        reply_key: &[u8; 32],
        request: Hash,
        epoch: EpochName,
        answer: &Answer,
        now: Now,
    ) -> Result<Vec<u8>, AnswerError> {
        let plaintext = Zeroizing::new(answer.to_bytes());
        let aad = SealedAnswer::associated_data(&request, self.node, &epoch);
        // A session that is worn out is replaced once; a fresh one is not.
        for _ in 0..2 {
            let (session, key) = self.session(client, reply_key, now)?;
            match session.seal(&aad, &plaintext) {
                Ok((counter, sealed)) => {
                    let encapsulated = session.encapsulated();
                    let answer =
                        SealedAnswer { key, request, epoch, encapsulated, counter, sealed };
                    return Ok(answer.to_bytes());
                }
                Err(AnswerError::Exhausted) => self.end(client, reply_key),
                Err(error) => return Err(error),
            }
        }
        Err(AnswerError::Exhausted)
    }

    /// Sessions that are open.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().as_ref().map_or(0, |today| today.open.len())
    }

    fn session(
        &self,
        client: &PublicKey,
        reply_key: &[u8; 32],
        now: Now,
    ) -> Result<(Arc<SealingSession>, AnswerKeyCard), AnswerError> {
        let mut today = self.lock();
        let today = match today.as_mut() {
            Some(today) if is_of(&today.card, now.wall) => today,
            _ => today.insert(self.begin(now.wall)),
        };
        today.uses += 1;
        let card = today.card.clone();
        if let Some((session, used)) = today.open.get_mut(&(*client, *reply_key)) {
            *used = today.uses;
            return Ok((Arc::clone(session), card));
        }
        if today.open.len() >= MAX_SESSIONS {
            today.evict();
        }
        let info = SealedAnswer::session_info(&self.fingerprint, self.node, client);
        let mut rng = entropy::rng();
        let session = Arc::new(SealingSession::new(&today.key, reply_key, &info, &mut rng)?);
        today.open.insert((*client, *reply_key), (Arc::clone(&session), today.uses));
        Ok((session, card))
    }

    fn begin(&self, now: Millis) -> Today {
        let key = AnswerKey::generate(&mut entropy::rng());
        let from = Millis(now.0.saturating_sub(EARLY));
        let card =
            AnswerKeyCard::sign(&self.fingerprint, self.node, key.public(), from, &self.identity);
        Today { key, card, open: HashMap::new(), uses: 0 }
    }

    fn end(&self, client: &PublicKey, reply_key: &[u8; 32]) {
        if let Some(today) = self.lock().as_mut() {
            today.open.remove(&(*client, *reply_key));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Today>> {
        self.today.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Today {
    /// Makes room: the older half by use, so that this is seldom.
    fn evict(&mut self) {
        let mut used: Vec<u64> = self.open.values().map(|(_, used)| *used).collect();
        used.sort_unstable();
        let keep_from = used[used.len() / 2];
        self.open.retain(|_, (_, used)| *used >= keep_from);
    }
}

/// Whether a key may still be used by this clock, also one that was set back.
fn is_of(card: &AnswerKeyCard, now: Millis) -> bool {
    let last = card.not_before.0.saturating_add(MAX_ANSWER_KEY_LIFE - LATE);
    (card.not_before.0..last).contains(&now.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crypto::answer::{OpeningSession, ReplyKey};
    use rand::rngs::SysRng;
    use rand_core::UnwrapErr;
    use std::time::Duration;

    fn at(wall: u64) -> Now {
        Now { wall: Millis(wall), steady: Duration::ZERO }
    }

    #[test]
    fn sessions_are_kept_bounded_and_end_with_the_day() {
        let node = IdentityKey::from_seed(&[1; 32]);
        let client = IdentityKey::from_seed(&[2; 32]).public();
        let (index, cluster) = (NodeIndex::new(3).unwrap(), Fingerprint([4; 32]));
        let sessions = Sessions::new(cluster, index, node.clone());
        let epoch = EpochName { number: 1, bundle: Hash([5; 32]) };
        let answer = Answer { partials: vec![[6; 32]], proof: None };
        let reply = ReplyKey::generate(&mut UnwrapErr(SysRng));
        let seal = |reply: &[u8; 32], now| {
            let sealed = sessions.seal(&client, reply, Hash([7; 32]), epoch, &answer, at(now));
            SealedAnswer::from_bytes(&sealed.unwrap()).unwrap()
        };
        let day = 10 * Millis::DAY;
        let one = seal(&reply.public(), day);
        let two = seal(&reply.public(), day + 1000);
        assert_eq!((one.encapsulated, one.counter + 1), (two.encapsulated, two.counter));
        one.key.verify(&cluster, &node.public()).unwrap();

        let info = SealedAnswer::session_info(&cluster, index, &client);
        let opening =
            OpeningSession::new(&reply, &two.key.public, &two.encapsulated, &info).unwrap();
        let aad = SealedAnswer::associated_data(&two.request, index, &two.epoch);
        let opened = opening.open(two.counter, &aad, &two.sealed).unwrap();
        assert_eq!(Answer::from_bytes(&opened), Ok(answer.clone()));

        let later = seal(&reply.public(), day + Millis::DAY);
        assert_ne!((later.key.public, later.encapsulated), (two.key.public, two.encapsulated));
        assert_eq!(sessions.len(), 1);
    }
}
