//! The cluster and what happens to it, one event after the other.

use super::{
    Broken,
    disk::{Cut, Disk},
    door::{Door, Seen},
    ledger::{Ledger, digest},
    story::Story,
    uses::{Done, Use},
};
use crate::{
    ceremonies,
    clock::Clock,
    core::{Core, CoreLimits},
    enrol::Place,
    life, orders, quarantine,
    requests::{self, Reply},
    startup,
    tests::fixture::{Ask, LIMITS, TestClock, World, cluster, key},
    witness,
};
use quorate_ceremony::{Conductor, Failure, Outcome, Ticket};
use quorate_crypto::{ShareIndex, answer::ReplyKey};
use quorate_rpc::v1::step_result::Outcome as Answered;
use quorate_store::Store;
use quorate_types::*;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, atomic::Ordering},
};
use tokio_util::sync::CancellationToken;

/// Events of one seed, before the faults stop.
const EVENTS: usize = 1_500;
/// Conductors at one time.
const CONDUCTORS: usize = 3;
/// Messages under way: more are lost.
const UNDER_WAY: usize = 60;
/// Old requests that somebody has kept.
const KEPT: usize = 30;
/// How far the wall clock jumps, in milliseconds.
const AHEAD: u64 = 3_600_000;

/// What a seed has met.
#[derive(Clone, Debug, Default)]
pub(crate) struct Met {
    pub(crate) seeds: u64,
    pub(crate) moved: u64,
    pub(crate) failed: u64,
    pub(crate) burnt: u64,
    pub(crate) uses: u64,
    pub(crate) refused: u64,
    pub(crate) lies: u64,
    pub(crate) lost: u64,
    pub(crate) cuts: u64,
    pub(crate) full: u64,
    pub(crate) jumps: u64,
    pub(crate) again: u64,
}

impl Met {
    pub(crate) fn add(&mut self, other: &Self) {
        self.seeds += 1;
        self.moved += other.moved;
        self.failed += other.failed;
        self.burnt += other.burnt;
        self.uses += other.uses;
        self.refused += other.refused;
        self.lies += other.lies;
        self.lost += other.lost;
        self.cuts += other.cuts;
        self.full += other.full;
        self.jumps += other.jumps;
        self.again += other.again;
    }
}

/// A node's disk, and its process if one runs.
pub(crate) struct Node {
    pub(crate) me: NodeEntry,
    pub(crate) disk: Arc<Disk>,
    pub(crate) door: Arc<Door>,
    pub(crate) core: Option<Core>,
}

#[derive(Clone)]
enum Message {
    Step { to: usize, by: u64, ticket: Ticket, request: Arc<[u8]> },
    StepDone { by: u64, ticket: Ticket, result: Result<Vec<u8>, Failure> },
    Ask { to: usize, of: u64, key: usize, ask: Box<Ask> },
    Answer { from: usize, of: u64, sealed: Vec<Vec<u8>> },
}

struct Running {
    key: usize,
    order: usize,
    conductor: Conductor,
}

pub(crate) struct Sim {
    pub(crate) dice: StdRng,
    pub(crate) world: World,
    pub(crate) nodes: Vec<Node>,
    pub(crate) stories: Vec<Story>,
    pub(crate) ledger: Ledger,
    pub(crate) met: Met,
    seen: Arc<Seen>,
    liar: Option<usize>,
    running: BTreeMap<u64, Running>,
    uses: BTreeMap<u64, Use>,
    under_way: Vec<Message>,
    kept: Vec<(usize, Ask)>,
    next: u64,
    /// Events before the first trouble.
    calm: usize,
    /// Whether the clock jumps in this seed; until when it is ahead, in events.
    jumps: bool,
    ahead: usize,
    /// A digest of all that nodes have said.
    said: u64,
}

