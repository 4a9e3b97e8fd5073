//! Simulated processes that run the shipped board, plan and drivers on a simulated far tier, and a monitor that judges
//! them.
//!
//! Invariant: equal seeds and plots give equal runs.

#![allow(unreachable_pub, missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod actor;
mod far;
mod near;
pub mod plot;
pub mod plots;
mod troubles;

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cache_core::clock::{Clock, ManualClock, ManualSleep, Tick};
use cache_core::config::{BackendUrl, Settings};
use cache_core::error::Result;
use cache_core::registry::{OpenContext, Opened, Registry};
use cache_core::testkit::meta::ServerSettings;
use cache_core::testkit::{Finding, Monitor, SimExecutor, SimFar, SimNodes, Stuck, Tally};

use actor::Actor;
use far::{Aliases, FlawedFar};
use near::FlawedNear;
use plot::{LEASE, Nesting, PATIENCE, Phase, Plot, Tiers};

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outcome {
    pub tally: Tally,
    pub findings: Vec<Finding>,
    /// Why it could not end, if so.
    pub stuck: Option<Stuck>,
    /// How many steps the tasks took, and how much time passed: equal runs have equal ones.
    pub steps: u64,
    pub passed: Duration,
}

impl Outcome {
    pub fn is_clean(&self) -> bool {
        self.tally.is_clean() && self.stuck.is_none()
    }
}

/// What the processes of a run share.
pub struct World {
    pub plot: Plot,
    pub clock: ManualClock,
    pub executor: SimExecutor,
    pub monitor: Monitor,
    nodes: SimNodes,
    aliases: Aliases,
    until: Cell<Tick>,
    last_process: Cell<u32>,
}

/// One run of this plot.
pub fn run(seed: u64, plot: &Plot) -> Outcome {
    let clock = ManualClock::new();
    let start = clock.now();
    // Beside each key one of a function that calls it, and one that stands for the part of the one in the other.
    let keys = if plot.nesting == Nesting::None { plot.keys } else { 3 * plot.keys };
    let world = Rc::new(World {
        plot: plot.clone(),
        executor: SimExecutor::new(seed, clock.clone()),
        monitor: Monitor::new(clock.clone(), keys, plot.rules()),
        nodes: SimNodes::new(seed, clock.clone(), plot.nodes, ServerSettings::default()),
        aliases: Aliases::default(),
        until: Cell::new(start),
        last_process: Cell::new(0),
        clock,
    });
    world.executor.limit_steps(u64::MAX);
    let mut stuck = None;
    for (index, phase) in plot.phases.iter().enumerate() {
        world.until.set(world.clock.now().after(plot.lasts));
        if index > 0 {
            world.monitor.trouble();
        }
        let processes: Vec<Rc<Actor>> = (0..plot.processes).map(|_| world.start(phase)).collect();
        troubles::start(&world, processes, phase);
        stuck = world.executor.run().err();
        if stuck.is_some() {
            break;
        }
    }
    let (tally, findings) = (world.monitor.tally(), world.monitor.findings());
    Outcome { tally, findings, stuck, steps: world.executor.steps(), passed: world.clock.now().since(start) }
}

impl World {
    /// Starts one process more.
    fn start(self: &Rc<Self>, phase: &Phase) -> Rc<Actor> {
        let number = self.last_process.get() + 1;
        self.last_process.set(number);
        let client = match phase.nodes {
            [] => self.nodes.client(self.plot.faults.clone()),
            nodes => self.nodes.client_of(nodes, self.plot.faults.clone()),
        };
        client.remember_for(self.plot.remember);
        let near = Arc::new(FlawedNear::new(self.clock.clone(), self.plot.flaw));
        let registry = self.registry(&client, &near);
        registry.configure("r", self.settings(phase)).expect("what a plot asks for can be");
        let region = registry.region("r");
        let actor = Rc::new(Actor { number, world: self.clone(), region, far: client, near });
        for _ in 0..self.plot.readers {
            self.executor.spawn_in(number, "reader", actor.clone().reads());
        }
        if !self.plot.write_rest.is_zero() {
            self.executor.spawn_in(number, "writer", actor.clone().writes());
        }
        actor
    }

    fn registry(&self, client: &SimFar, near: &Arc<FlawedNear>) -> Registry {
        let registry = Registry::builder().clock(Clock::Manual(self.clock.clone())).build();
        let far = Arc::new(FlawedFar {
            far: client.clone(),
            clock: self.clock.clone(),
            monitor: self.monitor.clone(),
            flaw: self.plot.flaw,
            aliases: self.aliases.clone(),
            told: Mutex::new(HashMap::new()),
            requests: AtomicU64::new(0),
        });
        let near = near.clone();
        let open_near = move |_: &BackendUrl, _: &OpenContext| -> Result<Opened> { Ok(Opened::Near(near.clone())) };
        let open_far = move |_: &BackendUrl, _: &OpenContext| -> Result<Opened> {
            Ok(Opened::Far { blocking: None, tasks: Some(far.clone()) })
        };
        registry.register_scheme("map", open_near).expect("a scheme of a new registry");
        registry.register_scheme("sim", open_far).expect("a scheme of a new registry");
        registry
    }

    fn settings(&self, phase: &Phase) -> Settings {
        let Plot { tiers, ttl, stale, max_staleness, flaw, .. } = self.plot;
        let epoch = if flaw == plot::Flaw::SameEpoch { 0 } else { phase.epoch };
        let settings = Settings::new().ttl(ttl).jitter(0.0).patience(PATIENCE);
        let settings = match stale {
            Duration::ZERO => settings,
            stale => settings.stale_while_revalidate(stale).stale_if_error(stale),
        };
        let far = |settings: Settings| settings.far("sim://").lease(LEASE).epoch(epoch);
        match tiers {
            Tiers::Near => settings.near("map://"),
            Tiers::Far => far(settings),
            Tiers::Both => far(settings.near("map://")).max_staleness(max_staleness),
        }
    }

    fn goes_on(&self) -> bool {
        self.clock.now() < self.until.get()
    }

    fn below(&self, end: usize) -> usize {
        self.executor.random_below(end)
    }

    fn up_to(&self, most: Duration) -> Duration {
        Duration::from_micros(self.below(most.as_micros() as usize + 1) as u64)
    }

    fn sleep(&self, time: Duration) -> ManualSleep {
        self.clock.sleep_until(self.clock.now().after(time))
    }

    /// The key of what calls the function of `key`.
    fn outer(&self, key: u32) -> u32 {
        self.plot.keys + key
    }

    /// The key of what is part of it.
    fn part(&self, key: u32) -> u32 {
        2 * self.plot.keys + key
    }
}
