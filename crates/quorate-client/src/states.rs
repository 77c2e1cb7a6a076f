//! How keys are, as operators ordered it: verified, and never taken back; and which key an alias
//! means.
//!
//! That an alias means a key is an order of operators, and so is that it does no more. Whoever
//! once used an alias keeps the order, and believes another key only together with a newer order
//! about the first one, in which the alias is gone.

use crate::{
    client::{Client, Inner, heavier, key_name, nobody},
    error::Error,
    pins::StatePin,
    transport::{KeyStates, Transport},
};
use quorate_rpc::{Deadline, FaultKind};
use quorate_types::{
    Destroyed, DestroyedReceipt, Format, Hash, KeyName, NodeIndex, OrderError, SetKeyState,
    SignedOrder, VerifiedOrder,
};
use std::collections::BTreeMap;

/// How a key is.
#[derive(Clone, Debug)]
pub struct KeyState {
    /// What operators have ordered; revision 0 if they have ordered nothing.
    pub state: SetKeyState,
    /// That order.
    pub order: Option<Hash>,
    /// What each node says of itself.
    pub nodes: Vec<NodeKeyState>,
}

impl KeyState {
    /// Whether the key is gone: operators have ordered it, and a node has signed that it has obeyed.
    #[must_use]
    pub fn is_destroyed(&self) -> bool {
        self.state.deletion.is_some() && self.nodes.iter().any(|n| n.destroyed.is_some())
    }
}

/// What a node says of how a key is there.
#[derive(Clone, Debug)]
pub struct NodeKeyState {
    /// Which.
    pub node: NodeIndex,
    /// The revision that holds there, as it says.
    pub revision: u64,
    /// Its signed receipt that all of the key is destroyed there, verified.
    pub destroyed: Option<Destroyed>,
    /// Why it says nothing.
    pub silent: Option<String>,
}

impl Client {
    /// How a key is: what operators have ordered, verified, and what the nodes say of it.
    ///
    /// # Errors
    /// [`Error::Verification`] if somebody shows an older order than one that was seen before.
    pub async fn key_state(&self, name: &str) -> Result<KeyState, Error> {
        self.0.key_state(&key_name(name)?).await
    }
}

/// Verified orders by key, and what came with them.
struct Shown {
    orders: BTreeMap<KeyName, VerifiedOrder>,
    nodes: Vec<NodeKeyState>,
}

impl Inner {
    pub(crate) async fn key_state(&self, name: &KeyName) -> Result<KeyState, Error> {
        let Shown { mut orders, nodes } = self.shown_states(name).await?;
        let order = orders.remove(name);
        let state = order.as_ref().and_then(|o| o.key_state()).cloned();
        Ok(KeyState {
            state: state.unwrap_or_else(|| SetKeyState::initial(name.clone())),
            order: order.map(|o| o.hash()),
            nodes,
        })
    }

    /// The key that an alias means; `None` if it means none.
    pub(crate) async fn resolve(&self, alias: &KeyName) -> Result<Option<KeyName>, Error> {
        let mut orders = self.shown_states(alias).await?.orders;
        let now = (self.clock)();
        let waits = |state: &SetKeyState| state.deletion.is_none_or(|at| now < at);
        let before = self.pinned_alias(alias)?;
        let mut destroyed = 0;
        if let Some(before) = &before {
            // Of the key that it meant before, what holds now: else an old order could be shown alone.
            let known = orders.get(before).and_then(|o| o.key_state());
            if !known.is_some_and(waits) {
                let Shown { orders: more, nodes } = self.shown_states(before).await?;
                orders.extend(more);
                let gone =
                    |n: &&NodeKeyState| n.destroyed.as_ref().is_some_and(|d| d.key == *before);
                destroyed = nodes.iter().filter(gone).count();
            }
        }
        // With its deletion a key gives its aliases back. The one that it meant before has been
        // deleted only where most nodes say so: that the deletion was cancelled can be kept back.
        let most = self.cluster().roster().nodes.len() / 2 + 1;
        let means = |state: &SetKeyState| {
            let over = Some(&state.name) != before.as_ref() || destroyed >= most;
            state.aliases.contains(alias) && (waits(state) || !over)
        };
        let mut found = orders.into_values().filter(|o| o.key_state().is_some_and(means));
        let Some(order) = found.next() else { return Ok(None) };
        let Some(state) = order.key_state() else { return Ok(None) };
        if let Some(other) = found.next().and_then(|o| o.key_state().map(|s| s.name.clone())) {
            let what = format!("shows {alias} as an alias of two keys, {} and {other}", state.name);
            return Err(Error::coordinator("the cluster", what));
        }
        self.pins.put_alias(alias, &StatePin { order: order.signed().clone() })?;
        Ok(Some(state.name.clone()))
    }

    /// The key that an alias meant when it was last used.
    pub(crate) fn pinned_alias(&self, alias: &KeyName) -> Result<Option<KeyName>, Error> {
        let Some(pin) = self.pins.alias(alias)? else { return Ok(None) };
        let order = VerifiedOrder::verify(&self.cluster(), &pin.order)?;
        Ok(order.key_state().map(|state| state.name.clone()))
    }

