//! What orders the candidates of a search.
//!
//! A [`Ranking`] scores candidates. [`similarity`] is the encoder's: the cosine to the unpruned network's embedding, or what a head
//! predicts that was fitted to the measured sample of [`regression`]. [`sensitivity`] is the sum of the groups' measured
//! sensitivities. [`RankingName`] is what specs and reports call them.

pub mod regression;
pub mod sensitivity;
pub mod similarity;

use serde::{Deserialize, Serialize};

use crate::configuration::Origin;

/// The name of a ranking in reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RankingName {
    /// Cosine between the candidate's embedding and the unpruned network's.
    Similarity,
    /// Sum of the groups' sensitivities; reports of version 0.1 call it `calibrated`.
    #[serde(alias = "calibrated")]
    Sensitivity,
    /// Prediction of an encoder that was fitted to measured configurations.
    Regression,
}

impl From<RankingName> for Origin {
    fn from(name: RankingName) -> Self {
        match name {
            RankingName::Similarity => Self::Similarity,
            RankingName::Sensitivity => Self::Sensitivity,
            RankingName::Regression => Self::Regression,
        }
    }
}

/// Scores candidates, from scratch and by difference. The higher the score, the better.
pub trait Ranking: Sync {
    /// A candidate's partial sums.
    type State: Clone;

    /// The state of a candidate, computed from scratch.
    fn state(&self, levels: &[u8]) -> Self::State;

    /// Replaces a state's candidate; computed from scratch.
    fn reset(&self, state: &mut Self::State, levels: &[u8]);

    /// Moves one group to another level.
    fn shift(&self, state: &mut Self::State, group: usize, level: u8);

    /// Moves every group that differs to these levels.
    fn follow(&self, state: &mut Self::State, levels: &[u8]) {
        for (group, &level) in levels.iter().enumerate() {
            if self.levels(state)[group] != level {
                self.shift(state, group, level);
            }
        }
    }

    /// The candidate's score; the greater, the better.
    fn score(&self, state: &Self::State) -> f32;

    /// How far the score of a state that was shifted may lie from the score from scratch.
    fn slack(&self, state: &Self::State) -> f32;

    /// The candidate of a state, one level per group.
    fn levels<'a>(&self, state: &'a Self::State) -> &'a [u8];
}
