use cache::{Region, cached};

static REGION: Region = Region::named("ui");

#[cached(REGION, "a", skip(team), tags = ["team:{team}", "id:{id}"])]
fn skipped(id: u64, team: u64) -> u64 {
    id + team
}

#[cached(REGION, "b", tags = "team:{team}")]
fn no_list(team: u64) -> u64 {
    team
}

struct Team(u64);

impl Team {
    #[cached(REGION, "c", skip(self), tags = [self.0])]
    fn method(&self, id: u64) -> u64 {
        id
    }

    #[cached(REGION, "d", key(self.0), tags = [self.0])]
    fn by_value(self) -> u64 {
        self.0
    }
}

#[cached(REGION, "e", tags = ["team:{taem}", "{}"])]
fn misspelt(team: u64) -> u64 {
    team
}

fn main() {}
