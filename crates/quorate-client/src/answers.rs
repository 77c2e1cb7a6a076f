//! Reading what nodes answer: sealed answers are opened, refusals verified. Whatever does
//! not verify is a finding against whoever brought it, and counts for nothing.

use crate::transport::{Reply, ReplyOutcome};
use quorate_crypto::{
    PublicKey,
    answer::{OpeningSession, ReplyKey},
};
use quorate_types::{
    Answer, AnswerKeyCard, Committee, EpochName, Fingerprint, Format, Hash, Millis, NodeIndex,
    Refusal, SealedAnswer, SignedRefusal, Writer, codec::Part,
};
use std::{
    collections::HashMap,
    sync::{Arc, Mutex, PoisonError},
};
use zeroize::Zeroizing;

/// Sessions that are kept: some for each of 64 nodes. Beyond, all are set up anew.
const MAX_SESSIONS: usize = 1024;

/// How far a node's clock may be from ours when it vouches for an answer key.
const CLOCK_SLACK: u64 = 5 * 60 * 1000;

/// What a node said.
#[derive(Debug)]
pub(crate) enum Said {
    /// Partials of this epoch's share, sealed by the node itself.
    Answered(EpochName, Answer),
    /// It refused, under its signature.
    Refused(Refusal),
}

/// What a reply must speak of.
pub(crate) struct Expected<'a> {
    pub(crate) fingerprint: &'a Fingerprint,
    pub(crate) committee: &'a Committee,
    pub(crate) request: Hash,
    pub(crate) now: Millis,
}

/// Reads answers with the process's reply key. Sessions are kept: setting one up costs two
/// Diffie–Hellmans and a signature check.
pub(crate) struct AnswerBook {
    reply_key: ReplyKey,
    client: PublicKey,
    sessions: Mutex<HashMap<SessionId, Arc<OpeningSession>>>,
}

/// The card as it came (it is verified once) and the encapsulated key.
#[derive(PartialEq, Eq, Hash)]
struct SessionId(Vec<u8>);

impl AnswerBook {
    pub(crate) fn new(client: PublicKey) -> Self {
        let reply_key = ReplyKey::generate(&mut rand::rng());
        Self { reply_key, client, sessions: Mutex::default() }
    }

    pub(crate) fn reply_key(&self) -> [u8; 32] {
        self.reply_key.public()
    }

    /// Verifies a reply and opens it. The error says in a few words what does not verify.
    pub(crate) fn read(
        &self,
        reply: &Reply,
        expected: &Expected<'_>,
    ) -> Result<(NodeIndex, Said), &'static str> {
        let (node, said) = match &reply.outcome {
            ReplyOutcome::Sealed(bytes) => self.open(bytes, expected)?,
            ReplyOutcome::Refused(bytes) => refusal(bytes, expected)?,
        };
        // The label on the envelope is only the coordinator's.
        if u32::from(node.get()) == reply.node { Ok((node, said)) } else { Err(CROSSED) }
    }

    fn open(
        &self,
        bytes: &[u8],
        expected: &Expected<'_>,
    ) -> Result<(NodeIndex, Said), &'static str> {
        let sealed = SealedAnswer::from_bytes(bytes).map_err(|_| "is no answer")?;
        let node = sealed.key.node;
        if sealed.request != expected.request {
            return Err("answers another request");
        }
        check_window(&sealed.key, expected.now)?;
        let session = self.session(&sealed, expected)?;
        let aad = SealedAnswer::associated_data(&expected.request, node, &sealed.epoch);
        let plain = session
            .open(sealed.counter, &aad, &sealed.sealed)
            .map(Zeroizing::new)
            .map_err(|_| "does not open: it was changed, or sealed for somebody else")?;
        let answer = Answer::from_bytes(&plain).map_err(|_| "holds no partials")?;
        Ok((node, Said::Answered(sealed.epoch, answer)))
    }

    fn session(
        &self,
        sealed: &SealedAnswer,
        expected: &Expected<'_>,
    ) -> Result<Arc<OpeningSession>, &'static str> {
        let mut w = Writer::new();
        sealed.key.write(&mut w);
        w.raw(&sealed.encapsulated);
        let id = SessionId(w.finish());
        // Also for a known session: it may be of another committee's node.
        let member = expected.committee.member(sealed.key.node).ok_or(STRANGER)?;
        if let Some(known) = self.sessions().get(&id) {
            return Ok(Arc::clone(known));
        }
        sealed
            .key
            .verify(expected.fingerprint, &member.identity)
            .map_err(|_| "is sealed under a key that the node does not vouch for")?;
        let info = SealedAnswer::session_info(expected.fingerprint, sealed.key.node, &self.client);
        let session =
            OpeningSession::new(&self.reply_key, &sealed.key.public, &sealed.encapsulated, &info)
                .map_err(|_| "is sealed under a key of small order")?;
        let session = Arc::new(session);
        let mut sessions = self.sessions();
        if sessions.len() >= MAX_SESSIONS {
            sessions.clear();
        }
        sessions.insert(id, Arc::clone(&session));
        Ok(session)
    }

    fn sessions(&self) -> std::sync::MutexGuard<'_, HashMap<SessionId, Arc<OpeningSession>>> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn check_window(card: &AnswerKeyCard, now: Millis) -> Result<(), &'static str> {
    if now.plus(CLOCK_SLACK) < card.not_before || card.not_after.plus(CLOCK_SLACK) < now {
        return Err("is sealed under an answer key that is not valid now; check the clocks");
    }
    Ok(())
}

fn refusal(bytes: &[u8], expected: &Expected<'_>) -> Result<(NodeIndex, Said), &'static str> {
    let signed = SignedRefusal::from_bytes(bytes).map_err(|_| "is no refusal")?;
    let member = expected.committee.member(signed.refusal.node).ok_or(STRANGER)?;
    signed
        .verify(expected.fingerprint, &member.identity)
        .map_err(|_| "is a refusal that the node did not sign")?;
    if signed.refusal.request != expected.request {
        return Err("refuses another request");
    }
    Ok((signed.refusal.node, Said::Refused(signed.refusal)))
}

const STRANGER: &str = "is of a node that holds no share of this key";
const CROSSED: &str = "is another node's answer";
