use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n", ttl = "1m", ttl = "2m", near_only, near_only, region = REGION)]
fn twice(id: u64) -> u64 {
    id
}

#[cached(REGION, "n", only_some = true, key = id, version = "1", outcome = err, errors = none, companions = true)]
fn wrong_form(id: u64) -> u64 {
    id
}

#[cached(REGION, "n", errors = alone, share_errors = copy)]
fn two_ways(id: u64) -> Result<u64, std::io::Error> {
    Ok(id)
}

#[cached(REGION, "n", outcome = whole, errors = shared)]
fn nothing_to_share(id: u64) -> Result<u64, String> {
    Ok(id)
}

fn main() {}
