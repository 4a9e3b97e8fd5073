//! Settings: which nodes there are, and how they are talked to, from code or from a URL.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use cache_core::config::{BackendUrl, parse};
use cache_core::error::{Error, Kind, Result};

use crate::address::Address;

/// memcached's port.
const PORT: u16 = 11211;
const KNOWN: &str = "connect_timeout, io_timeout, blacklist, pool_size, max_idle, idle_timeout, pool_timeout, max_lifetime, \
                     max_in_flight, max_bytes_in_flight";

/// Which nodes keep a region's records, and how they are talked to.
///
/// The fields are public: change those of [`Config::new`] or [`Config::from_url`]. [`Memcached::new`] checks them.
///
/// [`Memcached::new`]: crate::Memcached::new
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Config {
    /// The nodes. Their order is of no importance.
    pub nodes: Vec<NodeAddress>,
    /// How long a connection may take to be made, the server's introduction included. Default 250 ms.
    pub connect_timeout: Duration,
    /// How long an operation may take, from its call to its last reply, whatever it has to connect, wait or repeat.
    /// Default 500 ms.
    pub io_timeout: Duration,
    /// How long a node that refuses connections, or has timed out three times running, is left alone before one caller
    /// asks it again; give or take a tenth. Default 4 s.
    pub blacklist: Duration,
    /// How many connections blocking callers have to each node, at most. Default 8.
    pub pool_size: usize,
    /// How many of them are kept while nobody uses them. Default: all.
    pub max_idle: Option<usize>,
    /// A connection that was unused for so long is not used again. Default 30 s.
    pub idle_timeout: Duration,
    /// How long a blocking caller waits for a connection of a pool that is used up. Default: `io_timeout`.
    pub pool_timeout: Option<Duration>,
    /// A connection of this age is not used again; tasks who wait on it already are answered. Default: it may grow as
    /// old as it likes.
    pub max_lifetime: Option<Duration>,
    /// How many requests of tasks may wait on one connection to a node; those beyond fail at once. Default 16384.
    pub max_in_flight: usize,
    /// How many bytes of unanswered requests of tasks, values included, may wait on one connection to a node; those
    /// beyond fail at once. Default 64 MiB.
    pub max_bytes_in_flight: usize,
}

/// A node: where it is, and what it is called.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeAddress {
    /// What keys are routed by. A node that moves to another address and keeps its name keeps its keys. Default: the
    /// address.
    pub name: String,
    /// Its share of the keys, in proportion to the other nodes' weights. Default 1.
    pub weight: f64,
    /// Where it listens.
    pub address: Address,
}

impl From<Address> for NodeAddress {
    fn from(address: Address) -> Self {
        NodeAddress { name: address.to_string(), weight: 1.0, address }
    }
}

impl Config {
    /// These nodes, with the defaults.
    pub fn new(nodes: impl IntoIterator<Item = NodeAddress>) -> Self {
        Config {
            nodes: nodes.into_iter().collect(),
            connect_timeout: Duration::from_millis(250),
            io_timeout: Duration::from_millis(500),
            blacklist: Duration::from_secs(4),
            pool_size: 8,
            max_idle: None,
            idle_timeout: Duration::from_secs(30),
            pool_timeout: None,
            max_lifetime: None,
            max_in_flight: 16_384,
            max_bytes_in_flight: 64 << 20,
        }
    }

