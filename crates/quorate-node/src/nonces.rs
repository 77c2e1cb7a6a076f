//! Nonce pairs that this process has committed to and not used: in memory only.
//!
//! A pair leaves on the way to the one signature that it serves, and never comes back. It is
//! bound to client, key, version and epoch; it ends after ten minutes, with the epoch, and with
//! the process, whose random id stands in every handle. Nothing is ever written down: two
//! signatures under one pair are two equations about the share.

use crate::clock::Now;
use quorate_crypto::{
    PublicKey,
    frost::{KeyShare, NonceCommitments, NoncePair, commit},
};
use quorate_types::{
    BootId, EpochName, KeyName, KeyVersion,
    signing::{NonceHandle, SignerCommitments},
};
use rand_core::CryptoRng;
use std::{
    collections::{BTreeMap, HashMap},
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

/// How long a pair waits for its message. Clients forget theirs a little earlier.
pub(crate) const LIFE: Duration = Duration::from_secs(600);
/// Pairs of one client: four requests of a thousand messages under way.
const PER_CLIENT: usize = 4096;
/// Pairs of all clients, some 700 bytes each: 45 MiB at the most.
const TOTAL: usize = 65_536;

/// How many are kept. Tests have their own.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NonceLimits {
    pub(crate) per_client: usize,
    pub(crate) total: usize,
}

impl Default for NonceLimits {
    fn default() -> Self {
        Self { per_client: PER_CLIENT, total: TOTAL }
    }
}

/// What a pair serves: no other client, key or epoch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct For {
    pub(crate) client: PublicKey,
    pub(crate) key: KeyName,
    pub(crate) version: KeyVersion,
    pub(crate) epoch: EpochName,
}

/// There is no room for so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The pairs of one process.
pub(crate) struct Nonces {
    boot: BootId,
    limits: NonceLimits,
    /// Pairs drawn so far, also those that were not kept.
    drawn: AtomicU64,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    next: u64,
    /// By number, and thus by age: the first ends first.
    pairs: BTreeMap<u64, Waiting>,
    /// How many each client has.
    counts: HashMap<PublicKey, usize>,
    /// [`crate::planted::Bug::NonceTwice`]: the same pairs again.
    #[cfg(test)]
    twins: BTreeMap<u64, NoncePair>,
}

struct Waiting {
    of: For,
    until: Duration,
    pair: NoncePair,
}

impl Nonces {
    pub(crate) fn new(boot: BootId, limits: NonceLimits) -> Self {
        Self { boot, limits, drawn: AtomicU64::new(0), kept: Mutex::default() }
    }

    /// Draws `count` pairs; gives their handles and commitments. All or none.
    pub(crate) fn draw(
        &self,
        of: &For,
        count: usize,
        key: &KeyShare,
        now: Now,
        rng: &mut impl CryptoRng,
    ) -> Result<Vec<(NonceHandle, NonceCommitments)>, Full> {
        self.lock().has_room(&self.limits, of, count, now)?;
        // Outside of the lock: 70 µs each.
        let drawn: Vec<_> = (0..count).map(|_| commit(key, &self.unique(now), &mut *rng)).collect();
        #[cfg(test)]
        let (drawn, mut twins) = with_twins(drawn, key);
        let mut kept = self.lock();
        kept.has_room(&self.limits, of, count, now)?;
        let until = now.steady + LIFE;
        let mut out = Vec::with_capacity(count);
        for (pair, commitments) in drawn {
            let number = kept.next;
            kept.next += 1;
            kept.pairs.insert(number, Waiting { of: of.clone(), until, pair });
            #[cfg(test)]
            kept.twins.extend(twins.next().map(|twin| (number, twin)));
            out.push((NonceHandle { boot: self.boot, number }, commitments));
        }
        *kept.counts.entry(of.client).or_default() += count;
        Ok(out)
    }

    /// No two draws of this process have the same, by the count, and none of another start, by
    /// the clocks: also where the generator says the same over and over, the process's id with it.
    fn unique(&self, now: Now) -> Vec<u8> {
        let count = self.drawn.fetch_add(1, Ordering::Relaxed).to_be_bytes();
        let (wall, steady) = (now.wall.0.to_be_bytes(), now.steady.as_nanos().to_be_bytes());
        [&self.boot.0[..], &count, &wall, &steady].concat()
    }

