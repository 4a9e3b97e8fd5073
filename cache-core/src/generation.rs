//! Generations: the numbers that kill every entry made under an older one.
//!
//! A far node keeps a random [`Generation`] per scope (rule R4): one that is missing is made anew at random, so no
//! old number ever comes back. In process, where nothing is lost, a counter ([`LocalGeneration`]) does the same.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use twox_hash::XxHash3_64;

use crate::key::FarKey;

/// The random number of one scope on one node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Generation(pub u64);

/// The generations of the node that owns a key, in the order in which the scopes were asked for.
///
/// Clones share one list: a node's answer serves every key that was asked for together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Generations(Arc<[Generation]>);

impl Generations {
    /// These generations, one per scope.
    pub fn new(generations: impl IntoIterator<Item = Generation>) -> Self {
        let generations = generations.into_iter();
        // Without scopes nothing is allocated; of an iterator that knows its length, just the list is.
        if generations.size_hint().1 == Some(0) { Generations::default() } else { Generations(generations.collect()) }
    }

    /// How many scopes these are the generations of.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no scope at all.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The generation of each scope.
    pub fn iter(&self) -> impl Iterator<Item = Generation> {
        self.0.iter().copied()
    }

    /// The digest that a record carries: over the operator's `epoch`, each scope's name and its generation.
    ///
    /// XXH3-64; the 64 bits are what keeps the chance of an entry that outlives an invalidation near zero.
    pub fn digest(&self, epoch: u32, scopes: &[FarKey]) -> GenerationDigest {
        // Put together first: a hash over a few hundred bytes at once takes a fraction of what one by pieces does.
        let len = scopes.iter().map(|scope| scope.as_str().len() + 16).sum::<usize>() + 4;
        let (mut inline, mut heap) = ([0; USUAL], Vec::new());
        let bytes = match inline.get_mut(..len) {
            Some(bytes) => bytes,
            None => {
                heap.resize(len, 0);
                &mut heap[..]
            }
        };
        let mut rest = put(bytes, &epoch.to_le_bytes());
        for (scope, generation) in scopes.iter().zip(self.iter()) {
            rest = put(rest, &(scope.as_str().len() as u64).to_le_bytes());
            rest = put(rest, scope.as_str().as_bytes());
            rest = put(rest, &generation.0.to_le_bytes());
        }
        let unused = rest.len();
        GenerationDigest(XxHash3_64::oneshot(&bytes[..len - unused]))
    }
}

/// Copies to the beginning of `room`, and gives what is left of it.
fn put<'a>(room: &'a mut [u8], bytes: &[u8]) -> &'a mut [u8] {
    let (place, rest) = room.split_at_mut(bytes.len());
    place.copy_from_slice(bytes);
    rest
}

/// As many bytes as the scopes of a record without tags come to, with room: more are put together on the heap.
const USUAL: usize = 256;

/// What the generations of all scopes of a record came to when its load began.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct GenerationDigest(pub u64);

/// The generation of a scope within this process.
#[derive(Debug, Default)]
pub struct LocalGeneration(AtomicU64);

impl LocalGeneration {
    /// The first generation.
    pub const fn new() -> Self {
        LocalGeneration(AtomicU64::new(0))
    }

    /// The present one.
    #[inline]
    pub fn current(&self) -> u64 {
        self.0.load(Ordering::Acquire)
    }

    /// Ends the present one.
    pub fn bump(&self) {
        self.0.fetch_add(1, Ordering::AcqRel);
    }
}

/// The generations of this process that an entry was made under: its namespace's, and those of its tags.
///
/// It is one pointer: whatever has no tags and was made under one generation of its namespace shares it.
#[derive(Debug, Clone)]
pub struct Born(Arc<Birth>);

#[derive(Debug)]
struct Birth {
    scope: Arc<LocalGeneration>,
    at: u64,
    tags: Option<BornTags>,
}

#[derive(Debug)]
struct BornTags(Vec<(Arc<LocalGeneration>, u64)>);

impl Born {
    /// Made under `scope` as it is now, and no tag.
    pub fn now(scope: &Arc<LocalGeneration>) -> Self {
        Born(Arc::new(Birth { at: scope.current(), scope: scope.clone(), tags: None }))
    }

