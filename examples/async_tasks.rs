//! Async functions: a thousand tasks ask for one key, and one of them loads; if that fails, all of them learn why.
//!
//! `cargo run --release --example async_tasks`

use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use cache::{Region, Settings, cached};
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::sleep;

static SHORT_TERM: Region = Region::named("short_term");

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Forecast {
    city: String,
    degrees: i32,
}

/// Why there is no forecast. `Clone + Send + Sync`: so a failure is shared by all who waited for it, and kept by nobody.
#[derive(Debug, Clone, PartialEq)]
enum NoForecast {
    UnknownCity(String),
}

impl fmt::Display for NoForecast {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let NoForecast::UnknownCity(city) = self;
        write!(f, "there is no station in {city}")
    }
}

impl std::error::Error for NoForecast {}

/// Asks a slow source. The signature is the one it had before it was cached.
#[cached(SHORT_TERM, "forecast", ttl = "30s")]
async fn forecast(city: &str, day: u8) -> Result<Forecast, NoForecast> {
    LOADS.fetch_add(1, Ordering::Relaxed);
    let station = station(city).await?;
    sleep(Duration::from_millis(150)).await;
    Ok(Forecast { city: city.to_owned(), degrees: station + i32::from(day) })
}

async fn station(city: &str) -> Result<i32, NoForecast> {
    sleep(Duration::from_millis(50)).await;
    match city {
        "Uppsala" => Ok(11),
        _ => Err(NoForecast::UnknownCity(city.to_owned())),
    }
}

static LOADS: AtomicUsize = AtomicUsize::new(0);

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = Settings::new().ttl(Duration::from_secs(60)).near("memory://");
    cache::registry().configure("short_term", settings)?;

    println!("{:<44} {:>10}   the function ran", "", "took");
    crowd("1,000 tasks, one key, nothing kept yet", "Uppsala").await?;
    crowd("1,000 tasks again: it is kept now", "Uppsala").await?;
    crowd("1,000 tasks, and the source fails", "Atlantis").await?;
    crowd("1,000 tasks again: failures are not kept", "Atlantis").await?;

    let entry = forecast_entry("Uppsala", 1);
    println!("\nkept:              {:?}", entry.get().await?);
    entry.invalidate().await?;
    println!("after invalidate:  {:?}", entry.get().await?);
    println!("loaded once more:  {:?}\n", forecast("Uppsala", 1).await?);

    println!("{}", SHORT_TERM.stats().unwrap_or_default());
    Ok(())
}

/// A thousand tasks that all want the same. Says how long they took together, and what they got.
async fn crowd(what: &str, city: &'static str) -> Result<(), tokio::task::JoinError> {
    let (loads, start) = (LOADS.load(Ordering::Relaxed), Instant::now());
    let mut tasks: JoinSet<_> = (0..1000).map(|_| forecast(city, 1)).collect();
    let (mut forecasts, mut failures) = (0, Vec::new());
    while let Some(joined) = tasks.join_next().await {
        match joined? {
            Ok(_) => forecasts += 1,
            Err(failure) => failures.push(failure),
        }
    }
    let (took, loads) = (start.elapsed(), LOADS.load(Ordering::Relaxed) - loads);
    println!("{what:<44} {:>10}   {loads}: {forecasts} forecasts, {} errors", format!("{took:.1?}"), failures.len());
    if let Some(failure) = failures.first() {
        println!("{:>57} {failure}", "each");
    }
    Ok(())
}
