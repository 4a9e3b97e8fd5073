//! Which node keeps a key.
//!
//! Invariant: the answer depends on the nodes' configured names and weights alone; not on their order, their addresses
//! or their health. A node that is out keeps its keys: moved to a neighbour, they would come back old with the node.

mod rendezvous;

pub(crate) use rendezvous::Topology;
