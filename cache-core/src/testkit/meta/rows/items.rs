//! Exchanges about items: what each command does to value, TTL, CAS and the two bits, and where the limits are.

use super::*;

pub(super) fn classic_get(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    talk.expect(B, Command::ClassicGet(key.clone()), "VA \"x\" f0")?;
    talk.expect(C, mg(&key, "v"), "VA \"x\" W X").map(drop)
}

pub(super) fn plain_store(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let old = talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    talk.expect(B, mg(&key, ""), "HD W X")?;
    let new = cas(&talk.expect(C, ms(&key, "y"), "HD")?)?;
    newer("a store", old, new)?;
    let seen = talk.expect(B, mg(&key, "vtc"), "VA \"y\"")?;
    same("its CAS", cas(&seen)?, new)?;
    left_for_ever(&seen)
}

pub(super) fn concatenation(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "b", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let won = cas(&talk.expect(A, mg(&key, "c"), "HD W X")?)?;
    let appended = cas(&talk.expect(B, MetaSet { mode: Mode::Append, ttl: Some(500), ..ms(&key, "c") }, "HD")?)?;
    newer("append", won, appended)?;
    let seen = talk.expect(C, mg(&key, "vt"), "VA \"bc\"")?;
    left_about(&seen, 60)?;
    talk.expect(B, MetaSet { mode: Mode::Prepend, ..ms(&key, "a") }, "HD")?;
    talk.expect(C, mg(&key, "v"), "VA \"abc\"")?;
    talk.expect(B, MetaSet { mode: Mode::Append, cas: Some(won), ..ms(&key, "d") }, "EX").map(drop)
}

pub(super) fn append_to_a_stub(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.expect(B, MetaSet { mode: Mode::Append, ..ms(&key, "x") }, "NS")?;
    let stub = cas(&talk.expect(A, claim(&key, "c", 30), "HD W")?)?;
    talk.expect(B, MetaSet { mode: Mode::Append, ..ms(&key, "x") }, "HD")?;
    let seen = talk.expect(C, mg(&key, "vt"), "VA \"x\"")?;
    left_about(&seen, 30)?;
    talk.expect(A, fenced(&key, "y", stub), "EX").map(drop)
}

pub(super) fn arithmetic_in_place(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "7", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let won = cas(&talk.expect(A, mg(&key, "c"), "HD W X")?)?;
    let added = talk.expect(B, MetaArithmetic { key: key.clone(), delta: 2, flags: "vc" }, "VA \"9\"")?;
    newer("ma", won, cas(&added)?)?;
    let seen = talk.expect(C, mg(&key, "vt"), "VA \"9\" Z X")?;
    left_about(&seen, 60)?;
    talk.expect(B, MetaArithmetic { key, delta: -20, flags: "v" }, "VA \"0\"").map(drop)
}

pub(super) fn arithmetic_moves(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "9", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let won = cas(&talk.expect(A, mg(&key, "c"), "HD W X")?)?;
    talk.expect(B, MetaArithmetic { key: key.clone(), delta: 1, flags: "v" }, "VA \"10\"")?;
    let seen = talk.expect(C, mg(&key, "vtc"), "VA \"10\"")?;
    newer("ma", won, cas(&seen)?)?;
    left_about(&seen, 60)
}

pub(super) fn arithmetic_refused(talk: &Talk<'_>) -> Done {
    let (text, nothing) = (talk.key("text")?, talk.key("nothing")?);
    talk.put(&text, "x", 60)?;
    let error = "CLIENT_ERROR cannot increment or decrement non-numeric value";
    talk.expect(A, MetaArithmetic { key: text, delta: 1, flags: "" }, error)?;
    talk.expect(A, MetaArithmetic { key: nothing, delta: 1, flags: "" }, "NF").map(drop)
}

