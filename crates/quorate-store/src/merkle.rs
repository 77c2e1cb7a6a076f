//! Count and Merkle root of the live records, kept in memory: a commit costs what it changes.
//!
//! A physical record's *place* is a hash of its key; its first 12 bits choose one of 4096 buckets.
//! A bucket's digest is a hash over its sorted (place, leaf) pairs, and a binary tree over the
//! buckets gives the root. About 72 bytes of memory for each physical record.

use quorate_crypto::hash::Label;
use sha2::{Digest, Sha256};
use std::collections::BTreeSet;

use crate::layout::sha256;

/// Buckets: 60,000 records give 15 in each, 12 levels above.
const BUCKETS: usize = 4096;

type Hash = [u8; 32];

pub(crate) struct Index {
    buckets: Vec<Vec<(Hash, Hash)>>,
    /// Node `i` has the children `2i` and `2i + 1`; bucket `b` is node `BUCKETS + b`.
    nodes: Vec<Hash>,
    dirty: BTreeSet<usize>,
    count: u64,
}

impl Index {
    pub(crate) fn new() -> Self {
        let (buckets, nodes) = (vec![Vec::new(); BUCKETS], vec![[0; 32]; 2 * BUCKETS]);
        Self { buckets, nodes, dirty: (0..BUCKETS).collect(), count: 0 }
    }

    /// Sets the leaf of a physical key, or removes it.
    pub(crate) fn set(&mut self, key: &[u8], leaf: Option<Hash>) {
        let place = sha256(Label::STORE_PLACE, &[key]);
        let number = usize::from(u16::from_be_bytes([place[0], place[1]]) >> 4);
        let bucket = &mut self.buckets[number];
        match (bucket.binary_search_by_key(&place, |(p, _)| *p), leaf) {
            (Ok(at), Some(leaf)) => bucket[at].1 = leaf,
            (Ok(at), None) => {
                bucket.remove(at);
                self.count -= 1;
            }
            (Err(at), Some(leaf)) => {
                bucket.insert(at, (place, leaf));
                self.count += 1;
            }
            (Err(_), None) => return,
        }
        self.dirty.insert(number);
    }

    /// The number of physical records.
    pub(crate) fn count(&self) -> u64 {
        self.count
    }

    /// The root over all buckets.
    pub(crate) fn root(&mut self) -> Hash {
        let mut level = BTreeSet::new();
        for number in std::mem::take(&mut self.dirty) {
            self.nodes[BUCKETS + number] = digest(&self.buckets[number]);
            level.insert((BUCKETS + number) / 2);
        }
        while let Some(node) = level.pop_last() {
            let (left, right) = (self.nodes[2 * node], self.nodes[2 * node + 1]);
            self.nodes[node] = sha256(Label::STORE_INNER, &[&left, &right]);
            if node > 1 {
                level.insert(node / 2);
            }
        }
        self.nodes[1]
    }
}

fn digest(bucket: &[(Hash, Hash)]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(Label::STORE_BUCKET.as_bytes());
    hash.update((bucket.len() as u64).to_be_bytes());
    for (place, leaf) in bucket {
        hash.update(place);
        hash.update(leaf);
    }
    hash.finalize().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    fn rebuilt(model: &BTreeMap<u8, u8>) -> (u64, Hash) {
        let mut index = Index::new();
        for (key, leaf) in model {
            index.set(&[*key], Some([*leaf; 32]));
        }
        (index.count(), index.root())
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(32))]
        #[test]
        fn changes_in_any_order_give_the_root_of_a_rebuilt_tree(
            changes in prop::collection::vec((any::<u8>(), prop::option::of(any::<u8>())), 0..40)
        ) {
            let (mut index, mut model) = (Index::new(), BTreeMap::new());
            for (key, leaf) in changes {
                index.set(&[key], leaf.map(|l| [l; 32]));
                match leaf {
                    Some(leaf) => model.insert(key, leaf),
                    None => model.remove(&key),
                };
                if key % 3 == 0 {
                    index.root();
                }
            }
            prop_assert_eq!((index.count(), index.root()), rebuilt(&model));
        }
    }

    #[test]
    fn every_change_changes_the_root() {
        let root = |pairs: &[(u8, u8)]| rebuilt(&pairs.iter().copied().collect()).1;
        let honest = root(&[(1, 1), (2, 2)]);
        for other in [vec![(1, 1)], vec![(1, 2), (2, 1)], vec![(1, 1), (3, 2)], vec![]] {
            assert_ne!(root(&other), honest);
        }
    }
}
