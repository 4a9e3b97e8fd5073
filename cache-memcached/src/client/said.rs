//! Plain requests on their way to their nodes, and the replies.

use std::collections::BTreeMap;
use std::mem;

use cache_core::error::{Error, Kind, Result};
use smallvec::SmallVec;

use super::Item;
use crate::backend::Memcached;
use crate::batch::{Batch, Replied};
use crate::node::Node;
#[cfg(feature = "tokio")]
use crate::proto::Set;
use crate::proto::{Code, Key, Named, Reply, Request};
use crate::server::Server;
#[cfg(feature = "tokio")]
use crate::sizes::{self, Sizes};
use crate::trouble::{Sent, Trouble};
use crate::waves::{AtOnce, Wave};
use crate::work::{Message, Part, Written};

/// How long a line of a classic `get` gets, in bytes: half of what a server reads at once (16 KiB). It answers each line
/// by itself, so many short ones cost more; one that it does not see the end of costs it another buffer.
const LINE: usize = 8 << 10;

/// What an operation says to all nodes. That of one request takes no memory.
#[derive(Debug)]
pub(super) struct Said<'a> {
    pub(super) parts: SmallVec<[Plain<'a>; 1]>,
    /// What could not be said, and its places.
    refused: Vec<(usize, Error)>,
    /// How many answers are due.
    count: usize,
    /// How many of them each node has room for.
    room: usize,
}

/// What is said to one node, one wave after the other.
#[derive(Debug)]
pub(super) struct Plain<'a> {
    node: usize,
    lines: Lines<'a>,
    /// The place of each request or key in the operation.
    places: SmallVec<[usize; 1]>,
    at_once: AtOnce,
    /// How many of them are answered, and how many were said.
    answered: usize,
    said: usize,
    written: Written,
    /// The values that were not sent, by the numbers of their requests: larger than this, the largest that the server
    /// takes. It would delete the old value.
    too_large: Vec<(usize, usize)>,
    /// To the requests; of a list, what came in the place of a value.
    replies: SmallVec<[Reply; 1]>,
    /// Why there are no more answers.
    failed: Option<Trouble>,
}

