//! What the attribute asks of the runtime, told by a runtime that only writes it down: `crate = recorder`.

#![cfg(feature = "macros")]
#![deny(warnings)]

use std::time::Duration;

use cache::cached;
use recorder::{Region, told};

/// Stands in for the facade crate.
mod recorder {
    use std::cell::RefCell;
    use std::fmt::Debug;

    /// One call of the runtime.
    #[derive(Debug, Clone, PartialEq)]
    pub(crate) struct Told {
        pub(crate) site: usize,
        pub(crate) spec: __private::SiteSpec,
        pub(crate) region: &'static str,
        pub(crate) key: Vec<String>,
        pub(crate) terms: Vec<String>,
    }

    thread_local! {
        static CALLS: RefCell<Vec<Told>> = const { RefCell::new(Vec::new()) };
    }

    /// The calls since the last time.
    pub(crate) fn told() -> Vec<Told> {
        CALLS.with_borrow_mut(std::mem::take)
    }

    #[derive(Debug)]
    pub(crate) struct Region(&'static str);

    impl Region {
        pub(crate) const fn named(name: &'static str) -> Self {
            Region(name)
        }
    }

    impl AsRef<Region> for Region {
        fn as_ref(&self) -> &Region {
            self
        }
    }

    pub(crate) struct Entry<R, W = __private::Serde>(std::marker::PhantomData<(R, W)>);

    pub(crate) mod __private {
        use super::{CALLS, Debug, Entry, Region, Told};
        pub(crate) use cache::__private::{
            Alone, NearOnly, OkOnly, OutcomeOfOther, OutcomeOfResult, OwnPolicy, Returns, Serde, Shared, SharedBy,
            SharingOfClone, SharingOfOther, Whole,
        };
        use std::future::Future;
        use std::time::Duration;

        #[derive(Debug, Clone, PartialEq)]
        pub(crate) struct SiteSpec {
            pub(crate) function: &'static str,
            pub(crate) namespace: &'static str,
            pub(crate) arguments: &'static [&'static str],
            pub(crate) version: u16,
            pub(crate) policy: OwnPolicy,
        }

        pub(crate) struct Site(SiteSpec);

        impl Site {
            pub(crate) const fn new(spec: SiteSpec) -> Self {
                Site(spec)
            }
        }

        pub(crate) struct KeyBuffer;

        impl KeyBuffer {
            pub(crate) const fn new() -> Self {
                KeyBuffer
            }

            pub(crate) fn begin(&mut self, namespace: &str, arity: usize) -> KeyWriter {
                KeyWriter { namespace: namespace.to_owned(), arity, parts: Vec::new() }
            }
        }

        pub(crate) struct KeyWriter {
            namespace: String,
            arity: usize,
            parts: Vec<String>,
        }

        impl KeyWriter {
            pub(crate) fn arg<A: Debug + ?Sized>(&mut self, argument: &A) {
                self.parts.push(format!("{argument:?}"));
            }

            pub(crate) fn text(&mut self, text: &str) {
                self.arg(text);
            }
        }

        pub(crate) struct Terms<R>(Vec<String>, Returns<R>);

        fn last(name: &'static str) -> String {
            let name = name.split('<').next().unwrap_or_default();
            name.rsplit("::").next().unwrap_or_default().to_owned()
        }

        impl<R> Terms<R> {
            pub(crate) fn new<O, S, W>(returns: Returns<R>, _: O, _: S, _: W) -> Self {
                use std::any::type_name;
                Terms(vec![last(type_name::<O>()), last(type_name::<S>()), last(type_name::<W>())], returns)
            }

            fn and(mut self, term: String) -> Self {
                self.0.push(term);
                self
            }

            pub(crate) fn when(self, when: bool) -> Self {
                self.and(format!("when {when}"))
            }

            pub(crate) fn force(self, force: bool) -> Self {
                self.and(format!("force {force}"))
            }

            pub(crate) fn max_staleness(self, bound: Duration) -> Self {
                self.and(format!("max_staleness {bound:?}"))
            }

            pub(crate) fn cache_if(self, keep: fn(&u64) -> bool) -> Self {
                self.and(format!("cache_if {}", keep(&1)))
            }

            pub(crate) fn ttl_of(self, ttl: fn(&u64) -> Option<Duration>) -> Self {
                self.and(format!("ttl_of {:?}", ttl(&1)))
            }

            pub(crate) fn weight(self, weight: fn(&u64) -> usize) -> Self {
                self.and(format!("weight {}", weight(&1)))
            }

            pub(crate) fn only_some(self) -> Self {
                self.and("only_some".to_owned())
            }
        }

        fn tell(site: &'static Site, region: &Region, key: &KeyWriter, terms: Vec<String>) {
            let (spec, parts) = (site.0.clone(), key.parts.clone());
            assert_eq!((spec.namespace, spec.arguments.len()), (&*key.namespace, key.arity));
            assert_eq!(parts.len(), key.arity, "each argument of the key is written");
            let site = std::ptr::from_ref(site).addr();
            CALLS.with_borrow_mut(|calls| calls.push(Told { site, spec, region: region.0, key: parts, terms }));
        }

        pub(crate) fn call<R, A>(
            site: &'static Site,
            region: &Region,
            key: &mut KeyWriter,
            terms: Terms<R>,
            arguments: A,
            load: impl FnOnce(A) -> R,
        ) -> R {
            tell(site, region, key, terms.0);
            load(arguments)
        }

        pub(crate) fn call_async<R, A, L, F>(
            site: &'static Site,
            region: &Region,
            key: &mut KeyWriter,
            terms: Terms<R>,
            arguments: A,
            load: L,
        ) -> impl Future<Output = R> + use<R, A, L, F>
        where
            L: FnOnce(A) -> F,
            F: Future<Output = R>,
        {
            tell(site, region, key, terms.0);
            load(arguments)
        }

        pub(crate) fn entry<R, W>(site: &'static Site, region: &Region, key: &mut KeyWriter, _: W) -> Entry<R, W> {
            tell(site, region, key, vec![last(std::any::type_name::<W>())]);
            Entry(std::marker::PhantomData)
        }
    }
}

