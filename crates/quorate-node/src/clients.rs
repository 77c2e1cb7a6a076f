//! The clients that orders have named.

use quorate_crypto::PublicKey;
use std::{
    collections::HashMap,
    sync::{PoisonError, RwLock},
};

/// What orders say of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Added.
    Known,
    /// Revoked, for ever: an order that adds it again changes nothing.
    Revoked,
}

/// Read at each request, changed by orders.
#[derive(Debug, Default)]
pub(crate) struct Clients(RwLock<HashMap<PublicKey, Standing>>);

impl Clients {
    pub(crate) fn standing(&self, client: &PublicKey) -> Option<Standing> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).get(client).copied()
    }

    pub(crate) fn add(&self, client: PublicKey) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.entry(client).or_insert(Standing::Known);
    }

    /// Forgets a client that no order names any more; a revoked one stays so.
    pub(crate) fn forget(&self, client: &PublicKey) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if all.get(client) == Some(&Standing::Known) {
            all.remove(client);
        }
    }

    pub(crate) fn revoke(&self, client: PublicKey) {
        let mut all = self.0.write().unwrap_or_else(PoisonError::into_inner);
        all.insert(client, Standing::Revoked);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use quorate_crypto::IdentityKey;

    #[test]
    fn a_revoked_client_stays_revoked() {
        let (clients, key) = (Clients::default(), IdentityKey::from_seed(&[1; 32]).public());
        clients.revoke(key);
        clients.add(key);
        clients.forget(&key);
        assert_eq!(clients.standing(&key), Some(Standing::Revoked));
    }
}
