//! `#[invalidates]` on functions of every kind: what they invalidate, when, and that they are otherwise as written.

#![cfg(all(feature = "macros", feature = "memory", feature = "testkit"))]
#![deny(warnings)]
#![allow(clippy::unwrap_used, clippy::panic)]

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cache::testkit::isolated;
use cache::{Region, Registry, cached, invalidates};

static REGION: Region = Region::named("writers");

thread_local! {
    static LOADS: Cell<u64> = const { Cell::new(0) };
}

/// Another number each time the function runs.
fn load() -> u64 {
    LOADS.replace(LOADS.get() + 1)
}

#[cached(REGION, "price")]
fn price(sku: &str) -> u64 {
    let _ = sku;
    load()
}

#[cached(REGION, "stock", companions = "in_stock")]
fn stock(sku: &str, store: u8) -> u64 {
    let _ = (sku, store);
    load()
}

/// Which of these run anew after `write`, each of them having been called before.
fn changed<T>(write: impl FnOnce() -> T) -> (T, [bool; 3]) {
    isolated(&Registry::for_tests(), || {
        let all = || [price("tea"), price("milk"), stock("tea", 1)];
        let before = all();
        assert_eq!(all(), before, "they are kept");
        let result = write();
        let after = all();
        (result, [0, 1, 2].map(|at| before[at] != after[at]))
    })
}

const NONE: [bool; 3] = [false, false, false];
const TEA: [bool; 3] = [true, false, false];
const ALL: [bool; 3] = [true, true, true];

/// What becomes of a call of it.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Return,
    Question,
    Tail,
    Panic,
    Never,
}

fn fail() -> Result<u8, std::num::ParseIntError> {
    "x".parse()
}

#[invalidates(price(sku))]
fn write(sku: &str, end: End) -> Result<u8, Box<dyn std::error::Error>> {
    let before = price(sku);
    assert_eq!(price(sku), before, "not invalidated before it has ended");
    match end {
        End::Return => return Ok(1),
        End::Question => _ = fail()?,
        End::Panic | End::Never => panic!("as asked"),
        End::Tail => {}
    }
    Ok(2)
}

#[test]
fn a_writer_invalidates_however_it_ends() {
    assert_eq!(changed(|| write("tea", End::Tail).unwrap()), (2, TEA));
    assert_eq!(changed(|| write("tea", End::Return).unwrap()), (1, TEA));
    assert_eq!(changed(|| write("tea", End::Question).is_err()), (true, TEA));
    assert_eq!(changed(|| catch_unwind(|| write("tea", End::Panic)).is_err()), (true, TEA));
    assert_eq!(changed(|| write("coffee", End::Tail).unwrap()), (2, NONE));
}

#[invalidates(price(sku), only_ok)]
fn write_only_ok(sku: &str, end: End) -> Result<u8, Box<dyn std::error::Error>> {
    write_nothing(end)
}

fn write_nothing(end: End) -> Result<u8, Box<dyn std::error::Error>> {
    match end {
        End::Question => Ok(fail()?),
        End::Panic => panic!("as asked"),
        _ => Ok(1),
    }
}

#[test]
fn with_only_ok_nothing_else_invalidates() {
    assert_eq!(changed(|| write_only_ok("tea", End::Tail).unwrap()), (1, TEA));
    assert_eq!(changed(|| write_only_ok("tea", End::Question).is_err()), (true, NONE));
    assert_eq!(changed(|| catch_unwind(|| write_only_ok("tea", End::Panic)).is_err()), (true, NONE));
}

#[invalidates(price(sku))]
async fn write_async(sku: &str, end: End) -> Result<u8, String> {
    pause().await;
    match end {
        End::Return => return Ok(1),
        End::Question => _ = fail().map_err(|error| error.to_string())?,
        End::Panic => panic!("as asked"),
        End::Never => poll_fn(|_| Poll::Pending).await,
        End::Tail => {}
    }
    Ok(2)
}

