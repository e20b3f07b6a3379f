//! The sections of SACP, and presets.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::{RawValue, to_raw_value};
use serde_json::{Map, Value};
use strum::{EnumMessage, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::number::Positive;
use crate::rejection::Rejection;

/// Settings for a purpose; what the spec says itself wins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, EnumMessage, VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum Preset {
    /// Minutes on two cores for a small network.
    Quick,
    /// The SACP paper's sizes, channels and ranking, with fine-tuning alone to recover.
    Paper,
}

impl Preset {
    /// Sections of the spec that it sets.
    pub fn sections(self) -> serde_json::Value {
        match self {
            Self::Quick => serde_json::json!({
                "encoder": {"configs": 2000, "epochs": 3},
                "search": {"candidates": 1_000_000, "top_m": 24, "top_k": 1},
                "fine_tune": {"epochs": 20, "light_epochs": 1},
            }),
            Self::Paper => serde_json::json!({
                "importance": {"criterion": "l1"},
                "encoder": {"configs": 10_000, "epochs": 5},
                "search": {"candidates": 1_000_000, "refine": 0, "top_m": 150, "top_k": 10, "repair_steps": 0, "ranking": "similarity"},
                "recovery": {"closed_form": false},
                "fine_tune": {"epochs": 30, "light_epochs": 1},
            }),
        }
    }
}

/// What the graph encoder is trained for.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, IntoStaticStr, EnumMessage, VariantArray,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum EncoderObjective {
    /// To tell configurations pruned by importance from random ones; needs no data.
    Contrastive,
    /// To predict the measured accuracy of `samples` random configurations (the paper's ablation SACP-1), without labels minus
    /// the divergence of their outputs; the prediction then ranks the search. Needs a data set, without one it is
    /// `contrastive`.
    Regression,
}

impl EncoderObjective {
    /// The name in specs and reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// The graph encoder of SACP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct EncoderSpec {
    /// What the encoder is trained for.
    pub objective: EncoderObjective,
    /// Random configurations that are measured for `regression`.
    #[schema(value_type = u64, minimum = 10, maximum = 100_000)]
    pub samples: Positive,
    /// Random rate vectors that it is trained on, each seen once per epoch.
    #[schema(value_type = u64, minimum = 1, maximum = 1_000_000)]
    pub configs: Positive,
    /// Layers of the GCN; 2 is the one depth that the exact fast search is for.
    #[schema(value_type = u64, minimum = 2, maximum = 2)]
    pub layers: Positive,
    /// Width of the embedding.
    #[schema(value_type = u64, minimum = 1, maximum = 256)]
    pub hidden: Positive,
    /// Passes over the training configurations.
    #[schema(minimum = 1, maximum = 1000)]
    pub epochs: u32,
    /// Temperature of the InfoNCE loss.
    #[schema(exclusive_minimum = 0.0, maximum = 10.0)]
    pub temperature: f64,
    /// Random channel choices per rate vector.
    #[schema(value_type = u64, minimum = 1, maximum = 256)]
    pub negatives: Positive,
}

impl Default for EncoderSpec {
    fn default() -> Self {
        Self {
            objective: EncoderObjective::Contrastive,
            samples: Positive::new(300),
            configs: Positive::new(10_000),
            layers: Positive::new(2),
            hidden: Positive::new(64),
            epochs: 5,
            temperature: 0.1,
            negatives: Positive::new(8),
        }
    }
}

/// What orders the candidates of a search.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema, EnumMessage, VariantArray)]
#[serde(rename_all = "snake_case")]
pub enum RankingChoice {
    /// Cosine between the candidate's embedding and the unpruned network's, as published.
    Similarity,
    /// The sum of the groups' measured sensitivities; needs a data set, without one it is `similarity`. Version 0.1 called it
    /// `calibrated`, which is still read.
    #[serde(alias = "calibrated")]
    Sensitivity,
}

/// The search of SACP.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SearchSpec {
    /// Configurations to score.
    pub candidates: Positive,
    /// Configurations that evolutionary moves from the best then try, 0 for none; a fifth of `candidates` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 1_000_000_000)]
    pub refine: Option<u64>,
    /// Step between the rates that a group may be pruned by.
    #[schema(minimum = 0.005, maximum = 0.5)]
    pub rate_step: f64,
    /// Configurations that are screened, beside the baselines.
    #[schema(value_type = u64, minimum = 1, maximum = 10_000)]
    pub top_m: Positive,
    /// Steps of distillation that every screened network gets before the better third of them is chosen, at most one pass over the
    /// training split, 0 for none; with fine-tuning only. Absent: none with `recovery.closed_form`, and 50 without, since after a large
    /// reduction re-estimated batch norm statistics alone leave all of them near chance.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(minimum = 0, maximum = 10_000)]
    pub repair_steps: Option<u32>,
    /// Screened networks that are fully fine-tuned.
    #[schema(value_type = u64, minimum = 1, maximum = 1000)]
    pub top_k: Positive,
    /// What orders the candidates.
    pub ranking: RankingChoice,
}

