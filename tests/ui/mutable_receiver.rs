use cache::{Region, cached};

static REGION: Region = Region::named("ui");

struct Shop;

impl Shop {
    #[cached(REGION, "sell", skip(self))]
    fn sell(&mut self, id: u64) -> u64 {
        id
    }

    #[cached(REGION, "poll", skip(self))]
    fn poll(self: std::pin::Pin<&mut Self>, id: u64) -> u64 {
        id
    }
}

fn main() {}
