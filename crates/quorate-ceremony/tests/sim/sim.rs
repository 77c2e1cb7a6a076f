//! One seed: a cluster, its operators, everybody who would harm it, and one source of chance.

use crate::{
    broken::{Broken, Held, holds},
    evil::Evil,
    ledger::Ledger,
    node::Weather,
    operators::Operators,
    owner::Owner,
    rig::*,
    uses::{self, Quorum},
    view::View,
};
use quorate_ceremony::*;
use quorate_crypto::{
    SecretScalar,
    dealing::{Weights, combine_share},
};
use quorate_types::*;
use rand::{RngExt, SeedableRng, rngs::StdRng, seq::SliceRandom};
use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    hash::{DefaultHasher, Hash as _, Hasher},
    sync::Arc,
};

/// Events of the genesis, and of the reshares after it.
const EVENTS: [usize; 2] = [120, 700];
/// How many members are faulty.
const FAULTY: [usize; 5] = [0, 1, 1, 2, 2];
/// The most orders of a seed: no node misses more than a conductor can tell it of.
const ORDERS: usize = 12;

/// How much there was of what.
#[derive(Clone, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) seeds: u64,
    pub(crate) events: u64,
    /// Conductors that came to an end by themselves.
    pub(crate) ceremonies: u64,
    pub(crate) moved: u64,
    pub(crate) burnt: u64,
    /// Conductors that were killed.
    pub(crate) replaced: u64,
    /// Nodes that were killed.
    pub(crate) kills: u64,
    pub(crate) drops: u64,
    pub(crate) repeats: u64,
    pub(crate) cuts: u64,
    pub(crate) disk_faults: u64,
    pub(crate) restores: u64,
    pub(crate) lies: u64,
    pub(crate) evil: u64,
    pub(crate) complaints: u64,
    pub(crate) receipts: u64,
    /// Receipts beside one for another bundle of the same number.
    pub(crate) splits: u64,
    pub(crate) probes: u64,
    /// Uses of the key, and those in which a node lied.
    pub(crate) uses: u64,
    pub(crate) lies_in_use: u64,
    /// Two bundles of one number handed out.
    pub(crate) pairs: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, o: &Self) {
        let pairs: [(&mut u64, u64); 21] = [
            (&mut self.seeds, o.seeds),
            (&mut self.events, o.events),
            (&mut self.ceremonies, o.ceremonies),
            (&mut self.moved, o.moved),
            (&mut self.burnt, o.burnt),
            (&mut self.replaced, o.replaced),
            (&mut self.kills, o.kills),
            (&mut self.drops, o.drops),
            (&mut self.repeats, o.repeats),
            (&mut self.cuts, o.cuts),
            (&mut self.disk_faults, o.disk_faults),
            (&mut self.restores, o.restores),
            (&mut self.lies, o.lies),
            (&mut self.evil, o.evil),
            (&mut self.complaints, o.complaints),
            (&mut self.receipts, o.receipts),
            (&mut self.splits, o.splits),
            (&mut self.probes, o.probes),
            (&mut self.uses, o.uses),
            (&mut self.lies_in_use, o.lies_in_use),
            (&mut self.pairs, o.pairs),
        ];
        for (sum, more) in pairs {
            *sum += more;
        }
    }
}

/// A message under way.
struct Flight {
    /// The slot and the conductor in it; none if the hostile coordinator sent it.
    from: Option<(usize, u32, Ticket)>,
    node: NodeIndex,
    step: StepKind,
    request: Arc<[u8]>,
    answer: Option<Result<Vec<u8>, Failure>>,
}

/// What happened, as a hash and as the last lines.
#[derive(Default)]
pub(crate) struct Log {
    hash: DefaultHasher,
    pub(crate) last: VecDeque<String>,
}

impl Log {
    fn line(&mut self, now: Millis, what: &str) {
        let line = format!("{} ms: {what}", now.0 - START.0);
        line.hash(&mut self.hash);
        if self.last.len() == 60 {
            self.last.pop_front();
        }
        self.last.push_back(line);
    }
}

