use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n", key(id))]
fn parameter<T: From<u64>>(id: u64) -> T {
    T::from(id)
}

#[cached(REGION, "m", key(id))]
fn projection<T: Iterator>(id: usize, mut items: T) -> <T as Iterator>::Item {
    items.nth(id).unwrap()
}

fn main() {}
