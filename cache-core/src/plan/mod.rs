//! Every decision of a call that the near tier did not answer, as a pure state machine.
//!
//! A [`Plan`] asks for one [`Step`] at a time and is told what came of it. It never reads a clock, a socket or an
//! executor: instants come with the answers. So each row below is a test without a thread, and the two
//! drivers (`drive`) that perform the steps cannot differ in what they decide.
//!
//! | asked | answer -> next |
//! |---|---|
//! | [`Step::Look`] | a load is in flight here, or somebody asks far for all -> serve stale if allowed and proved, else `Follow`; a claim was left here -> `Join`; else `Validate` (an unproved near copy), `Read` (far), or `Join` (near only) |
//! | [`Step::Validate`] | the near copy holds -> done; changed -> `Read`; failed -> `Join`, degraded |
//! | [`Step::Read`] | fresh -> done; stale + claim elsewhere -> serve stale, on error once it has been out for a `throttle`; stale or missing + claim won -> `Join`; stale + no claim -> `Read` once more, then `Take`; missing + claim elsewhere -> follow here, else `Pause`; dead -> `Take` (R6); of a higher version -> `Join`, stored nowhere far; failed -> the same, degraded |
//! | [`Step::Join`] | leads -> `LookAgain` if there is a near tier, then `Load`; follows -> `HandBack` what was won, then `Follow` |
//! | [`Step::Follow`] | proved late enough -> done (R1); not -> from the start, in the next group; a load began meanwhile -> `Follow` that; failed for all -> done; failed for its leader alone -> once more, then alone; patience spent -> `Overtake`, then alone |
//! | [`Step::Pause`] | -> `Read`; patience spent -> `Join` |
//! | [`Step::Load`] | a value -> `Fill` if fenced (R3), else land; one not to be kept -> `HandBack`; a failure -> `HandBack`, then stale if allowed (R2), else the failure |
//! | [`Step::Fill`], [`Step::HandBack`] | the verdict (R2) -> land |

mod one;
mod step;
#[cfg(test)]
mod tests;

pub use one::Plan;
pub use step::{
    Answer, Brief, ClaimAge, Demand, Followed, Found, Joined, Joining, Land, Load, Loaded, Looked, Reading, Serving,
    Step, Tiers, Validated, Verdict,
};