pub(super) fn add_refused(talk: &Talk<'_>) -> Done {
    let (stub, stale, free) = (talk.key("stub")?, talk.key("stale")?, talk.key("free")?);
    let add = |key: &FarKey| MetaSet { mode: Mode::Add, ttl: Some(60), ..ms(key, "added") };
    let token = cas(&talk.expect(A, claim(&stub, "c", 30), "HD W")?)?;
    talk.expect(B, add(&stub), "NS")?;
    let seen = talk.expect(C, mg(&stub, "vc"), "VA \"\" Z")?;
    same("a refused add changes no CAS", cas(&seen)?, token)?;
    talk.put(&stale, "x", 60)?;
    talk.expect(A, soften(&stale), "HD")?;
    talk.expect(B, add(&stale), "NS")?;
    talk.expect(C, mg(&stale, "v"), "VA \"x\" W X")?;
    talk.expect(B, add(&free), "HD")?;
    talk.expect(C, mg(&free, "v"), "VA \"added\"").map(drop)
}

pub(super) fn replace(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let replace = |value: &str| MetaSet { mode: Mode::Replace, ttl: Some(60), ..ms(&key, value) };
    talk.expect(A, replace("x"), "NS")?;
    let stored = talk.put(&key, "x", 60)?;
    talk.expect(A, MetaSet { cas: Some(stored), ..replace("y") }, "HD")?;
    talk.expect(A, MetaSet { cas: Some(stored), ..replace("z") }, "EX")?;
    talk.expect(B, mg(&key, "v"), "VA \"y\"").map(drop)
}

pub(super) fn touch(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    talk.expect(B, Command::ClassicTouch(key.clone(), 300), "HD")?;
    let won = talk.expect(B, MetaGet { touch: Some(200), ..mg(&key, "vc") }, "VA \"x\" W X")?;
    let seen = talk.expect(C, MetaGet { touch: Some(100), ..mg(&key, "vc") }, "VA \"x\" Z X")?;
    same("touch keeps the CAS", cas(&won)?, cas(&seen)?)?;
    left_about(&talk.expect(C, mg(&key, "vt"), "VA \"x\" Z X")?, 100)?;
    talk.expect(B, Command::ClassicTouch(talk.key("nothing")?, 1), "NF").map(drop)
}

pub(super) fn mark_stale(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let stored = talk.put(&key, "x", 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let first = talk.expect(B, mg(&key, "vtc"), "VA \"x\" W X")?;
    newer("md I", stored, cas(&first)?)?;
    left_about(&first, 60)?;
    talk.expect(A, soften(&key), "HD")?;
    let second = talk.expect(C, mg(&key, "vtc"), "VA \"x\" W X")?;
    newer("a second md I", cas(&first)?, cas(&second)?)?;
    let compared = MetaDelete { cas: Some(cas(&first)?), ..soften(&key) };
    talk.expect(A, compared.clone(), "EX")?;
    talk.expect(A, MetaDelete { cas: Some(cas(&second)?), ..compared }, "HD")?;
    left_about(&talk.expect(C, mg(&key, "vt"), "VA \"x\" W X")?, 60)
}

pub(super) fn mark_stale_with_ttl(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, MetaDelete { ttl: Some(300), ..soften(&key) }, "HD")?;
    left_about(&talk.expect(B, mg(&key, "vt"), "VA \"x\" W X")?, 300)
}

pub(super) fn mark_stale_for_ever(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 60)?;
    talk.expect(A, MetaDelete { ttl: Some(0), ..soften(&key) }, "HD")?;
    left_for_ever(&talk.expect(B, mg(&key, "vt"), "VA \"x\" W X")?)?;
    talk.expect(A, md(&key), "HD").map(drop)
}

pub(super) fn delete(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.expect(A, md(&key), "NF")?;
    talk.expect(A, soften(&key), "NF")?;
    let stored = talk.put(&key, "x", 60)?;
    talk.expect(A, MetaDelete { cas: Some(stored + 1), ..md(&key) }, "EX")?;
    talk.expect(B, mg(&key, "v"), "VA \"x\"")?;
    talk.expect(A, MetaDelete { cas: Some(stored), ..md(&key) }, "HD")?;
    talk.expect(B, mg(&key, "v"), "EN")?;
    talk.expect(A, MetaDelete { cas: Some(stored), ..md(&key) }, "NF").map(drop)
}

