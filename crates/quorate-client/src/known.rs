//! What the client believes, and how it comes to believe it: rosters and keys, verified
//! from the pinned fingerprint and never taken back.

use crate::{
    client::{Inner, heavier, nobody},
    error::{Error, bad_record},
    key::{Key, RecordError},
    pins::Pin,
    transport::{Records, Transport},
};
use quorate_rpc::{Deadline, FaultKind};
use quorate_types::{
    CertificateError, Cluster, EpochName, Format, KeyName, KeyRecord, KeyVersion, OrderError,
    SignedRoster,
};
use std::sync::{Arc, PoisonError, atomic::Ordering};

impl Inner {
    /// A version of a key: from this process, from its pin, else from the cluster.
    pub(crate) async fn key_version(
        &self,
        name: &KeyName,
        version: KeyVersion,
    ) -> Result<Key, Error> {
        if let Some(key) = self.kept(name, version) {
            return Ok(key);
        }
        if let Some(key) = self.pinned_key(name, version)? {
            return Ok(key);
        }
        self.fetch_key(name, Some(version), false).await
    }

    /// The key after its shares have moved: from the nodes, past what anybody remembers.
    pub(crate) async fn moved_key(
        &self,
        transport: &dyn Transport,
        key: &Key,
    ) -> Result<Key, Error> {
        self.fetch_key_from(transport, key.name(), Some(key.version()), true).await
    }

    /// A version of a key from the nodes, past what anybody remembers.
    pub(crate) async fn fresh_version(
        &self,
        name: &KeyName,
        version: KeyVersion,
    ) -> Result<Key, Error> {
        self.fetch_key(name, Some(version), true).await
    }

    /// The newest version of a key, `fresh` from the nodes past what anybody remembers.
    pub(crate) async fn newest_key(&self, name: &KeyName, fresh: bool) -> Result<Key, Error> {
        self.fetch_key(name, None, fresh).await
    }