static NEAR: Region = Region::named("near");
static FAR: Region = Region::named("far");

/// What was told of the only call.
fn only() -> recorder::Told {
    let mut told = told();
    assert_eq!(told.len(), 1, "{told:?}");
    told.remove(0)
}

#[cached(FAR, "images", ttl = "1m 30s", jitter = "20%", max_staleness = "0s", version = 3, crate = recorder)]
fn images(owner: &str, page: u32) -> Result<u64, String> {
    Ok(owner.len() as u64 + u64::from(page))
}

#[test]
fn a_call_tells_its_site_its_region_its_key_and_its_terms() {
    assert_eq!(images("bob", 7), Ok(10));
    let call = only();
    assert_eq!(call.region, "far");
    assert_eq!(call.key, ["\"bob\"", "7"]);
    assert_eq!(call.terms, ["OkOnly", "Shared", "Serde"]);
    assert_eq!(
        call.spec,
        recorder::__private::SiteSpec {
            function: "macro_calls::images",
            namespace: "images",
            arguments: &["owner", "page"],
            version: 3,
            policy: recorder::__private::OwnPolicy {
                ttl: Some(Duration::from_secs(90)),
                jitter: Some(0.2),
                max_staleness: Some(Duration::ZERO),
                ..recorder::__private::OwnPolicy::NONE
            },
        }
    );
}