pub(super) fn too_large(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let huge = "x".repeat(1024 * 1024);
    for mode in [Mode::Set, Mode::Add, Mode::Replace] {
        talk.put(&key, "old", 60)?;
        let store = MetaSet { mode, ..ms(&key, huge.clone()) };
        talk.expect(A, store, "SERVER_ERROR object too large for cache")?;
        talk.expect(B, mg(&key, "v"), "EN")?;
    }
    let other = talk.put(&key, "old", 60)?;
    let store = MetaSet { cas: Some(other + 1), ..ms(&key, huge) };
    talk.expect(A, store, "SERVER_ERROR object too large for cache")?;
    talk.expect(B, mg(&key, "v"), "EN")?;
    // Key, value, 48 of header, 8 of CAS and 3 of separators are one MiB.
    let largest = 1024 * 1024 - 48 - 8 - 3 - key.as_str().len();
    talk.expect(A, ms(&key, vec![b'x'; largest]), "HD")?;
    talk.expect(A, ms(&key, vec![b'x'; largest + 1]), "SERVER_ERROR object too large for cache")?;
    talk.expect(A, MetaSet { client_flags: 1, ..ms(&key, vec![b'x'; largest - 4]) }, "HD")?;
    let flagged = MetaSet { client_flags: 1, ..ms(&key, vec![b'x'; largest - 3]) };
    talk.expect(A, flagged, "SERVER_ERROR object too large for cache").map(drop)
}

pub(super) fn append_too_large(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let half = "x".repeat(600 * 1024);
    talk.put(&key, &half, 60)?;
    talk.expect(A, MetaSet { mode: Mode::Append, ..ms(&key, half) }, "NS")?;
    talk.expect(B, mg(&key, "s"), &format!("HD s{}", 600 * 1024)).map(drop)
}

pub(super) fn seconds(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 3)?;
    talk.pass(1900);
    talk.expect(A, mg(&key, "v"), "VA \"x\"")?;
    talk.pass(1200);
    talk.expect(A, mg(&key, "v"), "EN").map(drop)
}

pub(super) fn long_ttl(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    talk.put(&key, "x", 2_592_000)?;
    talk.expect(A, mg(&key, "v"), "VA \"x\"")?;
    talk.put(&key, "x", 2_592_001)?;
    talk.expect(A, mg(&key, "v"), "EN").map(drop)
}

pub(super) fn bad_flags(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let stored = talk.put(&key, "x", 60)?;
    for flags in ["vv", "!"] {
        let reply = talk.say(A, mg(&key, flags).into());
        if !matches!(reply.code, Code::ClientError(_)) {
            return Err(format!("flags `{flags}` should be a CLIENT_ERROR, not `{reply}`"));
        }
    }
    same("nothing happened", cas(&talk.expect(A, mg(&key, "c"), "HD")?)?, stored)
}

pub(super) fn echo(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    let missed = talk.expect(A, mg(&key, "vk"), "EN")?;
    talk.put(&key, "x", 60)?;
    let found = talk.expect(A, mg(&key, "vk"), "VA \"x\"")?;
    talk.expect(A, Command::Noop, "MN")?;
    if (missed.key.as_ref(), found.key.as_ref()) == (Some(&key), Some(&key)) {
        return Ok(());
    }
    Err(format!("`k` should echo {key:?}, not {:?} and {:?}", missed.key, found.key))
}

pub(super) fn without_cas(talk: &Talk<'_>) -> Done {
    let key = talk.key("k")?;
    same("a stub", cas(&talk.expect(A, claim(&key, "vc", 30), "VA \"\" W")?)?, 0)?;
    talk.expect(A, fenced(&key, "x", 1), "EX")?;
    talk.expect(A, fenced(&key, "x", 0), "EX")?;
    same("a store", cas(&talk.expect(A, ms(&key, "x"), "HD")?)?, 0)?;
    talk.expect(A, MetaDelete { cas: Some(1), ..md(&key) }, "EX")?;
    talk.expect(A, MetaDelete { cas: Some(0), ..md(&key) }, "HD").map(drop)
}
