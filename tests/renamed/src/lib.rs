//! `crate = path` tells the attribute where the cache is, if not at `::cache`; and an older edition will do.

use memo::{cached, invalidates, Region};

static REGION: Region = Region::named("renamed");

/// Twice.
#[cached(REGION, "twice", crate = ::memo)]
pub fn twice(id: u64) -> u64 {
    2 * id
}

/// Thrice.
#[cached("renamed", "thrice", near_only, crate = memo)]
pub async fn thrice(id: u64) -> Option<u64> {
    id.checked_mul(3)
}

mod again {
    pub(crate) use memo as cache_of_another_name;
}

/// Named by a path that goes through a module.
#[cached("renamed", "path", companions = false, crate = crate::again::cache_of_another_name)]
pub fn path(id: u64) -> u64 {
    id
}

/// Changes what the others go by.
#[invalidates(twice(id), thrice(id), only_ok, crate = ::memo)]
pub fn write(id: u64) -> Result<u64, std::num::TryFromIntError> {
    let small = u8::try_from(id)?;
    Ok(u64::from(small))
}

/// The same for a tenant.
#[invalidates(region = region_of(tenant), namespace = "tenant", crate = memo)]
pub async fn write_tenant(tenant: &str, text: &mut String) {
    text.push_str(std::future::ready(tenant).await);
}

/// Looks for its region in something that lives no longer than the call.
#[cached(region_of(tenant), "tenant", crate = ::memo)]
pub fn tenant(tenant: &str) -> String {
    tenant.to_owned()
}

fn region_of(tenant: &str) -> std::sync::Arc<Region> {
    let _ = tenant;
    std::sync::Arc::new(Region::named("tenant"))
}

/// Awaits.
pub struct Service(std::sync::Arc<Region>);

impl Service {
    /// Looks for its region in itself, and is `Send`.
    #[cached(self.region(), "fetch", skip(self), crate = ::memo)]
    pub async fn fetch(&self, name: &str) -> Result<String, &str> {
        std::future::ready(Ok(name.to_owned())).await
    }

    /// The same, without companions.
    #[cached(self.region(), "within", skip(self), companions = false, crate = ::memo)]
    pub async fn within(&self, name: &str) -> String {
        std::future::ready(name.to_owned()).await
    }

    fn region(&self) -> std::sync::Arc<Region> {
        std::sync::Arc::clone(&self.0)
    }
}

/// Is `Send`, all of it.
#[allow(clippy::manual_async_fn)]
pub fn spawnable(service: std::sync::Arc<Service>) -> impl std::future::Future<Output = usize> + Send {
    async move { service.fetch("a").await.map_or(0, |name| name.len()) + service.within("b").await.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_found_under_its_other_name() {
        assert_eq!((twice(2), twice_refresh(2), path(1)), (4, 4, 1));
        let _: memo::Entry<u64> = twice_entry(2);
        let _ = thrice_entry(2);
        assert_eq!((write(2), write(300).is_err()), (Ok(2), true));
        assert_eq!((tenant("a"), tenant_refresh("b")), ("a".to_owned(), "b".to_owned()));
    }
}
