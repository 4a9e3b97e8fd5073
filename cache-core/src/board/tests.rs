//! What the board promises, without threads; and, under a checker that tries every order, with them.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use super::*;
use crate::backend::{Object, Stamp};
use crate::freshness::Deadlines;
use crate::generation::{Born, LocalGeneration};
use crate::key::KeyWriter;

fn key(name: &str) -> Key {
    KeyWriter::key_of("ns", name).expect("a string is a key")
}

fn at(seconds: u64) -> Tick {
    Tick::ZERO.after(Duration::from_secs(seconds))
}

fn value(number: u64, proved: Tick) -> Landing {
    let deadlines = Deadlines { fresh: Tick::NEVER, revalidate: Tick::NEVER, error: Tick::NEVER };
    let stamp =
        Stamp { deadlines, proved, proved_until: Tick::NEVER, token: None, generations: GenerationDigest::default() };
    Landing::Value {
        value: Arc::new(Object::new(number, stamp, Born::now(&Arc::new(LocalGeneration::new())), 8)),
        proved,
    }
}

fn lead(joined: Joined) -> Box<Lead> {
    match joined {
        Joined::Leads(lead) => lead,
        Joined::Follows(_) => panic!("somebody leads already"),
    }
}

fn follow(joined: Joined) -> Arc<Flight> {
    match joined {
        Joined::Follows(flight) => flight,
        Joined::Leads(_) => panic!("nobody leads"),
    }
}

fn landing(follow: &mut Follow) -> Option<Landing> {
    match std::pin::Pin::new(follow).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(landing) => Some(landing),
        Poll::Pending => None,
    }
}

fn left(fence: Option<u64>, ends: u64) -> Left {
    let fence = fence.map(|token| Fence {
        token: Token(token),
        kept: Kept::Stub,
        digest: GenerationDigest::default(),
        won: true,
    });
    Left { fence, rests_until: at(0), ends: at(ends) }
}

mod alone {
    use super::*;

    #[test]
    fn one_leads_and_the_others_follow_until_it_lands() {
        let board = Arc::new(Board::new());
        let (one, two) = (board.visit(key("a").as_ref()), board.visit(key("a").as_ref()));
        let other = board.visit(key("b").as_ref());
        assert!(matches!(one.look(at(1)), Look::Clear));
        let leader = lead(one.join(LedBy::Thread, at(1)));
        assert!(matches!(two.look(at(1)), Look::Flight(_)));
        let flight = follow(two.join(LedBy::Thread, at(2)));
        assert_eq!(flight.began(), at(1));
        let other_leader = lead(other.join(LedBy::Thread, at(1)));
        let mut waiting = flight.follow();
        assert!(landing(&mut waiting).is_none());
        assert_eq!(flight.followers(), 1);
        assert_eq!(board.census(), (2, 5), "each lead is a visitor too");
        assert_eq!(format!("{board:?}"), "Board { flights: 2, visitors: 5 }", "no key is shown");

        leader.land(at(3), |standing| {
            assert_eq!(standing, Standing::Current);
            value(7, at(3))
        });
        assert!(matches!(landing(&mut waiting), Some(Landing::Value { proved, .. }) if proved == at(3)));
        assert!(
            matches!(landing(&mut flight.follow()), Some(Landing::Value { .. })),
            "also for one who comes to it late"
        );
        assert!(matches!(two.look(at(3)), Look::Clear), "the next one leads anew");
        drop((one, two, other, other_leader));
        assert_eq!(board.census(), (0, 0), "nothing is remembered");
    }

    #[test]
    fn a_follower_that_leaves_is_not_woken() {
        let board = Arc::new(Board::new());
        let visit = board.visit(key("a").as_ref());
        let leader = lead(visit.join(LedBy::Task, at(1)));
        let mut waiting = leader.flight().follow();
        assert!(landing(&mut waiting).is_none());
        drop(waiting);
        assert_eq!(leader.flight().followers(), 0);
    }

    #[test]
    fn a_leader_that_is_dropped_hands_on_what_it_left() {
        let board = Arc::new(Board::new());
        let visit = board.visit(key("a").as_ref());
        let mut leader = lead(visit.join(LedBy::Task, at(1)));
        let mut waiting = leader.flight().follow();
        leader.leave(Some(left(Some(9), 30)));
        drop(leader);
        assert!(matches!(landing(&mut waiting), Some(Landing::Abandoned)));
        assert!(matches!(visit.look(at(2)), Look::Left(Left { fence: Some(Fence { token: Token(9), .. }), .. })));
        let successor = lead(visit.join(LedBy::Task, at(2)));
        assert_eq!(successor.inherited().map(|fence| fence.token), Some(Token(9)));
        drop(successor);
        assert!(matches!(visit.look(at(2)), Look::Clear), "what was inherited is gone");
    }