    /// Reads `memcached://[name@]host[:port][*weight],..?setting=value&..` or
    /// `memcached+unix:///path[*weight],..?..`. The settings are named like the fields; durations have their units
    /// (`250ms`), and `max_lifetime` may be `never`.
    ///
    /// # Errors
    ///
    /// [`Kind::Config`], naming what cannot be read, with what is allowed.
    pub fn from_url(url: &BackendUrl) -> Result<Self> {
        let node = if url.scheme() == "memcached+unix" { unix_node } else { tcp_node };
        let nodes = url.place().split(',').map(|text| node(text.trim()));
        let mut config = Config::new(nodes.collect::<Result<Vec<_>>>()?);
        for (key, value) in url.parameters() {
            config.set(key, value)?;
        }
        config.checked()
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "connect_timeout" => self.connect_timeout = duration(key, value)?,
            "io_timeout" => self.io_timeout = duration(key, value)?,
            "blacklist" => self.blacklist = duration(key, value)?,
            "pool_size" => self.pool_size = count(key, value)?,
            "max_idle" => self.max_idle = Some(count(key, value)?),
            "idle_timeout" => self.idle_timeout = duration(key, value)?,
            "pool_timeout" => self.pool_timeout = Some(duration(key, value)?),
            "max_lifetime" if value == "never" => self.max_lifetime = None,
            "max_lifetime" => self.max_lifetime = Some(duration(key, value)?),
            "max_in_flight" => self.max_in_flight = count(key, value)?,
            "max_bytes_in_flight" => self.max_bytes_in_flight = bytes(key, value)?,
            _ => return Err(refused(format!("there is no parameter `{key}`; known are {KNOWN}"), key, value)),
        }
        Ok(())
    }

    /// The same, if it can be.
    pub(crate) fn checked(self) -> Result<Self> {
        if self.nodes.is_empty() {
            return Err(refused("memcached needs at least one node, such as `10.0.0.1:11211`", "nodes", "none"));
        }
        for (place, node) in self.nodes.iter().enumerate() {
            let before = &self.nodes[..place];
            if before.iter().any(|other| other.name == node.name || other.address == node.address) {
                return Err(refused("a node stands twice", "node", &node.name));
            }
            if !(node.weight.is_finite() && node.weight > 0.0) {
                let rule = format!("the weight of node `{}` must be above 0", node.name);
                return Err(refused(rule, "weight", node.weight));
            }
        }
        let durations = [
            ("connect_timeout", Some(self.connect_timeout)),
            ("io_timeout", Some(self.io_timeout)),
            ("blacklist", Some(self.blacklist)),
            ("idle_timeout", Some(self.idle_timeout)),
            ("pool_timeout", self.pool_timeout),
            ("max_lifetime", self.max_lifetime),
        ];
        if let Some((key, _)) = durations.iter().find(|(_, duration)| *duration == Some(Duration::ZERO)) {
            return Err(refused(format!("`{key}` must be above 0"), key, "0s"));
        }
        let counts = [
            ("pool_size", self.pool_size),
            ("max_in_flight", self.max_in_flight),
            ("max_bytes_in_flight", self.max_bytes_in_flight),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(refused(format!("`{key}` must be above 0"), key, 0));
        }
        Ok(self)
    }
}

/// `[name@]host[:port][*weight]`
fn tcp_node(text: &str) -> Result<NodeAddress> {
    let form = || {
        let form =
            "a node is written `host`, `host:port` or `[address]:port`, with `name@` before and `*weight` behind it";
        refused(form, "node", text)
    };
    let (rest, weight) = weighted(text)?;
    let (name, place) = rest.split_once('@').map_or((None, rest), |(name, place)| (Some(name), place));
    let (host, port) = match place.strip_prefix('[') {
        Some(bracketed) => {
            let (host, behind) = bracketed.split_once(']').ok_or_else(form)?;
            (host, if behind.is_empty() { None } else { Some(behind.strip_prefix(':').ok_or_else(form)?) })
        }
        None => place.split_once(':').map_or((place, None), |(host, port)| (host, Some(port))),
    };
    let port = port.map_or(Ok(PORT), str::parse).ok().filter(|port| *port != 0);
    let (Some(port), false, false) = (port, host.is_empty(), name == Some("")) else { return Err(form()) };
    if host.contains(|c: char| c.is_whitespace() || "/@[]".contains(c)) {
        return Err(form());
    }
    let address = Address::Tcp { host: host.to_owned(), port };
    let name = name.map_or_else(|| address.to_string(), str::to_owned);
    Ok(NodeAddress { name, weight, address })
}

/// `/path[*weight]`
fn unix_node(text: &str) -> Result<NodeAddress> {
    let (path, weight) = weighted(text)?;
    if !path.starts_with('/') {
        return Err(refused(
            "a Unix socket is written as its whole path: `memcached+unix:///run/memcached.sock`",
            "node",
            text,
        ));
    }
    Ok(NodeAddress { weight, ..NodeAddress::from(Address::Unix(PathBuf::from(path))) })
}

fn weighted(text: &str) -> Result<(&str, f64)> {
    let Some((rest, weight)) = text.rsplit_once('*') else { return Ok((text, 1.0)) };
    let number = weight.parse().map_err(|_| refused("a node's weight is a number, such as `*2`", "node", text))?;
    Ok((rest, number))
}

fn duration(key: &str, value: &str) -> Result<Duration> {
    parse::duration(value).map_err(|form| refused(format!("`{key}` takes {form}"), key, value))
}

fn count(key: &str, value: &str) -> Result<usize> {
    value.parse().map_err(|_| refused(format!("`{key}` takes a whole number"), key, value))
}