    /// The commitments of a pair that waits here, if these are they: then they need not be decoded.
    pub(crate) fn known(&self, named: &SignerCommitments) -> Option<NonceCommitments> {
        if named.handle.boot != self.boot {
            return None;
        }
        let made = self.lock().pairs.get(&named.handle.number)?.pair.commitments();
        (*made.to_bytes() == named.commitments).then_some(made)
    }

    /// Takes pairs out, for ever, one for each handle; `None` where there is none: used, of another
    /// start, too old, or drawn for something else. Those of another client stay where they are:
    /// nobody can use up what is not his.
    pub(crate) fn take(
        &self,
        of: &For,
        handles: &[NonceHandle],
        now: Now,
    ) -> Vec<Option<NoncePair>> {
        let mut kept = self.lock();
        kept.end(now);
        let mut one = |handle: &NonceHandle| {
            if handle.boot != self.boot {
                return None;
            }
            #[cfg(test)]
            if let Some(twin) = kept.twins.remove(&handle.number) {
                return Some(twin);
            }
            let waiting = kept.pairs.get(&handle.number)?;
            if waiting.of.client != of.client {
                return None;
            }
            let waiting = kept.remove(handle.number)?;
            (waiting.of == *of).then_some(waiting.pair)
        };
        handles.iter().map(&mut one).collect()
    }

    /// Ends all pairs of a key: its shares have changed.
    pub(crate) fn forget(&self, key: &KeyName) {
        let mut kept = self.lock();
        let of_key = kept.pairs.iter().filter(|(_, w)| w.of.key == *key).map(|(n, _)| *n);
        let numbers: Vec<u64> = of_key.collect();
        for number in numbers {
            drop(kept.remove(number));
        }
    }

    /// How many wait.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.lock().pairs.len()
    }

    fn lock(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kept {
    fn has_room(
        &mut self,
        limits: &NonceLimits,
        of: &For,
        count: usize,
        now: Now,
    ) -> Result<(), Full> {
        self.end(now);
        let of_client = self.counts.get(&of.client).copied().unwrap_or_default();
        let room =
            of_client + count <= limits.per_client && self.pairs.len() + count <= limits.total;
        if room { Ok(()) } else { Err(Full) }
    }

    /// Ends the pairs whose time is over.
    fn end(&mut self, now: Now) {
        while let Some((number, waiting)) = self.pairs.first_key_value() {
            if waiting.until > now.steady {
                return;
            }
            let number = *number;
            drop(self.remove(number));
        }
    }

    fn remove(&mut self, number: u64) -> Option<Waiting> {
        let waiting = self.pairs.remove(&number)?;
        if let Some(count) = self.counts.get_mut(&waiting.of.client) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.counts.remove(&waiting.of.client);
            }
        }
        Some(waiting)
    }
}

