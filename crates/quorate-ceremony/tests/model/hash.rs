//! When two states are the same. Honest nodes of the same committees are alike: with
//! [`Config::symmetric`](crate::config::Config) states that differ by a permutation of them are
//! one, and shares, which the names determine, do not count.

use crate::{
    field::{MAX_NODES, bits, count},
    world::{Node, Prepared, World},
};
use quorate_types::EpochName;
use std::hash::{Hash, Hasher};

impl Hash for World {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let bytes = if self.config.symmetric {
            let orders = self.orders().into_iter();
            orders.map(|order| self.encode(&order)).min().expect("at least one order")
        } else {
            let mut bytes = self.encode(&AS_IT_IS);
            self.honest().for_each(|(_, n)| bytes.extend(n.shares.iter().map(|(_, s)| s)));
            bytes
        };
        state.write(&bytes);
    }
}

/// Where the node of each bit stands.
type Order = [usize; MAX_NODES];

const AS_IT_IS: Order = [0, 1, 2, 3, 4];

fn permutations(items: &[usize]) -> Vec<Vec<usize>> {
    let Some((first, rest)) = items.split_first() else { return vec![Vec::new()] };
    let insert = |p: &Vec<usize>, at: usize| [&p[..at], &[*first], &p[at..]].concat();
    let rest = permutations(rest);
    rest.iter().flat_map(|p| (0..=p.len()).map(move |at| insert(p, at))).collect()
}

/// How a mask is written.
type Mask<'a> = &'a dyn Fn(u8) -> u8;

impl World {
    /// Where each node stands, if nodes are sorted by what they have, seen from themselves;
    /// every possibility, where that does not tell them apart. Only nodes of the same committees
    /// change places.
    fn orders(&self) -> Vec<Order> {
        let mut keys: Vec<(u8, Vec<u8>, usize)> = Vec::with_capacity(MAX_NODES);
        for (bit, node) in self.honest() {
            let seen = |mask: u8| (count(mask) as u8) << 1 | mask >> bit & 1;
            let mut key = Vec::with_capacity(128);
            write_node(&mut key, node, &seen);
            self.write_epochs(&mut key, &seen);
            keys.push((self.config.class(bit), key, bit));
        }
        let mut places: Vec<usize> = keys.iter().map(|k| k.2).collect();
        places.sort_by_key(|bit| self.config.class(*bit));
        keys.sort_unstable();
        let mut orders = vec![AS_IT_IS];
        let mut from = 0;
        for group in keys.chunk_by(|a, b| (a.0, &a.1) == (b.0, &b.1)) {
            let alike: Vec<usize> = group.iter().map(|k| k.2).collect();
            let at = &places[from..from + alike.len()];
            from += alike.len();
            let arranged = permutations(&alike);
            orders = orders
                .into_iter()
                .flat_map(|order| {
                    arranged.iter().map(move |nodes| {
                        let mut order = order;
                        nodes.iter().zip(at).for_each(|(bit, place)| order[*bit] = *place);
                        order
                    })
                })
                .collect();
        }
        orders
    }

    fn encode(&self, order: &Order) -> Vec<u8> {
        let mut table = [0; 1 << MAX_NODES];
        for (mask, to) in table.iter_mut().enumerate() {
            *to = bits(mask as u8).fold(0, |m, bit| m | 1 << order[bit]);
        }
        let seen = |mask: u8| table[usize::from(mask)];
        let mut out = Vec::with_capacity(512);
        let mut nodes = [None; MAX_NODES];
        self.honest().for_each(|(bit, node)| nodes[order[bit]] = Some(node));
        nodes.iter().flatten().for_each(|node| write_node(&mut out, node, &seen));
        self.write_epochs(&mut out, &seen);
        for Prepared { nodes, offers } in &self.prepared {
            out.push(seen(*nodes));
            let offers = offers.iter().map(|(parent, mask)| {
                let mut bytes = Vec::with_capacity(16);
                write_name(&mut bytes, *parent, &seen);
                bytes.push(seen(*mask));
                bytes
            });
            write_sorted(&mut out, offers.collect());
        }
        out
    }
}

impl World {
    fn write_epochs(&self, out: &mut Vec<u8>, seen: Mask<'_>) {
        let epochs = self.epochs.iter().map(|epoch| {
            let mut bytes = Vec::with_capacity(16);
            write_name(&mut bytes, epoch.public.epoch, seen);
            bytes.extend([seen(epoch.dealt), seen(epoch.receipts), seen(epoch.actives)]);
            bytes
        });
        write_sorted(out, epochs.collect());
    }
}

fn write_sorted(out: &mut Vec<u8>, mut items: Vec<Vec<u8>>) {
    items.sort_unstable();
    out.push(items.len() as u8);
    items.iter().for_each(|item| out.extend(item));
}

/// The number and the masks of an epoch and its ancestors.
fn write_name(out: &mut Vec<u8>, name: EpochName, seen: Mask<'_>) {
    out.push(name.number as u8);
    for link in name.bundle.0.chunks(3) {
        if link[0] == 0 {
            break;
        }
        out.extend([seen(link[0]), seen(link[1]), *link.get(2).unwrap_or(&0)]);
    }
}

fn write_option(out: &mut Vec<u8>, name: Option<EpochName>, seen: Mask<'_>) {
    match name {
        None => out.push(0),
        Some(name) => write_name(out, name, seen),
    }
}

fn write_node(out: &mut Vec<u8>, node: &Node, seen: Mask<'_>) {
    let standing = &node.standing;
    out.push(node.head.map_or(0, |h| h as u8 + 1));
    write_option(out, standing.active.map(|a| a.epoch), seen);
    write_option(out, standing.noted.map(|n| n.epoch), seen);
    write_option(out, standing.in_force, seen);
    out.push(standing.live.len() as u8);
    for live in &standing.live {
        out.extend([live.number as u8, u8::from(live.dealt) << 1 | u8::from(live.active)]);
        write_option(out, live.parent, seen);
        write_option(out, live.epoch, seen);
    }
    out.push(node.attempts.len() as u8);
    for (number, attempt) in &node.attempts {
        out.push(*number as u8);
        write_option(out, attempt.list, seen);
        write_option(out, attempt.receipt.map(|r| r.epoch), seen);
    }
    out.extend(node.shares.iter().map(|(number, _)| *number as u8));
}