#[test]
fn the_companions_share_the_site_the_region_and_the_key() {
    assert_eq!(images("bob", 7), Ok(10));
    let call = only();
    assert_eq!(images_refresh("bob", 7), Ok(10));
    let refresh = only();
    let _ = images_entry("bob", 7);
    let entry = only();
    assert_eq!(refresh.terms, ["OkOnly", "Shared", "Serde", "force true"]);
    assert_eq!(entry.terms, ["Serde"]);
    for other in [&refresh, &entry] {
        assert_eq!((other.site, other.region, &other.key), (call.site, call.region, &call.key));
    }
    assert_eq!(images_uncached("bob", 7), Ok(10));
    assert!(told().is_empty());
}

#[cached(
    NEAR,
    "conditions",
    near_only,
    skip(anew, again),
    when = id < 10,
    force = anew || named(again),
    max_staleness = Duration::from_secs(id),
    cache_if = |value| *value > 1,
    ttl_of = |value: &u64| Some(Duration::from_secs(*value)),
    weight = weigh,
    crate = recorder
)]
async fn conditions(id: u64, anew: bool, again: &str) -> u64 {
    id + u64::from(anew)
}

fn named(again: &str) -> bool {
    !again.is_empty()
}

fn weigh(value: &u64) -> usize {
    *value as usize * 8
}

#[tokio::test]
async fn conditions_see_the_arguments_of_the_call() {
    let rest = ["cache_if false", "ttl_of Some(1s)", "weight 8"];
    for (id, anew, again, when, force) in [
        (1, false, "", true, false),
        (1, true, "", true, true),
        (0, false, "yes", true, true),
        (10, false, "", false, false),
    ] {
        assert_eq!(conditions(id, anew, again).await, id + u64::from(anew));
        let call = only();
        assert_eq!(call.key, [id.to_string()]);
        assert_eq!(
            call.terms[..5],
            ["WholeUnlessResult", "Alone", "NearOnly", &format!("when {when}"), &format!("force {force}")]
        );
        assert_eq!(call.terms[5..8], rest);
        assert_eq!(call.terms[8..], [format!("max_staleness {:?}", Duration::from_secs(id))]);
    }
    assert_eq!(conditions_refresh(1, false, "").await, 1);
    assert_eq!(only().terms.last().map(String::as_str), Some("force true"));
}

struct Request {
    path: String,
    depth: u64,
}

struct Pair<T>(T, T);

#[cached(if request.depth > 1 { &FAR } else { &NEAR }, "parts", key(request.path, left + 1, format!("{right}/{x}"), 5), crate = recorder)]
fn parts(request: &Request, Pair(left, mut right): Pair<u64>, &x: &u64, _: u8) -> u64 {
    right += left + x;
    right + request.depth
}

#[cached("whole", "whole", crate = recorder)]
fn whole((left, right): (u64, u64), mut other: u64) -> u64 {
    other += left;
    other + right
}

#[test]
fn a_key_is_made_of_what_is_named() {
    let request = Request { path: "/".to_owned(), depth: 1 };
    assert_eq!(parts(&request, Pair(2, 3), &4, 0), 10);
    let call = only();
    assert_eq!((call.region, call.key), ("near", vec!["\"/\"".into(), "3".into(), "\"3/4\"".into(), "5".into()]));
    let names: Vec<String> = call.spec.arguments.iter().map(|name| name.replace(' ', "")).collect();
    assert_eq!(names, ["request.path", "left+1", "format!(\"{right}/{x}\")", "5"]);
    let _ = parts_entry(&Request { depth: 2, ..request }, Pair(2, 3), &4);
    assert_eq!(only().region, "far");

    assert_eq!(whole((1, 2), 3), 6);
    let call = only();
    assert_eq!((call.region, call.key), ("whole", vec!["(1, 2)".to_owned(), "3".to_owned()]));
    assert_eq!(call.spec.arguments, ["(left, right)", "other"]);
}

struct Shop {
    id: u64,
    cache: Region,
}

impl Shop {
    #[cached(self.cache, "own", key(self.id, sku), crate = recorder)]
    fn own(&self, sku: &str) -> u64 {
        self.id + sku.len() as u64
    }

