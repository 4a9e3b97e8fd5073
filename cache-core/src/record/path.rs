//! Where inside a value its serialization failed.
//!
//! The path is tracked in a second run, after a failure: writing what works costs nothing more.

use std::cell::RefCell;

use serde::{Serialize, Serializer};
use serde_path_to_error::{Serializer as Tracking, Track};

/// A value that remembers the path at which its serialization failed.
#[derive(Debug)]
pub(super) struct Tracked<'a, V> {
    value: &'a V,
    failed_at: RefCell<Option<String>>,
}

impl<'a, V> Tracked<'a, V> {
    pub(super) fn new(value: &'a V) -> Self {
        Tracked { value, failed_at: RefCell::new(None) }
    }

    /// Such as `images[17].block_device.parent`; `None` if it did not fail, or as a whole.
    pub(super) fn path(self) -> Option<String> {
        self.failed_at.into_inner().filter(|path| path != ".")
    }
}

impl<V: Serialize> Serialize for Tracked<'_, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut track = Track::new();
        let result = self.value.serialize(Tracking::new(serializer, &mut track));
        if result.is_err() {
            *self.failed_at.borrow_mut() = Some(track.path().to_string());
        }
        result
    }
}
