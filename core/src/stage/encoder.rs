//! The stage `encoder`: the graph encoder is trained. With `sacp` only.

use serde::{Deserialize, Serialize};

use super::definition::Definition;
use super::job::{Input, JobView, PlanError, PlannedTask};
use super::measurement::Measurements;
use super::{Stage, Work, import};
use crate::search::encoder::EncoderResult;
use crate::search::ranking::regression::Sampled;
use crate::spec::{JobSpec, Method};

/// The trained graph encoder, `w1` and `w2`, with a head `head` and `bias`.
pub const ENCODER: &str = "encoder.safetensors";

/// The stage.
pub struct Encoder;

/// What the encoder is fitted to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EncoderWork {
    /// The calibration sample; without one the encoder is trained by contrast.
    #[serde(default)]
    pub calibration: Vec<Sampled>,
}

impl<'a> JobView<'a> {
    /// How the encoder was trained; `None` without one.
    pub(super) fn encoder(self) -> Option<&'a EncoderResult> {
        self.result(Stage::Encoder)
    }

    /// The encoder as an input, where the job has one.
    pub(super) fn encoder_file(self) -> Option<Input> {
        self.encoder().map(|_| Input::output(Stage::Encoder, 0, ENCODER))
    }
}

impl Definition for Encoder {
    type Work = EncoderWork;
    type Result = EncoderResult;

    fn is_part_of(spec: &JobSpec, _has_dataset: bool) -> bool {
        spec.method == Method::Sacp
    }

    fn plan(job: JobView<'_>, _reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
        let work = EncoderWork { calibration: job.calibration() };
        Ok(PlannedTask::only(Work::Encoder(work), import::network()))
    }

    fn files(_work: &EncoderWork) -> Vec<String> {
        vec![ENCODER.to_owned()]
    }

    #[cfg(any(test, feature = "testing"))]
    fn sample(_work: &EncoderWork) -> EncoderResult {
        EncoderResult {
            objective: crate::spec::EncoderObjective::Contrastive,
            losses: vec![0.5, 0.1],
            contrastive_accuracy: Some(1.0),
            contrastive_accuracies: vec![0.9, 1.0],
            samples: 0,
            held_out: None,
        }
    }
}
