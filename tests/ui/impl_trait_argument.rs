use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "n")]
fn length(text: impl AsRef<str>) -> usize {
    text.as_ref().len()
}

fn main() {}
