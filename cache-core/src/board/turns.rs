//! Of many callers of one key who would ask elsewhere for it, who does: some for themselves, then one for all who wait.
//!
//! The first [`ALONE`] ask for themselves. Of those who come while these do, one asks for all; while it does, others
//! gather, and one of them is the next. Invariant: whoever waits for one who asks was there before that one asked, so
//! that the answer is proved late enough (rule R1); and nobody waits so while a load is in flight, which he can follow.

use std::sync::Arc;

use super::flight::{Flight, Landing, LedBy};
use crate::clock::Tick;

/// How many callers of one key ask for themselves at a time. Ordinary traffic never waits for a turn.
pub(super) const ALONE: usize = 64;

/// The turns of one key, for threads or for tasks: neither waits for the other.
#[derive(Debug, Default)]
pub(super) struct Turns {
    alone: usize,
    /// What they wait for who were there before the one who asks for them began.
    asked: Option<Arc<Flight>>,
    /// What they wait for who came later; one of them will ask.
    gathering: Option<Arc<Flight>>,
}

/// What a caller is to the others.
#[derive(Debug, Default)]
pub(super) enum Turn {
    /// It has not asked.
    #[default]
    None,
    /// It asks for itself.
    Alone,
    /// It waits for its turn to ask for all who wait for this.
    Next(Arc<Flight>),
    /// It asks for all who wait for this.
    ForAll(Arc<Flight>),
}

/// Whether a caller waits for a turn.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patient {
    /// It may.
    Yes,
    /// It has done so, or has to see for itself.
    No,
}

impl Turns {
    /// The turn of a caller who has this one. What it waits for, unless it may ask now.
    pub(super) fn of(&mut self, turn: &mut Turn, patient: Patient, face: LedBy, now: Tick) -> Option<Arc<Flight>> {
        match turn {
            Turn::Alone => return None,
            Turn::ForAll(mine) if is(self.asked.as_ref(), mine) => return None,
            Turn::Next(mine) if is(self.gathering.as_ref(), mine) => {
                if self.asked.is_some() {
                    return self.asked.clone();
                }
                self.asked = self.gathering.take();
                *turn = Turn::ForAll(mine.clone());
                return None;
            }
            // A load that began has let go those for whom it asked.
            Turn::None | Turn::Next(_) | Turn::ForAll(_) => {}
        }
        if self.alone < ALONE || patient == Patient::No {
            self.alone += 1;
            *turn = Turn::Alone;
            return None;
        }
        *turn = Turn::None;
        if let Some(gathering) = &self.gathering {
            return Some(gathering.clone());
        }
        let flight = Arc::new(Flight::new(face, now));
        match &self.asked {
            Some(asked) => {
                self.gathering = Some(flight.clone());
                *turn = Turn::Next(flight);
                Some(asked.clone())
            }
            None => {
                self.asked = Some(flight.clone());
                *turn = Turn::ForAll(flight);
                None
            }
        }
    }

    /// A caller has no turn any more. What others waited for through it, if they still do.
    pub(super) fn end(&mut self, turn: Turn) -> Option<Arc<Flight>> {
        match turn {
            Turn::None => None,
            Turn::Alone => {
                self.alone -= 1;
                None
            }
            Turn::Next(mine) => self.gathering.take_if(|flight| Arc::ptr_eq(flight, &mine)),
            Turn::ForAll(mine) => self.asked.take_if(|flight| Arc::ptr_eq(flight, &mine)),
        }
    }

    /// Nobody waits for a turn any more: what they waited for.
    pub(super) fn let_go(&mut self) -> Released {
        Released([self.asked.take(), self.gathering.take()])
    }
}

impl Turn {
    /// Whether anybody waits for what comes of it.
    pub(super) fn is_awaited(&self) -> bool {
        match self {
            Turn::None | Turn::Alone => false,
            Turn::Next(flight) | Turn::ForAll(flight) => flight.followers() > 0,
        }
    }
}

fn is(flight: Option<&Arc<Flight>>, mine: &Arc<Flight>) -> bool {
    flight.is_some_and(|flight| Arc::ptr_eq(flight, mine))
}

/// Those who waited for a turn, until they are [told](Released::tell): after the key's lock is let go of.
#[must_use]
#[derive(Debug)]
pub(super) struct Released([Option<Arc<Flight>>; 2]);

impl Released {
    /// That this load has begun. They may come to it when it is over: its end is theirs.
    pub(super) fn tell(self, begun: &Arc<Flight>) {
        self.0.into_iter().flatten().for_each(|flight| flight.land(Landing::Begun(begun.clone())));
    }
}
