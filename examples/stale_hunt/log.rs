//! What the processes tell of themselves: one line for each thing that happened, in a file for each process.
//!
//! Invariant: a line is written in one step, before anything that follows from it. So what a killed process did is known,
//! but for the call that it was in.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::ops::RangeInclusive;
use std::path::Path;
use std::str::FromStr;

/// Something that happened. All times are those of [`now`](crate::clock::now).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Record {
    /// The function began to run, in a call of this slot.
    Began(Load),
    /// It is about to return.
    Ended { load: u64, at: u64 },
    /// A call returned.
    Read(Read),
    /// An invalidation returned.
    Invalidated { slots: RangeInclusive<usize>, called: u64, returned: u64, answer: Answer },
    /// Whatever was pending in this process before has reached its nodes.
    Flushed { called: u64, returned: u64 },
    /// An operation of the cache failed that cannot fail.
    Failed { why: String },
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    pub id: u64,
    pub slot: usize,
    /// When the call was made that the function runs in.
    pub called: u64,
    pub began: u64,
    pub version: u64,
    pub way: Way,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    pub slot: usize,
    pub called: u64,
    pub returned: u64,
    /// What the value says of the load that it comes from.
    pub load: u64,
    pub began: u64,
    pub version: u64,
    /// Whether the value is that of the slot, whole.
    pub text: Text,
}

/// What the call went through before its function ran.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// Nothing special: it had the right to load.
    Plain,
    /// The far tier failed, or gave no fence.
    Degraded,
    /// It has waited for as long as it had patience.
    Impatient,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {
    Sound,
    Damaged,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    Done,
    Pending,
}

/// The log of one process.
#[derive(Debug)]
pub struct Log(File);

impl Log {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Log(OpenOptions::new().create(true).append(true).open(path)?))
    }

    /// Writes a record. A process that cannot tell what it does must not go on.
    pub fn note(&self, record: &Record) {
        if let Err(error) = (&self.0).write_all(format!("{record}\n").as_bytes()) {
            eprintln!("stale-hunt: a process cannot write its log: {error}");
            std::process::exit(2);
        }
    }
}

/// All records of a log, in their order. A last line that is not whole was being written when the process was killed.
pub fn read(path: &Path, mut each: impl FnMut(Record)) -> io::Result<()> {
    let mut lines = BufReader::with_capacity(1 << 20, File::open(path)?);
    let mut line = String::new();
    while lines.read_line(&mut line)? > 0 && line.ends_with('\n') {
        let unreadable = || io::Error::other(format!("{}: `{}` is no record", path.display(), line.trim()));
        each(line.trim_end().parse().map_err(|()| unreadable())?);
        line.clear();
    }
    Ok(())
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Record::Began(Load { id, slot, called, began, version, way }) => {
                let way = match way {
                    Way::Plain => "plain",
                    Way::Degraded => "degraded",
                    Way::Impatient => "impatient",
                };
                write!(f, "began {id} {slot} {called} {began} {version} {way}")
            }
            Record::Ended { load, at } => write!(f, "ended {load} {at}"),
            Record::Read(Read { slot, called, returned, load, began, version, text }) => {
                let text = if *text == Text::Sound { "sound" } else { "damaged" };
                write!(f, "read {slot} {called} {returned} {load} {began} {version} {text}")
            }
            Record::Invalidated { slots, called, returned, answer } => {
                let answer = if *answer == Answer::Done { "done" } else { "pending" };
                write!(f, "invalidated {} {} {called} {returned} {answer}", slots.start(), slots.end())
            }
            Record::Flushed { called, returned } => write!(f, "flushed {called} {returned}"),
            Record::Failed { why } => write!(f, "failed {}", why.replace('\n', " ")),
        }
    }
}

impl FromStr for Record {
    type Err = ();

    fn from_str(line: &str) -> Result<Self, ()> {
        let (what, rest) = line.split_once(' ').ok_or(())?;
        if what == "failed" {
            return Ok(Record::Failed { why: rest.to_owned() });
        }
        let mut words = rest.split(' ');
        let mut number = || words.next().and_then(|word| word.parse::<u64>().ok()).ok_or(());
        Ok(match what {
            "began" => {
                let (id, slot, called, began, version) = (number()?, number()?, number()?, number()?, number()?);
                let way = match words.next() {
                    Some("plain") => Way::Plain,
                    Some("degraded") => Way::Degraded,
                    Some("impatient") => Way::Impatient,
                    _ => return Err(()),
                };
                Record::Began(Load { id, slot: slot as usize, called, began, version, way })
            }
            "ended" => Record::Ended { load: number()?, at: number()? },
            "read" => {
                let (slot, called, returned) = (number()? as usize, number()?, number()?);
                let (load, began, version) = (number()?, number()?, number()?);
                let text = if words.next() == Some("sound") { Text::Sound } else { Text::Damaged };
                Record::Read(Read { slot, called, returned, load, began, version, text })
            }
            "invalidated" => {
                let slots = number()? as usize..=number()? as usize;
                let (called, returned) = (number()?, number()?);
                let answer = if words.next() == Some("done") { Answer::Done } else { Answer::Pending };
                Record::Invalidated { slots, called, returned, answer }
            }
            "flushed" => Record::Flushed { called: number()?, returned: number()? },
            _ => return Err(()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_record_is_read_as_it_was_written_and_a_torn_last_line_is_left_out() {
        let load = Load { id: 1, slot: 2, called: 3, began: 4, version: 5, way: Way::Impatient };
        let read = Read { slot: 1, called: 2, returned: 3, load: 4, began: 5, version: 6, text: Text::Damaged };
        let records = [
            Record::Began(Load { way: Way::Degraded, ..load.clone() }),
            Record::Began(load),
            Record::Ended { load: 1, at: 9 },
            Record::Read(read),
            Record::Invalidated { slots: 3..=7, called: 1, returned: 2, answer: Answer::Pending },
            Record::Flushed { called: 5, returned: 6 },
            Record::Failed { why: "one line".to_owned() },
        ];
        let path = std::env::temp_dir().join(format!("stale-hunt-log-{}", std::process::id()));
        let log = Log::open(&path).unwrap();
        records.iter().for_each(|record| log.note(record));
        (&log.0).write_all(b"ended 1 1").unwrap();
        let mut seen = Vec::new();
        super::read(&path, |record| seen.push(record)).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(seen, records);
    }
}