    /// What the first party shows whose orders verify and are not older than what was seen.
    async fn shown_states(&self, name: &KeyName) -> Result<Shown, Error> {
        self.ask_roster_once().await?;
        let mut worst = None;
        for (_, transport) in self.in_order() {
            match self.states_from(transport.as_ref(), name).await {
                Ok(shown) => return Ok(shown),
                Err(error) if error.is_elsewhere() => worst = Some(heavier(worst, error)),
                Err(error) => return Err(error),
            }
        }
        Err(worst.unwrap_or_else(nobody))
    }

    async fn states_from(&self, transport: &dyn Transport, name: &KeyName) -> Result<Shown, Error> {
        let party = transport.party();
        let answer = transport.key_state(name.clone(), Deadline::after(self.timeout)).await;
        let KeyStates { orders: shown, nodes } = match answer {
            // A release without states, whose keys have none.
            Err(fault) if fault.kind == FaultKind::Unimplemented => KeyStates::default(),
            other => other.map_err(|fault| Error::party(&party, fault))?,
        };
        let mut orders: BTreeMap<KeyName, VerifiedOrder> = BTreeMap::new();
        for bytes in &shown {
            let order = self.believe_state(transport, &party, bytes).await?;
            let Some(state) = order.key_state() else { continue };
            let known = orders.get(&state.name).and_then(|o| o.key_state());
            if known.is_none_or(|k| k.revision < state.revision) {
                orders.insert(state.name.clone(), order);
            }
        }
        for (name, order) in &mut orders {
            *order = self.never_back(&party, name, order.clone())?;
        }
        if !orders.contains_key(name)
            && let Some(seen) = self.pinned_state(name)?
        {
            let revision = seen.key_state().map_or(0, |s| s.revision);
            let what =
                format!("shows no state of key {name}, of which revision {revision} was seen");
            return Err(Error::coordinator(&party, what));
        }
        let nodes = nodes.into_iter().map(|n| self.of_node(n)).collect();
        Ok(Shown { orders, nodes })
    }

    /// `m` operators have signed it, under a roster that follows the pinned one.
    async fn believe_state(
        &self,
        transport: &dyn Transport,
        party: &str,
        bytes: &[u8],
    ) -> Result<VerifiedOrder, Error> {
        let bad = |e: OrderError| {
            Error::coordinator(party, format!("sent a key's state that does not verify: {e}"))
        };
        let signed = SignedOrder::from_bytes(bytes).map_err(|e| bad(e.into()))?;
        let order = match VerifiedOrder::verify(&self.cluster(), &signed) {
            Err(OrderError::Roster(_)) => {
                self.refresh_roster_from(transport).await?;
                VerifiedOrder::verify(&self.cluster(), &signed)
            }
            other => other,
        };
        let order = order.map_err(bad)?;
        match order.key_state() {
            Some(_) => Ok(order),
            None => Err(Error::coordinator(party, "sent another order for a key's state")),
        }
    }

    /// The order, unless a higher revision was seen; remembers it. Of two of one revision the
    /// first that was seen stays, as at the nodes.
    fn never_back(
        &self,
        party: &str,
        name: &KeyName,
        order: VerifiedOrder,
    ) -> Result<VerifiedOrder, Error> {
        let revision = |o: &VerifiedOrder| o.key_state().map_or(0, |s| s.revision);
        if let Some(seen) = self.pinned_state(name)? {
            let (seen_at, got) = (revision(&seen), revision(&order));
            if got < seen_at {
                let what = format!(
                    "shows revision {got} of the state of key {name}, of which {seen_at} was seen"
                );
                return Err(Error::coordinator(party, what));
            }
            if got == seen_at {
                return Ok(seen);
            }
        }
        self.pins.put_state(name, &StatePin { order: order.signed().clone() })?;
        Ok(order)
    }

    /// The newest order about how a key is that was seen, verified again.
    fn pinned_state(&self, name: &KeyName) -> Result<Option<VerifiedOrder>, Error> {
        let Some(pin) = self.pins.state(name)? else { return Ok(None) };
        let order = VerifiedOrder::verify(&self.cluster(), &pin.order)?;
        Ok(Some(order).filter(|o| o.key_state().is_some_and(|s| s.name == *name)))
    }

    fn of_node(&self, said: crate::transport::NodeSaid) -> NodeKeyState {
        let cluster = self.cluster();
        let receipt = DestroyedReceipt::from_bytes(&said.receipt).ok();
        let own = receipt.filter(|r| {
            let identity = cluster.roster().node(said.node).map(|n| n.identity);
            r.node == said.node
                && identity.is_some_and(|i| r.verify(cluster.fingerprint(), &i).is_ok())
        });
        NodeKeyState {
            node: said.node,
            revision: said.revision,
            destroyed: own.map(|r| r.destroyed),
            silent: Some(said.reason).filter(|reason| !reason.is_empty()),
        }
    }
}