    #[test]
    fn what_was_left_ends() {
        let board = Arc::new(Board::new());
        let mut visit = board.visit(key("a").as_ref());
        let mut leader = lead(visit.join(LedBy::Task, at(1)));
        leader.leave(Some(left(Some(9), 30)));
        drop(leader);
        assert!(matches!(visit.look(at(29)), Look::Left(_)));
        assert!(matches!(visit.look(at(30)), Look::Clear));
        let mut in_turn = |now| visit.look_in_turn(Patient::Yes, LedBy::Task, now);
        assert!(matches!(in_turn(at(29)), Look::Left(_)));
        assert!(matches!(in_turn(at(30)), Look::Clear));
        assert_eq!(lead(visit.join(LedBy::Task, at(30))).inherited(), None);
    }

    #[test]
    fn a_claim_that_its_winner_does_not_use_is_left_to_the_next_load_unless_one_runs() {
        let board = Arc::new(Board::new());
        let visit = board.visit(key("a").as_ref());
        visit.leave(left(Some(9), 30), at(1));
        visit.leave(left(Some(8), 30), at(1));
        let leader = lead(visit.join(LedBy::Task, at(2)));
        assert_eq!(leader.inherited().map(|fence| fence.token), Some(Token(9)), "the first one that was left");
        visit.leave(left(Some(7), 30), at(2));
        drop(leader);
        assert!(matches!(visit.look(at(2)), Look::Clear), "a load ran, and ended without leaving anything");
        let left: usize = board.shards.iter().map(|shard| lock(shard).left).sum();
        assert_eq!(left, 0, "the count of what is left is even");
    }

    #[test]
    fn what_is_shown_says_who_does_what_and_holds_no_argument_and_no_value() {
        let board = Arc::new(Board::new());
        let visit = board.visit(key("secret").as_ref());
        let leader = lead(visit.join(LedBy::Thread, at(1)));
        let landings = [value(4711, at(2)), Landing::Failed(Arc::new("secret")), Landing::Abandoned];
        let shown = format!("{leader:?} {landings:?}");
        for part in ["Visit(ns#", "of a Thread since 1s", "Value { proved: 2s }", "Failed", "Abandoned"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("secret") && !shown.contains("4711"), "{shown}");
    }

    #[test]
    fn a_key_is_found_by_the_hash_that_it_brings() {
        let mut hasher = Prehashed::default();
        hasher.write_u64(7);
        assert_eq!(hasher.finish(), 7);
        hasher.write_u64(u64::MAX);
        hasher.write(&[1, 2]);
        assert_eq!(hasher.finish(), !0x0102, "what no key does, and the trait allows, counts too");
    }

    #[test]
    fn what_is_left_is_bounded() {
        let board = Arc::new(Board::new());
        for number in 0..100_000 {
            let visit = board.visit(key(&number.to_string()).as_ref());
            let mut leader = lead(visit.join(LedBy::Task, at(1)));
            leader.leave(Some(left(Some(9), 30)));
            leader.land(at(1), |_| Landing::Abandoned);
        }
        let kept: usize = board.shards.iter().map(|shard| lock(shard).slots.len()).sum();
        assert!(kept <= SHARDS * LEFT_PER_SHARD && kept > SHARDS * LEFT_PER_SHARD / 2, "{kept}");
        // What is over makes room.
        let visit = board.visit(key("late").as_ref());
        let mut leader = lead(visit.join(LedBy::Task, at(30)));
        leader.leave(Some(left(Some(9), 60)));
        leader.land(at(30), |_| Landing::Abandoned);
        assert!(matches!(visit.look(at(30)), Look::Left(_)));
    }

    #[test]
    fn an_invalidation_voids_the_flight_and_frees_the_key() {
        let board = Arc::new(Board::new());
        let visit = board.visit(key("a").as_ref());
        let old = lead(visit.join(LedBy::Thread, at(1)));
        let mut dropped = false;
        board.void(key("a").as_ref(), || dropped = true);
        assert!(dropped);
        let new = lead(visit.join(LedBy::Thread, at(2)));
        old.land(at(3), |standing| {
            assert_eq!(standing, Standing::Void);
            value(1, at(1))
        });
        assert!(matches!(visit.look(at(3)), Look::Flight(_)), "the old one does not end the new one");
        new.land(at(4), |standing| {
            assert_eq!(standing, Standing::Current);
            value(2, at(4))
        });
    }

