//! What one source beside the code says of a region: a table of a file, or the variables of the environment.
//!
//! Where a region's entries are is one thing to say: a layer that names a backend names all, and those below it are gone.

use super::Settings;
use crate::error::{Error, Kind, Result};

/// The settings of one region from one source, each with its place there.
#[derive(Debug, Clone)]
pub(crate) struct Layer {
    settings: Settings,
    tiers: Tiers,
    /// The name of a fact that is a place in this source: a file and its line, or a variable.
    fact: &'static str,
    places: Vec<(String, String)>,
    /// The name and the value of the fact that is the source as a whole.
    whole: (&'static str, String),
}

/// What becomes of the backends that lower layers name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tiers {
    /// They stay, but for the tier that this layer names.
    Kept,
    /// This layer says where the region is.
    Replaced,
}

impl Layer {
    /// A layer that says nothing yet.
    pub(super) fn new(fact: &'static str, whole: (&'static str, String)) -> Self {
        Layer { settings: Settings::new(), tiers: Tiers::Kept, fact, places: Vec::new(), whole }
    }

    /// Sets `key`, which stands at `place`.
    pub(super) fn set(&mut self, key: &str, value: &str, place: &str) -> Result<()> {
        self.settings = self.settings.clone().set(key, value)?;
        self.places.push((key.to_owned(), place.to_owned()));
        Ok(())
    }

    /// Switches the region off.
    pub(super) fn switch_off(&mut self, place: &str) {
        self.settings.off = Some(true);
        self.places.push(("off".to_owned(), place.to_owned()));
    }

    /// Says where the region is, by backends that know themselves which tier they are.
    pub(super) fn move_to(&mut self, backends: Vec<String>, place: &str) {
        self.settings.backends = backends;
        self.tiers = Tiers::Replaced;
        self.places.extend(["near", "far", "backends"].map(|key| (key.to_owned(), place.to_owned())));
    }

    /// Says that the backends named here are all.
    #[cfg(feature = "toml")]
    pub(super) fn replace_tiers(&mut self) {
        self.tiers = Tiers::Replaced;
    }

    /// Whether it names the tiers one by one.
    pub(super) fn names_a_tier(&self) -> bool {
        self.settings.near.is_some() || self.settings.far.is_some()
    }

    /// What this layer says, and where it is silent what `lower` says.
    pub(crate) fn over(&self, mut lower: Settings) -> Settings {
        if self.tiers == Tiers::Replaced {
            (lower.near, lower.far, lower.off) = (None, None, None);
            lower.backends.clear();
            let named = [&self.settings.near, &self.settings.far].into_iter().flatten().count();
            if named + self.settings.backends.len() < 2 {
                // It spoke of a near tier before a far one; there is only one left.
                lower.max_staleness = None;
            }
        }
        self.settings.clone().over(lower)
    }

    fn place(&self, key: &str) -> Option<&str> {
        self.places.iter().rev().find(|(known, _)| known == key).map(|(_, place)| place.as_str())
    }
}

/// The error, with where the setting stands that it speaks of: the last of the layers that has it, or else the last layer.
pub(crate) fn told(layers: &[Layer], error: Error) -> Error {
    let has_place =
        error.context().any(|(name, _)| layers.iter().any(|layer| layer.fact == name) || name == "variable");
    if error.kind() != Kind::Config || has_place {
        return error;
    }
    // What was added last is the setting; before it, a parameter of a URL may be named.
    let keys: Vec<&str> = error.context().filter(|(name, _)| *name == "key").map(|(_, key)| key).collect();
    let of_layer =
        |layer: &Layer| keys.iter().rev().find_map(|key| layer.place(key)).map(|at| (layer.fact, at.to_owned()));
    let place = layers.iter().rev().find_map(of_layer).or_else(|| layers.last().map(|layer| layer.whole.clone()));
    match place {
        Some((name, place)) => error.with(name, place),
        None => error,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::time::Duration;

    use super::*;

    fn layer(settings: &[(&str, &str)]) -> Layer {
        let mut layer = Layer::new("variable", ("environment", "all".to_owned()));
        for (key, value) in settings {
            layer.set(key, value, &format!("CACHE_X__{key}")).unwrap();
        }
        layer
    }

    fn both() -> Settings {
        Settings::new().near("memory://").far("memcached://a").max_staleness(Duration::from_secs(5)).jitter(0.1)
    }

    #[test]
    fn a_layer_says_what_it_says_and_leaves_the_rest() {
        let upper = layer(&[("jitter", "0.5"), ("far", "memcached://b")]);
        assert_eq!(upper.over(both()), both().jitter(0.5).far("memcached://b"));
    }

    #[test]
    fn who_says_where_the_region_is_says_it_all() {
        let mut one = layer(&[]);
        one.move_to(vec!["memory://".to_owned()], "CACHE_X");
        let moved = one.over(both());
        assert_eq!((&moved.near, &moved.far, moved.max_staleness, moved.jitter), (&None, &None, None, Some(0.1)));
        let mut two = layer(&[]);
        two.move_to(vec!["memory://".to_owned(), "memcached://b".to_owned()], "CACHE_X");
        assert_eq!(two.over(both()).max_staleness, Some(Duration::from_secs(5)));
        assert_eq!(two.over(Settings::off()).settled().off, None, "it is somewhere, so it is not off");
    }

    #[test]
    fn an_error_is_told_with_the_place_of_its_setting() {
        let layers = [layer(&[("ttl", "1s")]), layer(&[("lease", "1s")])];
        let about = |key: &str| Error::new(Kind::Config, "no").with("key", key);
        assert_eq!(told(&layers, about("ttl")).to_string(), "configuration: no (key: ttl, variable: CACHE_X__ttl)");
        assert_eq!(told(&layers, about("near")).to_string(), "configuration: no (key: near, environment: all)");
        let once = told(&layers, about("ttl"));
        assert_eq!(told(&layers, once).context().count(), 2, "one place is enough");
        assert_eq!(told(&[], about("near")).context().count(), 1);
        assert_eq!(told(&layers, Error::new(Kind::Backend, "down")).context().count(), 0);
    }
}
