use cache::{Region, cached};

static REGION: Region = Region::named("ui");

struct NotClone;

#[cached(REGION, "a", near_only)]
fn not_clone(id: u64) -> Option<NotClone> {
    (id > 0).then_some(NotClone)
}

#[derive(Clone)]
struct NotSerialize;

#[cached(REGION, "b")]
async fn not_serialize(id: u64) -> Result<NotSerialize, String> {
    let _ = id;
    Ok(NotSerialize)
}

#[cached(REGION, "c", near_only)]
fn not_send(id: u64) -> std::rc::Rc<u64> {
    std::rc::Rc::new(id)
}

fn main() {}
