//! The words between a plan and its driver: what is asked, and what came of it.

use std::time::Duration;

use crate::backend::{Claim, Kept, Recall};
use crate::clock::Tick;
#[cfg(doc)]
use crate::plan::Plan;

/// What the plan must know of a call before it begins.
#[derive(Debug, Clone, Copy)]
pub struct Brief {
    /// When the call began: what was invalidated before may not be served.
    pub started: Tick,
    /// What the call makes of values that exist.
    pub demand: Demand,
    /// Which tiers there are.
    pub tiers: Tiers,
    /// Whether the near tier holds a stale value that is proved (R1), and how it may be served.
    pub near_stale: Option<Serving>,
    /// Whether the near tier holds a fresh copy of a far record whose proof is too old for this call.
    pub near_unproved: bool,
    /// The oldest proof that is good for the call: `started`, less what a value may be stale for it.
    pub proved_from: Tick,
    /// How long to wait for somebody else's load.
    pub patience: Duration,
}

/// What a call makes of values that exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// Whatever the policy allows.
    Policy,
    /// Fresh ones only, for the call is part of a load: what it returns becomes part of another value.
    Fresh,
    /// None: it loads anew, and shares no load that began before it.
    Anew,
}

/// Which tiers a region has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tiers {
    /// Objects of this process only.
    Near,
    /// Records elsewhere only.
    Far,
    /// Both: the near tier holds copies.
    NearOverFar,
}

/// How a stale value may be served.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Serving {
    /// While somebody else reloads it.
    WhileRevalidating,
    /// Only if the reload fails.
    OnError,
}

/// What a driver is asked to do next, and the method that takes its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// See on the board whether a load is in flight here: [`Plan::looked`].
    Look,
    /// Take part: [`Plan::joined`].
    Join(Joining),
    /// See whether the near tier has a fresh value by now: [`Plan::looked_again`].
    LookAgain,
    /// Ask far, without the value, whether the near copy is current: [`Plan::validated`].
    Validate,
    /// Read far, and claim the right to load: [`Plan::read`].
    Read(Recall),
    /// Claim the right to load what gives no claim by itself (R6): [`Plan::read`].
    Take(Kept),
    /// Wait for the flight, no longer than this: [`Plan::followed`].
    Follow(Duration),
    /// Wait about this long for a load elsewhere: [`Plan::paused`].
    Pause(Duration),
    /// Run the function: [`Plan::loaded`].
    Load(Load),
    /// Store far, fenced: [`Plan::settled`].
    Fill,
    /// Give back the claim: [`Plan::settled`].
    HandBack,
    /// Tell the followers, and store near what may be stored: [`Plan::landed`].
    Land(Land),
    /// The call is over.
    Done(Answer),
}

/// How a call takes part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joining {
    /// It follows a load in flight, or leads.
    Normally,
    /// It follows any flight but the one whose patience it has spent.
    Overtaking,
}

/// Whose concern a load is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Load {
    /// The flight's.
    Shared,
    /// The caller's own: it is stored nowhere.
    Alone,
}

/// How a flight ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Land {
    /// With a fresh value that the near tier has by now.
    Found,
    /// With a value for the near tier alone: the board itself knows the verdict.
    Local,
    /// With a value that is stored far, the verdict being *held*.
    Held,
    /// With a value that was not stored far, though nobody invalidated since the load began.
    HeldUnstored,
    /// With a value of which it is not known whether somebody invalidated since the load began.
    Unproved,
    /// With a value that was invalidated meanwhile: the leader's alone.
    Lost,
    /// With a value that is not to be kept, as proved as this verdict makes it.
    Discarded(Verdict),
    /// With a failure, and a stale value that stands in for it.
    StaleOnError,
    /// With a failure.
    Failed,
}

/// What the caller gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The near tier's value, found at the second look.
    Near,
    /// The near tier's value, which the far one has just shown to be current.
    Validated,
    /// The near tier's stale value.
    NearStale,
    /// The far tier's value.
    Far,
    /// The far tier's stale value.
    FarStale,
    /// The flight's value.
    Followed,
    /// The flight's failure.
    FollowedFailure,
    /// The load's own result, whatever it is.
    Loaded,
    /// The stale value in hand, for the load failed.
    StaleOnError,
}

/// What the board showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Looked {
    /// A load is in flight here.
    Flight,
    /// None is, but very many calls ask far, and one of them asks for all who wait.
    Asked,
    /// None is, but the last one left a claim, or rests after a failure.
    Left {
        /// Whether there is a claim to be inherited.
        claim: bool,
        /// Whether the source failed just now.
        resting: bool,
    },
    /// Nothing.
    Clear,
}

/// What a call became.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Joined {
    /// The one who loads; under a claim on this, if an earlier load left one.
    Leads {
        /// What the inherited claim stands on.
        inherited: Option<Kept>,
    },
    /// One who waits.
    Follows,
}

/// What a far read, or a taken claim, showed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reading {
    /// The node answered.
    Seen {
        /// What is there.
        found: Found,
        /// Who may load.
        claim: Claim,
        /// Whether the node gave a fence.
        fenced: bool,
        /// For how long the claim elsewhere has been out.
        age: ClaimAge,
    },
    /// It did not.
    Failed,
}

/// What a far node said of a near copy.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Validated {
    /// It is what stands there.
    Holds,
    /// It is not, or cannot be compared.
    Changed,
    /// Nothing.
    Failed,
}

/// For how long a claim on a record has been out, as far as this process has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimAge {
    /// Shorter than `throttle`, or it is not elsewhere.
    New,
    /// For a `throttle`, so that whoever has it may be resting after a failure.
    Slow,
    /// For a `lease`, or a read of this process whose answer was lost may have won it: it has no owner.
    Ownerless,
}

/// What stands in a far slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Found {
    /// A fresh, proved value.
    Fresh,
    /// A stale, proved value, and how it may be served.
    Stale(Option<Serving>),
    /// Nothing, or the mark of a claim.
    Nothing,
    /// A record that cannot be used.
    Dead,
    /// A record that remembered generations do not accept, or accept on too old a proof.
    Doubtful,
    /// A record of a higher version of the function, which is left alone.
    HigherVersion,
}

/// How a flight that was followed ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Followed {
    /// With a value that was loaded from `began` on and known to be current at `proved`.
    Value {
        /// The instant before the load began.
        began: Tick,
        /// The instant at which the value is known to have been current.
        proved: Tick,
    },
    /// With a failure for everybody.
    Failed {
        /// The instant before the load began.
        began: Tick,
    },
    /// With a failure that only its leader has.
    FailedAlone,
    /// Without an end.
    Abandoned,
    /// It was somebody who asked for all, and a load has begun, which is to be followed.
    Begun,
    /// It did not, in the time.
    PatienceSpent,
    /// It cannot be waited for, or its value is of another type.
    Unusable,
}

/// What a load gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loaded {
    /// A value to keep.
    Keep,
    /// A value that is not to be kept.
    Discard,
    /// A failure; how the stale value in hand, if there is one, may be served.
    Failed(Option<Serving>),
}

/// What a fenced request after a load says of the time since it began (R2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Nobody invalidated.
    Held,
    /// Somebody did, or another value came first.
    Lost,
    /// The node did not say.
    Unknown,
    /// Nothing was sent: the value cannot be stored there.
    Unsent,
}
