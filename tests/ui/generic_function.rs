use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n")]
fn first<T: Clone, const N: usize>(items: [T; N]) -> Option<T> {
    items.first().cloned()
}

fn main() {}
