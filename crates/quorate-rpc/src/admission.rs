//! Who may stay connected: counts by address and by identity.

use crate::limits::Limits;
use quorate_crypto::PublicKey;
use std::{
    collections::HashMap,
    hash::Hash,
    net::IpAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// What a port has seen, for metrics.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Stats {
    /// Open now, handshakes included.
    pub open: usize,
    /// Accepted and authenticated since the start.
    pub served: u64,
    /// Closed at accept: the port, or the address, had too many.
    pub refused_full: u64,
    /// Closed after the handshake: the identity had too many.
    pub refused_identity: u64,
    /// Handshakes that failed or took too long.
    pub failed_handshakes: u64,
    /// `accept` errors; with too few descriptors each costs 50 ms.
    pub accept_errors: u64,
}

/// Which limit was reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Refused {
    #[error("too many connections")]
    Total,
    #[error("too many handshakes under way")]
    Handshakes,
    #[error("too many connections from this address")]
    Address,
    #[error("too many connections of this identity")]
    Identity,
}

/// The counts of one port. The maps never hold more entries than `max_connections`.
#[derive(Debug)]
pub(crate) struct Admission {
    limits: Limits,
    counts: Mutex<Counts>,
}

#[derive(Debug, Default)]
struct Counts {
    handshakes: usize,
    addresses: HashMap<Origin, usize>,
    identities: HashMap<PublicKey, usize>,
    stats: Stats,
}

/// An address as far as it costs anything: an IPv6 host has a whole /64 for free.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Origin {
    Loopback,
    V4([u8; 4]),
    V6([u8; 8]),
}

impl Origin {
    fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Loopback,
            IpAddr::V4(ip) => Self::V4(ip.octets()),
            IpAddr::V6(ip) => {
                let o = ip.octets();
                Self::V6([o[0], o[1], o[2], o[3], o[4], o[5], o[6], o[7]])
            }
        }
    }
}

impl Admission {
    pub(crate) fn new(limits: Limits) -> Arc<Self> {
        Arc::new(Self { limits, counts: Mutex::default() })
    }

    /// Takes a place for a handshake.
    pub(crate) fn admit(self: &Arc<Self>, ip: IpAddr) -> Result<Admitted, Refused> {
        let origin = Origin::of(ip);
        let per_address = match origin {
            Origin::Loopback => self.limits.max_per_loopback,
            _ => self.limits.max_per_ip,
        };
        let mut counts = self.lock();
        let refused = if counts.stats.open >= self.limits.max_connections {
            Some(Refused::Total)
        } else if counts.handshakes >= self.limits.max_handshakes {
            Some(Refused::Handshakes)
        } else if !add(&mut counts.addresses, origin, per_address) {
            Some(Refused::Address)
        } else {
            None
        };
        if let Some(refused) = refused {
            counts.stats.refused_full += 1;
            return Err(refused);
        }
        counts.stats.open += 1;
        counts.handshakes += 1;
        Ok(Admitted { admission: Arc::clone(self), origin, stage: Stage::Handshake })
    }

    pub(crate) fn stats(&self) -> Stats {
        self.lock().stats
    }

    pub(crate) fn count_accept_error(&self) {
        self.lock().stats.accept_errors += 1;
    }

