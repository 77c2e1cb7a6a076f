//! The faults stop: what was asked is asked again and completes, the shares move once more, and
//! nothing old answers.

use super::{
    Broken,
    cluster::Sim,
    uses::{Done, Use},
};
use crate::{
    ceremonies,
    clock::Clock,
    records,
    requests::{self, Reply},
    tests::fixture::LIMITS,
};
use quorate_ceremony::{Conductor, FailReason, Failure, Outcome};
use quorate_rpc::v1::step_result::Outcome as Answered;
use quorate_types::*;
use std::sync::atomic::Ordering;

impl Sim {
    pub(crate) fn end(&mut self) -> Result<(), Broken> {
        (0..3).for_each(|at| self.start(at, LIMITS));
        self.acquaint();
        // Longer than any request lives: replay caches and fences are empty again.
        self.world.clock.pass(200_000);
        for key in 0..self.stories.len() {
            self.asked_again(key)?;
            if self.stories[key].burnt {
                self.met.burnt += 1;
                continue;
            }
            self.stories[key].order_move(&self.world, 2);
            let moved = self.conducted(key)?;
            self.only(key, moved)?;
            for quorum in [[0, 1], [1, 2], [2, 0]] {
                self.used(key, moved, &quorum)?;
            }
        }
        self.check()
    }

    /// The newest order is carried out, however often it must be asked for.
    fn asked_again(&mut self, key: usize) -> Result<(), Broken> {
        let story = &self.stories[key];
        if story.birth().is_none() && story.orders.len() > 1 {
            return Err(stuck("a key has orders and no birth".to_owned()));
        }
        match self.conducted(key) {
            Err(_) if self.stories[key].burnt => Ok(()),
            // An order may have used its numbers up while nothing worked: the next one has more.
            Err(broken) if broken.how == FailReason::NumbersUsed.to_string() => {
                self.stories[key].birth().map(drop).ok_or(broken)
            }
            other => other.map(drop),
        }
    }

    /// Conducts the newest order without any faults; gives the epoch in force.
    fn conducted(&mut self, key: usize) -> Result<EpochName, Broken> {
        let at = self.stories[key].orders.len() - 1;
        let conductor = self.stories[key].conductor(&self.world, at);
        let mut conductor = conductor.ok_or_else(|| stuck("no conductor".to_owned()))?;
        for _ in 0..3_000 {
            self.round(&mut conductor);
            let Some(outcome) = conductor.outcome().cloned() else { continue };
            self.take_outcome(key, &outcome)?;
            self.check()?;
            return match outcome {
                Outcome::Born { record, .. } | Outcome::Moved { record, .. } => {
                    Ok(record.certificate.public.epoch)
                }
                Outcome::Failed { reason, .. } => Err(stuck(reason.to_string())),
            };
        }
        Err(stuck("a ceremony does not end".to_owned()))
    }

    fn round(&mut self, conductor: &mut Conductor) {
        self.world.clock.pass(20);
        let now = self.world.clock.now().wall;
        for send in conductor.poll(now) {
            let core = self.nodes[usize::from(send.ticket.node.get()) - 1].core.as_ref().unwrap();
            let items = [send.request.to_vec()];
            let outcome = match ceremonies::run(core, send.ticket.step, &items) {
                Ok(mut results) => results.remove(0).outcome.unwrap(),
                Err(_) => {
                    conductor.on_answer(&send.ticket, Err(Failure::Unreachable), now);
                    continue;
                }
            };
            match outcome {
                Answered::Done(bytes) => {
                    self.say(&bytes);
                    conductor.on_answer(&send.ticket, Ok(&bytes), now);
                }
                Answered::Fault(fault) => {
                    let code = u16::try_from(fault.code).unwrap();
                    let failure = Failure::Fault { code, message: fault.message };
                    conductor.on_answer(&send.ticket, Err(failure), now);
                }
            }
        }
    }

    /// Every node serves this epoch, on its disk and in its memory, and no other.
    fn only(&mut self, key: usize, epoch: EpochName) -> Result<(), Broken> {
        for at in 0..3 {
            self.look(at)?;
            let core = self.nodes[at].core.as_ref().unwrap();
            let name: KeyName = self.stories[key].name.parse().unwrap();
            let load = || records::load_key(core, &name, KeyVersion::FIRST);
            let disk = load().unwrap().unwrap();
            let memory = core.keys.get(&name, KeyVersion::FIRST, load).unwrap().unwrap();
            for state in [&disk, &*memory] {
                let served: Vec<_> = state.shares().iter().map(|s| s.public.epoch).collect();
                if served != [epoch] {
                    let how = format!("node {at} serves {served:?} after {epoch:?}");
                    return Err(Broken { rule: "old shares", how });
                }
            }
        }
        Ok(())
    }

    /// The key is used by these nodes, none of which lies now.
    fn used(&mut self, key: usize, epoch: EpochName, quorum: &[usize]) -> Result<(), Broken> {
        let mut begun = Use::begin(&self.world, &mut self.dice, key, &self.stories[key]);
        if begun.epoch().is_some_and(|of| of != epoch) {
            // Nonces of an old epoch are refused.
            return match self.all_hear(&mut begun, quorum)? {
                None => Ok(()),
                Some(_) => Err(Broken { rule: "old shares", how: "nonces of an old one".into() }),
            };
        }
        let done = match self.all_hear(&mut begun, quorum)? {
            Some(Done::Drawn(of, signers)) => {
                let (world, story) = (&self.world, &self.stories[key]);
                let mut sign = Use::sign(world, &mut self.dice, key, story, of, &signers);
                self.all_hear(&mut sign, quorum)?
            }
            done => done,
        };
        self.met.uses += 1;
        done.map(drop).ok_or_else(|| stuck(format!("nodes {quorum:?} do not answer")))
    }

    fn all_hear(&mut self, begun: &mut Use, quorum: &[usize]) -> Result<Option<Done>, Broken> {
        let mut done = None;
        for at in quorum {
            let node = &self.nodes[*at];
            let incoming = begun.ask.incoming();
            node.door.lies.store(false, Ordering::SeqCst);
            *node.door.request.lock().unwrap() = incoming.head.clone();
            let answered = requests::answer(node.core.as_ref().unwrap(), &incoming);
            let Ok(Reply::Sealed(first, also)) = answered.map(|a| a.reply) else { continue };
            for bytes in std::iter::once(first).chain(also) {
                let (story, me) = (&mut self.stories[begun.key], &self.nodes[*at].me);
                done = begun.hear(&self.world, story, me, &bytes, false)?.or(done);
            }
        }
        self.check()?;
        Ok(done)
    }
}

fn stuck(how: String) -> Broken {
    Broken { rule: "liveness", how }
}
