//! How deep definitions need each other, and how large a function is with all that it calls.
//!
//! libtorch recurses into what a definition needs while it imports it, and copies the body of what a function calls into it when it
//! optimises. Both are bounded here by the text alone, before libtorch sees it.

use petgraph::Direction;
use petgraph::algo::kosaraju_scc;
use petgraph::graph::{DiGraph, NodeIndex};

/// A function that calls itself, by its index.
pub(super) struct Recursion(pub usize);

/// What is known of the functions of an archive from their calls.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Extent {
    /// Functions on the longest chain of calls.
    pub depth: usize,
    /// Size of the largest function with the bodies of all that it calls in place of the calls.
    pub inlined: u64,
}

/// Follows all calls; `sizes` has a number for each function.
pub(super) fn extent_of_calls(sizes: &[u64], calls: &[(u32, u32)]) -> Result<Extent, Recursion> {
    let graph = graph(sizes.len(), calls);
    let mut depth = vec![0; sizes.len()];
    let mut inlined = vec![0; sizes.len()];
    // Components come after everything that they reach.
    for component in kosaraju_scc(&graph) {
        let function = component[0];
        if component.len() > 1 || graph.contains_edge(function, function) {
            return Err(Recursion(function.index()));
        }
        let mut whole = sizes[function.index()];
        let mut below = 0;
        for callee in graph.neighbors_directed(function, Direction::Outgoing) {
            whole = whole.saturating_add(inlined[callee.index()]);
            below = below.max(depth[callee.index()]);
        }
        inlined[function.index()] = whole;
        depth[function.index()] = below + 1;
    }
    Ok(Extent { depth: depth.into_iter().max().unwrap_or(0), inlined: inlined.into_iter().max().unwrap_or(0) })
}

/// Definitions on the longest chain of those that need each other; definitions in a circle count all.
pub(super) fn depth_of_imports(definitions: usize, uses: &[(u32, u32)]) -> usize {
    let graph = graph(definitions, uses);
    let mut depth = vec![0; definitions];
    for component in kosaraju_scc(&graph) {
        let needs = component.iter().flat_map(|&one| graph.neighbors_directed(one, Direction::Outgoing));
        let below = needs.map(|needed| depth[needed.index()]).max().unwrap_or(0);
        for one in &component {
            depth[one.index()] = below + component.len();
        }
    }
    depth.into_iter().max().unwrap_or(0)
}

fn graph(nodes: usize, edges: &[(u32, u32)]) -> DiGraph<(), ()> {
    let mut graph = DiGraph::with_capacity(nodes, edges.len());
    for _ in 0..nodes {
        graph.add_node(());
    }
    for &(from, to) in edges {
        graph.add_edge(NodeIndex::new(from as usize), NodeIndex::new(to as usize), ());
    }
    graph
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_counts_what_it_calls_as_often_as_it_calls_it() {
        let extent = extent_of_calls(&[1, 10, 100], &[(0, 1), (0, 1), (1, 2), (1, 2)]).ok().unwrap();
        assert_eq!(extent, Extent { depth: 3, inlined: 1 + 2 * (10 + 2 * 100) });
    }

    #[test]
    fn doubling_does_not_overflow() {
        let calls: Vec<(u32, u32)> = (0..99).flat_map(|function| [(function, function + 1); 2]).collect();
        let extent = extent_of_calls(&[1; 100], &calls).ok().unwrap();
        assert_eq!(extent, Extent { depth: 100, inlined: u64::MAX });
    }

    #[test]
    fn circles_of_calls_are_found() {
        assert!(extent_of_calls(&[1, 1], &[(0, 1), (1, 0)]).is_err());
        assert_eq!(extent_of_calls(&[1, 1], &[(1, 1)]).err().unwrap().0, 1);
    }

    #[test]
    fn definitions_in_a_circle_count_all_for_the_depth_of_imports() {
        assert_eq!(depth_of_imports(4, &[(0, 1), (1, 2), (2, 1), (2, 3)]), 4);
        assert_eq!(depth_of_imports(0, &[]), 0);
    }
}
