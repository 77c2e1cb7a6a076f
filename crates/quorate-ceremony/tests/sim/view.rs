//! What an honest node has on its disk: it must keep its promises, erase on proof only, and
//! keep no secret longer than it may.

use crate::{
    broken::{Broken, Held, holds},
    disk::Disk,
    ledger::Ledger,
};
use quorate_ceremony::*;
use quorate_types::*;
use std::collections::BTreeSet;

#[derive(Clone, Default)]
pub(crate) struct View {
    pub(crate) standing: Standing,
    pub(crate) in_force: Option<KeyRecord>,
    /// Epochs of which a share is there.
    pub(crate) held: BTreeSet<EpochName>,
    /// Epochs whose shares were there and are erased, as they may be: for one that others
    /// had certified and that a lower one ended here, a certificate may still come.
    pub(crate) erased: BTreeSet<EpochName>,
    /// Their shares, and all other secrets, for those who look whether one is given away.
    pub(crate) secrets: Vec<Vec<u8>>,
}

impl View {
    /// Reads a disk. Every share must be the one that its epoch's public values say.
    pub(crate) fn read(
        disk: &Disk,
        node: NodeIndex,
        subject: &Subject,
        ledger: &Ledger,
        before: &Self,
    ) -> Result<Self, Broken> {
        let state = disk.load(&Subject { number: 0, ..subject.clone() });
        let mut view = Self {
            in_force: state.in_force().cloned(),
            standing: state.standing,
            secrets: secrets(disk, subject),
            erased: before.erased.clone(),
            ..Self::default()
        };
        for live in &view.standing.live {
            let s = Subject { number: live.number, ..subject.clone() };
            let share = disk.share(&s, live.number);
            if let (Some(epoch), Some(share)) = (live.epoch, &share) {
                let known = before.held.contains(&epoch);
                let fits = known
                    || ledger.epochs.get(&epoch).is_none_or(|e| {
                        e.public.decode_commitments().unwrap().verify_share(node, share)
                    });
                holds!("I4", fits, "node {node} holds another share than that of {epoch}");
                view.held.insert(epoch);
            }
        }
        let burnt = (1..subject.version.get()).map(|v| {
            let version = KeyVersion::new(v).unwrap();
            secrets(disk, &Subject { version, ..subject.clone() }).len()
        });
        let kept = view.secrets.len() + burnt.sum::<usize>();
        view.erased.extend(before.held.difference(&view.held));
        holds!("erasure", disk.secrets() == kept, "node {node} keeps secrets of ended attempts");
        Ok(view)
    }

    /// What a node may become after what it was.
    pub(crate) fn follows(&self, before: &Self, node: NodeIndex, ledger: &Ledger) -> Held {
        self.comes_into_force(before, node, ledger)?;
        self.keeps_nothing_too_long(node)?;
        for gone in before.held.difference(&self.held) {
            let active = before.standing.live(gone.number).is_some_and(|l| l.active);
            let parent = ledger.epochs.get(gone).and_then(|e| e.public.parent);
            let may = self.may_erase(gone, active, parent);
            holds!("I3", may, "node {node} has erased {gone} (active: {active}) without proof");
        }
        Ok(())
    }

    /// An epoch comes into force on `q` active signatures, and never a lower one.
    fn comes_into_force(&self, before: &Self, node: NodeIndex, ledger: &Ledger) -> Held {
        let (old, new) = (before.standing.in_force, self.standing.in_force);
        if old == new {
            return Ok(());
        }
        let Some(name) = new else {
            holds!("I3", false, "node {node} has forgotten what is in force");
            return Ok(());
        };
        holds!("I3", old.is_none_or(|o| o.number < name.number), "node {node} goes back to {name}");
        let proof = self.in_force.as_ref().map(|r| r.certificate.public.epoch);
        holds!("I3", proof == Some(name), "node {node} has no proof of {name}");
        holds!("I3", ledger.in_force(&name), "{name} is in force without q active signatures");
        Ok(())
    }

    fn keeps_nothing_too_long(&self, node: NodeIndex) -> Held {
        let Some(in_force) = self.standing.in_force else { return Ok(()) };
        for l in &self.standing.live {
            let promised = l.active && (l.number > in_force.number || self.at_birth());
            let child = l.number > in_force.number && l.parent == Some(in_force);
            let is_it = l.number == in_force.number && l.epoch.is_none_or(|e| e == in_force);
            let ok = is_it || promised || child;
            let what = if l.epoch.is_some() { "share" } else { "ceremony key" };
            holds!(
                "I3 orphan",
                ok,
                "node {node}: a pending {what} of {} outlives its parent",
                l.number
            );
        }
        Ok(())
    }

    fn at_birth(&self) -> bool {
        self.in_force.as_ref().is_some_and(|r| r.certificate.public.parent.is_none())
    }

    fn may_erase(&self, epoch: &EpochName, active: bool, parent: Option<EpochName>) -> bool {
        let Some(in_force) = self.standing.in_force else { return false };
        let past = in_force.number > epoch.number;
        past || !active && in_force != *epoch && parent != Some(in_force)
    }

    /// What the node has said of its epochs still holds.
    pub(crate) fn keeps_promises(
        &self,
        node: NodeIndex,
        version: KeyVersion,
        ledger: &Ledger,
    ) -> Held {
        let serves: BTreeSet<_> = self.standing.serves().collect();
        for (name, epoch) in &ledger.epochs {
            if epoch.public.version != version || !epoch.receipts.contains(&node) {
                continue;
            }
            let (active, parent) = (epoch.actives.contains(&node), epoch.public.parent);
            let ended = self.may_erase(name, active, parent);
            let held = self.held.contains(name) || ended || self.erased.contains(name) && !active;
            holds!("receipt", held, "node {node} has lost its share of {name}");
            let served = serves.contains(name) || ended || !active;
            let barred = parent.is_none() && self.standing.in_force.is_some_and(|e| e != *name);
            holds!("active", served || barred, "node {node} does not serve {name}");
        }
        for epoch in ledger.epochs.values().filter(|e| e.actives.contains(&node)) {
            let name = epoch.public.epoch;
            let had = epoch.receipts.contains(&node) || epoch.public.version != version;
            holds!("active", had, "node {node} has signed {name} active without a share");
        }
        Ok(())
    }
}

/// All secrets of a version's live attempts.
fn secrets(disk: &Disk, subject: &Subject) -> Vec<Vec<u8>> {
    let standing = disk.load(&Subject { number: 0, ..subject.clone() }).standing;
    let subjects = standing.live.iter().map(|l| Subject { number: l.number, ..subject.clone() });
    let of = |s: Subject| SecretKind::ALL.map(|k| disk.secret(&s, k).map(<[u8]>::to_vec));
    subjects.flat_map(of).flatten().collect()
}
