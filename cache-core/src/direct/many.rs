//! Values under many ids at once: one request for all, one run of the function for those that are missing.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Mutex, PoisonError};

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::drive::many::{CallOfMany, Outcome, blocking, tasks};
use crate::key::KeyBuffer;
use crate::outcome::{Alone, OkOnly, Returns};
use crate::region::Region;
use crate::serve::{Face, Probed, Served, probe, untagged};
use crate::terms::Terms;
use crate::wire::Serde;

impl Region {
    /// The values under `ids`, in their order; what `load` returns for those that are missing.
    ///
    /// `load` is given the missing ids, each once, and returns what it finds, with the ids, in any order. An id that it
    /// leaves out has no value: it is kept as missing, like the `None` of a function that returns `Option<V>`, with which
    /// these entries are shared. The far tier is asked once for all, and told once. What another caller is loading
    /// already is waited for, after everything else is loaded and stored; `load` runs again only for what that caller
    /// did not load.
    ///
    /// ```
    /// use std::collections::HashMap;
    ///
    /// use cache_core::region::Region;
    ///
    /// static LONG_TERM: Region = Region::named("long_term");
    ///
    /// /// SELECT id, name FROM users WHERE id IN (..)
    /// fn names(ids: Vec<u64>) -> Result<HashMap<u64, String>, std::io::Error> {
    ///     Ok(ids.into_iter().filter(|id| *id < 100).map(|id| (id, format!("user {id}"))).collect())
    /// }
    ///
    /// let users = LONG_TERM.get_or_create_multi("names", [7, 700, 7], names)?;
    /// assert_eq!(users, [Some("user 7".to_owned()), None, Some("user 7".to_owned())]);
    /// # Ok::<(), std::io::Error>(())
    /// ```
    ///
    /// # Errors
    ///
    /// What `load` returned, unless a stale value can stand in for each id; what was stored before stays.
    pub fn get_or_create_multi<K, V, E, Rows>(
        &self,
        namespace: &str,
        ids: impl IntoIterator<Item = K>,
        mut load: impl FnMut(Vec<K>) -> Result<Rows, E>,
    ) -> Result<Vec<Option<V>>, E>
    where
        K: Serialize + Clone + Eq + Hash,
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
        Rows: IntoIterator<Item = (K, V)>,
    {
        let mut asked = Asked::of(ids);
        let (places, calls) = asked.probe(self, namespace, Face::Blocking);
        let mut failure = None;
        let ends = blocking::drive(calls, |missing| {
            let ids = asked.ids_of(&places, missing);
            let rows = load(ids.clone()).map_err(|error| failure = Some(error)).ok()?;
            Some(in_order(&ids, rows))
        });
        asked.settle(&places, ends);
        if let (Some(failure), true) = (failure, asked.lacks_any_of(&places)) {
            return Err(failure);
        }
        let through = asked.lacking();
        if !through.is_empty() {
            let ids = asked.ids_of(&through, &(0..through.len()).collect::<Vec<_>>());
            let rows = load(ids.clone())?;
            asked.settle(&through, in_order(&ids, rows).into_iter().map(Ok));
        }
        Ok(asked.into_values())
    }

    /// The async twin of [`get_or_create_multi`](Region::get_or_create_multi).
    ///
    /// # Errors
    ///
    /// What `load` resolved to.
    pub async fn get_or_create_multi_async<K, V, E, Rows, F>(
        &self,
        namespace: &str,
        ids: impl IntoIterator<Item = K>,
        mut load: impl FnMut(Vec<K>) -> F,
    ) -> Result<Vec<Option<V>>, E>
    where
        K: Serialize + Clone + Eq + Hash,
        V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
        Rows: IntoIterator<Item = (K, V)>,
        F: Future<Output = Result<Rows, E>>,
    {
        let mut asked = Asked::of(ids);
        let (places, calls) = asked.probe(self, namespace, Face::Tasks);
        let mut failure = None;
        let ends = {
            let (asked, places, failed) = (&asked, &places, Mutex::new(&mut failure));
            let failed = &failed;
            tasks::drive(calls, |missing| {
                let ids = asked.ids_of(places, missing);
                let loading = load(ids.clone());
                async move {
                    let note = |error| **failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
                    loading.await.map(|rows| in_order(&ids, rows)).map_err(note).ok()
                }
            })
            .await
        };
        asked.settle(&places, ends);
        if let (Some(failure), true) = (failure, asked.lacks_any_of(&places)) {
            return Err(failure);
        }
        let through = asked.lacking();
        if !through.is_empty() {
            let ids = asked.ids_of(&through, &(0..through.len()).collect::<Vec<_>>());
            let rows = load(ids.clone()).await?;
            asked.settle(&through, in_order(&ids, rows).into_iter().map(Ok));
        }
        Ok(asked.into_values())
    }
}

