//! `crate = path` tells the attribute where the cache is, if not at `::cache`.

use memo::{Region, cached};

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cache_is_found_under_its_other_name() {
        assert_eq!((twice(2), twice_refresh(2), path(1)), (4, 4, 1));
        let _: memo::Entry<u64> = twice_entry(2);
        let _ = thrice_entry(2);
    }
}
