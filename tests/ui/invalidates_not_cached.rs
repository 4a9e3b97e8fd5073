use cache::{Region, cached, invalidates};

static REGION: Region = Region::named("ui");

fn plain(id: u64) -> u64 {
    id
}

fn other_entry(id: u64) -> u64 {
    id
}

#[cached(REGION, "named", companions = "stem")]
fn named(id: u64) -> u64 {
    id
}

struct Shop;

impl Shop {
    #[invalidates(plain(id), other(id), named(id), Self::price(id), self.stock(id))]
    fn write(&self, id: u64) {
        plain(id + other_entry(id));
    }
}

fn main() {}