pub(crate) struct Sim {
    pub(crate) world: World,
    pub(crate) dice: StdRng,
    pub(crate) operators: Operators,
    pub(crate) version: KeyVersion,
    /// Whether the key's next version is ordered by hand and by a schedule.
    scheduling: bool,
    /// The liars; with them those that run on old disk images are the faulty ones.
    pub(crate) liars: BTreeSet<NodeIndex>,
    pub(crate) ledger: Ledger,
    pub(crate) views: BTreeMap<NodeIndex, View>,
    pub(crate) weather: BTreeMap<NodeIndex, Weather>,
    pub(crate) evil: Evil,
    pub(crate) seen: Seen,
    pub(crate) log: Log,
    /// The faults have stopped.
    pub(crate) calm: bool,
    /// How often a node dies at a step, in a hundred, before and after it persists.
    pub(crate) crashes: u32,
    /// For so many events the newest order is in the hostile coordinator's hands alone.
    pub(crate) theirs: u32,
    /// The node whose disk may have changed.
    pub(crate) touched: Option<NodeIndex>,
    loss: f64,
    slots: [Option<(u32, Conductor)>; 2],
    conductors: u32,
    flights: Vec<Flight>,
    seed: u64,
    /// What a use of each version of the key gave that must never change.
    outcomes: BTreeMap<KeyVersion, Vec<u8>>,
    /// Cut off from all coordinators: for requests, and for answers.
    cut: [BTreeSet<NodeIndex>; 2],
}

