//! Exchanges about tokens: who wins, who is refused, and how a token comes back.

use super::*;

pub(super) fn miss_and_win(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let ask = MetaGet { recache: Some(10), ..claim(&item, "svtcf", 30) };
    let won = talk.expect(A, ask.clone(), "VA \"\" f0 s0 W")?;
    let lost = talk.expect(B, ask, "VA \"\" f0 s0 Z")?;
    same("CAS of one stub", cas(&won)?, cas(&lost)?)?;
    left_about(&lost, 30)?;
    talk.expect(C, mg(&item, "v"), "VA \"\" Z")?;
    talk.expect(C, Command::ClassicGet(item), "VA \"\" f0").map(drop)
}

pub(super) fn fenced_store(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let token = cas(&talk.expect(A, claim(&item, "c", 30), "HD W")?)?;
    let stored = talk.expect(A, MetaSet { client_flags: 7, ..fenced(&item, "hello", token) }, "HD")?;
    newer("a store", token, cas(&stored)?)?;
    let ask = MetaGet { recache: Some(10), ..claim(&item, "vtcf", 30) };
    let seen = talk.expect(B, ask, "VA \"hello\" f7")?;
    same("CAS told by the store and by a read", cas(&stored)?, cas(&seen)?)?;
    left_about(&seen, 60)
}

pub(super) fn early_refresh(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let first = talk.put(&item, "hello", 60)?;
    let ask = MetaGet { recache: Some(100), ..claim(&item, "vtc", 30) };
    let won = talk.expect(A, ask.clone(), "VA \"hello\" W")?;
    same("R changes no CAS", cas(&won)?, first)?;
    left_about(&won, 60)?;
    talk.expect(B, ask.clone(), "VA \"hello\" Z")?;
    talk.expect(A, MetaSet { ttl: Some(200), ..fenced(&item, "hello2", first) }, "HD")?;
    talk.expect(B, ask, "VA \"hello2\"").map(drop)
}

pub(super) fn recache_is_strict(talk: &Talk<'_>) -> Done {
    let (bounded, immortal) = (talk.key("bounded")?, talk.key("immortal")?);
    talk.put(&bounded, "x", 100)?;
    talk.expect(A, MetaGet { recache: Some(90), ..mg(&bounded, "v") }, "VA \"x\"")?;
    talk.expect(A, MetaGet { recache: Some(101), ..mg(&bounded, "v") }, "VA \"x\" W")?;
    talk.put(&immortal, "x", 0)?;
    let seen = talk.expect(A, MetaGet { recache: Some(1_000_000), ..mg(&immortal, "vt") }, "VA \"x\"")?;
    left_for_ever(&seen)
}

pub(super) fn soft_invalidation(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let before = talk.put(&item, "hello2", 60)?;
    talk.expect(A, MetaDelete { ttl: Some(30), ..soften(&item) }, "HD")?;
    let ask = MetaGet { recache: Some(10), ..claim(&item, "vtc", 30) };
    let won = talk.expect(B, ask.clone(), "VA \"hello2\" W X")?;
    newer("md I", before, cas(&won)?)?;
    left_about(&won, 30)?;
    let lost = talk.expect(C, ask, "VA \"hello2\" Z X")?;
    same("one stale item", cas(&won)?, cas(&lost)?)?;
    let refused = talk.expect(C, fenced(&item, "old", before), "EX")?;
    same("the CAS of a refused store", cas(&refused)?, 0)?;
    talk.expect(B, fenced(&item, "new", cas(&won)?), "HD")?;
    talk.expect(C, mg(&item, "v"), "VA \"new\"").map(drop)
}

pub(super) fn stale_store(talk: &Talk<'_>) -> Done {
    let item = talk.key("item")?;
    let before = talk.put(&item, "hello", 60)?;
    talk.expect(A, MetaDelete { ttl: Some(30), ..soften(&item) }, "HD")?;
    let won = cas(&talk.expect(B, claim(&item, "c", 30), "HD W X")?)?;
    let late = talk.expect(C, MetaSet { flags: "cI", ..fenced(&item, "old", before) }, "HD")?;
    newer("a late store with I", won, cas(&late)?)?;
    let seen = talk.expect(C, mg(&item, "vtc"), "VA \"old\" Z X")?;
    same("the late store's CAS", cas(&seen)?, cas(&late)?)?;
    left_about(&seen, 30)?;
    talk.expect(B, fenced(&item, "new", won), "EX")?;
    talk.expect(B, MetaSet { flags: "cI", ..fenced(&item, "later", cas(&late)? + 1000) }, "EX").map(drop)
}

