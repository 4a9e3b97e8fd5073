//! The statistics of a region, as a plain struct that prints as a table.

use std::collections::BTreeMap;
use std::fmt;

use super::Counts;
use crate::backend::ObjectStats;

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
                rows.push((
                    name.replace('_', " "),
                    columns.iter().map(|(_, counts)| value(counts).to_string()).collect(),
                ));
            }
        }
        for reason in self.total.misses_by_reason.keys() {
            let value = |counts: &Counts| counts.misses_by_reason.get(reason).copied().unwrap_or(0).to_string();
            rows.push((
                format!("  {}", reason.replace('_', " ")),
                columns.iter().map(|(_, counts)| value(counts)).collect(),
            ));
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
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statistics_print_as_a_table() {
        let images = Counts { near_hits: 3, loads: 1, misses_by_reason: [("corrupt", 2)].into(), ..Counts::default() };
        let prices = Counts { loads: 1000, ..Counts::default() };
        let total =
            Counts { near_hits: 3, loads: 1001, misses_by_reason: [("corrupt", 2)].into(), ..Counts::default() };
        let namespaces = [("images".to_owned(), images), ("prices".to_owned(), prices)].into();
        let stats = Stats { region: "long_term".to_owned(), total, namespaces, near: None };
        let expected = "\
long_term          images  prices    all
hit ratio          75.0 %   0.0 %  0.3 %
near hits               3       0      3
loads                   1    1000   1001
  corrupt               2       0      2";
        assert_eq!(stats.to_string(), expected);
    }
}