impl Sim {
    pub(crate) fn new(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed ^ 0x5eed);
        let reply = ReplyKey::generate(&mut dice);
        let (cluster, clock) = (cluster(), Arc::new(TestClock::new()));
        let world = World { cluster, clock, nodes: Vec::new(), reply, record: None };
        let liar = dice.random_bool(0.5).then(|| dice.random_range(0..3));
        let index = liar.map(|at: usize| ShareIndex::new(at as u16 + 1).unwrap());
        // Every purpose among any four seeds, and two keys in each, so that RPCs carry both.
        let first = seed as usize % 4;
        let second = (first + dice.random_range(1..4)) % 4;
        let purposes = [first, second].map(|at| Purpose::ALL[at]);
        let stories = purposes.map(|purpose| Story::new(&world, purpose, index)).into();
        let (seen, roster) = (Arc::new(Seen::default()), world.cluster.roster().clone());
        let node = |(at, me): (usize, &NodeEntry)| {
            let disk = Arc::new(Disk::default());
            let door = door(at, &disk, &seen);
            Node { me: me.clone(), disk, door, core: None }
        };
        let nodes = roster.nodes.iter().enumerate().map(node).collect();
        let calm = dice.random_range(0..EVENTS / 3);
        let jumps = dice.random_bool(0.4);
        Self {
            calm,
            jumps,
            ahead: 0,
            dice,
            world,
            nodes,
            stories,
            ledger: Ledger::default(),
            met: Met::default(),
            seen,
            liar,
            running: BTreeMap::new(),
            uses: BTreeMap::new(),
            under_way: Vec::new(),
            kept: Vec::new(),
            next: 0,
            said: 0,
        }
    }

    pub(crate) fn run(&mut self) -> Result<u64, Broken> {
        self.begin();
        for _ in 0..EVENTS {
            self.calm = self.calm.saturating_sub(1);
            self.correct_the_clock();
            self.event()?;
            self.check()?;
        }
        self.ahead = self.ahead.min(1);
        self.correct_the_clock();
        self.running.clear();
        self.under_way.clear();
        self.end()?;
        Ok(self.said)
    }

    /// Nodes that know their clients.
    fn begin(&mut self) {
        (0..3).for_each(|at| self.start(at, LIMITS));
        self.acquaint();
        for client in [50, 51] {
            let before = if client == 50 { Hash::default() } else { self.world.add(50).hash() };
            let add = self.world.signed(self.world.add_order(client, before), &[101, 102]);
            for node in &self.nodes {
                orders::submit(node.core.as_ref().unwrap(), &add.to_bytes()).unwrap();
            }
        }
    }

    fn event(&mut self) -> Result<(), Broken> {
        match self.dice.random_range(0..100) {
            0..58 => self.deliver()?,
            58..72 => self.poll()?,
            72..79 => self.use_a_key(),
            79..82 => self.conduct(),
            82 => self.trouble(),
            83..89 => self.start_one(),
            89..94 => self.acquaint(),
            94..98 => self.ask_again(),
            98 => self.order(),
            _ => self.give_up_one(),
        }
        Ok(())
    }

    /// After every event.
    pub(crate) fn check(&mut self) -> Result<(), Broken> {
        self.seen.broken()?;
        for (at, node) in self.nodes.iter().enumerate() {
            self.ledger.read(at, &node.disk)?;
        }
        Ok(())
    }

    fn deliver(&mut self) -> Result<(), Broken> {
        if self.under_way.is_empty() {
            return self.poll();
        }
        let at = self.dice.random_range(0..self.under_way.len());
        let repeated = self.dice.random_bool(0.08);
        let message = match repeated {
            true => self.under_way[at].clone(),
            false => self.under_way.swap_remove(at),
        };
        if self.dice.random_bool(0.06) {
            self.met.lost += 1;
            return Ok(());
        }
        match message {
            Message::Step { to, by, ticket, request } => self.step(to, by, ticket, request),
            Message::StepDone { by, ticket, result } => self.step_done(by, &ticket, result),
            Message::Ask { to, of, key, ask } => self.ask(to, of, key, &ask),
            Message::Answer { from, of, sealed } => self.answer(from, of, &sealed),
        }
    }

    fn send(&mut self, message: Message) {
        if self.under_way.len() >= UNDER_WAY {
            let at = self.dice.random_range(0..self.under_way.len());
            self.under_way.swap_remove(at);
            self.met.lost += 1;
        }
        self.under_way.push(message);
    }

    /// Brings a step to a node, now and then with another conductor's in one call.
    fn step(
        &mut self,
        to: usize,
        by: u64,
        ticket: Ticket,
        request: Arc<[u8]>,
    ) -> Result<(), Broken> {
        let mut calls = vec![(by, ticket, request)];
        let same = |m: &Message| match m {
            Message::Step { to: other, ticket: t, by: b, .. } => {
                *other == to && t.step == ticket.step && *b != by
            }
            _ => false,
        };
        if self.dice.random_bool(0.5)
            && let Some(at) = self.under_way.iter().position(same)
            && let Message::Step { by, ticket, request, .. } = self.under_way.swap_remove(at)
        {
            calls.push((by, ticket, request));
        }
        let items: Vec<Vec<u8>> = calls.iter().map(|(.., request)| request.to_vec()).collect();
        let results = match &self.nodes[to].core {
            Some(core) => ceremonies::run(core, ticket.step, &items).ok(),
            None => None,
        };
        let Some(results) = results else {
            self.fell(to);
            for (by, ticket, _) in calls {
                self.send(Message::StepDone { by, ticket, result: Err(Failure::Unreachable) });
            }
            return Ok(());
        };
        for ((by, ticket, request), result) in calls.into_iter().zip(results) {
            let result = match result.outcome.unwrap() {
                Answered::Done(bytes) => Ok(bytes),
                Answered::Fault(fault) => {
                    let code = u16::try_from(fault.code).unwrap();
                    Err(Failure::Fault { code, message: fault.message })
                }
            };
            if let Ok(bytes) = &result {
                self.say(bytes);
                if let Some(key) = self.running.get(&by).map(|r| r.key) {
                    let what = (ticket.step, ticket.number);
                    self.ledger.done(to, key, what, &request, bytes)?;
                }
            }
            self.send(Message::StepDone { by, ticket, result });
        }
        self.look(to)?;
        self.fell(to);
        Ok(())
    }

    /// What node `at` shows of all keys.
    pub(crate) fn look(&mut self, at: usize) -> Result<(), Broken> {
        let Some(core) = &self.nodes[at].core else { return Ok(()) };
        self.stories.iter_mut().try_for_each(|story| story.look(core))
    }

    fn step_done(
        &mut self,
        by: u64,
        ticket: &Ticket,
        result: Result<Vec<u8>, Failure>,
    ) -> Result<(), Broken> {
        let now = self.world.clock.now().wall;
        let Some(running) = self.running.get_mut(&by) else { return Ok(()) };
        running.conductor.on_answer(ticket, result.as_deref().map_err(Clone::clone), now);
        self.finish(by)
    }

    fn poll(&mut self) -> Result<(), Broken> {
        let pause = self.dice.random_range(1..150);
        self.world.clock.pass(pause);
        let now = self.world.clock.now().wall;
        for by in self.running.keys().copied().collect::<Vec<_>>() {
            let sends = self.running.get_mut(&by).unwrap().conductor.poll(now);
            for send in sends {
                let to = usize::from(send.ticket.node.get()) - 1;
                let (ticket, request) = (send.ticket, send.request);
                self.send(Message::Step { to, by, ticket, request });
            }
            self.finish(by)?;
        }
        Ok(())
    }

    /// Hears how a conductor has ended.
    fn finish(&mut self, by: u64) -> Result<(), Broken> {
        let running = self.running.get(&by).unwrap();
        let (key, ended) = (running.key, running.conductor.outcome().cloned());
        let Some(ended) = ended else { return Ok(()) };
        self.running.remove(&by);
        self.take_outcome(key, &ended)
    }

    pub(crate) fn take_outcome(&mut self, key: usize, ended: &Outcome) -> Result<(), Broken> {
        match ended {
            Outcome::Born { record, culprits, .. } | Outcome::Moved { record, culprits, .. } => {
                self.met.moved += 1;
                if let Some(culprit) = culprits.first() {
                    let how = format!("honest node {} is blamed", culprit.node);
                    return Err(Broken { rule: "blame", how });
                }
                self.stories[key].hear(record)
            }
            Outcome::Failed { burnt, .. } => {
                self.met.failed += 1;
                self.stories[key].burnt |= *burnt;
                Ok(())
            }
        }
    }

    fn conduct(&mut self) {
        if self.running.len() >= CONDUCTORS {
            return;
        }
        let key = self.dice.random_range(0..self.stories.len());
        let story = &self.stories[key];
        // Mostly the newest order; sometimes one that a newer one has overtaken.
        let newest = story.orders.len() - 1;
        let order = if self.dice.random_bool(0.8) { newest } else { newest.saturating_sub(1) };
        let Some(conductor) = story.conductor(&self.world, order) else { return };
        let by = self.number();
        self.running.insert(by, Running { key, order, conductor });
    }

    /// The next order of a key, also where the one before it is under way.
    fn order(&mut self) {
        let key = self.dice.random_range(0..self.stories.len());
        // Three of three need no liar among them.
        let most = if self.liar.is_some() { 2 } else { 3 };
        let threshold = self.dice.random_range(2..=most);
        self.stories[key].order_move(&self.world, threshold);
    }

    fn give_up_one(&mut self) {
        let at = self.dice.random_range(0..CONDUCTORS);
        if let Some(by) = self.running.keys().nth(at).copied() {
            let gone = self.running.remove(&by).unwrap();
            self.said = self.said.rotate_left(1) ^ (gone.order as u64);
        }
    }

    fn use_a_key(&mut self) {
        let key = self.dice.random_range(0..self.stories.len());
        if self.stories[key].birth().is_none() {
            return self.conduct();
        }
        let begun = Use::begin(&self.world, &mut self.dice, key, &self.stories[key]);
        self.asks(begun, 0..3);
    }

    fn asks(&mut self, begun: Use, nodes: impl IntoIterator<Item = usize>) {
        let (of, key) = (self.number(), begun.key);
        for to in nodes {
            let ask = Box::new(begun.ask.clone());
            self.send(Message::Ask { to, of, key, ask });
        }
        if self.kept.len() >= KEPT {
            self.kept.remove(0);
        }
        self.kept.push((key, begun.ask.clone()));
        self.uses.insert(of, begun);
        while self.uses.len() > KEPT {
            self.uses.pop_first();
        }
    }

    /// Somebody has kept a request: it is sent again, or another one under its id.
    fn ask_again(&mut self) {
        if self.kept.is_empty() {
            return;
        }
        self.met.again += 1;
        let at = self.dice.random_range(0..self.kept.len());
        let (key, mut ask) = self.kept[at].clone();
        if self.dice.random_bool(0.7) {
            let other = self.dice.random_range(0..self.kept.len());
            let other = self.kept.iter().cycle().skip(other).take(self.kept.len());
            let alike = |o: &&(usize, Ask)| o.0 == key && o.1.head != ask.head;
            let Some((_, other)) = other.into_iter().find(alike).cloned() else { return };
            // Under its own id, or the other's items under this one's.
            let own = self.dice.random_bool(0.3).then(|| RequestId(self.dice.random()));
            let head = RequestHead {
                id: own.unwrap_or(ask.head.id),
                issued_at: ask.head.issued_at,
                ..other.head
            };
            ask = Ask { head, ..other };
        }
        let of = u64::MAX;
        for to in 0..3 {
            let ask = Box::new(ask.clone());
            self.send(Message::Ask { to, of, key, ask });
        }
    }

    /// A request at a node.
    fn ask(&mut self, to: usize, of: u64, key: usize, ask: &Ask) -> Result<(), Broken> {
        let lies = self.liar == Some(to) && self.dice.random_bool(0.5);
        let node = &self.nodes[to];
        let Some(core) = &node.core else { return Ok(()) };
        node.door.lies.store(lies, Ordering::SeqCst);
        let incoming = ask.incoming();
        *node.door.request.lock().unwrap() = incoming.head.clone();
        let reply = requests::answer(core, &incoming).map(|answered| answered.reply);
        match reply {
            Ok(Reply::Sealed(first, also)) => {
                self.met.lies += u64::from(lies);
                let sealed: Vec<Vec<u8>> = std::iter::once(first).chain(also).collect();
                let epoch = |bytes: &Vec<u8>| SealedAnswer::from_bytes(bytes).unwrap().epoch.number;
                let epochs: Vec<u64> = sealed.iter().map(epoch).collect();
                sealed.iter().for_each(|bytes| self.say(bytes));
                self.check()?;
                self.ledger.answered(to, key, &incoming.head, &epochs)?;
                self.send(Message::Answer { from: to, of, sealed });
            }
            Ok(Reply::Refused(_, bytes)) => {
                self.met.refused += 1;
                self.say(&bytes);
            }
            Err(_) => {}
        }
        self.fell(to);
        Ok(())
    }

    fn answer(&mut self, from: usize, of: u64, sealed: &[Vec<u8>]) -> Result<(), Broken> {
        let Some(mut of_use) = self.uses.remove(&of) else { return Ok(()) };
        let (key, liar) = (of_use.key, self.liar == Some(from));
        for bytes in sealed {
            let (story, me) = (&mut self.stories[key], &self.nodes[from].me);
            match of_use.hear(&self.world, story, me, bytes, liar)? {
                Some(Done::Drawn(epoch, signers)) => self.sign(key, epoch, &signers),
                Some(Done::Used) => self.met.uses += 1,
                None => {}
            }
        }
        self.uses.insert(of, of_use);
        Ok(())
    }

    /// Has those who have drawn sign; sometimes two messages under the same pairs.
    fn sign(&mut self, key: usize, epoch: EpochName, signers: &[signing::SignerCommitments]) {
        let times = if self.dice.random_bool(0.3) { 2 } else { 1 };
        for _ in 0..times {
            let story = &self.stories[key];
            let begun = Use::sign(&self.world, &mut self.dice, key, story, epoch, signers);
            self.asks(begun, signers.iter().map(|s| usize::from(s.node.get()) - 1));
        }
    }

    /// The power goes, in a write or between two; or a disk is full, or all clocks are ahead, for
    /// a while.
    fn trouble(&mut self) {
        if self.calm > 0 {
            return;
        }
        let at = self.dice.random_range(0..3);
        let node = &mut self.nodes[at];
        match self.dice.random_range(0..11) {
            0..6 => {
                let after = self.dice.random_range(0..4);
                node.disk.cut_power(Cut { after, kept: self.dice.random_bool(0.5) });
            }
            6..8 => {
                self.met.cuts += 1;
                node.core = None;
            }
            8..10 => {
                self.met.full += 1;
                node.disk.set_full(true);
            }
            _ if self.jumps && self.ahead == 0 => {
                self.met.jumps += 1;
                self.ahead = self.dice.random_range(20..80);
                let wall = self.world.clock.now().wall.0;
                self.world.clock.jump_to(wall + AHEAD);
            }
            _ => {}
        }
    }

    /// A wall clock that has jumped is right again after some events; somebody has set it right,
    /// and starts a node anew to be sure.
    fn correct_the_clock(&mut self) {
        if self.ahead == 1 {
            let wall = self.world.clock.now().wall.0;
            self.world.clock.jump_to(wall - AHEAD);
            let at = self.dice.random_range(0..3);
            self.start(at, LIMITS);
            self.acquaint();
        }
        self.ahead = self.ahead.saturating_sub(1);
    }

    /// A node whose power went in the last call has no process.
    pub(crate) fn fell(&mut self, at: usize) {
        let node = &mut self.nodes[at];
        if node.disk.is_dead() && node.core.take().is_some() {
            self.met.cuts += 1;
        }
    }

    /// There is room on a disk again, or a node starts, with the limits that it has now.
    fn start_one(&mut self) {
        let at = self.dice.random_range(0..3);
        self.nodes[at].disk.set_full(false);
        if self.nodes[at].core.is_none() {
            let replay_entries_per_client = [4, 10, 50][self.dice.random_range(0..3)];
            self.start(at, CoreLimits { replay_entries_per_client, ..LIMITS });
        }
    }

    pub(crate) fn start(&mut self, at: usize, limits: CoreLimits) {
        let disk = self.nodes[at].disk.image();
        disk.set_full(false);
        let door = door(at, &disk, &self.seen);
        let me = self.nodes[at].me.clone();
        let place = Place { cluster: self.world.cluster.clone(), me };
        let core = Core::new(
            place,
            key(u8::try_from(at + 1).unwrap()),
            Arc::clone(&disk) as Arc<dyn Store>,
            Arc::clone(&self.world.clock) as Arc<dyn Clock>,
            Arc::clone(&door) as Arc<dyn crate::evaluator::Evaluator>,
            limits,
            CancellationToken::new(),
        )
        .unwrap();
        startup::load(&core).unwrap();
        let node = &mut self.nodes[at];
        (node.disk, node.door, node.core) = (disk, door, Some(core));
    }

    /// A coordinator brings every running node the others' words.
    pub(crate) fn acquaint(&mut self) {
        for at in 0..3 {
            let Some(core) = &self.nodes[at].core else { continue };
            let checkpoint = life::checkpoint(core).to_bytes();
            let others = (0..3).filter(|other| *other != at);
            let word =
                |other: usize| witness::tell(self.nodes[other].core.as_ref()?, &checkpoint).ok();
            let words: Vec<Vec<u8>> = others.filter_map(word).collect();
            // What it hears holds also where it cannot be written down.
            let _ = quarantine::hear(core, &words);
            (0..3).for_each(|at| self.fell(at));
        }
    }

    pub(crate) fn say(&mut self, bytes: &[u8]) {
        self.said = self.said.rotate_left(5) ^ digest(bytes);
    }

    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }
}

fn door(node: usize, disk: &Arc<Disk>, seen: &Arc<Seen>) -> Arc<Door> {
    Arc::new(Door {
        node,
        disk: Arc::clone(disk),
        seen: Arc::clone(seen),
        request: Mutex::default(),
        lies: false.into(),
    })
}
