//! `#[cached]` on async functions: their futures are `Send` where the body's is, and may be `!Send` where it is not.

#![cfg(feature = "macros")]
#![deny(warnings)]
#![allow(clippy::unwrap_used)]

use std::cell::Cell;
use std::future::{Future, ready};
use std::rc::Rc;
use std::sync::Arc;

use cache::{Region, cached};
use serde::Serialize;

static REGION: Region = Region::named("futures");

fn assert_send<F: Future + Send>(future: F) -> F {
    future
}

struct Service {
    base: u64,
}

impl Service {
    #[cached(REGION, "borrowing", skip(self))]
    async fn borrowing(&self, name: &str, parts: &[u8]) -> u64 {
        tokio::task::yield_now().await;
        self.base + name.len() as u64 + parts.len() as u64
    }

    #[cached(REGION, "counted", key(id))]
    async fn counted(self: &Arc<Self>, id: u64) -> u64 {
        tokio::task::yield_now().await;
        self.base + id
    }

    #[cached(REGION, "within", skip(self), companions = false)]
    async fn within(&self, name: &str, mut more: u64) -> u64 {
        tokio::task::yield_now().await;
        more += self.base + name.len() as u64;
        more
    }
}

#[cached(REGION, "callback", skip(callback))]
async fn callback(id: u64, callback: &(dyn Fn(u64) -> u64 + Sync)) -> u64 {
    tokio::task::yield_now().await;
    callback(id)
}

#[cached(REGION, "generic", key(id))]
async fn generic<T: Serialize + Sync + Into<u64> + Copy>(id: &T, load: impl AsyncFn(u64) -> u64) -> u64 {
    load((*id).into()).await
}

#[cached(REGION, "owned")]
async fn owned(name: String, parts: Vec<u8>) -> Result<String, String> {
    tokio::task::yield_now().await;
    if parts.is_empty() { Err(name) } else { Ok(name) }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn futures_are_send_with_whatever_they_borrow() {
    let service = Arc::new(Service { base: 1 });
    let name = String::from("name");
    assert_eq!(assert_send(service.borrowing(&name, &[1])).await, 6);
    assert_eq!(assert_send(service.borrowing_refresh(&name, &[1])).await, 6);
    assert_eq!(assert_send(service.borrowing_uncached(&name, &[1])).await, 6);
    assert_eq!(assert_send(service.counted(2)).await, 3);
    assert_eq!(assert_send(service.within(&name, 2)).await, 7);
    assert_eq!(assert_send(callback(2, &|id| id + service.base)).await, 3);
    assert_eq!(assert_send(callback_refresh(2, &|id| id + service.base)).await, 3);
    assert_eq!(assert_send(generic(&2_u32, async |id| id + 1)).await, 3);
    assert_eq!(tokio::spawn(owned("a".to_owned(), vec![1])).await.unwrap(), Ok("a".to_owned()));
    let spawned = tokio::spawn(async move { service.borrowing("ab", &[]).await + service.within("ab", 0).await });
    assert_eq!(spawned.await.unwrap(), 6);
}

#[allow(clippy::manual_async_fn)]
fn spawned<T>(value: T) -> impl Future<Output = u64> + Send
where
    T: Into<u64> + Serialize + Copy + Send + Sync + 'static,
{
    async move { generic(&value, ready_plus_one).await }
}

async fn ready_plus_one(id: u64) -> u64 {
    ready(id + 1).await
}

#[tokio::test]
async fn futures_are_send_in_generic_code() {
    assert_eq!(spawned(2_u32).await, 3);
}

#[cached(REGION, "not_send", skip(cell))]
async fn not_send(id: u64, cell: Rc<Cell<u64>>) -> u64 {
    tokio::task::yield_now().await;
    cell.set(cell.get() + id);
    cell.get()
}

#[cached(REGION, "not_send_within", skip(cell), companions = false)]
async fn not_send_within(id: u64, cell: Rc<Cell<u64>>) -> u64 {
    let also = Rc::clone(&cell);
    tokio::task::yield_now().await;
    also.set(cell.get() + id);
    cell.get()
}

#[tokio::test]
async fn a_body_that_stays_on_its_thread_is_cached() {
    let set = tokio::task::LocalSet::new();
    let cell = Rc::new(Cell::new(0));
    let (one, other) = (Rc::clone(&cell), Rc::clone(&cell));
    let first = set.spawn_local(async move { not_send(2, one).await });
    let second = set.spawn_local(async move { not_send_within(3, other).await });
    set.await;
    assert_eq!(first.await.unwrap().max(second.await.unwrap()), 5);
    assert_eq!(cell.get(), 5);
}

#[cached(REGION, "fibonacci")]
async fn fibonacci(n: u64) -> u64 {
    if n < 2 {
        return n;
    }
    Box::pin(fibonacci(n - 1)).await + Box::pin(fibonacci(n - 2)).await
}

#[tokio::test]
async fn an_async_function_calls_itself_through_a_box() {
    assert_eq!(fibonacci(10).await, 55);
    assert_eq!(tokio::spawn(fibonacci(10)).await.unwrap(), 55);
    assert_eq!(fibonacci_uncached(10).await, 55);
}

#[tokio::test]
async fn a_dropped_future_has_dropped_what_it_was_given() {
    let cell = Rc::new(Cell::new(0));
    {
        let future = not_send(1, Rc::clone(&cell));
        assert_eq!(Rc::strong_count(&cell), 2);
        drop(future);
    }
    assert_eq!((Rc::strong_count(&cell), cell.get()), (1, 0));
}