impl Default for SearchSpec {
    fn default() -> Self {
        Self {
            candidates: Positive::new(1_000_000),
            refine: None,
            rate_step: 0.1,
            top_m: Positive::new(150),
            repair_steps: None,
            top_k: Positive::new(10),
            ranking: RankingChoice::Sensitivity,
        }
    }
}

impl SearchSpec {
    /// Configurations that evolutionary moves try.
    pub fn refinements(&self) -> u64 {
        self.refine.unwrap_or(self.candidates.get() as u64 / 5)
    }
}

/// The rules for plain numbers in the sections of SACP.
pub(super) fn check(
    encoder: &EncoderSpec,
    search: &SearchSpec,
    invalid: impl Fn(&str, String) -> Result<(), Rejection>,
) -> Result<(), Rejection> {
    let EncoderSpec { objective: _, samples, configs, layers, hidden, epochs, temperature, negatives } = encoder;
    if configs.get() > 1_000_000 {
        return invalid(
            "encoder.configs",
            format!("`encoder.configs` {} is out of range: 1 to 1000000.", configs.get()),
        );
    }
    if !(10..=100_000).contains(&samples.get()) {
        return invalid(
            "encoder.samples",
            format!("`encoder.samples` {} is out of range: 10 to 100000.", samples.get()),
        );
    }
    if layers.get() != 2 {
        return invalid("encoder.layers", format!("`encoder.layers` {} is not supported: 2 is.", layers.get()));
    }
    if hidden.get() > 256 {
        return invalid("encoder.hidden", format!("`encoder.hidden` {} is out of range: 1 to 256.", hidden.get()));
    }
    if !(1..=1000).contains(epochs) {
        return invalid("encoder.epochs", format!("`encoder.epochs` {epochs} is out of range: 1 to 1000."));
    }
    if !(*temperature > 0.0 && *temperature <= 10.0) {
        return invalid(
            "encoder.temperature",
            format!("`encoder.temperature` {temperature} is out of range: above 0 and at most 10."),
        );
    }
    if negatives.get() > 256 {
        return invalid(
            "encoder.negatives",
            format!("`encoder.negatives` {} is out of range: 1 to 256.", negatives.get()),
        );
    }
    let SearchSpec { candidates: _, refine, rate_step, top_m, repair_steps, top_k, ranking: _ } = search;
    if let Some(refine) = refine.filter(|&refine| refine > 1_000_000_000) {
        return invalid("search.refine", format!("`search.refine` {refine} is out of range: 0 to 1000000000."));
    }
    if !(0.005..=0.5).contains(rate_step) {
        return invalid("search.rate_step", format!("`search.rate_step` {rate_step} is out of range: 0.005 to 0.5."));
    }
    if top_m.get() > 10_000 {
        return invalid("search.top_m", format!("`search.top_m` {} is out of range: 1 to 10000.", top_m.get()));
    }
    if let Some(repair_steps) = repair_steps.filter(|&steps| steps > 10_000) {
        return invalid(
            "search.repair_steps",
            format!("`search.repair_steps` {repair_steps} is out of range: 0 to 10000."),
        );
    }
    if top_k.get() > 1000 {
        return invalid("search.top_k", format!("`search.top_k` {} is out of range: 1 to 1000.", top_k.get()));
    }
    Ok(())
}

/// The spec with what its preset sets and it does not say itself. Anything that is not a spec is left as it is, for the
/// parser to refuse. Only the sections that the preset sets are looked into: a replayed configuration may be long.
pub(super) fn with_preset(json: &str) -> Cow<'_, str> {
    fill_in(json).map_or(Cow::Borrowed(json), Cow::Owned)
}

fn fill_in(json: &str) -> Option<String> {
    let mut fields: BTreeMap<String, Cow<'_, RawValue>> = serde_json::from_str(json).ok()?;
    let preset: Preset = serde_json::from_str(fields.get("preset")?.get()).ok()?;
    let Value::Object(sections) = preset.sections() else { return None };
    for (name, defaults) in sections {
        let given = fields.get(&name).map_or(Ok(Value::Object(Map::new())), |raw| serde_json::from_str(raw.get()));
        let (Ok(Value::Object(mut section)), Value::Object(defaults)) = (given, defaults) else { continue };
        for (field, value) in defaults {
            section.entry(field).or_insert(value);
        }
        fields.insert(name, Cow::Owned(to_raw_value(&section).ok()?));
    }
    serde_json::to_string(&fields).ok()
}
