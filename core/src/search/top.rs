//! The best of a stream, in bounded memory.

use std::cmp::Ordering;
use std::collections::{BinaryHeap, HashSet};

use serde::{Deserialize, Serialize};

use super::space::Levels;

/// A point and its score.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Scored {
    /// The score; the greater, the better.
    pub score: f32,
    /// The level of every group.
    pub levels: Levels,
}

impl Eq for Scored {}

impl Ord for Scored {
    /// The better one is less; equal scores are ordered by their levels, so that the order is total and the same on any
    /// number of threads.
    fn cmp(&self, other: &Self) -> Ordering {
        other.score.total_cmp(&self.score).then_with(|| self.levels.cmp(&other.levels))
    }
}

impl PartialOrd for Scored {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The `capacity` best distinct points seen so far.
#[derive(Debug)]
pub struct Top {
    capacity: usize,
    /// The worst on top.
    heap: BinaryHeap<Scored>,
    members: HashSet<Levels>,
}

impl Top {
    /// # Panics
    /// When `capacity` is zero.
    pub fn new(capacity: usize, best: Vec<Scored>) -> Self {
        assert!(capacity > 0, "a ranking holds at least one");
        let mut top = Self { capacity, heap: BinaryHeap::new(), members: HashSet::new() };
        for scored in best {
            top.offer(scored.score, &scored.levels);
        }
        top
    }

    /// The score that a newcomer must reach.
    pub fn threshold(&self) -> f32 {
        if self.heap.len() < self.capacity {
            f32::NEG_INFINITY
        } else {
            self.heap.peek().map_or(f32::NEG_INFINITY, |worst| worst.score)
        }
    }

    /// Takes a candidate in when it is among the best and not there yet.
    ///
    /// # Panics
    /// The capacity is 0.
    pub fn offer(&mut self, score: f32, levels: &[u8]) {
        if score < self.threshold() || self.members.contains(levels) {
            return;
        }
        let scored = Scored { score, levels: levels.to_vec() };
        if self.heap.len() == self.capacity {
            let worst = self.heap.peek().expect("the capacity is at least one");
            if scored >= *worst {
                return;
            }
            let worst = self.heap.pop().expect("it was just seen");
            self.members.remove(&worst.levels);
        }
        self.members.insert(scored.levels.clone());
        self.heap.push(scored);
    }

    /// Takes in what another list holds.
    pub fn merge(&mut self, other: Self) {
        for scored in other.heap {
            self.offer(scored.score, &scored.levels);
        }
    }

    /// The best first.
    pub fn into_sorted(self) -> Vec<Scored> {
        self.heap.into_sorted_vec()
    }
}

/// The `count` best that are pairwise at least `distance` apart (sum of level differences), greedily from the best on.
pub fn diverse(ranking: &[Scored], count: usize, distance: u32) -> Vec<Scored> {
    let apart = |a: &[u8], b: &[u8]| a.iter().zip(b).map(|(&a, &b)| u32::from(a.abs_diff(b))).sum::<u32>() >= distance;
    let mut chosen: Vec<Scored> = Vec::with_capacity(count);
    for scored in ranking {
        if chosen.len() == count {
            break;
        }
        if chosen.iter().all(|other| apart(&other.levels, &scored.levels)) {
            chosen.push(scored.clone());
        }
    }
    chosen
}