/// Pending once.
async fn pause() {
    let mut was_polled = false;
    poll_fn(|_| if std::mem::replace(&mut was_polled, true) { Poll::Ready(()) } else { Poll::Pending }).await;
}

/// Polls a future so many times, and drops it.
fn poll_some<T>(future: impl Future<Output = T>, polls: usize) -> Option<T> {
    let mut future = pin!(future);
    let mut cx = Context::from_waker(Waker::noop());
    (0..polls).find_map(|_| match future.as_mut().poll(&mut cx) {
        Poll::Ready(result) => Some(result),
        Poll::Pending => None,
    })
}

#[test]
fn an_async_writer_invalidates_however_it_ends() {
    let run = |end, polls| changed(|| poll_some(write_async("tea", end), polls).map(Result::ok));
    assert_eq!(run(End::Tail, 2), (Some(Some(2)), TEA));
    assert_eq!(run(End::Return, 2), (Some(Some(1)), TEA));
    assert_eq!(run(End::Question, 2), (Some(None), TEA));
    assert_eq!(run(End::Tail, 0), (None, NONE), "never polled, it has written nothing");
    assert_eq!(run(End::Tail, 1), (None, TEA), "dropped at its first await");
    assert_eq!(run(End::Never, 2), (None, TEA), "dropped at its second");
    let panicked = || catch_unwind(AssertUnwindSafe(|| poll_some(write_async("tea", End::Panic), 2))).is_err();
    assert_eq!(changed(panicked), (true, TEA));
}

#[invalidates(price(&sku), in_stock(&sku, 1), price("milk"))]
fn moves(sku: String, also: Vec<u8>) -> (String, Vec<u8>) {
    let moved = (sku, also);
    drop(moved);
    (String::new(), Vec::new())
}

#[invalidates(REGION, namespace = "price", namespace = "stock")]
fn write_all() {}

#[invalidates(region = region_of(tenant), namespace = "price", in_stock("tea", 1))]
async fn write_of_a_tenant(tenant: &str) {
    pause().await;
}

fn region_of(tenant: &str) -> Arc<Region> {
    let _ = tenant;
    Arc::new(Region::named("writers"))
}

#[invalidates("writers", namespace = "price")]
#[invalidates(in_stock("tea", 1), only_ok)]
fn write_twice(succeed: bool) -> Result<(), ()> {
    if succeed { Ok(()) } else { Err(()) }
}

#[test]
fn several_targets_are_invalidated_each() {
    assert_eq!(changed(|| moves("tea".to_owned(), vec![1])).1, ALL);
    assert_eq!(changed(write_all).1, ALL);
    assert_eq!(changed(|| poll_some(write_of_a_tenant("a"), 2)), (Some(()), ALL));
    assert_eq!(changed(|| write_twice(true)), (Ok(()), ALL));
    assert_eq!(changed(|| write_twice(false)), (Err(()), [true, true, false]));
}

struct Sku(&'static str, #[allow(dead_code)] u8);

/// Patterns, `mut`, arguments without a name; names in patterns are references in the attribute.
#[invalidates(price(name), in_stock(name, *store))]
fn patterns(Sku(name, _): Sku, (mut store, _): (u8, u8), mut count: u8, _: &str, _kept: u8) -> u8 {
    store += 1;
    count += store + u8::try_from(name.len()).unwrap();
    count
}

#[invalidates(price(sku.as_ref()))]
fn generic<T: AsRef<str>, const N: usize>(sku: &T, parts: [u8; N], more: impl FnOnce() -> u8) -> usize {
    parts.len() + usize::from(more())
}

#[invalidates(price("tea"))]
fn borrowed<'a>(all: &'a mut Vec<String>, name: &str) -> Result<&'a mut String, &'static str> {
    all.push(name.to_owned());
    all.last_mut().ok_or("it was pushed")
}

#[invalidates(price("tea"))]
async fn borrowed_async<'a>(all: &'a mut Vec<String>, name: &str) -> Result<&'a mut String, &'static str> {
    pause().await;
    all.push(name.to_owned());
    all.last_mut().ok_or("it was pushed")
}

