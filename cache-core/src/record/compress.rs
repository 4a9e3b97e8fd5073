//! Compression of encoded values; what comes back is bounded before it is allocated.

use std::str::FromStr;

#[cfg(feature = "zstd")]
use super::Miss;
use crate::error::{Error, Kind};

/// Whether and how a region compresses its records.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Compression {
    /// As encoded.
    None,
    /// zstd. A compressed form that is not smaller is not kept.
    #[cfg(feature = "zstd")]
    Zstd {
        /// The level, from 1 (fast) to 22 (small); default 3.
        level: i32,
        /// Encoded values of fewer bytes are not compressed; default 1024.
        min_len: usize,
    },
}

impl Default for Compression {
    /// zstd with its defaults where this build has it.
    fn default() -> Self {
        #[cfg(feature = "zstd")]
        return Compression::Zstd { level: 3, min_len: 1024 };
        #[cfg(not(feature = "zstd"))]
        Compression::None
    }
}

impl FromStr for Compression {
    type Err = Error;

    /// `none`, or `zstd` with its defaults, or with others: `zstd?level=9&min_len=4KiB`.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`] for another name, for `zstd` in a build without it, and for a parameter that is not known or has
    /// a value that is not allowed.
    fn from_str(text: &str) -> Result<Self, Error> {
        let (name, parameters) = text.split_once('?').unwrap_or((text, ""));
        match name {
            "none" if parameters.is_empty() => Ok(Compression::None),
            "none" => Err(Error::new(Kind::Config, "the compression `none` has no parameters")),
            #[cfg(feature = "zstd")]
            "zstd" => zstd_with(parameters),
            #[cfg(not(feature = "zstd"))]
            "zstd" => Err(Error::new(Kind::Config, "zstd is not in this build: switch on the feature `zstd`")),
            _ => Err(Error::new(Kind::Config, format!("unknown compression `{name}` (known: none, zstd)"))),
        }
    }
}

/// zstd by `level=9&min_len=4KiB`; what is not named has its default.
#[cfg(feature = "zstd")]
fn zstd_with(parameters: &str) -> Result<Compression, Error> {
    let (mut level, mut min_len) = (3, 1024);
    for parameter in parameters.split('&').filter(|parameter| !parameter.is_empty()) {
        let refused = |why: String| Error::new(Kind::Config, format!("{why}, not `{parameter}`"));
        match parameter.split_once('=') {
            Some(("level", value)) => {
                let number = value.parse().ok().filter(|level| (1..=22).contains(level));
                level =
                    number.ok_or_else(|| refused("the `level` of zstd is a whole number from 1 to 22".to_owned()))?;
            }
            Some(("min_len", value)) => {
                let size =
                    value.parse::<bytesize::ByteSize>().ok().and_then(|size| usize::try_from(size.as_u64()).ok());
                let form = "the `min_len` of zstd is a size, such as `1024` or `4KiB`";
                min_len = size.ok_or_else(|| refused(form.to_owned()))?;
            }
            _ => return Err(refused("zstd has the parameters `level` and `min_len`".to_owned())),
        }
    }
    Ok(Compression::Zstd { level, min_len })
}

/// The numbers in a record.
pub(super) const NONE: u8 = 0;
pub(super) const ZSTD: u8 = 1;

impl Compression {
    /// Compresses what follows the first `head` bytes of `record` if that makes it smaller, and tells the number.
    pub(super) fn compress(self, record: &mut Vec<u8>, head: usize) -> u8 {
        let _ = (&record, head);
        match self {
            Compression::None => NONE,
            #[cfg(feature = "zstd")]
            Compression::Zstd { level, min_len } => {
                let len = record.len() - head;
                if len < min_len || len == 0 {
                    return NONE;
                }
                // Room for one byte less: what does not fit is not smaller.
                let mut smaller = vec![0; record.len() - 1];
                match context::compress(&record[head..], level, &mut smaller[head..]) {
                    Some(written) => {
                        smaller.truncate(head + written);
                        *record = smaller;
                        ZSTD
                    }
                    None => NONE,
                }
            }
        }
    }
}

/// What `body` was before it was compressed by zstd.
#[cfg(feature = "zstd")]
pub(super) fn decompress(body: &[u8], max_value: usize) -> Result<Vec<u8>, Miss> {
    let announced = match zstd::zstd_safe::get_frame_content_size(body) {
        Ok(Some(announced)) => announced,
        _ => return Err(Miss::Decompress),
    };
    if announced > max_value as u64 {
        return Err(Miss::TooLarge(announced));
    }
    if announced > most(body.len()) {
        return Err(Miss::Decompress);
    }
    let room = Vec::with_capacity(usize::try_from(announced).map_err(|_| Miss::Decompress)?);
    context::decompress(body, room).filter(|value| value.len() as u64 == announced).ok_or(Miss::Decompress)
}

