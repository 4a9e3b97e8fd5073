//! Records in parts as requests, and the replies as records: what both faces share. See `split` for what is kept.

use cache_core::backend::{Fill, FillOutcome, Filled, Seen};
use cache_core::error::{Error, Result};
use cache_core::key::FarKey;

use crate::backend::Memcached;
use crate::operations::{bytes, token, whole_seconds};
use crate::proto::{Code, Delete, Get, Request, Set};
use crate::split::{Manifest, Split};
use crate::trouble::Trouble;
use crate::work::{Answer, Answered, Ask, Failed};

impl Memcached {
    /// Whether the slot is as it was, asked before the parts of a record are sent in vain.
    pub(crate) fn standing_ask<'a>(&self, fill: &Fill<'a>) -> impl Iterator<Item = Ask<'a>> {
        let get = Get { meta: true, ..Get::new(bytes(fill.key)) };
        std::iter::once(self.ask(fill.key, Some(Request::Get(get)), false))
    }

    /// `None` if it is; otherwise what came of the fill.
    pub(crate) fn standing<'w>(
        &self,
        fill: &Fill<'_>,
        answer: Answered<'_>,
        accidents: &mut impl Iterator<Item = Answered<'w>>,
    ) -> Result<Option<Filled>> {
        let Answer { reply, generations, proved, .. } = answer.map_err(|failed| self.failed(fill.key, failed))?;
        let Some(reply) = reply else { return Err(self.odd(fill.key, None)) };
        self.accident_undone(fill.key, reply, accidents)?;
        if token(reply) == Some(fill.token) {
            return Ok(None);
        }
        let generations = generations.clone();
        Ok(Some(Filled { outcome: FillOutcome::Superseded, generations, proved }))
    }

    pub(crate) fn part_fill_asks<'a>(&self, fill: &Fill<'_>, split: &'a Split<'_>) -> impl Iterator<Item = Ask<'a>> {
        let (node, ttl) = (self.owner(fill.key), Some(whole_seconds(Split::keep(fill)).max(1)));
        split.parts().map(move |(key, part)| {
            let set = Set { ttl, ..Set::new(bytes(key), part) };
            ask(node, key, Request::Set(set))
        })
    }

    /// Whether all parts are there.
    pub(crate) fn parts_filled<'w>(&self, fill: &Fill<'_>, answers: impl Iterator<Item = Answered<'w>>) -> Result<()> {
        for answer in answers {
            match answer.map_err(|failed| self.failed(fill.key, failed))?.reply {
                Some(reply) if reply.code == Code::Done => {}
                other => return Err(self.odd(fill.key, other.as_deref())),
            }
        }
        Ok(())
    }

    /// The parts took all of the time.
    pub(crate) fn too_late(&self, fill: &Fill<'_>) -> Error {
        self.failed(fill.key, Failed::asked(&Trouble::TimedOut(self.config().io_timeout)))
    }

    pub(crate) fn part_delete_asks<'a>(&self, fill: &Fill<'_>, split: &'a Split<'_>) -> impl Iterator<Item = Ask<'a>> {
        let node = self.owner(fill.key);
        split.keys.iter().map(move |key| ask(node, key, Request::Delete(Delete::new(bytes(key)))))
    }

    /// The parts of those records that are kept in parts; `None` if none is.
    pub(crate) fn parts_of<'k>(&self, keys: impl Iterator<Item = &'k FarKey>, seen: &[Result<Seen>]) -> Option<Parts> {
        let mut parts = Parts { records: Vec::new(), keys: Vec::new() };
        for (place, (key, seen)) in keys.zip(seen).enumerate() {
            let record = seen.as_ref().ok().and_then(|seen| seen.record.as_deref());
            if let Some(manifest) = record.and_then(Manifest::parse)
                && let Some(keys) = manifest.keys(key)
            {
                parts.records.push((place, manifest, keys.len()));
                parts.keys.extend(keys.into_iter().map(|key_of_part| (self.owner(key), key_of_part)));
            }
        }
        (!parts.records.is_empty()).then_some(parts)
    }
}

/// What has to be read to put records together.
#[derive(Debug)]
pub(crate) struct Parts {
    /// The place of each record among those that were read, and how many parts it has.
    records: Vec<(usize, Manifest, usize)>,
    /// The parts' keys and nodes, record by record.
    keys: Vec<(usize, FarKey)>,
}

impl Parts {
    pub(crate) fn read_asks(&self) -> impl Iterator<Item = Ask<'_>> {
        let get = |key| Request::Get(Get { value: true, ..Get::new(bytes(key)) });
        self.keys.iter().map(move |(node, key)| ask(*node, key, get(key)))
    }

    /// Puts each record in the place of its manifest. A manifest whose parts do not come stays, and is read as torn; of
    /// one whose node failed meanwhile nothing is known.
    pub(crate) fn join<'w>(
        &self,
        client: &Memcached,
        mut answers: impl Iterator<Item = Answered<'w>>,
        seen: &mut [Result<Seen>],
    ) {
        let mut keys = self.keys.iter();
        for (place, manifest, count) in &self.records {
            let mut failed = None;
            let parts = keys.by_ref().zip(answers.by_ref()).take(*count).map(|((node, _), answer)| match answer {
                Ok(answer) => answer.reply.and_then(|reply| reply.value.take()),
                Err(Failed { trouble, .. }) => {
                    // The manifest was asked for, and that may have given a claim.
                    failed = Some(Failed::asked(trouble).at(&client.nodes().node(*node).name));
                    None
                }
            });
            let parts: Vec<_> = parts.collect();
            match (failed, manifest.join(parts.into_iter()), &mut seen[*place]) {
                (Some(error), ..) => seen[*place] = Err(error),
                (None, Some(record), Ok(seen)) => seen.record = Some(record),
                _ => {}
            }
        }
    }
}

/// About a part, which is where its record is, whatever its own key says.
fn ask<'a>(node: usize, key: &'a FarKey, request: Request<'a>) -> Ask<'a> {
    Ask { node, key, before: None, request: Some(request), reads: false, is_part: true }
}
