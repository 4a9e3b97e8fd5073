//! How much of an operation of many keys is said to a node at once: the rest comes later, so that others have their place
//! on a connection beside it.

/// The most of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct AtOnce {
    pub(crate) requests: usize,
    /// Of keys and values.
    pub(crate) bytes: usize,
}

impl AtOnce {
    /// All of it: on a connection of its own an operation is in nobody's way.
    pub(crate) const ALL: AtOnce = AtOnce { requests: usize::MAX, bytes: usize::MAX };
}

/// What is said at once.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Wave {
    requests: usize,
    bytes: usize,
}

impl Wave {
    /// Takes one more request of so many bytes, unless that is too much. It is not if there is no other: each must go
    /// some time.
    pub(crate) fn takes(&mut self, bytes: usize, most: AtOnce) -> bool {
        let is_more = self.requests < most.requests && self.bytes.saturating_add(bytes) <= most.bytes;
        let takes = is_more || self.requests == 0;
        if takes {
            self.requests += 1;
            self.bytes = self.bytes.saturating_add(bytes);
        }
        takes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many requests of so many bytes each wave has.
    fn waves(sizes: &[usize], most: AtOnce) -> Vec<usize> {
        let (mut counts, mut wave) = (Vec::new(), Wave::default());
        for size in sizes {
            if !wave.takes(*size, most) {
                counts.push(wave.requests);
                wave = Wave::default();
                assert!(wave.takes(*size, most), "the first one has room whatever it is");
            }
        }
        counts.push(wave.requests);
        counts
    }

    #[test]
    fn a_wave_has_as_much_as_may_be_and_one_request_at_least() {
        assert_eq!(waves(&[1; 10], AtOnce { requests: 4, bytes: 100 }), [4, 4, 2]);
        assert_eq!(waves(&[1; 10], AtOnce { requests: 100, bytes: 5 }), [5, 5]);
        assert_eq!(waves(&[3, 2, 1, 9, 9, 1], AtOnce { requests: 4, bytes: 5 }), [2, 1, 1, 1, 1]);
        assert_eq!(waves(&[0, 1], AtOnce { requests: 1, bytes: 0 }), [1, 1]);
        assert_eq!(waves(&[usize::MAX; 3], AtOnce::ALL), [3]);
    }
}