/// The most that a frame of `len` bytes can hold: a block of zstd takes at least four bytes and holds at most 128 KiB. A
/// frame that announces more lies, and nothing is allocated for it.
#[cfg(feature = "zstd")]
fn most(len: usize) -> u64 {
    (len as u64 / 4 + 1) * (128 << 10)
}

/// zstd's working memory: for short values making it anew costs as much as its use, so each thread keeps its own.
#[cfg(feature = "zstd")]
mod context {
    use std::cell::RefCell;
    use std::io;

    use zstd::bulk::{Compressor, Decompressor};

    /// Longer values do not use what is kept: it would stay as large as they needed it.
    const SHORT: usize = 128 << 10;

    thread_local! {
        static COMPRESSOR: RefCell<Option<Compressor<'static>>> = const { RefCell::new(None) };
        static DECOMPRESSOR: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }

    pub(super) fn compress(from: &[u8], level: i32, to: &mut [u8]) -> Option<usize> {
        if from.len() > SHORT {
            return Compressor::new(level).and_then(|mut new| new.compress_to_buffer(from, to)).ok();
        }
        let compressed = |compressor: &mut Compressor<'static>| {
            compressor.set_compression_level(level)?;
            compressor.compress_to_buffer(from, to)
        };
        COMPRESSOR.try_with(|kept| with_kept(kept, || Compressor::new(level), compressed)).ok()?.ok()
    }

    /// Writes at most the capacity of `to`.
    pub(super) fn decompress(from: &[u8], mut to: Vec<u8>) -> Option<Vec<u8>> {
        let decompressed = |decompressor: &mut Decompressor<'static>| decompressor.decompress_to_buffer(from, &mut to);
        DECOMPRESSOR.try_with(|kept| with_kept(kept, Decompressor::new, decompressed)).ok()?.ok()?;
        Some(to)
    }

    /// Whether this thread keeps what it compresses with.
    #[cfg(test)]
    pub(super) fn keeps_a_compressor() -> bool {
        COMPRESSOR.with_borrow(Option::is_some)
    }

    /// Uses what is kept, and keeps it unless that failed: zstd takes no parameters in the middle of a failed frame.
    fn with_kept<T>(
        kept: &RefCell<Option<T>>,
        make: impl FnOnce() -> io::Result<T>,
        run: impl FnOnce(&mut T) -> io::Result<usize>,
    ) -> io::Result<usize> {
        let mut context = match kept.take() {
            Some(context) => context,
            None => make()?,
        };
        let written = run(&mut context)?;
        kept.replace(Some(context));
        Ok(written)
    }
}