#[derive(Debug)]
enum Lines<'a> {
    Requests(SmallVec<[Request<'a>; 1]>),
    /// What the classic `get` asks for, and the values that came.
    Get(Vec<Key<'a>>, Vec<Option<Item>>),
}

impl<'a> Said<'a> {
    pub(super) fn new() -> Self {
        Said { parts: SmallVec::new(), refused: Vec::new(), count: 0, room: 1 }
    }

    /// With room for what falls to each node if so many are spread evenly.
    pub(super) fn of_many(count: usize, nodes: usize) -> Self {
        Said { room: count.div_ceil(nodes).max(1), ..Said::new() }
    }

    /// Says this to the node as well, unless it is refused.
    pub(super) fn request(&mut self, node: usize, request: Result<Request<'a>>) {
        let (place, room) = (self.place(), self.room);
        match request {
            Ok(request) => {
                let part = self.part(node, || Lines::Requests(SmallVec::with_capacity(room)));
                part.places.push(place);
                if let Lines::Requests(requests) = &mut part.lines {
                    requests.push(request);
                }
            }
            Err(error) => self.refused.push((place, error)),
        }
    }

    /// Asks for a value as well, by the classic `get`.
    pub(super) fn get(&mut self, client: &Memcached, key: Result<Key<'a>>) {
        let (place, room) = (self.place(), self.room);
        match key {
            Ok(key) => {
                let lines = || Lines::Get(Vec::with_capacity(room), Vec::new());
                let part = self.part(client.owner_of(key.bytes()), lines);
                part.places.push(place);
                if let Lines::Get(keys, _) = &mut part.lines {
                    keys.push(key);
                }
            }
            Err(error) => self.refused.push((place, error)),
        }
    }

    /// The place of the next answer.
    fn place(&mut self) -> usize {
        self.count += 1;
        self.count - 1
    }

    /// Has no more than this said to a node at once.
    #[cfg(feature = "tokio")]
    pub(super) fn go_in_waves(&mut self, at_once: AtOnce) {
        self.parts.iter_mut().for_each(|part| part.at_once = at_once);
    }

    /// Whether a large value is to be sent, or likely to come; of many keys, the first tells.
    #[cfg(feature = "tokio")]
    pub(super) fn is_large(&self, sizes: &Sizes) -> bool {
        self.parts.first().is_some_and(|part| {
            let value_len = part.stored().map_or(0, |set| set.value.len());
            sizes::is_large(value_len) || part.key().is_some_and(|key| sizes.are_large(key.bytes()))
        })
    }

    /// Notes how long the value was that was sent or came.
    #[cfg(feature = "tokio")]
    pub(super) fn note_size(&self, sizes: &Sizes) {
        if let Some(part) = self.parts.first() {
            let size = part.stored().map(|set| set.value.len()).or(part.come()).unwrap_or(0);
            if let Some(key) = part.key().filter(|_| size > 0) {
                sizes.note(key.bytes(), size);
            }
        }
    }

    fn part(&mut self, node: usize, lines: impl FnOnce() -> Lines<'a>) -> &mut Plain<'a> {
        // In the order of the nodes, as those who run them expect.
        let found = self.parts.binary_search_by_key(&node, |part| part.node);
        let place = found.unwrap_or_else(|place| {
            let (places, replies) = (SmallVec::with_capacity(self.room), SmallVec::new());
            let (lines, too_large) = (lines(), Vec::new());
            let (at_once, answered, said, written, failed) = (AtOnce::ALL, 0, 0, Written::default(), None);
            let part = Plain { node, lines, places, at_once, answered, said, written, too_large, replies, failed };
            self.parts.insert(place, part);
            place
        });
        &mut self.parts[place]
    }

    /// The one answer, as `read` has it; nothing from there is a reply that should not have come.
    pub(super) fn one<T>(mut self, client: &Memcached, read: fn(Reply) -> Read<T>) -> Result<T> {
        if let Some((_, error)) = self.refused.pop() {
            return Err(error);
        }
        let part = self.parts.first_mut();
        let answer = part.and_then(|part| part.answers(client, read).next());
        answer.map_or_else(|| Err(Trouble::Unfinished.at("?", Sent::Nothing)), |(_, answer)| answer)
    }

    /// Each answer, in order.
    pub(super) fn each<T>(mut self, client: &Memcached, read: fn(Reply) -> Read<T>) -> Vec<Result<T>> {
        match (&mut self.parts[..], &self.refused[..]) {
            ([part], []) => part.answers(client, read).map(|(_, answer)| answer).collect(),
            (parts, _) => {
                let answers = parts.iter_mut().flat_map(|part| part.answers(client, read));
                in_order(self.count, answers.chain(refused(&mut self.refused)))
            }
        }
    }

    /// Each list of figures, in the order of the nodes: one part was said to each.
    pub(super) fn lists(mut self, client: &Memcached) -> Vec<Result<BTreeMap<String, String>>> {
        let lists = self.parts.iter_mut().map(|part| (part.node, part.list(client)));
        in_order(self.count, lists.chain(refused(&mut self.refused)))
    }

    /// What is kept beside the values that are to be stored.
    pub(super) fn set_client_flags(&mut self, client_flags: u32) {
        for part in &mut self.parts {
            if let Lines::Requests(requests) = &mut part.lines {
                requests.iter_mut().for_each(|request| {
                    if let Request::Set(set) = request {
                        set.client_flags = client_flags;
                    }
                });
            }
        }
    }

    /// Each value, in order.
    pub(super) fn found(mut self, client: &Memcached) -> Vec<Result<Option<Item>>> {
        match (&mut self.parts[..], &self.refused[..]) {
            // The usual case, in the list that is there.
            ([Plain { lines: Lines::Get(_, found), failed: None, replies, .. }], []) if replies.is_empty() => {
                mem::take(found).into_iter().map(Ok).collect()
            }
            (parts, _) => {
                let found = parts.iter_mut().flat_map(|part| part.found(client));
                in_order(self.count, found.chain(refused(&mut self.refused)))
            }
        }
    }
}

/// What a reply comes to, or the reply where it comes to nothing.
pub(super) type Read<T> = std::result::Result<T, Box<Reply>>;

impl<'a> Plain<'a> {
    /// The first value that is to be stored.
    #[cfg(feature = "tokio")]
    fn stored(&self) -> Option<&Set<'a>> {
        match &self.lines {
            Lines::Requests(requests) => match requests.first()? {
                Request::Set(set) => Some(set),
                _ => None,
            },
            Lines::Get(..) => None,
        }
    }

    /// How long the first value is that came.
    #[cfg(feature = "tokio")]
    fn come(&self) -> Option<usize> {
        match &self.lines {
            Lines::Requests(_) => self.replies.first()?.value.as_ref().map(Vec::len),
            Lines::Get(_, found) => found.iter().flatten().next().map(|item| item.value.len()),
        }
    }

    /// The first key whose value is asked for or to be stored.
    #[cfg(feature = "tokio")]
    fn key(&self) -> Option<Key<'a>> {
        match &self.lines {
            Lines::Requests(requests) => match requests.first()? {
                Request::Get(get) => Some(get.key),
                Request::Set(set) => Some(set.key),
                _ => None,
            },
            Lines::Get(keys, _) => keys.first().copied(),
        }
    }

    fn answers<T>(
        &mut self,
        client: &Memcached,
        read: fn(Reply) -> Read<T>,
    ) -> impl Iterator<Item = (usize, Result<T>)> {
        let Plain { node, places, answered, said, too_large, replies, failed, .. } = self;
        let node = client.nodes().node(*node);
        let mut replies = mem::take(replies).into_iter();
        let mut too_large = too_large.iter().peekable();
        let failed = failed.take().unwrap_or(Trouble::Unfinished);
        mem::take(places).into_iter().enumerate().map(move |(number, place)| {
            let limit = too_large.next_if(|(too_large, _)| *too_large == number);
            let answer = match limit {
                _ if number >= *answered => Err(failed.at(&node.name, sent_of(number, *said))),
                Some((_, limit)) => Err(Error::new(
                    Kind::Backend,
                    format!(
                        "the value is larger than {limit} bytes, the largest that the node takes; see its option `-I`"
                    ),
                )
                .with("node", &node.name)),
                None => match replies.next().map(read) {
                    Some(Ok(answer)) => Ok(answer),
                    Some(Err(reply)) => Err(node.odd(Kind::Backend, Some(&reply))),
                    None => Err(Trouble::closed(false).at(&node.name, Sent::Something)),
                },
            };
            (place, answer)
        })
    }

    /// All lines of the answer, which are figures with their names.
    fn list(&mut self, client: &Memcached) -> Result<BTreeMap<String, String>> {
        let node = client.nodes().node(self.node);
        if let Some(trouble) = self.failed.take() {
            return Err(trouble.at(&node.name, self.written.sent()));
        }
        let figure = |reply: Reply| match reply.code {
            Code::Stat(figure) => Some(Ok(*figure)),
            Code::End => None,
            _ => Some(Err(node.odd(Kind::Backend, Some(&reply)))),
        };
        mem::take(&mut self.replies).into_iter().filter_map(figure).collect()
    }

    /// Those that are missing are left out of an answer. Where the server failed in the midst of it, nobody knows.
    fn found(&mut self, client: &Memcached) -> impl Iterator<Item = (usize, Result<Option<Item>>)> {
        let Plain { node, places, said, replies, failed, lines, .. } = self;
        let (node, said) = (client.nodes().node(*node), *said);
        let failed = failed.take().unwrap_or(Trouble::Unfinished);
        let odd = replies.pop();
        // As far as there are answers.
        let mut found = match lines {
            Lines::Get(_, found) => mem::take(found),
            Lines::Requests(_) => Vec::new(),
        }
        .into_iter();
        mem::take(places).into_iter().enumerate().map(move |(number, place)| {
            let found = match (found.next(), &odd) {
                (Some(Some(item)), _) => Ok(Some(item)),
                (Some(None), None) => Ok(None),
                (Some(None), Some(reply)) => Err(node.odd(Kind::Backend, Some(reply))),
                (None, _) => Err(failed.at(&node.name, sent_of(number, said))),
            };
            (place, found)
        })
    }
}

impl Message for Plain<'_> {
    fn write(&mut self, _: &Node, server: &Server, batch: &mut Batch) {
        let Plain { lines, at_once, answered, said, written, too_large, .. } = self;
        written.again();
        let mut wave = Wave::default();
        *said = *answered;
        too_large.retain(|(number, _)| number < answered);
        match lines {
            Lines::Requests(requests) => {
                for request in &requests[*answered..] {
                    match server.limit_of(request) {
                        Some(limit) => too_large.push((*said, limit)),
                        None if wave.takes(request.size(), *at_once) => batch.push(request),
                        None => break,
                    }
                    *said += 1;
                }
            }
            Lines::Get(keys, _) => {
                while let Some(line) = line(&keys[*said..], LINE.min(at_once.bytes)) {
                    let request = Request::ClassicGet(line);
                    if !wave.takes(request.size(), *at_once) {
                        break;
                    }
                    batch.push(&request);
                    *said += line.len();
                }
            }
        }
    }

    fn take_back(&mut self) {
        self.written.taken_back();
        if !self.written.in_vain() {
            self.said = self.answered;
        }
    }

    fn absorb(&mut self, _: &Node, replied: &mut Replied) -> Result<(), Trouble> {
        self.written.answered();
        let answered = mem::replace(&mut self.answered, self.said);
        match &mut self.lines {
            Lines::Requests(_) => self.replies.extend(replied.replies.drain(..)),
            Lines::Get(keys, found) => {
                found.reserve_exact(keys.len() - found.len());
                found.resize(self.said, None);
                for reply in replied.replies.drain(..).filter(|reply| reply.code != Code::End) {
                    let place = if let Named::Place(place) = reply.named { Some(place as usize) } else { None };
                    match (Item::of(reply), place) {
                        (Ok(item), Some(place)) => found[answered + place] = item,
                        (Ok(_), None) => {}
                        (Err(reply), _) => self.replies = SmallVec::from_iter([*reply]),
                    }
                }
            }
        }
        Ok(())
    }
}