    #[test]
    fn a_void_of_a_key_that_nobody_visits_still_drops() {
        let board = Arc::new(Board::new());
        let mut dropped = false;
        board.void(key("a").as_ref(), || dropped = true);
        assert!(dropped);
        assert_eq!(board.census(), (0, 0));
    }

    #[test]
    fn what_was_read_before_an_invalidation_is_not_put() {
        let board = Arc::new(Board::new());
        let (visit, other) = (board.visit(key("a").as_ref()), board.visit(key("b").as_ref()));
        let (mark, other_mark) = (visit.mark(), other.mark());
        let mut puts = 0;
        assert_eq!(visit.put(mark, || puts += 1), Standing::Current);
        board.void(key("a").as_ref(), || ());
        assert_eq!(visit.put(mark, || puts += 1), Standing::Void);
        assert_eq!(other.put(other_mark, || puts += 1), Standing::Current);
        assert_eq!(visit.put(visit.mark(), || puts += 1), Standing::Current, "a later mark is good again");
        assert_eq!(puts, 3);
    }

    #[test]
    fn a_value_that_is_set_voids_what_is_loading_and_is_refused_after_an_invalidation() {
        let board = Arc::new(Board::new());
        let visit = board.visit(key("a").as_ref());
        let loading = lead(visit.join(LedBy::Thread, at(1)));
        let (first, second) = (visit.mark(), visit.mark());
        assert_eq!(visit.replace(first, || ()), Standing::Current);
        assert_eq!(visit.replace(second, || ()), Standing::Void, "of two that began together one is stored");
        loading.land(at(2), |standing| {
            assert_eq!(standing, Standing::Void);
            value(1, at(1))
        });
    }

    #[test]
    fn a_scope_voids_its_keys_and_no_others() {
        let board = Arc::new(Board::new());
        let other = KeyWriter::key_of("other", &1).expect("a number is a key");
        let (mine, theirs) = (board.visit(key("a").as_ref()), board.visit(other.as_ref()));
        let (my_mark, their_mark) = (mine.mark(), theirs.mark());
        let my_lead = lead(mine.join(LedBy::Thread, at(1)));
        board.void_all(Some("ns"));
        assert_eq!(mine.put(my_mark, || ()), Standing::Void);
        assert_eq!(theirs.put(their_mark, || ()), Standing::Current);
        my_lead.land(at(2), |standing| {
            assert_eq!(standing, Standing::Void);
            Landing::FailedAlone
        });
        board.void_all(None);
        assert_eq!(theirs.put(their_mark, || ()), Standing::Void);
    }

    #[test]
    fn a_scope_forgets_what_was_left() {
        let board = Arc::new(Board::new());
        let visit = board.visit(key("a").as_ref());
        let mut leader = lead(visit.join(LedBy::Task, at(1)));
        leader.leave(Some(left(Some(9), 30)));
        drop(leader);
        board.void_all(Some("ns"));
        assert!(matches!(visit.look(at(2)), Look::Clear));
        drop(visit);
        let left: usize = board.shards.iter().map(|shard| lock(shard).left).sum();
        assert_eq!(left, 0, "and counts it no more");
    }

    fn asked(look: Look) -> Arc<Flight> {
        match look {
            Look::Asked(flight) => flight,
            other => panic!("nobody asks for all: {other:?}"),
        }
    }

    /// So many who ask for themselves, and one more who asks for all.
    fn askers(board: &Arc<Board>) -> (Vec<Visit>, Visit) {
        let ask = |_| {
            let mut visit = board.visit(key("a").as_ref());
            assert!(matches!(visit.look_in_turn(Patient::Yes, LedBy::Task, at(1)), Look::Clear));
            visit
        };
        let mut all: Vec<Visit> = (0..=turns::ALONE).map(ask).collect();
        let for_all = all.pop().expect("there is one more");
        (all, for_all)
    }

    fn look(visit: &mut Visit) -> Look {
        visit.look_in_turn(Patient::Yes, LedBy::Task, at(2))
    }

