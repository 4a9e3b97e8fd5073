use cache::{Region, cached};

static REGION: Region = Region::named("ui");

trait Store {
    fn load(&self, id: u64) -> u64;
}

struct Disk;

impl Store for Disk {
    #[cached(REGION, "load", skip(self))]
    fn load(&self, id: u64) -> u64 {
        id
    }
}

fn main() {}
