use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "a")]
const fn at_compile_time(id: u64) -> u64 {
    id
}

#[cached(REGION, "b")]
unsafe fn not_safe(id: u64) -> u64 {
    id
}

#[cached(REGION, "c")]
extern "C" fn foreign(id: u64) -> u64 {
    id
}

fn main() {}
