//! A cached async function's future is not much larger than its arguments: what is rarely needed is boxed.

#![cfg(feature = "macros")]

use std::mem::size_of_val;

use cache::{Region, cached};

static REGION: Region = Region::named("future_size");

/// What a cached call may add to the arguments, in bytes.
const OVERHEAD: usize = 256;

#[cached(REGION, "small")]
async fn small(owner: &str, page: u32) -> Result<Vec<u8>, String> {
    std::future::ready(Ok(vec![owner.len() as u8, page as u8])).await
}

#[cached(REGION, "owned", skip(large))]
async fn owned(id: String, large: [u64; 32]) -> u64 {
    std::future::ready(id.len() as u64 + large[0]).await
}

#[cached(REGION, "within", companions = false)]
async fn within(owner: &str, page: u32) -> Result<Vec<u8>, String> {
    std::future::ready(Ok(vec![owner.len() as u8, page as u8])).await
}

#[test]
fn a_future_is_its_arguments_and_little_more() {
    let borrowed = size_of::<(&str, u32)>();
    assert!(size_of_val(&small("a", 1)) <= borrowed + OVERHEAD, "{}", size_of_val(&small("a", 1)));
    assert!(size_of_val(&small_refresh("a", 1)) <= borrowed + OVERHEAD, "{}", size_of_val(&small_refresh("a", 1)));
    assert!(size_of_val(&within("a", 1)) <= borrowed + OVERHEAD, "{}", size_of_val(&within("a", 1)));
}

/// What is awaited holds the arguments on the heap, if it holds them at all.
#[test]
fn large_arguments_are_held_once() {
    let arguments = size_of::<(String, [u64; 32])>();
    let size = size_of_val(&owned(String::new(), [0; 32]));
    assert!(size <= arguments + OVERHEAD, "{size} for {arguments}");
}