    #[cached(FAR, "skipped", skip(self), crate = recorder)]
    async fn skipped(&self, sku: &str) -> u64 {
        self.id + sku.len() as u64
    }

    #[cached("within", "within", key(sku, self.id, kind), companions = false, crate = recorder)]
    async fn within(&self, sku: String, kind: u8) -> u64 {
        self.id + sku.len() as u64
    }
}

#[tokio::test]
async fn a_method_is_keyed_by_what_was_said_of_self() {
    let shop = Shop { id: 7, cache: Region::named("shop") };
    assert_eq!(shop.own("a"), 8);
    let own = only();
    assert_eq!((own.region, own.key.clone()), ("shop", vec!["7".to_owned(), "\"a\"".to_owned()]));
    let _ = shop.own_entry("a");
    assert_eq!(only().key, own.key);

    assert_eq!(shop.skipped("a").await, 8);
    let skipped = only();
    assert_eq!(skipped.key, ["\"a\""]);
    let _ = Shop::skipped_entry("a");
    assert_eq!(only().site, skipped.site);

    assert_eq!(shop.within("ab".to_owned(), 1).await, 9);
    let within = only();
    assert_eq!((within.region, within.key), ("within", vec!["\"ab\"".to_owned(), "7".to_owned(), "1".to_owned()]));
}

type Io = std::io::Result<u64>;

#[cached(FAR, "alias", crate = recorder)]
fn alias() -> Io {
    Ok(1)
}

#[cached(FAR, "copied", share_errors = |error: &std::io::Error| error.kind().into(), crate = recorder)]
fn copied() -> Io {
    Ok(1)
}

#[cached(FAR, "borrowing", crate = recorder)]
fn borrowing(text: &str) -> Result<u64, &str> {
    text.parse().map_err(|_| text)
}

#[cached(FAR, "said", outcome = whole, crate = recorder)]
fn said() -> Result<u64, String> {
    Ok(1)
}

#[cached(FAR, "parameter", key(), outcome = ok, errors = shared, crate = recorder)]
fn parameter<E: From<u8>>() -> Result<u64, E> {
    Err(E::from(1))
}

#[cached(FAR, "any", key(), outcome = ok, near_only, crate = recorder)]
fn any<T, E: From<u8>>() -> Result<T, E> {
    Err(E::from(1))
}

#[cached(FAR, "any_shared", key(), outcome = ok, near_only, crate = recorder)]
fn any_shared<T, E: From<u8> + Clone + Send + Sync + 'static>() -> Result<T, E> {
    Err(E::from(1))
}

#[cached(FAR, "some", only_some, errors = alone, crate = recorder)]
fn some() -> Result<Option<u64>, String> {
    Ok(None)
}

#[test]
fn the_outcome_is_decided_by_the_type_or_by_what_is_said() {
    let terms = || only().terms[..3].join(" ");
    assert!(alias().is_ok());
    assert_eq!(terms(), "OkOnly Alone Serde");
    assert!(copied().is_ok());
    assert_eq!(terms(), "OkOnly SharedBy Serde");
    assert_eq!(borrowing("1"), Ok(1));
    assert_eq!(terms(), "OkOnly Alone Serde");
    assert!(said().is_ok());
    assert_eq!(terms(), "Whole Alone Serde");
    assert_eq!(parameter::<u64>(), Err(1));
    assert_eq!(terms(), "OkOnly Shared Serde");
    assert_eq!(any::<u64, u64>(), Err(1));
    assert_eq!(terms(), "OkOnly Alone NearOnly", "whatever the caller's error could do");
    assert_eq!(any_shared::<u64, u64>(), Err(1));
    assert_eq!(terms(), "OkOnly Shared NearOnly");
    assert_eq!(some(), Ok(None));
    assert_eq!(only().terms, ["OkOnly", "Alone", "Serde", "only_some"]);
}