    #[test]
    fn of_very_many_one_asks_for_all_who_were_there_before_it_asked() {
        let board = Arc::new(Board::new());
        let (alone, mut first) = askers(&board);
        assert!(!first.is_awaited(), "there is nobody for whom it would ask");
        let [mut next, mut other] = [(); 2].map(|()| board.visit(key("a").as_ref()));
        let (of_first, of_next) = (asked(look(&mut next)), asked(look(&mut other)));
        assert!(!Arc::ptr_eq(&of_first, &of_next), "what the first one asks for may be older than this caller");
        assert!(matches!(look(&mut first), Look::Clear), "it goes on asking");
        assert!(Arc::ptr_eq(&asked(look(&mut next)), &of_first), "its turn is not yet");
        let (mut next_waits, mut other_waits) = (of_first.follow(), of_next.follow());
        assert!(landing(&mut next_waits).is_none() && landing(&mut other_waits).is_none());
        assert!(first.is_awaited() && next.is_awaited() && !other.is_awaited());
        first.answer(value(1, at(1)));
        assert!(matches!(landing(&mut next_waits), Some(Landing::Value { .. })));
        assert!(matches!(look(&mut next), Look::Clear), "now it asks for all");
        let [mut late, mut later] = [(); 2].map(|()| board.visit(key("a").as_ref()));
        assert!(Arc::ptr_eq(&asked(look(&mut late)), &of_next), "the next one but one waits for its turn");
        assert!(!Arc::ptr_eq(&asked(look(&mut later)), &of_next));
        next.answer(value(2, at(3)));
        assert!(matches!(landing(&mut other_waits), Some(Landing::Value { proved, .. }) if proved == at(3)));
        let mut thread = board.visit(key("a").as_ref());
        let looked = thread.look_in_turn(Patient::Yes, LedBy::Thread, at(2));
        assert!(matches!(looked, Look::Clear), "no thread waits for a task");
        drop((alone, first, next, other, late, later, thread));
        assert_eq!(board.census(), (0, 0), "nothing is remembered");
    }

    #[test]
    fn whoever_waits_for_a_turn_is_handed_to_the_load_that_begins() {
        let board = Arc::new(Board::new());
        let (alone, mut first) = askers(&board);
        let [mut next, mut other] = [(); 2].map(|()| board.visit(key("a").as_ref()));
        let mut waiting = [asked(look(&mut next)).follow(), asked(look(&mut other)).follow()];
        assert!(waiting.iter_mut().all(|follow| landing(follow).is_none()));
        let leader = lead(alone[0].join(LedBy::Task, at(3)));
        let flight = leader.flight().clone();
        leader.land(at(4), |_| value(7, at(4)));
        for follow in &mut waiting {
            let Some(Landing::Begun(begun)) = landing(follow) else { panic!("a load has begun") };
            assert!(Arc::ptr_eq(&begun, &flight), "and is over by now");
        }
        assert!(matches!(look(&mut next), Look::Clear), "the turns begin anew");
        let mut late = board.visit(key("a").as_ref());
        assert!(matches!(look(&mut late), Look::Asked(_)), "and one is asking for all");
        assert!(matches!(look(&mut first), Look::Asked(_)), "its own turn went with the load");
    }

    #[test]
    fn whoever_asked_for_itself_makes_room_for_another() {
        let board = Arc::new(Board::new());
        let (mut alone, _first) = askers(&board);
        alone.pop();
        let [mut late, mut later] = [(); 2].map(|()| board.visit(key("a").as_ref()));
        assert!(matches!(look(&mut late), Look::Clear), "it asks for itself");
        assert!(matches!(look(&mut later), Look::Asked(_)));
        let _leader = lead(alone[0].join(LedBy::Task, at(3)));
        assert!(matches!(look(&mut later), Look::Flight(_)), "a load goes before all turns");
    }

    #[test]
    fn whoever_asks_for_all_and_is_dropped_lets_them_go() {
        let board = Arc::new(Board::new());
        let (alone, first) = askers(&board);
        let [mut next, mut other] = [(); 2].map(|()| board.visit(key("a").as_ref()));
        let (mut next_waits, mut other_waits) = (asked(look(&mut next)).follow(), asked(look(&mut other)).follow());
        drop(first);
        assert!(matches!(landing(&mut next_waits), Some(Landing::Abandoned)) && landing(&mut other_waits).is_none());
        drop(next);
        assert!(matches!(landing(&mut other_waits), Some(Landing::Abandoned)));
        assert!(matches!(other.look_in_turn(Patient::No, LedBy::Task, at(2)), Look::Clear), "it sees for itself");
        drop((alone, other));
        assert_eq!(board.census(), (0, 0));
    }

