//! The words that fields of a spec take, with what each means as its declaration says it; docs/spec.md shows them.

use serde::Serialize;
use strum::{EnumMessage, VariantArray};

use super::{Augmentation, BatchNorm, EncoderObjective, Method, Objective, Optimizer, Precision};
use super::{Preset, RankingChoice, RequiredDevice, WebhookEvent};
use crate::dataset::source::ResizePolicy;
use crate::importance::{Criterion, Normalisation};
use crate::output::{DistillationLoss, OutputKind};

/// One of the words that a field takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Word {
    /// As a spec has it.
    pub name: String,
    /// Whole sentences, or a phrase with a full stop.
    pub meaning: String,
}

/// The words of the type that the API's description calls so; `None` for what is no such type of a spec.
pub fn words_of(schema: &str) -> Option<Vec<Word>> {
    Some(match schema {
        "Augmentation" => words::<Augmentation>(),
        "BatchNorm" => words::<BatchNorm>(),
        "Criterion" => words::<Criterion>(),
        "DistillationLoss" => words::<DistillationLoss>(),
        "EncoderObjective" => words::<EncoderObjective>(),
        "Method" => words::<Method>(),
        "Normalisation" => words::<Normalisation>(),
        "Objective" => words::<Objective>(),
        "Optimizer" => words::<Optimizer>(),
        "OutputKind" => words::<OutputKind>(),
        "Precision" => words::<Precision>(),
        "Preset" => words::<Preset>(),
        "RankingChoice" => words::<RankingChoice>(),
        "RequiredDevice" => words::<RequiredDevice>(),
        "ResizePolicy" => words::<ResizePolicy>(),
        "WebhookEvent" => words::<WebhookEvent>(),
        _ => return None,
    })
}

fn words<E: EnumMessage + Serialize + VariantArray>() -> Vec<Word> {
    let word = |variant: &E| {
        let name = serde_json::to_value(variant).expect("a variant without fields is a text");
        let name = name.as_str().expect("a variant without fields is a text").to_owned();
        // Its lines are those of the source.
        let lines = variant.get_documentation().unwrap_or_default().split_whitespace();
        Word { name, meaning: lines.collect::<Vec<_>>().join(" ") }
    };
    E::VARIANTS.iter().map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_means_what_its_declaration_says() {
        let words = words_of("Preset").unwrap();
        assert_eq!(words.iter().map(|word| word.name.as_str()).collect::<Vec<_>>(), ["quick", "paper"]);
        assert_eq!(words[0].meaning, "Minutes on two cores for a small network.");
        let of_two_lines = &words_of("RankingChoice").unwrap()[1];
        assert!(of_two_lines.meaning.contains("called it `calibrated`"), "{}", of_two_lines.meaning);
        assert_eq!(words_of("JobSpec"), None);
    }
}
