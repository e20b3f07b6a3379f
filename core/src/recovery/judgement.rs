//! What an outside judge says of the finalists: the user's own pipeline, which measures what no server can know.

use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;
use utoipa::ToSchema;

/// The score that a judge gave one finalist.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgeScore {
    /// Index of the candidate.
    pub candidate: usize,
    /// By the judge's own metric; finite.
    pub score: f64,
}

/// What chose the network that is exported.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum DecidedBy {
    /// The judge: every finalist had its score.
    Judge,
    /// The job's own validation metric: a finalist had no score when the judgement ended.
    Metric,
}

impl DecidedBy {
    /// The name in the API and in reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// How a judgement ended.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Judgement {
    /// The scores that were given, in the order of the finalists: the best by the job's own metric first.
    pub scores: Vec<JudgeScore>,
    /// What chose the network.
    pub decided_by: DecidedBy,
    /// Why it was not the judge, a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

impl Judgement {
    /// The end of a judgement over `finalists`, the best by the job's own metric first. The judge decides when it has scored all of
    /// them: a network never wins because others were not looked at. `ended` says how the judgement ended otherwise, as the beginning
    /// of a sentence: "The judge had 60 s".
    pub fn over(finalists: &[usize], given: &[JudgeScore], ended: &str) -> Self {
        let score_of = |&candidate: &usize| given.iter().find(|score| score.candidate == candidate).copied();
        let scores: Vec<JudgeScore> = finalists.iter().filter_map(score_of).collect();
        if scores.len() == finalists.len() {
            return Self { scores, decided_by: DecidedBy::Judge, reason: None };
        }
        let missing: Vec<String> =
            finalists.iter().filter(|candidate| score_of(candidate).is_none()).map(usize::to_string).collect();
        let (given, of, missing) = (scores.len(), finalists.len(), missing.join(", "));
        let reason = format!("{ended}, and {given} of {of} finalists had a score; none had: {missing}.");
        Self { scores, decided_by: DecidedBy::Metric, reason: Some(reason) }
    }

    /// The candidate that the judge chose, of equals the best by the job's own metric; `None` where the judge did not decide.
    pub fn winner(&self, higher_is_better: bool) -> Option<usize> {
        if self.decided_by == DecidedBy::Metric {
            return None;
        }
        let is_better = |score: f64, best: f64| if higher_is_better { score > best } else { score < best };
        let best =
            self.scores.iter().reduce(|best, score| if is_better(score.score, best.score) { score } else { best });
        best.map(|best| best.candidate)
    }
}

/// What `report.json` says of the judge.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct JudgeReport {
    /// What the judge measures, as the spec names it.
    pub name: Option<String>,
    /// Whether the greater score is the better one.
    pub higher_is_better: bool,
    /// How it ended.
    #[serde(flatten)]
    pub judgement: Judgement,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn given(scores: &[(usize, f64)]) -> Vec<JudgeScore> {
        scores.iter().map(|&(candidate, score)| JudgeScore { candidate, score }).collect()
    }

    #[test]
    fn the_judge_decides_when_every_finalist_has_a_score() {
        let judgement = Judgement::over(&[4, 0, 2], &given(&[(0, 0.1), (2, 0.3), (4, 0.2)]), "unused");
        assert_eq!(judgement.scores, given(&[(4, 0.2), (0, 0.1), (2, 0.3)]));
        assert_eq!((judgement.decided_by, &judgement.reason), (DecidedBy::Judge, &None));
        assert_eq!((judgement.winner(true), judgement.winner(false)), (Some(2), Some(0)));
    }

    #[test]
    fn of_equal_scores_the_better_by_our_own_metric_wins_in_either_direction() {
        let judgement = Judgement::over(&[4, 0, 2], &given(&[(0, 0.5), (2, 0.5), (4, 0.5)]), "unused");
        assert_eq!((judgement.winner(true), judgement.winner(false)), (Some(4), Some(4)));
    }

    #[test]
    fn a_finalist_without_a_score_leaves_the_choice_to_our_own_metric_and_is_named() {
        let judgement = Judgement::over(&[4, 0, 2], &given(&[(0, 0.9)]), "The judge had 60 s");
        assert_eq!((judgement.decided_by, judgement.winner(true)), (DecidedBy::Metric, None));
        assert_eq!(judgement.scores, given(&[(0, 0.9)]), "what was said is kept");
        let reason = "The judge had 60 s, and 1 of 3 finalists had a score; none had: 4, 2.";
        assert_eq!(judgement.reason.as_deref(), Some(reason));
    }
}