    #[test]
    fn of_all_whose_patience_is_spent_one_leads_and_the_others_follow_it() {
        let board = Arc::new(Board::new());
        let (one, two) = (board.visit(key("a").as_ref()), board.visit(key("a").as_ref()));
        let slow = lead(one.join(LedBy::Thread, at(1)));
        let flight = follow(two.join(LedBy::Thread, at(1)));
        let second = lead(one.overtake(&flight, LedBy::Thread, at(31)));
        let followed = follow(two.overtake(&flight, LedBy::Thread, at(31)));
        assert!(Arc::ptr_eq(&followed, second.flight()));
        slow.land(at(32), |standing| {
            assert_eq!(standing, Standing::Current, "slow is not void");
            value(1, at(32))
        });
        assert!(matches!(two.look(at(32)), Look::Flight(_)), "and does not end the second");
        drop(second);
    }
}

#[cfg(shuttle)]
mod orders {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Scene {
        board: Arc<Board>,
        near: Mutex<Option<usize>>,
        source: AtomicUsize,
        loading: AtomicUsize,
        loads: AtomicUsize,
    }

    impl Scene {
        fn new() -> Arc<Self> {
            Arc::new(Scene {
                board: Arc::new(Board::new()),
                near: Mutex::new(None),
                source: AtomicUsize::new(1),
                loading: AtomicUsize::new(0),
                loads: AtomicUsize::new(0),
            })
        }

        /// A caller that ends with a value, or gives up in the middle of its load.
        fn call(&self, gives_up: bool) {
            let visit = self.board.visit(key("a").as_ref());
            loop {
                match visit.join(LedBy::Thread, at(1)) {
                    Joined::Leads(lead) => {
                        if self.near.lock().unwrap().is_some() {
                            return;
                        }
                        self.loading.fetch_add(1, Ordering::SeqCst);
                        let loaded = self.source.load(Ordering::SeqCst);
                        shuttle::thread::yield_now();
                        self.loading.fetch_sub(1, Ordering::SeqCst);
                        if gives_up {
                            return;
                        }
                        self.loads.fetch_add(1, Ordering::SeqCst);
                        lead.land(at(2), |standing| {
                            if standing == Standing::Current {
                                *self.near.lock().unwrap() = Some(loaded);
                            }
                            Landing::FailedAlone
                        });
                        return;
                    }
                    // Whoever follows must be woken, or the checker reports a deadlock.
                    Joined::Follows(flight) => drop(shuttle::future::block_on(flight.follow())),
                }
            }
        }

        fn invalidate(&self) {
            self.source.store(2, Ordering::SeqCst);
            self.board.void(key("a").as_ref(), || *self.near.lock().unwrap() = None);
        }
    }

    fn spawn(scene: &Arc<Scene>, run: impl FnOnce(&Scene) + Send + 'static) -> shuttle::thread::JoinHandle<()> {
        let scene = scene.clone();
        shuttle::thread::spawn(move || run(&scene))
    }

    fn race_of_callers_and_an_invalidation() {
        let scene = Scene::new();
        let threads = [
            spawn(&scene, |scene| scene.call(false)),
            spawn(&scene, |scene| scene.call(true)),
            spawn(&scene, |scene| scene.call(false)),
            spawn(&scene, Scene::invalidate),
        ];
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        let near = *scene.near.lock().unwrap();
        assert_ne!(near, Some(1), "what was loaded before the invalidation stands near after it");
        assert_eq!(scene.board.census(), (0, 0));
    }

    fn race_of_callers() {
        let scene = Scene::new();
        let threads = [false, true, false].map(|gives_up| spawn(&scene, move |scene| scene.call(gives_up)));
        threads.into_iter().for_each(|thread| thread.join().unwrap());
        assert_eq!(scene.loads.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn no_order_of_callers_and_an_invalidation_keeps_an_old_value() {
        shuttle::check_random(race_of_callers_and_an_invalidation, 10_000);
        shuttle::check_pct(race_of_callers_and_an_invalidation, 3_000, 3);
    }

    #[test]
    fn no_order_of_callers_loads_twice() {
        shuttle::check_random(race_of_callers, 10_000);
        shuttle::check_pct(race_of_callers, 3_000, 3);
    }
}