    /// Made under these tags too, as they are now.
    pub fn tagged<'a>(self, tags: impl IntoIterator<Item = &'a Arc<LocalGeneration>>) -> Self {
        let tags = BornTags(tags.into_iter().map(|tag| (tag.clone(), tag.current())).collect());
        Born(Arc::new(Birth { scope: self.0.scope.clone(), at: self.0.at, tags: Some(tags) }))
    }

    /// Whether no tag is at an earlier generation here than in `other`, which has the same tags.
    pub fn has_tags_no_older_than(&self, other: &Born) -> bool {
        let (Some(mine), Some(theirs)) = (&self.0.tags, &other.0.tags) else { return true };
        mine.0.iter().zip(&theirs.0).all(|((_, mine), (_, theirs))| mine >= theirs)
    }

    /// Whether none of them has ended since.
    #[inline]
    pub fn is_current(&self) -> bool {
        let Birth { scope, at, tags } = &*self.0;
        scope.current() == *at && tags.as_ref().is_none_or(BornTags::is_current)
    }
}

impl BornTags {
    fn is_current(&self) -> bool {
        self.0.iter().all(|(tag, at)| tag.current() == *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(name: &str) -> FarKey {
        FarKey::new(name).unwrap_or_else(|error| unreachable!("{error}"))
    }

    #[test]
    fn a_digest_changes_with_each_thing_it_is_made_of() {
        let scopes = [scope("r"), scope("ns")];
        let (one, two) = (Generation(1), Generation(2));
        let base = Generations::new([one, two]).digest(0, &scopes);
        assert_eq!(base, Generations::new([one, two]).digest(0, &scopes));
        assert_ne!(base, Generations::new([one, two]).digest(1, &scopes), "epoch");
        assert_ne!(base, Generations::new([two, two]).digest(0, &scopes), "region");
        assert_ne!(base, Generations::new([one, one]).digest(0, &scopes), "namespace");
        assert_ne!(base, Generations::new([one, two]).digest(0, &[scope("r"), scope("nt")]), "scope");
        assert_ne!(base, Generations::new([two, one]).digest(0, &scopes), "order");
    }

    #[test]
    fn the_digest_is_frozen() {
        // Records outlive builds: a digest that changes with a release empties every cache that is updated.
        let digest = Generations::new([Generation(7), Generation(u64::MAX)]).digest(3, &[scope("a:b"), scope("c")]);
        assert_eq!(digest.0, FROZEN);
    }
    const FROZEN: u64 = 9669004941770788007;

    #[test]
    fn scopes_beyond_the_usual_have_a_digest_of_their_own() {
        let scopes: Vec<FarKey> = (0..9).map(|n| scope(&format!("{n:0100}"))).collect();
        let all = Generations::new((0..9).map(Generation));
        let digests: Vec<u64> = (0..=9).map(|count| all.digest(0, &scopes[..count]).0).collect();
        let mut different = digests.clone();
        different.sort_unstable();
        different.dedup();
        assert_eq!(different.len(), digests.len());
        assert_eq!(digests[9], OF_NINE, "what is put together on the heap is what was always hashed");
    }
    const OF_NINE: u64 = 17454614019398644639;

    #[test]
    fn what_was_made_under_a_scope_ends_with_it() {
        let scopes: [Arc<LocalGeneration>; 3] = Default::default();
        let [scope, team, shop] = &scopes;
        let (bare, tagged) = (Born::now(scope), Born::now(scope).tagged([team, shop]));
        assert!(bare.is_current() && tagged.is_current());
        shop.bump();
        assert!(bare.is_current() && !tagged.is_current(), "one tag is enough");
        let later = Born::now(scope).tagged([team, shop]);
        assert!(later.is_current());
        scope.bump();
        assert!(!bare.is_current() && !later.is_current());
    }

    #[test]
    fn a_bump_ends_the_local_generation() {
        let generation = LocalGeneration::new();
        let before = generation.current();
        generation.bump();
        assert_ne!(before, generation.current());
    }
}
