//! The statistics of a region, as a plain struct that prints as a table.

use std::collections::BTreeMap;
use std::fmt;

use super::{Count, Counts};
use crate::backend::{NodeStats, ObjectStats};

/// What a region holds and did, since it was configured.
#[derive(Debug, Clone, Default)]
#[non_exhaustive]
pub struct Stats {
    /// The region's name.
    pub region: String,
    /// All namespaces together.
    pub total: Counts,
    /// Each namespace by itself.
    pub namespaces: BTreeMap<String, Counts>,
    /// What the near tier holds, where there is one.
    pub near: Option<ObjectStats>,
    /// What this process knows of each node of the far tier; other regions may use them too.
    pub nodes: Vec<NodeStats>,
}

impl fmt::Display for Stats {
    /// A table: a column for each namespace and, where there are several, one for all; counts that are zero everywhere
    /// are left out.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut columns: Vec<(&str, &Counts)> =
            self.namespaces.iter().map(|(name, counts)| (name.as_str(), counts)).collect();
        if columns.len() != 1 {
            columns.push(("all", &self.total));
        }
        let mut rows: Vec<(String, Vec<String>)> = Vec::new();
        let ratio =
            |counts: &Counts| counts.hit_ratio().map_or("-".to_owned(), |ratio| format!("{:.1} %", 100.0 * ratio));
        rows.push(("hit ratio".to_owned(), columns.iter().map(|(_, counts)| ratio(counts)).collect()));
        for (index, (name, _, total)) in self.total.iter().enumerate() {
            if total > 0 {
                let value = |counts: &Counts| counts.iter().nth(index).map_or(0, |(.., value)| value);
                let cells = columns.iter().map(|(_, counts)| value(counts).to_string()).collect();
                rows.push((name.replace('_', " "), cells));
            }
            if name == Count::Miss.name() {
                rows.extend(self.reasons(&columns));
            }
        }

        let first =
            rows.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0).max(self.region.chars().count());
        let widths: Vec<usize> = (0..columns.len())
            .map(|at| {
                let head = columns.get(at).map_or(0, |(name, _)| name.chars().count());
                rows.iter().filter_map(|(_, cells)| cells.get(at)).map(String::len).max().unwrap_or(0).max(head)
            })
            .collect();
        write!(f, "{:first$}", self.region)?;
        for ((name, _), width) in columns.iter().zip(&widths) {
            write!(f, "  {name:>width$}")?;
        }
        for (name, cells) in &rows {
            write!(f, "\n{name:first$}")?;
            for (cell, width) in cells.iter().zip(&widths) {
                write!(f, "  {cell:>width$}")?;
            }
        }
        if let Some(near) = &self.near {
            let ObjectStats { entries, weight, capacity, evicted, expired, too_large } = near;
            write!(f, "\nnear: {entries} entries, weight {weight} of {capacity}; ")?;
            write!(f, "{evicted} evicted, {expired} expired, {too_large} too large")?;
        }
        for node in &self.nodes {
            write!(f, "\nnode {}:", node.name)?;
            for (name, count) in node.counts.iter().filter(|(_, count)| *count > 0) {
                write!(f, " {} {count},", name.replace('_', " "))?;
            }
            match node.set_aside_for {
                Some(time) => write!(f, " set aside for {:.1} s", time.as_secs_f64())?,
                None => f.write_str(" in use")?,
            }
        }
        Ok(())
    }
}

impl Stats {
    /// A row for each reason of a miss.
    fn reasons(&self, columns: &[(&str, &Counts)]) -> Vec<(String, Vec<String>)> {
        let value = |counts: &Counts, reason| counts.misses_by_reason.get(reason).copied().unwrap_or(0).to_string();
        let row = |reason: &&'static str| {
            let cells = columns.iter().map(|(_, counts)| value(counts, *reason)).collect();
            (format!("  {}", reason.replace('_', " ")), cells)
        };
        self.total.misses_by_reason.keys().map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn statistics_print_as_a_table() {
        let reasons = |absent, expired| [("absent", absent), ("expired", expired)].into();
        let images = Counts { near_hits: 3, misses: 1, loads: 1, misses_by_reason: reasons(0, 1), ..Counts::default() };
        let prices = Counts { misses: 1000, loads: 1000, misses_by_reason: reasons(998, 2), ..Counts::default() };
        let total =
            Counts { near_hits: 3, misses: 1001, loads: 1001, misses_by_reason: reasons(998, 3), ..Counts::default() };
        let namespaces = [("images".to_owned(), images), ("prices".to_owned(), prices)].into();
        let one = NodeStats { counts: vec![("in_flight", 0), ("sent_bytes", 12)], ..NodeStats::new("10.0.0.1:11211") };
        let other = NodeStats { set_aside_for: Some(Duration::from_millis(1250)), ..NodeStats::new("b") };
        let stats = Stats { region: "long_term".to_owned(), total, namespaces, near: None, nodes: vec![one, other] };
        let expected = "\
long_term  images  prices    all
hit ratio  75.0 %   0.0 %  0.3 %
near hits       3       0      3
misses          1    1000   1001
  absent        0     998    998
  expired       1       2      3
loads           1    1000   1001
node 10.0.0.1:11211: sent bytes 12, in use
node b: set aside for 1.2 s";
        assert_eq!(stats.to_string(), expected);
    }
}
