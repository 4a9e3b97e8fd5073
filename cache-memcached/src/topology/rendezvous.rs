//! Weighted rendezvous hashing: every node scores every key, the highest score keeps it.
//!
//! A node that is added takes its share from all others and moves nothing between them; a node that leaves gives its
//! keys to all others alike. The score is `-w / ln u`, with `u` uniform in (0, 1) from a hash of node and key:
//! so a node of weight `w` wins exactly its share of the weights (Schindelhauer and Schomaker, "Weighted distributed
//! hash tables", SPAA 2005).

use twox_hash::XxHash3_64;

/// Which of several nodes keeps a key.
#[derive(Debug, Clone)]
pub(crate) struct Topology {
    nodes: Vec<Node>,
    /// All weights are the same, so that hashes can be compared instead of scores.
    even: bool,
}

#[derive(Debug, Clone, Copy)]
struct Node {
    hash: u64,
    weight: f64,
}

/// Part of the format: another seed would move every key.
const SEED: u64 = 0x9e37_79b9_7f4a_7c15;

impl Topology {
    /// These nodes, by name and weight (above 0).
    pub(crate) fn new<'n>(nodes: impl IntoIterator<Item = (&'n str, f64)>) -> Self {
        let node =
            |(name, weight): (&str, f64)| Node { hash: XxHash3_64::oneshot_with_seed(SEED, name.as_bytes()), weight };
        let nodes: Vec<Node> = nodes.into_iter().map(node).collect();
        let even = nodes.windows(2).all(|pair| pair[0].weight == pair[1].weight);
        Topology { nodes, even }
    }

    /// The index of the node that keeps this key. Without nodes it is 0.
    pub(crate) fn owner(&self, key: &[u8]) -> usize {
        if self.nodes.len() <= 1 {
            return 0;
        }
        let key = XxHash3_64::oneshot_with_seed(SEED, key);
        let hashes = self.nodes.iter().map(|node| (mixed(node.hash ^ key), node)).enumerate();
        let owner = if self.even {
            hashes.max_by_key(|(_, (hash, node))| (*hash, node.hash))
        } else {
            hashes.max_by(|(_, (one, node)), (_, (other, rival))| {
                score(*one, node.weight).total_cmp(&score(*other, rival.weight)).then(node.hash.cmp(&rival.hash))
            })
        };
        owner.map_or(0, |(index, _)| index)
    }
}

/// The finalizer of MurmurHash3: every bit of the input reaches every bit of the output.
fn mixed(mut hash: u64) -> u64 {
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
    hash = (hash ^ (hash >> 33)).wrapping_mul(0xc4ce_b9fe_1a85_ec53);
    hash ^ (hash >> 33)
}

fn score(hash: u64, weight: f64) -> f64 {
    // The upper 53 bits and a half: never 0, never 1.
    let uniform = ((hash >> 11) as f64 + 0.5) / (1u64 << 53) as f64;
    -weight / uniform.ln()
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: usize = 20_000;

    fn named(count: usize) -> Vec<(String, f64)> {
        (0..count).map(|n| (format!("10.0.0.{n}:11211"), 1.0)).collect()
    }

    fn topology(nodes: &[(String, f64)]) -> Topology {
        Topology::new(nodes.iter().map(|(name, weight)| (name.as_str(), *weight)))
    }

    /// The name of the node that keeps each key.
    fn owners(nodes: &[(String, f64)]) -> Vec<&str> {
        let topology = topology(nodes);
        (0..KEYS).map(|n| nodes[topology.owner(format!("region:images:{n}").as_bytes())].0.as_str()).collect()
    }

    fn share(owners: &[&str], name: &str) -> f64 {
        owners.iter().filter(|owner| **owner == name).count() as f64 / owners.len() as f64
    }

    #[test]
    fn nodes_of_one_weight_have_about_as_many_keys() {
        for (count, most) in [(3, 1.03), (8, 1.08), (32, 1.15)] {
            let nodes = named(count);
            let owners = owners(&nodes);
            let fullest = nodes.iter().map(|(name, _)| share(&owners, name)).fold(0.0, f64::max);
            assert!(fullest * (count as f64) < most, "{count} nodes: {}", fullest * count as f64);
        }
    }

    #[test]
    fn a_node_of_three_times_the_weight_has_three_times_the_keys() {
        let mut nodes = named(3);
        nodes[1].1 = 3.0;
        let owners = owners(&nodes);
        for (name, weight) in &nodes {
            let off = share(&owners, name) - weight / 5.0;
            assert!(off.abs() < 0.01, "{name} is off by {off}");
        }
    }

    #[test]
    fn a_node_that_leaves_moves_its_own_keys_only() {
        for weight in [1.0, 2.5] {
            let mut all = named(5);
            all[0].1 = weight;
            let mut fewer = all.clone();
            let gone = fewer.remove(2).0;
            let (before, after) = (owners(&all), owners(&fewer));
            assert!(before.iter().zip(&after).all(|(before, after)| before == after || *before == gone));
            assert!(before.contains(&gone.as_str()));
        }
    }

    #[test]
    fn an_empty_fourth_node_leaves_three_quarters_where_they_were() {
        let (three, four) = (named(3), named(4));
        let (before, after) = (owners(&three), owners(&four));
        let stayed = before.iter().zip(&after).filter(|(before, after)| before == after).count();
        let share = stayed as f64 / KEYS as f64;
        assert!((0.74..0.76).contains(&share), "{share}");
    }

    #[test]
    fn the_order_of_the_list_counts_for_nothing() {
        let mut nodes = named(7);
        nodes[3].1 = 2.0;
        let mut turned = nodes.clone();
        turned.rotate_left(3);
        assert_eq!(owners(&nodes), owners(&turned));
    }

    #[test]
    fn even_weights_are_told_apart_as_uneven_ones_are() {
        let nodes = named(5);
        let even = topology(&nodes);
        let scored = Topology { even: false, ..even.clone() };
        for n in 0..KEYS {
            let key = format!("k{n}");
            assert_eq!(even.owner(key.as_bytes()), scored.owner(key.as_bytes()));
        }
    }

    /// What was stored by one release is found by the next.
    #[test]
    fn owners_never_change() {
        let (even, mut nodes) = (topology(&named(8)), named(8));
        nodes[7].1 = 4.0;
        let uneven = topology(&nodes);
        let owners = |topology: &Topology| -> Vec<usize> {
            ["", "a", "long_term:images:3f786850e387550fdab836ed7e6dc881de23001b", "größe:💥", "k1", "k2", "k3", "k4"]
                .map(|key| topology.owner(key.as_bytes()))
                .to_vec()
        };
        assert_eq!(owners(&even), [1, 6, 6, 4, 6, 0, 7, 1]);
        assert_eq!(owners(&uneven), [1, 6, 6, 7, 7, 0, 7, 7]);
    }
}
