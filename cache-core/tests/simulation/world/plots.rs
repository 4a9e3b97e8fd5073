//! The plots of a long run: many invalidations, little rest, everything that can go wrong.

use std::time::Duration;

use super::plot::{Dropped, Faults, Loads, MILLI, Nesting, OUT_AND_IN, Plot, SECOND, Tiers, Trouble, Versions};

/// How many there are.
pub const PLOTS: u64 = 20;

/// The plot that a seed stands for, and its name.
pub fn plot_of(seed: u64, lasts: Duration) -> (&'static str, Plot) {
    let calm = |tiers| busy(Plot::calm(tiers), lasts);
    let rough = |tiers| {
        let plot = busy(Plot::rough(tiers), lasts);
        // Rarer than in short runs: between two troubles loads are judged as well.
        let faults = Faults { lose_request: 0.002, lose_reply: 0.002, repeat: 0.002, late: 0.002, ..plot.faults };
        Plot { faults, every: 400 * MILLI, hang_up: 10, ..plot }
    };
    match seed % PLOTS {
        0 => ("far", calm(Tiers::Far)),
        1 => ("both", Plot { bounded: 20, ..calm(Tiers::Both) }),
        2 => ("near", calm(Tiers::Near)),
        3 => ("far, faults", rough(Tiers::Far)),
        4 => ("both, faults", Plot { bounded: 20, ..rough(Tiers::Both) }),
        5 => ("near, faults", rough(Tiers::Near)),
        6 => ("two nodes, faults", Plot { nodes: 2, processes: 3, ..rough(Tiers::Far) }),
        7 => ("memory of generations, faults", Plot { nodes: 2, remember: 50 * MILLI, ..rough(Tiers::Both) }),
        8 => ("restarts", Plot { troubles: &[Trouble::Restart], every: 20 * MILLI, keys: 2, ..calm(Tiers::Far) }),
        9 => ("a function that calls another", Plot { nesting: Nesting::One, failing: 0, ..rough(Tiers::Both) }),
        10 => {
            let plot = Plot { ttl: 2 * SECOND, stale: 2 * SECOND, failing: 10, ..rough(Tiers::Both) };
            ("stale values and versions", Plot { versions: Versions::Several, loads: Loads::Any, ..plot })
        }
        11 => {
            let troubles = &[Trouble::Kill, Trouble::LongPause, Trouble::Pause, Trouble::Evict, Trouble::Restart];
            ("rare troubles", Plot { troubles, every: 15 * SECOND, write_rest: 30 * MILLI, ..calm(Tiers::Both) })
        }
        12 => {
            let plot = Plot { processes: 4, nodes: 2, scopes: 40, remember: 50 * MILLI, ..calm(Tiers::Both) };
            ("few invalidations", Plot { write_rest: 300 * MILLI, read_rest: 30 * MILLI, ..plot })
        }
        13 => {
            ("a node goes and comes back", Plot { nodes: 2, phases: OUT_AND_IN, lasts: lasts / 3, ..rough(Tiers::Far) })
        }
        14 => ("tags", tagged(calm(Tiers::Both))),
        15 => ("tags in memory, faults", tagged(rough(Tiers::Near))),
        16 => ("tags, faults", tagged(Plot { nodes: 2, remember: 20 * MILLI, ..rough(Tiers::Both) })),
        17 => ("many keys", Plot { batches: 50, ..calm(Tiers::Both) }),
        18 => ("many keys, faults", Plot { batches: 50, forced: 0, nodes: 2, ..rough(Tiers::Both) }),
        _ => ("many keys in memory, faults", Plot { batches: 50, forced: 0, ..rough(Tiers::Near) }),
    }
}

fn tagged(plot: Plot) -> Plot {
    Plot { parts: 3, tags: 40, bounded: 20, ..plot }
}

fn busy(plot: Plot, lasts: Duration) -> Plot {
    Plot {
        lasts,
        keys: 8,
        readers: 3,
        read_rest: 8 * MILLI,
        write_rest: 8 * MILLI,
        load: 6 * MILLI,
        scopes: 5,
        max_staleness: 30 * MILLI,
        dropped: if plot.dropped == Dropped::Never { Dropped::Never } else { Dropped::Sometimes },
        ..plot
    }
}
