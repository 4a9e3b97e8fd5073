//! What the command line says.

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub const USAGE: &str = "\
usage: stale-hunt [options]
  --seconds N        how long it lasts, at least (20)
  --invalidations N  how many have to be made, at least; it goes on until they are (10000)
  --nodes N          memcached servers (1)
  --readers N        processes that read (3)
  --writers N        processes that write and invalidate (2)
  --keys N           keys of each of the two functions (16)
  --seed N           what is chosen at random, is chosen by this
  --near             a near tier before the far one, with a max_staleness of 100 ms
  --faults           readers and servers are killed, stand still, and lose connections
  --naive            get, set and delete instead of a region, for comparison: it shows stale reads
MEMCACHED says where memcached is, if it is not in the PATH.";

#[derive(Debug, Clone)]
pub struct Options {
    pub seconds: u64,
    pub invalidations: u64,
    pub nodes: usize,
    pub readers: usize,
    pub writers: usize,
    pub keys: usize,
    pub seed: u64,
    pub cache: Cache,
    pub weather: Weather,
}

/// What stands between the callers and the source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cache {
    /// A region in memcached.
    Far,
    /// A region in memory before memcached.
    NearOverFar,
    /// memcached, used as one would without a region.
    Naive,
}

/// Whether faults are injected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    Fair,
    Foul,
}

impl Cache {
    /// How old the proof of a value may be when it is read.
    pub fn max_staleness(self) -> Duration {
        match self {
            Cache::NearOverFar => Duration::from_millis(100),
            Cache::Far | Cache::Naive => Duration::ZERO,
        }
    }
}

impl Options {
    pub fn parse(arguments: impl IntoIterator<Item = String>) -> Result<Self, String> {
        let mut options = Options {
            seconds: 20,
            invalidations: 10_000,
            nodes: 1,
            readers: 3,
            writers: 2,
            keys: 16,
            seed: 1,
            cache: Cache::Far,
            weather: Weather::Fair,
        };
        let mut arguments = arguments.into_iter();
        while let Some(name) = arguments.next() {
            let mut number = || {
                let value = arguments.next().ok_or_else(|| format!("{name} needs a number"))?;
                value.parse::<u64>().map_err(|_| format!("{name} needs a number, which `{value}` is not"))
            };
            match name.as_str() {
                "--seconds" => options.seconds = number()?,
                "--invalidations" => options.invalidations = number()?,
                "--nodes" => options.nodes = number()? as usize,
                "--readers" => options.readers = number()? as usize,
                "--writers" => options.writers = number()? as usize,
                "--keys" => options.keys = number()? as usize,
                "--seed" => options.seed = number()?,
                "--faults" => options.weather = Weather::Foul,
                "--near" | "--naive" if options.cache != Cache::Far => {
                    return Err("--near and --naive exclude each other".to_owned());
                }
                "--near" => options.cache = Cache::NearOverFar,
                "--naive" => options.cache = Cache::Naive,
                _ => return Err(format!("there is no option {name}")),
            }
        }
        let Options { nodes, readers, writers, keys, .. } = options;
        if [nodes, readers, writers, keys].contains(&0) {
            return Err("--nodes, --readers, --writers and --keys must be above 0".to_owned());
        }
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_are_read_and_what_cannot_be_is_refused() {
        let parse = |line: &str| Options::parse(line.split_whitespace().map(str::to_owned));
        let options = parse("--nodes 3 --faults --near --seconds 5").unwrap();
        assert_eq!((options.nodes, options.seconds), (3, 5));
        assert_eq!((options.weather, options.cache), (Weather::Foul, Cache::NearOverFar));
        for bad in ["--near --naive", "--nodes", "--nodes x", "--keys 0", "--what"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