/// The call for one id.
type CallForOne<V> = Box<CallOfMany<Option<V>, Serde>>;

/// The ids that were asked for, and what is known of each by now.
struct Asked<K, V> {
    /// Each id once.
    ids: Vec<K>,
    values: Vec<Option<Option<V>>>,
    /// For each id that was asked for, its place among those.
    order: Vec<usize>,
}

impl<K, V> Asked<K, V>
where
    K: Serialize + Clone + Eq + Hash,
    V: Clone + Send + Sync + Serialize + DeserializeOwned + 'static,
{
    fn of(ids: impl IntoIterator<Item = K>) -> Self {
        let ids = ids.into_iter();
        let count = ids.size_hint().0;
        let (mut places, mut unique, mut order) =
            (HashMap::with_capacity(count), Vec::with_capacity(count), Vec::with_capacity(count));
        for id in ids {
            let place = *places.entry(id.clone()).or_insert_with(|| {
                unique.push(id);
                unique.len() - 1
            });
            order.push(place);
        }
        Asked { values: unique.iter().map(|_| None).collect(), ids: unique, order }
    }

    /// Looks near for each, and gives the places and calls of those that are to be looked for elsewhere.
    fn probe(&mut self, region: &Region, namespace: &str, face: Face) -> (Vec<usize>, Vec<CallForOne<V>>) {
        let (mut places, mut calls) = (Vec::new(), Vec::new());
        for (place, (id, value)) in self.ids.iter().zip(&mut self.values).enumerate() {
            let terms = Terms::new(Returns::<Outcome<Option<V>>>::new(), OkOnly, Alone, Serde);
            let (served, mut buffer) = (Served::direct(namespace), KeyBuffer::new());
            match probe(region, &served, &mut buffer.call(namespace, id), terms, |list| untagged(&(), list), face) {
                Probed::Hit(found) => *value = Some(found),
                Probed::Miss(call) => {
                    places.push(place);
                    calls.push(call);
                }
                // Left for a run of the function that is nobody else's concern.
                Probed::Through => {}
            }
        }
        (places, calls)
    }

    /// The ids at those of `places` that are counted in `which`.
    fn ids_of(&self, places: &[usize], which: &[usize]) -> Vec<K> {
        which.iter().filter_map(|at| self.ids.get(*places.get(*at)?).cloned()).collect()
    }

    fn settle(&mut self, places: &[usize], ends: impl IntoIterator<Item = Outcome<Option<V>>>) {
        for (place, end) in places.iter().zip(ends) {
            if let (Some(value), Ok(end)) = (self.values.get_mut(*place), end) {
                *value = Some(end);
            }
        }
    }

    fn lacks_any_of(&self, places: &[usize]) -> bool {
        places.iter().any(|place| self.values.get(*place).is_some_and(Option::is_none))
    }

    fn lacking(&self) -> Vec<usize> {
        (0..self.values.len()).filter(|place| self.lacks_any_of(&[*place])).collect()
    }

    fn into_values(self) -> Vec<Option<V>> {
        if self.order.len() == self.values.len() {
            // Nothing was asked for twice: each value has one place.
            return self.values.into_iter().map(Option::flatten).collect();
        }
        self.order.iter().map(|place| self.values.get(*place).cloned().flatten().flatten()).collect()
    }
}

/// A value, or none, for each of `ids`.
fn in_order<K: Eq + Hash, V>(ids: &[K], rows: impl IntoIterator<Item = (K, V)>) -> Vec<Option<V>> {
    let mut rows: HashMap<K, V> = rows.into_iter().collect();
    ids.iter().map(|id| rows.remove(id)).collect()
}
