//! What was read from a connection and not yet parsed.

/// How many bytes that of one caller holds: many small replies, and far more than the longest line. Of a value that is
/// longer, only the beginning comes here.
pub(crate) const OF_ONE: usize = 16 << 10;
/// The same for a connection that many callers share, whose replies come together.
#[cfg(feature = "tokio")]
pub(crate) const OF_MANY: usize = 64 << 10;

/// A buffer of a fixed size, filled behind and emptied in front.
#[derive(Debug)]
pub(crate) struct Inbox {
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
}

impl Inbox {
    /// One that holds so many bytes.
    pub(crate) fn of(size: usize) -> Self {
        Inbox { buffer: vec![0; size].into(), start: 0, end: 0 }
    }

    /// What is there.
    pub(crate) fn bytes(&self) -> &[u8] {
        &self.buffer[self.start..self.end]
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Forgets so many bytes in front.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start += count;
        if self.is_empty() {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room to read into. It is empty only if nothing was consumed for as many bytes as the inbox holds.
    pub(crate) fn room(&mut self) -> &mut [u8] {
        if self.end > self.buffer.len() / 2 && self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, self.end - self.start);
        }
        &mut self.buffer[self.end..]
    }

    /// So many bytes were read into the room.
    pub(crate) fn came(&mut self, count: usize) {
        self.end += count;
    }
}

#[cfg(test)]
impl Inbox {
    /// As if these bytes had been read.
    pub(crate) fn receive(&mut self, bytes: &[u8]) {
        self.room()[..bytes.len()].copy_from_slice(bytes);
        self.came(bytes.len());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_moves_to_the_front_when_room_gets_scarce() {
        let mut inbox = Inbox::of(OF_ONE);
        let all: Vec<u8> = (0..OF_ONE).map(|n| n as u8).collect();
        inbox.receive(&all);
        assert!(inbox.room().is_empty());
        inbox.consume(OF_ONE - 3);
        assert_eq!(inbox.room().len(), OF_ONE - 3);
        assert_eq!(inbox.bytes(), &all[OF_ONE - 3..]);
        inbox.consume(3);
        assert_eq!((inbox.is_empty(), inbox.room().len()), (true, OF_ONE));
    }
}
