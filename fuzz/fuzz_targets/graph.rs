#![no_main]
//! `graph.json`: what is read is written back as the same graph.

use libfuzzer_sys::fuzz_target;
use secateur_core::graph::Graph;

fuzz_target!(|json: &str| {
    if let Ok(graph) = Graph::from_json(json) {
        let again = Graph::from_json(&graph.to_json()).expect("a graph that was read can be written and read");
        assert_eq!(graph.to_json(), again.to_json());
    }
});
