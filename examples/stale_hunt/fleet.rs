//! The processes of a hunt: started, stopped, killed and replaced; and the servers, which some of them reach through proxies.

use std::env;
use std::io;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use cache::testkit::Proxy;
use memcached_server::Server;
use rustix::process::{Pid, Signal, kill_process};

use crate::clock::now;
use crate::damage::Damage;
use crate::log::Log;
use crate::options::{Options, Weather};
use crate::worker::{Job, PATIENCE, Role};

/// How long a process may take to end when it is told to: its calls end within twice their patience.
const ENDS: Duration = Duration::from_secs(2 * PATIENCE.as_secs() + 10);

/// Kills what runs when it is dropped.
#[derive(Debug)]
pub struct Fleet {
    options: Options,
    directory: PathBuf,
    servers: Vec<Server>,
    proxies: Vec<Proxy>,
    members: Vec<Member>,
    /// The number and the log of every process that was ever started.
    pub logs: Vec<(u64, PathBuf)>,
    pub damage: Damage,
    /// Processes that ended by themselves, or did not end when they were told to.
    pub lost: u64,
}

#[derive(Debug)]
struct Member {
    job: Job,
    child: Child,
    stopped_at: Option<u64>,
}

impl Fleet {
    /// Starts the servers and the processes. `directory` is where the source is, and where they log.
    pub fn start(options: &Options, directory: PathBuf) -> io::Result<Self> {
        let servers: Vec<_> = (0..options.nodes).map(|_| Server::start(&[])).collect();
        let proxied = if options.weather == Weather::Foul { &servers[..] } else { &[] };
        let proxies =
            proxied.iter().map(|server| Proxy::before(("127.0.0.1", server.port()))).collect::<io::Result<_>>()?;
        let mut fleet = Fleet {
            options: options.clone(),
            directory,
            servers,
            proxies,
            members: Vec::new(),
            logs: Vec::new(),
            damage: Damage::default(),
            lost: 0,
        };
        for role in [Role::Writer, Role::Reader] {
            let count = if role == Role::Reader { options.readers } else { options.writers };
            for _ in 0..count {
                let member = fleet.member(role)?;
                fleet.members.push(member);
            }
        }
        Ok(fleet)
    }

    fn member(&mut self, role: Role) -> io::Result<Member> {
        let Options { cache, keys, seed, .. } = self.options;
        let number = self.logs.len() as u64;
        let job = Job { number, role, cache, url: self.url(number), keys, seed, directory: self.directory.clone() };
        // One that is killed at once has told nothing, and that can be read.
        Log::open(&job.log())?;
        let mut command = Command::new(env::current_exe()?);
        command.arg("--worker").arg(serde_json::to_string(&job)?);
        // What is said goes to where people look; and who finds this end closed, ends.
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
        self.logs.push((number, job.log()));
        Ok(Member { job, child, stopped_at: None })
    }

    /// The servers under names of their own, so that all processes find the same keys there by whichever way.
    fn url(&self, number: u64) -> String {
        let port = |node: usize| match self.proxies.get(node).filter(|_| number % 2 == 1) {
            Some(proxy) => proxy.port(),
            None => self.servers[node].port(),
        };
        let nodes: Vec<_> = (0..self.servers.len()).map(|node| format!("n{node}@127.0.0.1:{}", port(node))).collect();
        // Short times, so that what fails is soon tried again.
        let times = if self.options.weather == Weather::Foul { "?io_timeout=200ms&blacklist=500ms" } else { "" };
        format!("memcached://{}{times}", nodes.join(","))
    }

    pub fn members(&self) -> usize {
        self.members.len()
    }

    pub fn servers(&self) -> usize {
        self.servers.len()
    }

    pub fn role(&self, member: usize) -> Role {
        self.members[member].job.role
    }

    pub fn is_stopped(&self, member: usize) -> bool {
        self.members[member].stopped_at.is_some()
    }

    /// Has a process stand still.
    pub fn stop(&mut self, member: usize) {
        let member = &mut self.members[member];
        member.stopped_at.get_or_insert_with(now);
        member.signal(Signal::STOP);
    }

    pub fn resume(&mut self, member: usize) {
        let member = &mut self.members[member];
        if let Some(from) = member.stopped_at.take() {
            member.signal(Signal::CONT);
            self.damage.stops(member.job.number, from, now());
        }
    }

    /// Kills a process, and starts another in its place.
    pub fn replace(&mut self, member: usize) -> io::Result<()> {
        self.resume(member);
        let Member { job, child, .. } = &mut self.members[member];
        self.damage.kills(job.number, now());
        child.kill()?;
        child.wait()?;
        let role = job.role;
        self.members[member] = self.member(role)?;
        Ok(())
    }

    /// Kills a server. The time at which that was begun.
    pub fn kill_server(&self, server: usize) -> u64 {
        let from = now();
        self.servers[server].kill();
        from
    }

    /// Starts a server again that was killed at this time.
    pub fn restart_server(&mut self, server: usize, killed: u64) {
        self.servers[server].restart();
        self.damage.forgets(killed, now());
    }

    pub fn stop_server(&self, server: usize) {
        self.servers[server].pause();
    }

    pub fn resume_server(&self, server: usize) {
        self.servers[server].resume();
    }

    /// Ends the connections of those who reach this server through its proxy.
    pub fn cut(&mut self, server: usize) {
        if let Some(proxy) = self.proxies.get(server) {
            self.damage.cuts(now());
            proxy.cut_all();
        }
    }

    /// Notices who has ended by itself. Whether nobody has.
    pub fn is_whole(&mut self) -> bool {
        let ended = |member: &mut Member| !matches!(member.child.try_wait(), Ok(None));
        self.lost = self.members.iter_mut().map(ended).filter(|ended| *ended).count() as u64;
        self.lost == 0
    }

    /// Tells all processes to end, and waits until they have.
    pub fn end(&mut self) {
        (0..self.members.len()).for_each(|member| self.resume(member));
        self.members.iter_mut().for_each(|member| drop(member.child.stdin.take()));
        let until = Instant::now() + ENDS;
        for mut member in std::mem::take(&mut self.members) {
            if !member.ends_well(until) {
                self.lost += 1;
                eprintln!("stale-hunt: process {} did not end as it should", member.job.number);
            }
        }
    }
}

impl Member {
    fn signal(&self, signal: Signal) {
        if let Some(pid) = Pid::from_raw(self.child.id() as i32) {
            // It may have ended by itself, which is noticed elsewhere.
            let _ = kill_process(pid, signal);
        }
    }

    fn ends_well(&mut self, until: Instant) -> bool {
        while Instant::now() < until {
            match self.child.try_wait() {
                Ok(Some(status)) => return status.success(),
                Ok(None) => thread::sleep(Duration::from_millis(5)),
                Err(_) => return false,
            }
        }
        false
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        // Also of one that stands still. It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