/// What the cluster's key is for: a key that signs is shared over the other group. Takes no dice,
/// so that all else is the same in all.
fn purpose(seed: u64) -> Purpose {
    match seed % 8 {
        2 | 6 => Purpose::Sign,
        3 => Purpose::Derive,
        7 => Purpose::Wrap,
        _ => Purpose::Decrypt,
    }
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let size = dice.random_range(5..=7);
        let world = World::of(size, seed);
        let mut nodes: Vec<NodeIndex> = world.nodes.keys().copied().collect();
        nodes.shuffle(&mut dice);
        let faulty: BTreeSet<_> =
            nodes.into_iter().take(FAULTY[dice.random_range(0..FAULTY.len())]).collect();
        let liars = faulty.iter().copied().filter(|_| dice.random_bool(0.7)).collect();
        Self {
            operators: Operators::of(size, purpose(seed)),
            seed,
            outcomes: BTreeMap::new(),
            version: KeyVersion::FIRST,
            scheduling: false,
            liars,
            ledger: Ledger::new(faulty),
            views: BTreeMap::new(),
            weather: world.nodes.keys().map(|n| (*n, Weather::fair())).collect(),
            evil: Evil::default(),
            seen: Seen { seeds: 1, ..Seen::default() },
            log: Log::default(),
            calm: false,
            crashes: dice.random_range(0..4),
            touched: None,
            theirs: 0,
            loss: f64::from(dice.random_range(0..10)) / 100.0,
            slots: [None, None],
            conductors: 0,
            flights: Vec::new(),
            cut: [BTreeSet::new(), BTreeSet::new()],
            world,
            dice,
        }
    }

    /// The same with a key that its owner has already.
    pub(crate) fn importing(seed: u64) -> Self {
        let mut sim = Self::new(seed);
        let suite = sim.operators.purpose.suite();
        sim.operators.owner = Some(Owner::of(&mut sim.world, suite));
        sim
    }

    /// The same about the next version of a key: by hand, and by itself under a schedule.
    pub(crate) fn scheduling(seed: u64) -> Self {
        Self { scheduling: true, ..Self::new(seed) }
    }

    /// A version is born in peace; a schedule has the next one born by itself, from now on. Most
    /// nodes hear of it at once, the others when the faults stop.
    fn is_scheduled(&mut self) -> Held {
        self.is_born()?;
        self.operators.records.clear();
        self.version = KeyVersion::new(self.version.get() + 1).unwrap();
        self.views.clear();
        let faulty = self.ledger.faulty.clone();
        self.operators.schedule(&self.world, &mut self.dice, self.version, &faulty);
        self.brings_the_schedule(0.7);
        Ok(())
    }

    /// What a coordinator does with an order: every node that it reaches has it.
    fn brings_the_schedule(&mut self, often: f64) {
        let Some(order) = self.operators.schedule.clone() else { return };
        let Subject { key, version, .. } = self.subject();
        let changes = Changes { key, version, list: vec![Change::Head(Box::new(order))] };
        for node in self.world.nodes.values_mut() {
            if self.dice.random_bool(often) {
                node.disk.apply(&changes);
            }
        }
    }

    /// The whole story; its hash.
    pub(crate) fn run(&mut self) -> Result<u64, Broken> {
        let (version, faulty) = (self.version, self.ledger.faulty.clone());
        let nobody = BTreeSet::new();
        self.operators.create(&self.world, &mut self.dice, version, &faulty, &nobody);
        if self.scheduling {
            self.is_scheduled()?;
        }
        (0..2).for_each(|slot| self.operator_acts(slot)); // two keys at once, if it may be
        self.disorder(EVENTS[0])?;
        self.is_born()?;
        self.disorder(EVENTS[1])?;
        self.moves_once_more()?;
        Ok(self.log.hash.finish())
    }

    pub(crate) fn subject(&self) -> Subject {
        Subject { version: self.version, ..subject(0) }
    }

    fn disorder(&mut self, events: usize) -> Held {
        self.calm = false;
        for _ in 0..events {
            self.seen.events += 1;
            self.event()?;
            self.check()?;
        }
        Ok(())
    }

    fn event(&mut self) -> Held {
        let idle = self.flights.is_empty();
        self.world.now =
            self.world.now.plus(self.dice.random_range(0..if idle { 400 } else { 20 }));
        let slot = self.dice.random_range(0..2);
        self.theirs = self.theirs.saturating_sub(1);
        if self.theirs > 0 && self.dice.random_bool(0.12) {
            self.go_on();
            return Ok(());
        }
        match self.dice.random_range(0..1000) {
            0..5 => self.kill_conductor(slot),
            5..50 => self.operator_acts(slot),
            50..70 => self.weather_changes(),
            70..150 => {
                self.evil();
            }
            150..300 => self.poll(slot),
            _ if self.flights.is_empty() => self.poll(slot),
            _ => return self.deliver(),
        }
        Ok(())
    }

    fn kill_conductor(&mut self, slot: usize) {
        if self.slots[slot].take().is_some() {
            self.seen.replaced += 1;
        }
    }

    /// An operator with nothing under way orders a move, or goes on under an order.
    fn operator_acts(&mut self, slot: usize) {
        if self.slots[slot].is_some() || self.theirs > 0 {
            return;
        }
        let orders = self.operators.orders.len();
        let fresh = self.dice.random_bool(0.35) && orders < ORDERS;
        let unborn = self.operators.records.is_empty();
        let order = if let Some(schedule) = &self.operators.schedule
            && self.dice.random_bool(if unborn { 0.5 } else { 0.1 })
        {
            schedule.clone()
        } else if self.operators.schedule.is_some()
            && self.operators.head().terms().unwrap().version < self.version
            && unborn
        {
            let (faulty, nobody) = (self.ledger.faulty.clone(), BTreeSet::new());
            let (world, dice) = (&self.world, &mut self.dice);
            self.operators.create(world, dice, self.version, &faulty, &nobody)
        } else if !unborn && fresh {
            let faulty = self.ledger.faulty.clone();
            let nobody = BTreeSet::new();
            let (world, dice) = (&self.world, &mut self.dice);
            let order = self.operators.move_shares(world, dice, &faulty, &nobody);
            if self.dice.random_bool(0.4) {
                (self.theirs, self.evil.focus) = (160, None);
                return;
            }
            order
        } else if self.dice.random_bool(0.1) {
            self.operators.orders[self.dice.random_range(0..orders)].clone()
        } else {
            self.operators.head().clone()
        };
        self.log.line(self.world.now, &format!("order {}", order.hash()));
        let conductor = self.operators.conductor(&self.world, &mut self.dice, &order);
        self.conductors += 1;
        self.slots[slot] = Some((self.conductors, conductor));
    }

    fn weather_changes(&mut self) {
        let nodes: Vec<_> = self.world.nodes.keys().copied().collect();
        let mut node = nodes[self.dice.random_range(0..nodes.len())];
        let until = self.world.now.plus(self.dice.random_range(0..3000));
        let what = self.dice.random_range(0..12);
        if let Some(rewound) = self.ledger.faulty.difference(&self.liars).next()
            && what >= 8
        {
            node = *rewound;
        }
        self.log.line(self.world.now, &format!("weather {what} at {node}"));
        let honest = !self.ledger.faulty.contains(&node) || self.liars.contains(&node);
        let weather = self.weather.get_mut(&node).unwrap();
        match what {
            0 => self.crash(node),
            1 => nodes.iter().for_each(|n| self.crash(*n)), // all sites at once
            2 => weather.failing_until = until,
            3 => weather.full_until = until,
            4 | 5 => {
                self.seen.cuts += 1;
                self.cut[what - 4].insert(node);
            }
            6 | 7 => self.cut = [BTreeSet::new(), BTreeSet::new()],
            8..10 if !honest => weather.images.push(self.world.nodes[&node].disk.clone()),
            10..12 if !honest && !weather.images.is_empty() => {
                let at = self.dice.random_range(0..weather.images.len());
                self.world.nodes.get_mut(&node).unwrap().disk = weather.images[at].clone();
                self.seen.restores += 1;
            }
            _ => {}
        }
    }

    fn poll(&mut self, slot: usize) {
        let Some((id, conductor)) = &mut self.slots[slot] else { return };
        for send in conductor.poll(self.world.now) {
            self.evil.sees_request(send.ticket.step, &send.request);
            self.flights.push(Flight {
                from: Some((slot, *id, send.ticket)),
                node: send.ticket.node,
                step: send.ticket.step,
                request: send.request,
                answer: None,
            });
        }
        self.ended(slot);
    }

    /// A message of the hostile coordinator.
    pub(crate) fn tell(&mut self, node: NodeIndex, step: StepKind, request: &Arc<[u8]>) {
        self.evil.sees_request(step, request);
        let request = Arc::clone(request);
        self.flights.push(Flight { from: None, node, step, request, answer: None });
    }

    /// Any message that is under way arrives, is lost, or arrives and stays under way.
    fn deliver(&mut self) -> Held {
        let at = self.dice.random_range(0..self.flights.len());
        let mut flight = self.flights.swap_remove(at);
        let back = flight.answer.is_some();
        if self.dice.random_bool(self.loss) || self.cut[usize::from(back)].contains(&flight.node) {
            self.seen.drops += 1;
            return Ok(());
        }
        if let Some(answer) = flight.answer {
            if let Some((slot, id, ticket)) = flight.from
                && let Some((other, conductor)) = &mut self.slots[slot]
                && *other == id
            {
                let answer = answer.as_deref().map_err(Clone::clone);
                conductor.on_answer(&ticket, answer, self.world.now);
                self.ended(slot);
            }
            return Ok(());
        }
        if self.dice.random_bool(0.07) {
            self.seen.repeats += 1;
            let request = Arc::clone(&flight.request);
            self.flights.push(Flight { request, answer: None, ..flight });
        }
        flight.answer = self.asked(flight.node, flight.step, &flight.request)?;
        if flight.answer.is_some() && flight.from.is_some() {
            self.flights.push(flight);
        }
        Ok(())
    }

    /// A request at its node; what it answers, the hostile coordinator sees too.
    fn asked(
        &mut self,
        node: NodeIndex,
        step: StepKind,
        request: &[u8],
    ) -> Result<Option<Result<Vec<u8>, Failure>>, Broken> {
        if node == NodeIndex::OWNER {
            return Ok(self.operators.owner_deals(&self.world, request));
        }
        let answer = self.at_node(node, step, request)?;
        if let Some(Ok(bytes)) = &answer {
            self.evil.sees_answer(node, step, request, bytes);
        }
        let said = match &answer {
            None => "nothing".into(),
            Some(Err(Failure::Fault { code, .. })) => format!("fault {code}"),
            Some(Err(Failure::Unreachable)) => "unreachable".into(),
            Some(Ok(bytes)) => format!("{:016x}", hash(bytes)),
        };
        let line = format!("node {node} {step} {:016x}: {said}", hash(request));
        self.log.line(self.world.now, &line);
        Ok(answer)
    }

    fn ended(&mut self, slot: usize) {
        let over = self.slots[slot].as_ref().is_some_and(|(_, c)| c.outcome().is_some());
        if let Some((_, conductor)) = self.slots[slot].take_if(|_| over) {
            self.seen.ceremonies += 1;
            match conductor.outcome() {
                Some(Outcome::Moved { record, .. }) => {
                    self.seen.moved += 1;
                    self.operators.hear(record);
                }
                Some(Outcome::Failed { reason, .. }) => {
                    self.log.line(self.world.now, &format!("failed: {reason}"));
                }
                Some(Outcome::Born { .. }) | None => {}
            }
        }
    }

    /// After every event: what the node whose disk has changed holds, and the cluster.
    fn check(&mut self) -> Held {
        let Some(node) = self.touched.take() else { return Ok(()) };
        if self.ledger.faulty.contains(&node) {
            return Ok(());
        }
        let before = self.views.remove(&node).unwrap_or_default();
        let disk = &self.world.nodes[&node].disk;
        let view = View::read(disk, node, &self.subject(), &self.ledger, &before)?;
        view.follows(&before, node, &self.ledger)?;
        view.keeps_promises(node, self.version, &self.ledger)?;
        self.views.insert(node, view);
        self.decrypts()
    }

    /// I1 and I4: `t` honest nodes serve one epoch, and whoever combines what those of them
    /// that are up answer has the key.
    fn decrypts(&mut self) -> Held {
        let Some(born) = self.ledger.born.get(&self.version) else { return Ok(()) };
        // Another epoch of the genesis, signed active before this one was born, has no proof
        // and never will: nobody asks for it.
        let unborn = |e: &EpochName| {
            let public = self.ledger.epochs.get(e).map(|e| &e.public);
            public.is_some_and(|p| p.parent.is_none() && p.public_key() != born)
        };
        let mut serving: BTreeMap<EpochName, Vec<NodeIndex>> = BTreeMap::new();
        for (node, view) in &self.views {
            for epoch in view.standing.serves().filter(|e| view.held.contains(e) && !unborn(e)) {
                serving.entry(epoch).or_default().push(*node);
            }
        }
        let t = |e: &EpochName| {
            self.ledger.epochs.get(e).map_or(64, |e| e.public.committee.threshold().as_usize())
        };
        let enough = serving.iter().any(|(e, nodes)| nodes.len() >= t(e));
        holds!("I1", enough, "no epoch is served by t honest nodes: {serving:?}");
        let up = |n: &NodeIndex| self.world.now >= self.weather[n].down_until;
        for nodes in serving.values_mut() {
            nodes.retain(up);
            nodes.shuffle(&mut self.dice);
        }
        let Some((epoch, nodes)) = serving.iter().rfind(|(e, n)| n.len() >= t(e)) else {
            return Ok(()); // refused: too few are up
        };
        self.seen.probes += 1;
        let shares: Vec<(NodeIndex, SecretScalar)> =
            nodes.iter().take(t(epoch)).map(|n| (*n, self.partial(*n, epoch))).collect();
        let key = combine_share(&shares, Weights::LagrangeAtZero).unwrap();
        let key = self.operators.purpose.suite().group().mul_base(&key).encode();
        holds!("I4", key == *born, "shares of {epoch} are another key");
        let epoch = *epoch;
        self.use_key(&epoch, &shares)
    }

    /// One use of the key by a quorum; every other time one of them lies.
    fn use_key(&mut self, epoch: &EpochName, shares: &[(NodeIndex, SecretScalar)]) -> Held {
        let Some(known) = self.ledger.epochs.get(epoch) else { return Ok(()) };
        let commitments = known.public.decode_commitments().unwrap();
        let at = self.seen.probes;
        let liar = at.is_multiple_of(2).then(|| shares[at as usize / 2 % shares.len()].0);
        let threshold = known.public.committee.threshold();
        let quorum = Quorum { threshold, commitments: &commitments, shares, liar };
        let mut dice = StdRng::seed_from_u64(self.seed ^ at << 32);
        let outcome = uses::of(self.operators.purpose, &quorum, &mut dice);
        let wrong = outcome.as_ref().err().cloned().unwrap_or_default();
        holds!("use", outcome.is_ok(), "{epoch}, liar {liar:?}: {wrong}");
        if let Some(outcome) = outcome.unwrap_or_default() {
            let first = self.outcomes.entry(self.version).or_insert_with(|| outcome.clone());
            holds!("I2", *first == outcome, "{epoch}: what is the same for ever has changed");
        }
        self.seen.uses += 1;
        self.seen.lies_in_use += u64::from(liar.is_some());
        Ok(())
    }

    /// What a node answers under an epoch's name.
    fn partial(&self, node: NodeIndex, epoch: &EpochName) -> SecretScalar {
        let mut number = epoch.number;
        if crate::planted::mixes_epochs() {
            number = self.views[&node].standing.serves().last().unwrap().number;
        }
        self.world.nodes[&node].disk.share(&self.subject(), number).unwrap()
    }

    fn faults_stop(&mut self) {
        self.calm = true;
        self.slots = [None, None];
        self.flights.clear();
        self.cut = [BTreeSet::new(), BTreeSet::new()];
        self.brings_the_schedule(1.0);
        for weather in self.weather.values_mut() {
            *weather = Weather { images: std::mem::take(&mut weather.images), ..Weather::fair() };
        }
    }

    /// A conductor that nothing happens to.
    fn conduct(&mut self, order: &VerifiedOrder) -> Result<Outcome, Broken> {
        let mut conductor = self.operators.conductor(&self.world, &mut self.dice, order);
        for _ in 0..2_000 {
            for send in conductor.poll(self.world.now) {
                self.evil.sees_request(send.ticket.step, &send.request);
                let answer = self.asked(send.ticket.node, send.ticket.step, &send.request)?;
                self.check()?;
                let answer = answer.unwrap_or(Err(Failure::Unreachable));
                let answer = answer.as_deref().map_err(Clone::clone);
                conductor.on_answer(&send.ticket, answer, self.world.now);
            }
            if let Some(outcome) = conductor.outcome() {
                self.seen.ceremonies += 1;
                return Ok(outcome.clone());
            }
            self.world.now = self.world.now.plus(250);
        }
        holds!("I6", false, "a conductor neither ends nor gives up: {:?}", conductor.progress());
        unreachable!("it does not hold");
    }

    /// The genesis without faults: if need be under another order, or of the next version.
    fn is_born(&mut self) -> Held {
        self.faults_stop();
        let mut why = String::new();
        for _ in 0..4 {
            let head = self.operators.head().clone();
            // By hand, if that was begun.
            let begun = head.terms().unwrap().version >= self.version;
            let schedule = self.operators.schedule.clone().filter(|_| !begun);
            match self.conduct(&schedule.unwrap_or(head))? {
                Outcome::Born { record, .. } => {
                    self.operators.hear(&record);
                    return Ok(());
                }
                Outcome::Failed { burnt, reason, .. } => {
                    why = reason.to_string();
                    // An operator does not wait for ever for a member that decides nothing.
                    let hangs =
                        matches!(reason, FailReason::Undecided { .. } | FailReason::Changed { .. });
                    if burnt || hangs {
                        self.seen.burnt += 1;
                        self.version = KeyVersion::new(self.version.get() + 1).unwrap();
                        self.views.clear();
                    }
                    let faulty = self.ledger.faulty.clone();
                    let (world, dice) = (&self.world, &mut self.dice);
                    self.operators.create(world, dice, self.version, &faulty, &faulty);
                }
                Outcome::Moved { .. } => unreachable!("a genesis moves no shares"),
            }
        }
        holds!("I6", false, "no key is born: {why}");
        Ok(())
    }

    /// I6: under a fresh order the shares move, and what was before is gone.
    fn moves_once_more(&mut self) -> Held {
        self.faults_stop();
        let faulty = self.ledger.faulty.clone();
        let rewound = faulty.difference(&self.liars).copied().collect();
        let order = self.operators.move_shares(&self.world, &mut self.dice, &faulty, &rewound);
        let outcome = self.conduct(&order)?;
        let Outcome::Moved { record, absent, unerased, .. } = outcome else {
            let Outcome::Failed { reason, .. } = outcome else { unreachable!("not a genesis") };
            holds!("I6", false, "the shares do not move: {reason}");
            return Ok(());
        };
        self.seen.moved += 1;
        let name = record.certificate.public.epoch;
        let late = absent.iter().chain(&unerased).find(|n| !faulty.contains(n));
        holds!("I6", late.is_none(), "node {late:?} is not up to date with {name}");
        for node in order.terms().unwrap().committee.indices().filter(|n| !faulty.contains(n)) {
            let view = &self.views[&node];
            let serves: Vec<_> = view.standing.serves().collect();
            holds!("I6", serves == [name], "node {node} serves {serves:?}, not {name} alone");
            let secrets = view.secrets.len();
            holds!("erasure", secrets == 2, "node {node} keeps {secrets} secrets");
        }
        Ok(())
    }
}

fn hash(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    bytes.hash(&mut hasher);
    hasher.finish()
}