#[invalidates(price("tea"))]
fn local_result(count: Rc<Cell<u8>>) -> Rc<Cell<u8>> {
    count.set(1);
    count
}

#[test]
fn arguments_and_results_are_of_any_kind() {
    assert_eq!(changed(|| patterns(Sku("tea", 1), (1, 2), 3, "", 0)), (8, [true, false, true]));
    assert_eq!(changed(|| generic(&"tea", [1, 2], || 3)), (5, TEA));
    let mut all = vec![];
    assert_eq!(changed(|| borrowed(&mut all, "a").map(|last| last.push('b'))), (Ok(()), TEA));
    let ((), invalidated) = changed(|| poll_some(borrowed_async(&mut all, "c"), 2).unwrap().unwrap().push('d'));
    assert_eq!((all, invalidated), (vec!["ab".to_owned(), "cd".to_owned()], TEA));
    assert_eq!(changed(|| local_result(Rc::default()).get()), (1, TEA));
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Shop {
    sku: &'static str,
    written: u8,
}

impl Shop {
    #[cached(REGION, "named", key(self.sku), companions = "Self::named")]
    fn named(&self) -> u64 {
        load()
    }

    #[cached(REGION, "listed", skip(self))]
    fn listed(&self, sku: &str) -> u64 {
        let _ = sku;
        load()
    }

    #[invalidates(self.named(), Self::listed(sku), price(self.sku))]
    fn shared(&self, sku: &str) -> usize {
        self.sku.len() + sku.len()
    }

    #[invalidates(self.named(), Self::listed("milk"))]
    fn changing(&mut self, by: u8) -> &mut u8 {
        self.written += by;
        &mut self.written
    }

    #[invalidates(self.named())]
    async fn changing_async(&mut self, by: u8) -> &mut u8 {
        pause().await;
        self.written += by;
        &mut self.written
    }

    #[invalidates(self.named())]
    fn taking(mut self, by: u8) -> Self {
        self.written += by;
        self
    }

    #[invalidates(self.named())]
    async fn counted(self: Arc<Self>, by: u8) -> u8 {
        pause().await;
        self.written + by
    }
}

trait Store {
    fn put(&mut self, by: u8) -> Result<u8, String>;

    async fn put_async(&mut self, by: u8) -> Result<u8, String>;

    #[invalidates(price("tea"))]
    fn provided(&self) {}
}

impl Store for Shop {
    #[invalidates(Self::listed("milk"), self.named())]
    fn put(&mut self, by: u8) -> Result<u8, String> {
        self.written = self.written.checked_add(by).ok_or_else(|| "too much".to_owned())?;
        Ok(self.written)
    }

    #[invalidates(self.named())]
    async fn put_async(&mut self, by: u8) -> Result<u8, String> {
        pause().await;
        self.put(by)
    }
}

#[test]
fn methods_write_as_well() {
    let changed = |write: &mut dyn FnMut(&mut Shop)| {
        isolated(&Registry::for_tests(), || {
            let mut shop = Shop { sku: "tea", written: 0 };
            let all = |shop: &Shop| [shop.named(), shop.listed("milk"), price("tea")];
            let before = all(&shop);
            write(&mut shop);
            let after = all(&shop);
            (shop.written, [0, 1, 2].map(|at| before[at] != after[at]))
        })
    };
    assert_eq!(changed(&mut |shop| assert_eq!(shop.shared("milk"), 7)), (0, ALL));
    assert_eq!(changed(&mut |shop| *shop.changing(2) += 1), (3, [true, true, false]));
    assert_eq!(changed(&mut |shop| *poll_some(shop.changing_async(2), 2).unwrap() += 1), (3, TEA));
    assert_eq!(changed(&mut |shop| *shop = shop.clone().taking(4)), (4, TEA));
    assert_eq!(changed(&mut |shop| assert_eq!(poll_some(Arc::new(shop.clone()).counted(1), 2), Some(1))), (0, TEA));
    assert_eq!(changed(&mut |shop| assert_eq!(shop.put(2), Ok(2))), (2, [true, true, false]));
    assert_eq!(changed(&mut |shop| assert_eq!(poll_some(shop.put_async(2), 2), Some(Ok(2)))), (2, [true, true, false]));
    assert_eq!(changed(&mut |shop| shop.provided()), (0, [false, false, true]));
}

/// Arguments that are dropped with the body are dropped before the invalidation, used or not.
struct Commits(&'static str, u64);

impl Drop for Commits {
    fn drop(&mut self) {
        assert_eq!(price(self.0), self.1, "the old price is there until the commit");
    }
}

impl Commits {
    #[invalidates(price("tea"))]
    fn commit(self) {}

    #[invalidates(price("tea"))]
    async fn commit_async(self) {
        pause().await;
    }
}

#[invalidates(price("tea"))]
fn commit(_: Commits, _also: Commits) {}

#[invalidates(price("tea"))]
async fn commit_async(_: Commits, _also: Commits) {
    pause().await;
}

#[test]
fn what_arguments_do_when_they_are_dropped_is_part_of_the_call() {
    let new = || Commits("tea", price("tea"));
    assert_eq!(changed(|| commit(new(), new())).1, TEA);
    assert_eq!(changed(|| new().commit()).1, TEA);
    for polls in [1, 2] {
        assert_eq!(changed(|| poll_some(commit_async(new(), new()), polls)).1, TEA);
        assert_eq!(changed(|| poll_some(new().commit_async(), polls)).1, TEA);
    }
}

#[cached(REGION, "generic", key(id.clone().into()))]
fn generic_price<T: Into<u64> + Clone>(id: &T) -> u64 {
    id.clone().into() + load()
}

/// On one function: above, the invalidation comes when it runs; below, at each call.
#[invalidates(price("tea"))]
#[cached(REGION, "when_it_runs")]
fn when_it_runs(id: u8) -> u8 {
    id
}

#[cached(REGION, "at_each_call")]
#[invalidates(price("tea"))]
fn at_each_call(id: u8) -> u8 {
    id
}

#[invalidates(generic_price::<u32>(id))]
fn write_generic(id: &u32) -> u32 {
    *id
}

#[test]
fn cached_functions_of_any_kind_are_targets_and_writers() {
    isolated(&Registry::for_tests(), || {
        let before = generic_price(&1u8);
        assert_eq!(write_generic(&1), 1);
        assert_ne!(generic_price(&1u64), before);
    });
    isolated(&Registry::for_tests(), || {
        for (write, is_kept) in [(when_it_runs as fn(u8) -> u8, true), (at_each_call, false)] {
            assert_eq!(write(1), 1);
            let before = price("tea");
            assert_eq!(write(1), 1);
            assert_eq!(price("tea") == before, is_kept);
        }
    });
}

fn assert_send<F: Future + Send>(future: F) -> F {
    future
}

#[invalidates(price("tea"))]
async fn not_send(count: Rc<Cell<u8>>) -> u8 {
    let also = Rc::clone(&count);
    pause().await;
    also.set(1);
    count.get()
}

#[test]
fn futures_are_send_where_the_body_is_and_small() {
    let name = String::from("tea");
    let mut shop = Shop { sku: "tea", written: 0 };
    let mut all = vec![];
    let future = assert_send(write_async(&name, End::Tail));
    assert!(size_of_val(&future) <= size_of::<(&str, End)>() * 2 + 64, "{}", size_of_val(&future));
    drop(future);
    drop(assert_send(borrowed_async(&mut all, &name)));
    drop(assert_send(shop.changing_async(1)));
    drop(assert_send(Arc::new(shop.clone()).counted(1)));
    drop(assert_send(write_of_a_tenant("a")));
    assert_eq!(changed(|| poll_some(not_send(Rc::default()), 2)), (Some(1), TEA));
}