fn bytes(key: &str, value: &str) -> Result<usize> {
    let bytes = parse::size(value).map_err(|form| refused(format!("`{key}` takes {form}"), key, value))?;
    Ok(usize::try_from(bytes).unwrap_or(usize::MAX))
}

fn refused(rule: impl Into<String>, key: &str, value: impl fmt::Display) -> Error {
    Error::new(Kind::Config, rule).with("parameter", key).with("value", value.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]
    use super::*;

    fn config(url: &str) -> Result<Config> {
        Config::from_url(&BackendUrl::parse(url).unwrap())
    }

    #[test]
    fn nodes_have_names_ports_and_weights() {
        let all = config("memcached://10.0.0.1, cache.example:11212*2,[::1]:1,one@[fe80::1]*0.5").unwrap().nodes;
        let told: Vec<_> = all.iter().map(|node| format!("{} {} {}", node.name, node.address, node.weight)).collect();
        let expected = [
            "10.0.0.1:11211 10.0.0.1:11211 1",
            "cache.example:11212 cache.example:11212 2",
            "[::1]:1 [::1]:1 1",
            "one [fe80::1]:11211 0.5",
        ];
        assert_eq!(told, expected);
        let unix = config("memcached+unix:///run/a.sock,/run/b.sock*3").unwrap().nodes;
        assert_eq!(unix[0].address, Address::Unix("/run/a.sock".into()));
        assert_eq!((unix[1].name.as_str(), unix[1].weight), ("/run/b.sock", 3.0));
    }

    #[test]
    fn settings_have_units_and_defaults() {
        let plain = config("memcached://a").unwrap();
        assert_eq!(plain, Config::new([Address::Tcp { host: "a".to_owned(), port: PORT }.into()]));
        let set = config(
            "memcached://a?connect_timeout=1s&io_timeout=20ms&blacklist=1s&pool_size=3&max_idle=0&idle_timeout=1m&pool_timeout=5ms\
             &max_lifetime=1h&max_in_flight=7&max_bytes_in_flight=1MiB",
        );
        let set = set.unwrap();
        assert_eq!((set.connect_timeout, set.io_timeout), (Duration::from_secs(1), Duration::from_millis(20)));
        assert_eq!((set.pool_size, set.max_idle, set.max_in_flight), (3, Some(0), 7));
        assert_eq!((set.idle_timeout, set.pool_timeout), (Duration::from_secs(60), Some(Duration::from_millis(5))));
        assert_eq!(set.blacklist, Duration::from_secs(1));
        assert_eq!(set.max_bytes_in_flight, 1 << 20);
        assert_eq!(set.max_lifetime, Some(Duration::from_secs(3600)));
        assert_eq!(config("memcached://a?max_lifetime=never").unwrap().max_lifetime, None);
    }

    #[test]
    fn what_cannot_be_is_told_with_what_is_allowed() {
        for (url, words) in [
            ("memcached://", "a node is written `host`"),
            ("memcached://a,,b", "a node is written"),
            ("memcached://a:0", "value: a:0"),
            ("memcached://a:99999", "value: a:99999"),
            ("memcached://[::1", "a node is written"),
            ("memcached://[::1]x", "a node is written"),
            ("memcached://@a", "a node is written"),
            ("memcached://a/b", "a node is written"),
            ("memcached://a*x", "weight is a number"),
            ("memcached://a*0", "must be above 0"),
            ("memcached://a*NaN", "must be above 0"),
            ("memcached://a,a:11211", "stands twice (parameter: node, value: a:11211)"),
            ("memcached://x@a,x@b", "stands twice (parameter: node, value: x)"),
            ("memcached+unix://run/a.sock", "its whole path"),
            ("memcached://a?pool=8", "no parameter `pool`; known are connect_timeout, io_timeout"),
            ("memcached://a?pool_size=many", "`pool_size` takes a whole number (parameter: pool_size, value: many)"),
            ("memcached://a?pool_size=0", "`pool_size` must be above 0"),
            ("memcached://a?max_bytes_in_flight=0", "`max_bytes_in_flight` must be above 0"),
            ("memcached://a?max_bytes_in_flight=big", "a size with its unit"),
            ("memcached://a?io_timeout=500", "a duration with its unit"),
            ("memcached://a?io_timeout=0s", "`io_timeout` must be above 0"),
            ("memcached://a?max_lifetime=0s", "`max_lifetime` must be above 0"),
        ] {
            let error = config(url).expect_err(url);
            assert_eq!(error.kind(), Kind::Config);
            assert!(error.to_string().contains(words), "{url}: {error}");
        }
        assert!(Config::new([]).checked().is_err());
    }
}
