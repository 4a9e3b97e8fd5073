//! The scopes whose generations the callers of a burst want to know: read once, behind all of their requests.

use std::mem;

use crate::batch::Batch;

/// Scopes whose generations are to be read, each once.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    /// One behind the other.
    names: String,
    ends: Vec<usize>,
}

impl Wanted {
    /// The place of a scope among them.
    pub(super) fn place(&mut self, scope: &str) -> usize {
        let known = self.iter().position(|known| known == scope);
        known.unwrap_or_else(|| {
            self.names.push_str(scope);
            self.ends.push(self.names.len());
            self.ends.len() - 1
        })
    }

    fn iter(&self) -> impl Iterator<Item = &str> {
        let mut start = 0;
        self.ends.iter().map(move |end| &self.names[mem::replace(&mut start, *end)..*end])
    }

    pub(super) fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// Asks for them, and forgets them.
    pub(super) fn read(&mut self, batch: &mut Batch) {
        self.iter().for_each(|scope| batch.push_generation_read(scope));
        self.names.clear();
        self.ends.clear();
    }
}
