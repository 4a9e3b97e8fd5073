//! What both builds do: they take orders, one in a line, and answer each in a line.
//!
//! A call says what its load would find at the source, so that its answer tells which load made it.

use std::error::Error;
use std::fmt::Debug;
use std::io::{BufRead as _, Write as _, stdin, stdout};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use cache::{Settings, registry};
use tracing::field::{Field, Visit};
use tracing::{Level, Metadata, Subscriber, span};

use crate::{SHOP, price, user};

/// Configures the region from the arguments, which are settings such as `codec=json`, and answers until there are no more
/// orders.
pub(crate) fn run() -> Result<(), Box<dyn Error>> {
    let warnings = Warnings::default();
    tracing::subscriber::set_global_default(warnings.clone())?;
    let mut settings = Settings::new().ttl(Duration::from_secs(3600));
    for argument in std::env::args().skip(1) {
        let (name, value) = argument.split_once('=').ok_or("settings are given as `name=value`")?;
        settings = settings.set(name, value)?;
    }
    registry().configure("shop", settings)?;
    for line in stdin().lock().lines() {
        let line = line?;
        let answer = obey(&line.split(' ').collect::<Vec<_>>(), &warnings)?;
        writeln!(stdout(), "{answer}")?;
    }
    Ok(())
}

fn obey(order: &[&str], warnings: &Warnings) -> Result<String, Box<dyn Error>> {
    Ok(match order {
        ["user", id, source] => {
            let user = user(id.parse()?, source);
            format!("{} {} {}", user.id, user.name, user.city)
        }
        ["price", sku, source] => {
            let price = price(sku.parse()?, source);
            format!("{} {} {}", price.sku, price.cents, price.source)
        }
        ["invalidate", namespace, id] => {
            format!("{:?}", SHOP.invalidate(namespace, id.parse::<u64>()?).wait()?)
        }
        ["invalidate", namespace] => format!("{:?}", SHOP.invalidate_namespace(namespace).wait()?),
        ["count", namespace, name] => {
            let stats = SHOP.stats().ok_or("the region is configured")?;
            let counts = stats.namespaces.get(*namespace).ok_or("no such namespace was used")?;
            let count = counts.iter().find(|(known, ..)| known == name).map(|(.., count)| count);
            count.ok_or("there is no such count")?.to_string()
        }
        ["warnings"] => warnings.0.lock().unwrap_or_else(PoisonError::into_inner).join("|"),
        _ => return Err(format!("{order:?} is no order").into()),
    })
}

/// The messages of all warnings.
#[derive(Debug, Clone, Default)]
struct Warnings(Arc<Mutex<Vec<String>>>);

struct Message(String);

impl Visit for Message {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        if field.name() == "message" {
            self.0 = format!("{value:?}");
        }
    }
}

impl Subscriber for Warnings {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() <= Level::WARN
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut message = Message(String::new());
        event.record(&mut message);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(message.0);
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}
