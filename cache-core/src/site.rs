//! STUB for building the attribute against; replaced by the real file at the merge. Signatures are fixed.
#![allow(missing_docs, dead_code, clippy::new_without_default)]
use crate::key::KeyWriter;
use crate::outcome::{Outcome, Returns};
use std::marker::PhantomData;
use std::time::Duration;

/// A named region.
#[derive(Debug)]
pub struct Region { name: &'static str }
impl Region { pub const fn named(name: &'static str) -> Self { Region { name } } }
impl AsRef<Region> for Region { fn as_ref(&self) -> &Region { self } }

/// What the attribute knows of a cached function.
#[derive(Debug)]
pub struct SiteSpec {
    /// `module_path!()` and the function's name (with `Self`'s written type for methods if it is at hand).
    pub function: &'static str,
    pub namespace: &'static str,
    /// The names of the key's arguments, in order.
    pub arguments: &'static [&'static str],
    pub version: u16,
    /// `ttl = ..`; None: the region's.
    pub ttl: Option<Duration>,
}
#[derive(Debug)]
pub struct Site { spec: SiteSpec }
impl Site {
    pub const fn new(spec: SiteSpec) -> Self { Site { spec } }
    /// Starts a key: the namespace and the number of arguments.
    pub fn key(&self) -> KeyWriter { KeyWriter::new(self.spec.namespace, self.spec.arguments.len()) }
}

/// How values are written for the far tier (`Serde`), or that they are not (`NearOnly`).
pub trait Wire<V>: Copy + Send + Sync + 'static {}
#[derive(Debug, Clone, Copy)]
pub struct Serde;
impl<V: serde::Serialize + serde::de::DeserializeOwned> Wire<V> for Serde {}
#[derive(Debug, Clone, Copy)]
pub struct NearOnly;
impl<V> Wire<V> for NearOnly {}

/// What one call asks for beyond its region's policy. Built by the attribute; every method takes and gives `self`.
pub struct Terms<R, O: Outcome<R>, S, W> {
    outcome: O, sharing: S, wire: W, returns: Returns<R>,
    when: bool, force: bool,
    cache_if: Option<fn(&O::Value) -> bool>,
    ttl_of: Option<fn(&O::Value) -> Option<Duration>>,
    weight: Option<fn(&O::Value) -> usize>,
    keep: Option<fn(&O::Value) -> bool>,
}
impl<R, O: Outcome<R>, S, W> Terms<R, O, S, W> {
    pub fn new(returns: Returns<R>, outcome: O, sharing: S, wire: W) -> Self {
        Terms { outcome, sharing, wire, returns, when: true, force: false, cache_if: None, ttl_of: None, weight: None, keep: None }
    }
    pub fn when(mut self, when: bool) -> Self { self.when = when; self }
    pub fn force(mut self, force: bool) -> Self { self.force |= force; self }
    pub fn cache_if(mut self, keep: fn(&O::Value) -> bool) -> Self { self.cache_if = Some(keep); self }
    pub fn ttl_of(mut self, ttl: fn(&O::Value) -> Option<Duration>) -> Self { self.ttl_of = Some(ttl); self }
    pub fn weight(mut self, weight: fn(&O::Value) -> usize) -> Self { self.weight = Some(weight); self }
}
impl<R, T, O: Outcome<R, Value = Option<T>>, S, W> Terms<R, O, S, W> {
    pub fn only_some(mut self) -> Self { self.keep = Some(Option::is_some); self }
}

/// What stands under one key of a cached function that returns `R` (the companion `NAME_entry` gives it).
pub struct Entry<R, W = Serde> { _r: PhantomData<fn() -> (R, W)> }
impl<R, W> Entry<R, W> {
    pub(crate) fn new() -> Self { Entry { _r: PhantomData } }
}