/// Pairs that are drawn alike twice, if that is planted; else what was drawn, without twins.
#[cfg(test)]
fn with_twins(
    drawn: Vec<(NoncePair, NonceCommitments)>,
    key: &KeyShare,
) -> (Vec<(NoncePair, NonceCommitments)>, std::vec::IntoIter<NoncePair>) {
    use rand::{RngExt, SeedableRng, rngs::StdRng};
    if !crate::planted::is(crate::planted::Bug::NonceTwice) {
        return (drawn, Vec::new().into_iter());
    }
    let seed = crate::entropy::rng().random();
    let alike = || {
        let mut rng = StdRng::seed_from_u64(seed);
        (0..drawn.len()).map(|_| commit(key, b"twin", &mut rng)).collect::<Vec<_>>()
    };
    let twins: Vec<_> = alike().into_iter().map(|(pair, _)| pair).collect();
    (alike(), twins.into_iter())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tests::eavesdropper::Eavesdropper;
    use quorate_crypto::{
        IdentityKey, SecretScalar, ShareIndex, Threshold,
        frost::{SigningSet, sign},
        group::Group,
        sharing::Polynomial,
    };
    use quorate_types::{Hash, Millis};
    use rand_core::{TryCryptoRng, TryRng};
    use std::{collections::BTreeSet, convert::Infallible};

    const LIMITS: NonceLimits = NonceLimits { per_client: 4, total: 6 };

    fn one() -> ShareIndex {
        ShareIndex::new(1).unwrap()
    }

    fn polynomial() -> Polynomial {
        let (rng, t) = (&mut rand::rng(), Threshold::new(2, 3).unwrap());
        Polynomial::random(t, &SecretScalar::random(rng), rng).unwrap()
    }

    fn key_of(f: &Polynomial, node: ShareIndex) -> KeyShare {
        let (t, public) = (Threshold::new(2, 3).unwrap(), f.commit(Group::Edwards25519));
        KeyShare::new(node, &f.evaluate(node), t, &public).unwrap()
    }

    fn key() -> KeyShare {
        key_of(&polynomial(), one())
    }

    fn of(client: u8) -> For {
        For {
            client: IdentityKey::from_seed(&[client; 32]).public(),
            key: "release".parse().unwrap(),
            version: KeyVersion::FIRST,
            epoch: EpochName { number: 1, bundle: Hash([1; 32]) },
        }
    }

    fn at(seconds: u64) -> Now {
        Now { wall: Millis(0), steady: Duration::from_secs(seconds) }
    }

    fn nonces() -> Nonces {
        Nonces::new(BootId([7; 16]), LIMITS)
    }

    fn draw(nonces: &Nonces, of: &For, count: usize, now: Now) -> Vec<NonceHandle> {
        let drawn = nonces.draw(of, count, &key(), now, &mut rand::rng()).unwrap();
        drawn.into_iter().map(|(handle, _)| handle).collect()
    }

    fn got(nonces: &Nonces, of: &For, handles: &[NonceHandle], now: Now) -> Vec<bool> {
        nonces.take(of, handles, now).iter().map(Option::is_some).collect()
    }

    #[test]
    fn a_pair_is_taken_once() {
        let nonces = nonces();
        let drawn = draw(&nonces, &of(1), 2, at(0));
        assert_eq!(got(&nonces, &of(1), &[drawn[0], drawn[0]], at(1)), [true, false]);
        assert_eq!(got(&nonces, &of(1), &drawn, at(1)), [false, true]);
        assert_eq!((nonces.len(), nonces.lock().counts.len()), (0, 0));
    }

    /// The same bytes over and over, and so the same process id at each start: as in a virtual
    /// machine whose generator was copied, or is broken.
    struct Stuck;

    impl TryRng for Stuck {
        type Error = Infallible;
        fn try_next_u32(&mut self) -> Result<u32, Infallible> {
            Ok(7)
        }
        fn try_next_u64(&mut self) -> Result<u64, Infallible> {
            Ok(7)
        }
        fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
            out.fill(7);
            Ok(())
        }
    }

    impl TryCryptoRng for Stuck {}

    #[test]
    fn a_stuck_generator_repeats_no_nonce_also_after_a_restart() {
        let (key, mut seen) = (key(), BTreeSet::new());
        for start in 0..3 {
            let nonces = nonces();
            // The clock goes on, if only by a millisecond.
            let now = Now { wall: Millis(start), steady: Duration::ZERO };
            for _ in 0..2 {
                for (_, known) in nonces.draw(&of(1), 2, &key, now, &mut Stuck).unwrap() {
                    let (hiding, binding) = known.to_bytes().split_at(32);
                    assert!(seen.insert(hiding.to_vec()) && seen.insert(binding.to_vec()));
                }
            }
        }
        assert_eq!(seen.len(), 24);
    }

    /// The share of a node whose generator says the same over and over, if it follows from all that
    /// the node signs in three starts, whoever asks for each pair again and again. The clock goes
    /// on between the starts, or does not.
    fn stolen(f: &Polynomial, clock_goes_on: bool) -> Option<SecretScalar> {
        let (mine, two) = (key_of(f, one()), ShareIndex::new(2).unwrap());
        let (_, theirs) = commit(&key_of(f, two), b"", &mut rand::rng());
        let mut ears = Eavesdropper::of(one(), f.commit(Group::Edwards25519).constant_bytes());
        let mut signed = 0;
        for start in 0..3 {
            let nonces = nonces();
            let wall = Millis(if clock_goes_on { start } else { 0 });
            let now = Now { wall, steady: Duration::ZERO };
            for _ in 0..2 {
                for (handle, known) in nonces.draw(&of(1), 2, &mine, now, &mut Stuck).unwrap() {
                    let points = BTreeMap::from([(one(), known), (two, theirs)]);
                    let signers = [(one(), *known.to_bytes()), (two, *theirs.to_bytes())];
                    for again in 0..4 {
                        let message = format!("start {start}, message {again}").into_bytes();
                        for pair in nonces.take(&of(1), &[handle], now).into_iter().flatten() {
                            let set = SigningSet::new(&message, points.clone());
                            ears.hears(&message, &signers, &sign(pair, &set, &mine).unwrap());
                            signed += 1;
                        }
                    }
                }
            }
        }
        assert_eq!(signed, 12, "each pair signs once");
        ears.share()
    }

    #[test]
    fn no_share_follows_from_what_a_node_signs_with_a_stuck_generator_and_restarts() {
        let f = polynomial();
        if let Some(share) = stolen(&f, true) {
            let is = *share.to_bytes() == *f.evaluate(one()).to_bytes();
            panic!("nonces came again, and the share is recovered (it is the share: {is})");
        }
        // And it would be recovered: without what tells one start from another, the generator
        // gives each start the same pairs, and each signs another message with them.
        let share = stolen(&f, false).expect("three messages under each pair");
        assert_eq!(*share.to_bytes(), *f.evaluate(one()).to_bytes());
    }

    #[test]
    fn a_handle_of_an_earlier_start_is_refused() {
        let (before, after) = (nonces(), Nonces::new(BootId([8; 16]), LIMITS));
        let old = draw(&before, &of(1), 1, at(0));
        let new = draw(&after, &of(1), 1, at(0));
        assert_eq!(old[0].number, new[0].number, "numbers begin anew, boot ids do not");
        assert_eq!(got(&after, &of(1), &old, at(1)), [false]);
        assert_eq!(got(&after, &of(1), &new, at(1)), [true]);
    }

    #[test]
    fn nobody_takes_or_crowds_out_what_is_anothers() {
        let nonces = nonces();
        let mine = draw(&nonces, &of(1), 4, at(0));
        assert_eq!(got(&nonces, &of(2), &mine, at(1)), [false; 4]);
        let full = |client| nonces.draw(&of(client), 1, &key(), at(1), &mut rand::rng()).is_err();
        assert!(full(1), "four of one client");
        assert!(!full(2));
        assert!(nonces.draw(&of(2), 2, &key(), at(1), &mut rand::rng()).is_err(), "six of all");
        assert_eq!(got(&nonces, &of(1), &mine, at(1)), [true; 4]);
    }

    #[test]
    fn a_pair_serves_its_own_key_and_epoch_and_is_gone_if_it_is_named_for_another() {
        let other_epoch = For { epoch: EpochName { number: 2, bundle: Hash([1; 32]) }, ..of(1) };
        let other_key = For { key: "other".parse().unwrap(), ..of(1) };
        for wrong in [other_epoch, other_key] {
            let nonces = nonces();
            let drawn = draw(&nonces, &of(1), 1, at(0));
            assert_eq!(got(&nonces, &wrong, &drawn, at(1)), [false]);
            assert_eq!(got(&nonces, &of(1), &drawn, at(1)), [false]);
        }
    }

    #[test]
    fn pairs_end_with_their_time_and_with_the_shares() {
        let nonces = nonces();
        let life = LIFE.as_secs();
        let drawn = draw(&nonces, &of(1), 2, at(0));
        assert_eq!(got(&nonces, &of(1), &drawn[..1], at(life - 1)), [true]);
        assert_eq!(got(&nonces, &of(1), &drawn[1..], at(life)), [false]);
        assert_eq!(nonces.len(), 0);
        let drawn = draw(&nonces, &of(1), 2, at(life));
        let other = For { key: "other".parse().unwrap(), ..of(1) };
        draw(&nonces, &other, 1, at(life));
        nonces.forget(&of(1).key);
        assert_eq!(nonces.len(), 1);
        assert_eq!(got(&nonces, &of(1), &drawn, at(life)), [false, false]);
    }
}