impl Part for Plain<'_> {
    fn node(&self) -> usize {
        self.node
    }

    fn fail(&mut self, trouble: Trouble) {
        self.failed = Some(trouble);
    }

    fn is_done(&self) -> bool {
        self.failed.is_some() || self.answered == self.places.len()
    }
}

/// Whether this request was written, where those up to `said` were.
fn sent_of(number: usize, said: usize) -> Sent {
    if number < said { Sent::Something } else { Sent::Nothing }
}

/// The next of these keys that are asked for in one line, of so many bytes if it has more than one of them.
fn line<'k, 'a>(keys: &'k [Key<'a>], most: usize) -> Option<&'k [Key<'a>]> {
    let mut length = 0;
    let fits = |key: &&Key<'_>| {
        length += key.bytes().len() + 1;
        length <= most
    };
    let count = keys.iter().take_while(fits).count().max(1);
    keys.get(..count)
}

impl Item {
    /// The value in a reply, if it holds one.
    pub(super) fn of(reply: Reply) -> Read<Option<Item>> {
        match (&reply.code, reply.value) {
            (Code::Value, Some(value)) => {
                let cas = reply.cas.filter(|cas| *cas != 0);
                Ok(Some(Item { value, client_flags: reply.client_flags.unwrap_or(0), cas }))
            }
            (Code::Missing, _) => Ok(None),
            (_, value) => Err(Box::new(Reply { value, ..reply })),
        }
    }
}

fn in_order<T>(count: usize, answers: impl Iterator<Item = (usize, Result<T>)>) -> Vec<Result<T>> {
    let mut answers: Vec<_> = answers.collect();
    debug_assert_eq!(answers.len(), count, "each is answered");
    answers.sort_unstable_by_key(|(place, _)| *place);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

fn refused<T>(refused: &mut Vec<(usize, Error)>) -> impl Iterator<Item = (usize, Result<T>)> {
    refused.drain(..).map(|(place, error)| (place, Err(error)))
}
