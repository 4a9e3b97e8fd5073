//! What can happen to a request on its way, drawn from a client's seed or ordered by a test.
//!
//! Invariant: a request that leaves is executed at most once, unless its connection died and it was sent again; and its
//! sender cannot tell a lost request from a lost reply.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::testkit::Random;

/// How the network treats the requests of one client. All probabilities are 0 to 1, for each request to one node.
#[derive(Debug, Clone, PartialEq)]
pub struct Faults {
    /// How long a request is under way to its node. Futures only: a blocking call never waits.
    pub request_delay: RangeInclusive<Duration>,
    /// How long its reply is under way. Futures only.
    pub reply_delay: RangeInclusive<Duration>,
    /// The longest pause between two commands of one request, in which other clients' commands may come. Futures only.
    pub pause: Duration,
    /// How often a request is lost.
    pub lose_request: f64,
    /// How often it is executed, but its reply is lost.
    pub lose_reply: f64,
    /// How often it is executed, its connection dies, and it is sent again.
    pub repeat: f64,
    /// How often it is executed only after its client gave it up.
    pub late: f64,
    /// How long after that, at most.
    pub late_by: Duration,
    /// How long a client waits before it gives a request up. Futures only: a blocking call gives up at once.
    pub io_timeout: Duration,
}

impl Faults {
    /// Every request is answered at once.
    pub fn none() -> Self {
        Faults {
            request_delay: Duration::ZERO..=Duration::ZERO,
            reply_delay: Duration::ZERO..=Duration::ZERO,
            pause: Duration::ZERO,
            lose_request: 0.0,
            lose_reply: 0.0,
            repeat: 0.0,
            late: 0.0,
            late_by: Duration::from_secs(1),
            io_timeout: Duration::from_millis(500),
        }
    }

    /// Every request is answered, after up to 2 ms on either way, and commands of other clients come between its own.
    pub fn delays() -> Self {
        let way = Duration::ZERO..=Duration::from_millis(2);
        Faults { request_delay: way.clone(), reply_delay: way, pause: Duration::from_micros(500), ..Faults::none() }
    }

    /// The delays, and each of the losses in one request of fifty.
    pub fn losses() -> Self {
        Faults { lose_request: 0.02, lose_reply: 0.02, repeat: 0.02, late: 0.02, ..Faults::delays() }
    }

    pub(super) fn draw(&self, random: &mut Random) -> Fate {
        if random.happens(self.lose_request) {
            Fate::LoseRequest
        } else if random.happens(self.lose_reply) {
            Fate::LoseReply
        } else if random.happens(self.late) {
            Fate::Late(random.between(&(Duration::ZERO..=self.late_by)))
        } else if self.repeat > 0.0 && random.happens(self.repeat) {
            Fate::Repeat
        } else {
            Fate::Deliver
        }
    }
}

impl Default for Faults {
    fn default() -> Self {
        Faults::none()
    }
}

/// What happens to one request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It is executed and answered.
    Deliver,
    /// It is not sent, for there is no connection; the client sees that.
    Refuse,
    /// It never arrives; the client sees an error.
    LoseRequest,
    /// It is executed; the client sees an error.
    LoseReply,
    /// It is executed, its connection dies before the reply comes, and the client sends it again: that is executed too, and
    /// answered.
    Repeat,
    /// The client sees an error; so long afterwards it is executed.
    Late(Duration),
}