    /// Fetches a key from the first party that brings one that verifies.
    pub(crate) async fn fetch_key(
        &self,
        name: &KeyName,
        version: Option<KeyVersion>,
        fresh: bool,
    ) -> Result<Key, Error> {
        self.ask_roster_once().await?;
        let mut worst = None;
        for (i, transport) in self.in_order() {
            match self.fetch_key_from(transport.as_ref(), name, version, fresh).await {
                Ok(key) => {
                    self.preferred.store(i, Ordering::Relaxed);
                    return Ok(key);
                }
                Err(error) if error.is_elsewhere() => worst = Some(heavier(worst, error)),
                Err(error) => return Err(error),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    /// Verifies everything of DESIGN §4.4 and pins the result.
    async fn fetch_key_from(
        &self,
        transport: &dyn Transport,
        name: &KeyName,
        version: Option<KeyVersion>,
        fresh: bool,
    ) -> Result<Key, Error> {
        let party = transport.party();
        let deadline = Deadline::after(self.timeout);
        let records = transport.key(name.clone(), version, fresh, deadline).await;
        let records = records.map_err(|fault| match fault.kind {
            FaultKind::NotFound => Error::UnknownKey { name: name.clone(), version },
            _ => Error::party(&party, fault),
        })?;
        let mut best: Option<Key> = None;
        let mut worst = None;
        for records in records {
            match self.believe_record(transport, &party, &records, name, version).await {
                Ok(key) if best.as_ref().is_none_or(|b| rank(b) < rank(&key)) => best = Some(key),
                Ok(_) => {}
                Err(error) => worst = Some(heavier(worst, error)),
            }
        }
        match (best, worst) {
            (Some(key), _) => self.pin(&party, key, version.is_none()),
            (None, Some(error)) => Err(error),
            (None, None) => Err(Error::UnknownKey { name: name.clone(), version }),
        }
    }

    /// Verifies one record; with a newer roster, if it was made under one.
    async fn believe_record(
        &self,
        transport: &dyn Transport,
        party: &str,
        records: &Records,
        name: &KeyName,
        version: Option<KeyVersion>,
    ) -> Result<Key, Error> {
        let parse = |bytes: &[u8]| {
            KeyRecord::from_bytes(bytes)
                .map_err(|e| bad_record(party, name, &CertificateError::Codec(e)))
        };
        let record = parse(&records.birth)?;
        let newest = match &records.newest[..] {
            [] => None,
            bytes => Some(parse(bytes)?),
        };
        let newest = newest.as_ref();
        let verify = || Key::verify(&self.cluster(), &record, newest, name, version, party);
        let unknown_roster = RecordError::is_unknown_roster;
        let verified = match verify() {
            Err(error) if unknown_roster(&error) => {
                self.refresh_roster_from(transport).await?;
                verify()
            }
            other => other,
        };
        verified.map_err(|e| e.into_error(party, name))
    }

    /// Pins a verified key. A pin never changes: another public key for a pinned version is
    /// a finding, and so is a newest version below one that was seen.
    pub(crate) fn pin(&self, party: &str, key: Key, is_newest: bool) -> Result<Key, Error> {
        let (name, version) = (key.name(), key.version());
        if is_newest && let Some(seen) = self.pins.newest(name)?.filter(|seen| *seen > version) {
            let what = format!(
                "says that version {version} of key {name} is the newest, but {seen} is pinned"
            );
            return Err(Error::coordinator(party, what));
        }
        if let Some(pin) = self.pins.get(name, version)? {
            if pin.public != *key.public_key() {
                let what = format!(
                    "sent another public key for {name} version {version} than the pinned one"
                );
                return Err(Error::coordinator(party, what));
            }
            // The epoch in force never goes back.
            if pin.number() >= key.public().epoch.number {
                return Ok(self.keep(self.pinned_key(name, version)?.unwrap_or(key)));
            }
        }
        let (record, newest) = (key.record().clone(), key.newest().cloned());
        self.pins.put(&Pin { public: *key.public_key(), record, newest })?;
        Ok(self.keep(key))
    }

    /// A pinned key, verified again: a pin file is not believed for lying on our disk.
    pub(crate) fn pinned_key(
        &self,
        name: &KeyName,
        version: KeyVersion,
    ) -> Result<Option<Key>, Error> {
        let Some(pin) = self.pins.get(name, version)? else { return Ok(None) };
        let party = "the pin file";
        let (record, newest) = (&pin.record, pin.newest.as_ref());
        let key = Key::verify(&self.cluster(), record, newest, name, Some(version), party)
            .map_err(|e| e.into_error(party, name))?;
        if pin.public != *key.public_key() {
            return Err(Error::coordinator(party, format!("of {name} disagrees with itself")));
        }
        Ok(Some(self.keep(key)))
    }

    fn kept(&self, name: &KeyName, version: KeyVersion) -> Option<Key> {
        let keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        keys.get(&(name.clone(), version)).cloned()
    }

    fn keep(&self, key: Key) -> Key {
        let mut keys = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        if keys.len() >= MAX_KEYS {
            keys.clear();
        }
        keys.insert((key.name().clone(), key.version()), key.clone());
        key
    }

    /// Asks for the roster chain, unless that was done before.
    pub(crate) async fn ask_roster_once(&self) -> Result<(), Error> {
        if self.roster_asked.load(Ordering::Relaxed) {
            return Ok(());
        }
        match self.refresh_roster().await {
            Ok(()) => self.roster_asked.store(true, Ordering::Relaxed),
            Err(Error::Party { .. }) => {} // an outage for what comes next too, and told there
            Err(error) => return Err(error),
        }
        Ok(())
    }

    /// Asks for the roster chain until somebody brings one.
    pub(crate) async fn refresh_roster(&self) -> Result<(), Error> {
        let mut worst = None;
        for (_, transport) in self.in_order() {
            match self.refresh_roster_from(transport.as_ref()).await {
                Ok(()) => return Ok(()),
                Err(error) => worst = Some(heavier(worst, error)),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    /// Takes a longer chain over; ignores a shorter one; refuses another one.
    pub(crate) async fn refresh_roster_from(&self, transport: &dyn Transport) -> Result<(), Error> {
        let party = transport.party();
        let brought = transport.rosters(Deadline::after(self.timeout)).await;
        let brought = brought.map_err(|fault| Error::party(&party, fault))?;
        if brought.is_empty() {
            return Ok(()); // a node serves none
        }
        let bad = |e: &dyn std::fmt::Display| {
            Error::coordinator(&party, format!("sent a roster chain that does not verify: {e}"))
        };
        let chain: Vec<SignedRoster> = (brought.iter())
            .map(|bytes| SignedRoster::from_bytes(bytes))
            .collect::<Result<_, _>>()
            .map_err(|e| bad(&e))?;
        // From its beginning, so that another cluster is told from another roster.
        Cluster::verify(self.cluster().fingerprint(), &chain).map_err(|e| bad(&e))?;
        match self.cluster().extended(&chain).map_err(|e| bad(&e))? {
            Some(newer) => self.adopt(newer),
            None => Ok(()),
        }
    }

    /// A longer chain, verified: kept in the home, and used from now on.
    pub(crate) fn adopt(&self, newer: Cluster) -> Result<(), Error> {
        if let Some(home) = &self.home {
            home.write_roster(&newer)?;
        }
        self.transports.iter().for_each(|t| t.follow(newer.roster()));
        *self.cluster.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(newer);
        Ok(())
    }
}

impl RecordError {
    fn is_unknown_roster(&self) -> bool {
        matches!(self, Self::Certificate(CertificateError::Order(OrderError::Roster(_))))
    }
}

/// The newer of two records of a key.
fn rank(key: &Key) -> (KeyVersion, EpochName) {
    (key.version(), key.public().epoch)
}

/// Verified keys that are kept in memory; beyond, they come from their pins again.
const MAX_KEYS: usize = 1024;
