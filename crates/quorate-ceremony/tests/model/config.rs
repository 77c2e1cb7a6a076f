//! What is checked: who there is, who lies, which orders come, and which rule is broken.

use crate::field::count;

/// An order, or how the key was born.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Order {
    /// The committee.
    pub(crate) committee: u8,
    pub(crate) t: usize,
    pub(crate) q: usize,
    /// The first and the last of its epoch numbers.
    pub(crate) numbers: (u64, u64),
}

/// A rule that is broken on purpose.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mutant {
    /// None is.
    Real,
    /// `q` receipts are a retire certificate.
    RetireWithoutActives,
    /// A node signs active without a share.
    ActiveWithoutShare,
    /// A node refuses a parent that is not its active epoch.
    ParentMustBeActive,
    /// Pending shares stay when their parent is erased.
    PendingKept,
    /// A node serves only the newest epoch that it has signed active.
    ServesNewestOnly,
    /// A node that activates an epoch erases its parent.
    ErasesAtActivation,
    /// A node signs a second receipt for a number.
    SecondReceipt,
    /// An epoch in force ends the active ones above it that are not its children.
    DropsActiveAbove,
    /// An epoch is named by its number alone.
    NamedByNumber,
}

/// A model.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    /// How the key was born, then its orders, each superseding the one before; the last is
    /// the fresh one that nobody uses before the faults are gone.
    pub(crate) orders: Vec<Order>,
    /// Who lies.
    pub(crate) liars: u8,
    /// Whether states that differ only by which honest node is which are one.
    pub(crate) symmetric: bool,
    pub(crate) mutant: Mutant,
}

impl Config {
    /// A key with a committee of `n` nodes, the first `n` of the model.
    pub(crate) fn born(n: usize, t: usize, q: usize) -> Self {
        let committee = (1 << n) - 1;
        let orders = vec![Order { committee, t, q, numbers: (1, 1) }];
        Self { orders, liars: 0, symmetric: true, mutant: Mutant::Real }
    }

    /// An order for a committee, with so many epoch numbers.
    pub(crate) fn order(mut self, committee: &[usize], t: usize, q: usize, numbers: u64) -> Self {
        let first = self.orders[self.orders.len() - 1].numbers.1 + 1;
        let committee = committee.iter().fold(0, |mask, node| mask | 1 << (node - 1));
        self.orders.push(Order { committee, t, q, numbers: (first, first + numbers - 1) });
        self
    }

    /// The same committee again.
    pub(crate) fn refresh(mut self, numbers: u64) -> Self {
        let last = self.orders[self.orders.len() - 1];
        let first = last.numbers.1 + 1;
        self.orders.push(Order { numbers: (first, first + numbers - 1), ..last });
        self
    }

    /// These nodes lie.
    pub(crate) fn liars(mut self, nodes: &[usize]) -> Self {
        self.liars = nodes.iter().fold(0, |mask, node| mask | 1 << (node - 1));
        self
    }

    /// Tells every honest node from every other.
    pub(crate) fn every_node_its_own(mut self) -> Self {
        self.symmetric = false;
        self
    }

    pub(crate) fn with(mut self, mutant: Mutant) -> Self {
        self.mutant = mutant;
        self
    }

    /// Adds the fresh order: all honest nodes, without any liar.
    pub(crate) fn complete(mut self) -> Self {
        let (committee, first) = (self.honest(), self.orders[self.orders.len() - 1].numbers.1 + 1);
        let t = self.orders[0].t.min(count(committee));
        self.orders.push(Order { committee, t, q: count(committee), numbers: (first, first) });
        self
    }

    /// The honest nodes.
    pub(crate) fn honest(&self) -> u8 {
        let all = self.orders.iter().fold(0, |mask, order| mask | order.committee);
        all & !self.liars
    }

    /// Which order a number belongs to.
    pub(crate) fn order_of(&self, number: u64) -> usize {
        let has = |o: &Order| (o.numbers.0..=o.numbers.1).contains(&number);
        self.orders.iter().position(has).expect("every number has an order")
    }

    /// The terms of the order that a number belongs to.
    pub(crate) fn terms(&self, number: u64) -> &Order {
        &self.orders[self.order_of(number)]
    }

    /// The numbers that conductors try.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u64> + use<> {
        2..self.orders[self.orders.len() - 1].numbers.0
    }

    /// How many nodes may be down or lying: the least `q − t'`.
    pub(crate) fn bound(&self) -> usize {
        let orders = &self.orders[..self.orders.len() - 1];
        orders.iter().map(|o| o.q - o.t).min().expect("a key has a birth")
    }

    /// In which committees a node is: nodes in the same ones are alike.
    pub(crate) fn class(&self, node: usize) -> u8 {
        let member = |(i, o): (usize, &Order)| (o.committee >> node & 1) << i;
        self.orders.iter().enumerate().map(member).sum()
    }
}
