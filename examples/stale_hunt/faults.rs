//! Bad weather: processes and servers are killed, stand still and lose connections, by chance and by a seed.

use std::io;
use std::time::{Duration, Instant};

use crate::fleet::Fleet;
use crate::random::Random;
use crate::worker::Role;

#[derive(Debug)]
pub struct Faults {
    random: Random,
    next: Instant,
    /// What is to be put right, and when.
    repairs: Vec<(Instant, Repair)>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Repair {
    Resume(usize),
    ResumeServer(usize),
    RestartServer { server: usize, killed: u64 },
}

impl Repair {
    fn server(self) -> Option<usize> {
        match self {
            Repair::Resume(_) => None,
            Repair::ResumeServer(server) | Repair::RestartServer { server, .. } => Some(server),
        }
    }
}

impl Faults {
    pub fn new(seed: u64) -> Self {
        Faults { random: Random::new(seed, u64::MAX), next: Instant::now(), repairs: Vec::new() }
    }

    /// Does what is due.
    pub fn act(&mut self, fleet: &mut Fleet) -> io::Result<()> {
        let now = Instant::now();
        self.repair(fleet, now);
        if now >= self.next {
            self.strike(fleet, now)?;
            self.next = now + self.random.micros(100_000, 500_000);
        }
        Ok(())
    }

    /// Puts everything right.
    pub fn end(&mut self, fleet: &mut Fleet) {
        let last = self.repairs.iter().map(|(at, _)| *at).max();
        last.into_iter().for_each(|last| self.repair(fleet, last));
    }

    fn repair(&mut self, fleet: &mut Fleet, until: Instant) {
        self.repairs.retain(|(at, repair)| {
            if *at > until {
                return true;
            }
            match *repair {
                Repair::Resume(member) => fleet.resume(member),
                Repair::ResumeServer(server) => fleet.resume_server(server),
                Repair::RestartServer { server, killed } => fleet.restart_server(server, killed),
            }
            false
        });
    }

    fn strike(&mut self, fleet: &mut Fleet, now: Instant) -> io::Result<()> {
        let (member, server) = (self.random.below(fleet.members()), self.random.below(fleet.servers()));
        let server_ails = self.repairs.iter().any(|(_, repair)| repair.server() == Some(server));
        match self.random.below(6) {
            0 if fleet.role(member) == Role::Reader && !fleet.is_stopped(member) => fleet.replace(member)?,
            1 if !fleet.is_stopped(member) => {
                fleet.stop(member);
                // One in four stands still for longer than its leases last.
                let time = if self.random.once_in(4) { (3_100_000, 3_500_000) } else { (20_000, 600_000) };
                self.later(now, time, Repair::Resume(member));
            }
            2 if !server_ails => {
                let killed = fleet.kill_server(server);
                self.later(now, (1_000, 500_000), Repair::RestartServer { server, killed });
            }
            3 if !server_ails => {
                fleet.stop_server(server);
                self.later(now, (10_000, 700_000), Repair::ResumeServer(server));
            }
            4 | 5 => fleet.cut(server),
            _ => {}
        }
        Ok(())
    }

    fn later(&mut self, now: Instant, (from, to): (usize, usize), repair: Repair) {
        let after: Duration = self.random.micros(from, to);
        self.repairs.push((now + after, repair));
    }
}
