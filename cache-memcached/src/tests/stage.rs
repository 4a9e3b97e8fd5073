//! Where an operation meets a fault: a server, the proxy before it, who asks through that, and who does not.

use std::time::{Duration, Instant};

use cache_core::backend::{BytesBackend, Claim, FillOutcome, Seen, Token};
use cache_core::clock::Clock;
use cache_core::key::FarKey;
use cache_core::testkit::{Fault, Proxy};

use memcached_server::Server;

use super::face::Face;
use super::faults::{client, healed, key};
use super::{BESIDE, IO_TIMEOUT, config};
use crate::{Config, Memcached};

/// No reply of these operations is longer, in bytes.
const LONGEST: usize = 600;

/// What came of an operation.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It was answered, and the answer is right.
    Right,
    /// It was not.
    Failed,
}

/// A server, the proxy before it, one face that asks through the proxy, and a client that does not.
pub(super) struct Stage {
    _server: Server,
    proxy: Proxy,
    pub(super) face: Face,
    /// How long a call of the face may take.
    bound: Duration,
    pub(super) direct: Face,
}

/// Sets one operation up, has it done under a fault, and judges what it tells; then, by what another client sees, what it
/// has done.
pub(super) type Play = fn(&Stage, &FarKey, Fault) -> Told;

/// What an operation told, and how long it took.
pub(super) type Told = (Outcome, Duration);

impl Stage {
    pub(super) fn new(io_timeout: Duration, face: fn(Memcached) -> Face) -> Self {
        let server = Server::start(&["-m", "256", "-I", "512k"]);
        let proxy = Proxy::before(("127.0.0.1", server.port())).unwrap();
        let config = Config { io_timeout: Duration::from_secs(10), ..config(&[server.port()]) };
        let direct = Face::Waiting(Memcached::of_another_process(config, Clock::System).unwrap());
        let face = face(client(&proxy, io_timeout));
        Stage { _server: server, proxy, face, bound: io_timeout + BESIDE, direct }
    }

    /// Stores a record: what is seen of it.
    pub(super) fn stored(&self, key: &FarKey, record: &[u8]) -> Seen {
        let token = self.claimed(key);
        let filled = self.direct.fill(key, token, record).unwrap();
        assert!(matches!(filled.outcome, FillOutcome::Stored(_)), "{filled:?}");
        self.seen(key)
    }

    pub(super) fn claimed(&self, key: &FarKey) -> Token {
        let seen = self.seen(key);
        assert_eq!(seen.claim, Claim::Won);
        seen.token.unwrap()
    }

    /// What is there.
    pub(super) fn seen(&self, key: &FarKey) -> Seen {
        self.direct.read(key).unwrap()
    }

    /// Asks by the face, under the fault.
    pub(super) fn ask<T>(&self, fault: Fault, ask: impl FnOnce(&Face) -> T) -> (T, Duration) {
        self.proxy.set(fault);
        let began = Instant::now();
        let answer = ask(&self.face);
        let took = began.elapsed();
        self.proxy.set(Fault::None);
        (answer, took)
    }

    /// Plays it under this fault. Asked again where it is this machine that was late.
    fn play(&self, name: &str, play: Play, fault: &Fault) -> Outcome {
        for attempt in 0..3 {
            let what = format!("{name} under {fault:?}");
            // From here on its connection is known to work.
            healed(&self.face, &key("warm"), &what);
            let key = key(&format!("{name}:{attempt}:{fault:?}").replace(|c: char| !c.is_ascii_alphanumeric(), "."));
            let key = FarKey::new(&key.as_str()[..key.as_str().len().min(200)]).unwrap();
            let (outcome, took) = play(self, &key, fault.clone());
            if took < self.bound {
                return outcome;
            }
        }
        panic!("{name} under {fault:?} takes longer than {:?}, each time", self.bound);
    }

    /// Has the reply cut and reset at its bytes, until it comes as a whole, and meet the other faults.
    pub(super) fn plays(&self, name: &str, play: Play, (step, others): (usize, &[Fault])) {
        let is_cut = |bytes: &usize| self.play(name, play, &Fault::Cut(*bytes)) == Outcome::Failed;
        let whole = (0..LONGEST).step_by(step).find(|bytes| !is_cut(bytes));
        let whole = whole.unwrap_or_else(|| panic!("{name} fails whatever comes through"));
        assert!(whole > 5, "{name}: a reply of {whole} bytes");
        for bytes in (0..whole).step_by(7 * step) {
            // One reply may be a little shorter than another: opaques have one to ten digits.
            let outcome = self.play(name, play, &Fault::Reset(bytes));
            assert!(outcome == Outcome::Failed || bytes > whole / 2, "{name}, {bytes} of {whole} bytes");
        }
        for fault in others {
            let outcome = self.play(name, play, fault);
            match fault {
                Fault::Delay(time) if *time < IO_TIMEOUT => {}
                Fault::Dribble => {}
                _ => assert_eq!(outcome, Outcome::Failed, "{name} under {fault:?}"),
            }
        }
        let until = Instant::now() + Duration::from_secs(10);
        while BytesBackend::pending(self.face.far()) > 0 {
            assert!(Instant::now() < until, "{name}: an invalidation is still owed");
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