    /// Counters stay right when a holder panics: each change is a single step.
    fn lock(&self) -> MutexGuard<'_, Counts> {
        self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place among the connections; given back on drop.
#[derive(Debug)]
pub(crate) struct Admitted {
    admission: Arc<Admission>,
    origin: Origin,
    stage: Stage,
}

#[derive(Debug, Clone, Copy)]
enum Stage {
    Handshake,
    Refused,
    Open(PublicKey),
}

impl Admitted {
    /// The handshake is over, and this key was proven.
    pub(crate) fn identify(&mut self, key: PublicKey) -> Result<(), Refused> {
        let max = self.admission.limits.max_per_identity;
        let mut counts = self.admission.lock();
        if !add(&mut counts.identities, key, max) {
            counts.stats.refused_identity += 1;
            self.stage = Stage::Refused;
            return Err(Refused::Identity);
        }
        counts.handshakes -= 1;
        counts.stats.served += 1;
        self.stage = Stage::Open(key);
        Ok(())
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut counts = self.admission.lock();
        counts.stats.open -= 1;
        remove(&mut counts.addresses, self.origin);
        match self.stage {
            Stage::Open(key) => remove(&mut counts.identities, key),
            Stage::Refused => counts.handshakes -= 1,
            Stage::Handshake => {
                counts.handshakes -= 1;
                counts.stats.failed_handshakes += 1;
            }
        }
    }
}

fn add<K: Eq + Hash>(map: &mut HashMap<K, usize>, key: K, max: usize) -> bool {
    let count = map.get(&key).copied().unwrap_or(0);
    if count < max {
        map.insert(key, count + 1);
    }
    count < max
}

fn remove<K: Eq + Hash>(map: &mut HashMap<K, usize>, key: K) {
    match map.get_mut(&key) {
        Some(count) if *count > 1 => *count -= 1,
        _ => {
            map.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crypto::IdentityKey;

    fn key(n: u8) -> PublicKey {
        IdentityKey::from_seed(&[n; 32]).public()
    }

    fn port() -> Arc<Admission> {
        Admission::new(Limits {
            max_connections: 5,
            max_handshakes: 3,
            max_per_ip: 2,
            max_per_identity: 1,
            ..Limits::default()
        })
    }

    #[test]
    fn each_limit_holds_and_places_come_back() {
        let port = port();
        let ip = |n: u8| IpAddr::from([192, 0, 2, n]);
        let mut a = port.admit(ip(1)).unwrap();
        let mut b = port.admit(ip(1)).unwrap();
        assert_eq!(port.admit(ip(1)).unwrap_err(), Refused::Address);
        let c = port.admit(ip(2)).unwrap();
        assert_eq!(port.admit(ip(3)).unwrap_err(), Refused::Handshakes);
        a.identify(key(1)).unwrap();
        assert_eq!(b.identify(key(1)), Err(Refused::Identity));
        drop(b);
        let mut d = port.admit(ip(4)).unwrap();
        d.identify(key(2)).unwrap();
        let mut e = port.admit(ip(5)).unwrap();
        e.identify(key(3)).unwrap();
        let f = port.admit(ip(6)).unwrap();
        assert_eq!(port.admit(ip(7)).unwrap_err(), Refused::Total);
        drop((a, c, d, e, f));
        let counts = port.lock();
        assert_eq!((counts.stats.open, counts.handshakes), (0, 0));
        // c and f never finished; b was refused, which is no failed handshake.
        assert_eq!((counts.stats.failed_handshakes, counts.stats.refused_identity), (2, 1));
        assert!(counts.addresses.is_empty() && counts.identities.is_empty());
    }

    #[test]
    fn an_ipv6_network_counts_as_one_address() {
        let port = port();
        let ip = |n: u16| IpAddr::from([0x2001, 0xdb8, 0, 7, n, n, n, n]);
        let _held = [port.admit(ip(1)).unwrap(), port.admit(ip(2)).unwrap()];
        assert_eq!(port.admit(ip(3)).unwrap_err(), Refused::Address);
        assert!(port.admit(IpAddr::from([0x2001, 0xdb8, 0, 8, 1, 1, 1, 1])).is_ok());
    }

    #[test]
    fn a_mapped_address_is_its_ipv4_address() {
        assert_eq!(Origin::of("::ffff:192.0.2.1".parse().unwrap()), Origin::V4([192, 0, 2, 1]));
        assert_eq!(Origin::of("::ffff:127.0.0.1".parse().unwrap()), Origin::Loopback);
    }
}