#[cfg(all(test, feature = "zstd"))]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn compressed(value: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(value, 3).unwrap()
    }

    #[test]
    fn short_values_are_compressed_with_what_is_kept_and_long_ones_with_a_new_one() {
        let compress = |len: usize| Compression::default().compress(&mut vec![7; len], 0);
        assert_eq!((compress(129 << 10), context::keeps_a_compressor()), (ZSTD, false));
        assert_eq!((compress(128 << 10), context::keeps_a_compressor()), (ZSTD, true));
    }

    #[test]
    fn a_frame_gives_what_it_announces_up_to_max_value() {
        let value = vec![7; 5000];
        let frame = compressed(&value);
        assert_eq!(decompress(&frame, 5000), Ok(value));
        assert_eq!(decompress(&frame, 4999), Err(Miss::TooLarge(5000)));
    }

    #[test]
    fn a_bomb_is_refused_by_what_it_announces() {
        let bomb = compressed(&vec![0; 64 << 20]);
        assert!(bomb.len() < 10_000, "{}", bomb.len());
        assert_eq!(decompress(&bomb, 1 << 20), Err(Miss::TooLarge(64 << 20)));
    }

    /// A frame of one segment that announces `size`, with nothing but an empty last block.
    fn lying(size: u64) -> Vec<u8> {
        [&[0x28, 0xb5, 0x2f, 0xfd, 0b1110_0000][..], &size.to_le_bytes(), &[1, 0, 0]].concat()
    }

    #[test]
    fn a_frame_that_lies_is_refused_before_anything_is_allocated_for_it() {
        // Larger than any memory, and allowed by `max_value`.
        assert_eq!(decompress(&lying(1 << 60), usize::MAX), Err(Miss::Decompress));
        assert_eq!(decompress(&lying(5), usize::MAX), Err(Miss::Decompress));
        assert_eq!(decompress(&lying(0), usize::MAX), Ok(vec![]));
        // Less than there is.
        let mut short = compressed(&[7; 200]);
        assert_eq!((short[4] >> 5, short[5]), (1, 200));
        short[5] = 199;
        assert_eq!(decompress(&short, usize::MAX), Err(Miss::Decompress));
    }

    #[test]
    fn frames_of_unknown_size_several_frames_and_garbage_are_refused() {
        let streamed = zstd::stream::encode_all(&[7; 5000][..], 3).unwrap();
        assert_eq!(decompress(&streamed, 1 << 20), Err(Miss::Decompress));
        let frame = compressed(&[7; 5000]);
        assert_eq!(decompress(&[&frame[..], &frame].concat(), 1 << 20), Err(Miss::Decompress));
        for len in 0..frame.len() {
            assert_eq!(decompress(&frame[..len], 1 << 20), Err(Miss::Decompress), "{len}");
        }
        assert_eq!(decompress(b"not a frame", 1 << 20), Err(Miss::Decompress));
    }

    #[test]
    fn the_densest_frame_is_believed() {
        // Blocks of 128 KiB that repeat one byte, four bytes each.
        for size in [1, 128 << 10, (128 << 10) + 1, 8 << 20] {
            let frame = compressed(&vec![0; size]);
            assert!(size as u64 <= most(frame.len()), "{size}");
            assert_eq!(decompress(&frame, size).map(|value| value.len()), Ok(size));
        }
        assert_eq!(most(3), 128 << 10);
        assert_eq!(most(4), 256 << 10);
    }

    #[test]
    fn only_what_gets_smaller_is_compressed() {
        let zstd = Compression::Zstd { level: 3, min_len: 100 };
        let compress = |compression: Compression, body: &[u8]| {
            let mut record = [b"head", body].concat();
            let number = compression.compress(&mut record, 4);
            (number, record.len() - 4)
        };
        assert_eq!(compress(zstd, &[7; 99]), (NONE, 99));
        let (number, len) = compress(zstd, &[7; 100]);
        assert!(number == ZSTD && len < 100);
        // What does not get smaller leaves nothing behind that hinders the next.
        let noise: Vec<u8> = (0..200_u64).map(|i| (i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 56) as u8).collect();
        assert_eq!(compress(zstd, &noise), (NONE, 200));
        assert_eq!(compress(Compression::None, &[7; 5000]), (NONE, 5000));
        assert_eq!(compress(Compression::Zstd { level: 3, min_len: 0 }, &[]), (NONE, 0));
        assert_eq!(compress(Compression::default(), &[7; 1023]).0, NONE);
        assert_eq!(compress(Compression::default(), &[7; 1024]).0, ZSTD);
    }

    #[test]
    fn a_higher_level_is_smaller() {
        // On a kept context, and on one of its own.
        for numbers in [3000, 60_000_u64] {
            let words = ["image", "owner", "device", "parent", "block", "kind", "of", "the", "a", "name"];
            let word = |i: u64| words[(i.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40) as usize % words.len()];
            let text = (0..numbers).map(word).collect::<Vec<_>>().join(" ").into_bytes();
            let len = |level| {
                let mut record = text.clone();
                assert_eq!(Compression::Zstd { level, min_len: 0 }.compress(&mut record, 0), ZSTD);
                assert_eq!(decompress(&record, text.len()).as_ref(), Ok(&text));
                record.len()
            };
            assert!(len(19) < len(1), "{} {}", len(19), len(1));
        }
    }

    #[test]
    fn compressions_are_named() {
        assert_eq!("none".parse::<Compression>().unwrap(), Compression::None);
        assert_eq!("zstd".parse::<Compression>().unwrap(), Compression::Zstd { level: 3, min_len: 1024 });
        let own = "zstd?level=22&min_len=4KiB".parse::<Compression>();
        assert_eq!(own.unwrap(), Compression::Zstd { level: 22, min_len: 4096 });
        let told = |text: &str| text.parse::<Compression>().unwrap_err().message().to_owned();
        assert_eq!(told("zstd?level=23"), "the `level` of zstd is a whole number from 1 to 22, not `level=23`");
        assert!(told("zstd?level=0").contains("1 to 22"));
        assert!(told("zstd?min_len=big").contains("`4KiB`, not `min_len=big`"));
        assert!(told("zstd?window=1").contains("`level` and `min_len`"));
        assert!(told("none?level=1").contains("no parameters"));
        let error = "gzip".parse::<Compression>().unwrap_err();
        assert_eq!(error.message(), "unknown compression `gzip` (known: none, zstd)");
    }
}