pub(super) fn hard_delete(talk: &Talk<'_>) -> Done {
    let k2 = talk.key("k2")?;
    let first = cas(&talk.expect(A, claim(&k2, "vc", 30), "VA \"\" W")?)?;
    talk.expect(B, md(&k2), "HD")?;
    let refused = talk.expect(A, fenced(&k2, "x", first), "NF")?;
    same("the CAS of a refused store", cas(&refused)?, 0)?;
    let second = cas(&talk.expect(B, claim(&k2, "vc", 30), "VA \"\" W")?)?;
    newer("a new stub", first, second)?;
    talk.expect(A, fenced(&k2, "x", first), "EX")?;
    talk.expect(B, fenced(&k2, "y", second), "HD").map(drop)
}

pub(super) fn dead_winner_on_a_stub(talk: &Talk<'_>) -> Done {
    let key = talk.key("stub")?;
    let first = cas(&talk.expect(A, claim(&key, "c", 2), "HD W")?)?;
    talk.expect(B, claim(&key, "c", 2), "HD Z")?;
    talk.pass(3100);
    let next = talk.expect(B, claim(&key, "vtc", 2), "VA \"\" W")?;
    left_about(&next, 2)?;
    newer("the next stub", first, cas(&next)?)
}

pub(super) fn dead_winner_on_a_value(talk: &Talk<'_>) -> Done {
    let r1 = talk.key("r1")?;
    talk.put(&r1, "x", 4)?;
    let ask = MetaGet { recache: Some(30), ..claim(&r1, "vt", 30) };
    talk.expect(A, ask.clone(), "VA \"x\" W")?;
    talk.pass(2100);
    talk.expect(B, ask.clone(), "VA \"x\" Z")?;
    talk.pass(3000);
    let next = talk.expect(B, ask, "VA \"\" W")?;
    left_about(&next, 30)
}

pub(super) fn takeover(talk: &Talk<'_>) -> Done {
    let k3 = talk.key("k3")?;
    let dead = cas(&talk.expect(A, claim(&k3, "c", 30), "HD W")?)?;
    let take = MetaDelete { ttl: Some(30), cas: Some(dead), ..soften(&k3) };
    talk.expect(B, take.clone(), "HD")?;
    talk.expect(C, take, "EX")?;
    let won = cas(&talk.expect(B, claim(&k3, "vct", 30), "VA \"\" W X")?)?;
    talk.expect(A, fenced(&k3, "x", dead), "EX")?;
    talk.expect(B, fenced(&k3, "y", won), "HD").map(drop)
}

pub(super) fn takeover_in_one_pipeline(talk: &Talk<'_>) -> Done {
    let k4 = talk.key("k4")?;
    let dead = talk.put(&k4, "dead", 60)?;
    talk.expect(B, claim(&k4, "vc", 30), "VA \"dead\"")?;
    let take = MetaDelete { ttl: Some(30), cas: Some(dead), ..soften(&k4) };
    talk.expect(B, take.clone(), "HD")?;
    let first = talk.expect(B, claim(&k4, "vct", 30), "VA \"dead\" W X")?;
    talk.expect(B, Command::Noop, "MN")?;
    talk.expect(C, take, "EX")?;
    let second = talk.expect(C, claim(&k4, "vct", 30), "VA \"dead\" Z X")?;
    talk.expect(C, Command::Noop, "MN")?;
    same("both see one CAS", cas(&first)?, cas(&second)?)?;
    left_about(&first, 30)
}

pub(super) fn hand_back(talk: &Talk<'_>) -> Done {
    let h1 = talk.key("h1")?;
    talk.put(&h1, "x", 30)?;
    let ask = MetaGet { recache: Some(100), ..mg(&h1, "vc") };
    let token = cas(&talk.expect(A, ask.clone(), "VA \"x\" W")?)?;
    talk.expect(B, ask.clone(), "VA \"x\" Z")?;
    talk.expect(A, MetaDelete { cas: Some(token), ttl: Some(30), ..soften(&h1) }, "HD")?;
    talk.expect(B, ask, "VA \"x\" W X").map(drop)
}

pub(super) fn plain_read_takes_the_token(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    talk.expect(B, mg(&key, ""), "HD W X")?;
    talk.expect(C, mg(&key, "v"), "VA \"x\" Z X").map(drop)
}
