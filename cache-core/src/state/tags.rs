//! The tags of a region: what each is here, for as long as anything that was made under it may be served.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use crate::generation::{Born, LocalGeneration};
use crate::key::FarKey;

/// Tags that are known without looking whether they are still of use.
const FEW: usize = 1024;

/// The tags that entries of this process may have.
///
/// A tag that no entry and no call holds is forgotten: whatever is made under it later begins anew.
#[derive(Debug, Default)]
pub(crate) struct TagTable(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    tags: HashMap<String, Weak<LocalGeneration>>,
    /// How many there may be before those are forgotten that nobody holds.
    most: usize,
}

impl TagTable {
    /// What `tag` is here.
    pub(crate) fn tag(&self, tag: &str) -> Arc<LocalGeneration> {
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(generation) = known.tags.get(tag).and_then(Weak::upgrade) {
            return generation;
        }
        if known.tags.len() >= known.most {
            known.tags.retain(|_, generation| generation.strong_count() > 0);
            known.most = FEW.max(2 * known.tags.len());
        }
        let generation = Arc::new(LocalGeneration::new());
        known.tags.insert(tag.to_owned(), Arc::downgrade(&generation));
        generation
    }

    /// Ends what was made under `tag`.
    pub(crate) fn bump(&self, tag: &str) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(generation) = known.tags.get(tag).and_then(Weak::upgrade) {
            generation.bump();
        }
    }
}

/// The tags of one call, as they are rendered: in order, each once.
#[derive(Debug, Clone, Default)]
pub struct TagList(Vec<String>);

impl TagList {
    /// Adds a tag.
    pub fn add(&mut self, tag: fmt::Arguments<'_>) {
        let tag = tag.to_string();
        if let Err(at) = self.0.binary_search(&tag) {
            self.0.insert(at, tag);
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// What the scopes of a call with tags are, here and far.
#[derive(Debug)]
pub(crate) struct Tagged {
    pub(crate) here: Vec<Arc<LocalGeneration>>,
    /// The region, the namespace, then the tags; none without a far tier.
    pub(crate) far: Vec<FarKey>,
    /// The generations here when the call came.
    pub(crate) came: Born,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_one_thing_for_as_long_as_anybody_holds_it() {
        let table = TagTable::default();
        let held = table.tag("team:1");
        assert!(Arc::ptr_eq(&held, &table.tag("team:1")));
        let before = held.current();
        table.bump("team:2");
        assert_eq!(held.current(), before, "another tag");
        table.bump("team:1");
        assert_ne!(held.current(), before);
    }

    #[test]
    fn tags_that_nobody_holds_are_forgotten() {
        let table = TagTable::default();
        let held = table.tag("held");
        for n in 0..10 * FEW {
            table.tag(&n.to_string());
        }
        let known = table.0.lock().unwrap().tags.len();
        assert!(known <= FEW + 1, "{known}");
        assert!(Arc::ptr_eq(&held, &table.tag("held")));
    }

    #[test]
    fn a_list_has_each_tag_once_in_order() {
        let mut list = TagList::default();
        for tag in ["b", "a", "b"] {
            list.add(format_args!("{tag}"));
        }
        assert_eq!(list.iter().collect::<Vec<_>>(), ["a", "b"]);
    }
}
