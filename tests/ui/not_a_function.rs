use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n")]
struct Image;

trait Store {
    #[cached(REGION, "m", skip(self), companions = false)]
    fn load(&self, id: u64) -> u64;
}

fn main() {}
