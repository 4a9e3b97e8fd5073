use cache::{Region, cached};

static REGION: Region = Region::named("ui");

struct Shop;

impl Shop {
    #[cached(REGION, "price")]
    fn price(&self, sku: &str, count: u64) -> u64 {
        count * sku.len() as u64
    }
}

fn main() {}
