//! Whether a spec fits its data set, as far as that shows without running the model.

use secateur_core::dataset::DatasetSummary;
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::JobSpec;

/// Refuses what is sure to fail later: what needs data in a job without any, a loss that needs labels without any, samples of another size
/// than the model's input.
pub fn check_fit(spec: &JobSpec, dataset: Option<&DatasetSummary>) -> Result<(), Rejection> {
    let Some(dataset) = dataset else { return spec.check_without_data() };
    let objective = spec.label_settings().objective;
    if objective.needs_labels() && !dataset.labelled {
        let detail = format!("`fine_tune.objective` is `{}`, but the data set has no labels `y`.", objective.as_str());
        return Err(Rejection::new(Code::DatasetMismatch, detail).at("fine_tune.objective").hint(
            "Set `\"objective\": \"distill\"`, which needs no labels, or `\"fine_tune\": null`, which prunes only.",
        ));
    }
    let shapes = spec.model_inputs().unwrap_or_default().into_iter().map(|input| input.shape).collect::<Vec<_>>();
    // Pictures and tables become what the model takes.
    if shapes.is_empty() || dataset.inputs.is_empty() {
        return Ok(());
    }
    if shapes.len() != dataset.inputs.len() {
        let detail = format!(
            "The spec describes {} inputs, and the data set has samples for {}.",
            shapes.len(),
            dataset.inputs.len()
        );
        return Err(Rejection::new(Code::DatasetMismatch, detail).at("inputs"));
    }
    let field = if spec.inputs.is_some() { "inputs" } else { "input_shape" };
    for (shape, stored) in shapes.iter().zip(&dataset.inputs) {
        if sizes(shape.iter().copied()) != sizes(stored.shape.iter().map(|&size| size as i64)) {
            let detail = format!(
                "`{field}` is {shape:?}, but one sample of the data set's `{}` has shape {:?}.",
                stored.name, stored.shape
            );
            return Err(Rejection::new(Code::DatasetMismatch, detail)
                .at(field)
                .hint(format!("Leave `{field}` out: it is then taken from the data set.")));
        }
    }
    Ok(())
}

/// The sizes in order and without ones: channels may be stored first, last or, for grey pictures, not at all.
fn sizes(shape: impl Iterator<Item = i64>) -> Vec<i64> {
    let mut sizes: Vec<i64> = shape.filter(|&size| size != 1).collect();
    sizes.sort_unstable();
    sizes
}

#[cfg(test)]
mod tests {
    use super::*;
    use secateur_core::dataset::{Format, InputSummary, Layout, Range, SplitCounts};

    fn dataset(sample_shape: &[usize], labelled: bool) -> DatasetSummary {
        DatasetSummary {
            format: Format::Npz,
            arrays: Vec::new(),
            samples: SplitCounts { train: 8, val: 1, test: 1 },
            sample_shape: sample_shape.to_vec(),
            sample_dtype: "uint8".to_owned(),
            layout: Layout::Nchw,
            inputs: vec![InputSummary {
                name: "x".to_owned(),
                dtype: "uint8".to_owned(),
                shape: sample_shape.to_vec(),
                range: Range { least: 0.0, largest: 255.0 },
            }],
            classes: labelled.then_some(10),
            labelled,
            labels: None,
            source: None,
        }
    }

    fn check(spec: &str, dataset: &DatasetSummary) -> Result<(), Rejection> {
        check_fit(&JobSpec::from_json(spec).unwrap(), Some(dataset))
    }

    #[test]
    fn cross_entropy_without_labels_is_refused_with_the_way_out() {
        let spec = r#"{"target": {"flops_reduction": 0.5}, "fine_tune": {"objective": "cross_entropy"}}"#;
        let rejection = check(spec, &dataset(&[3, 32, 32], false)).unwrap_err();
        assert_eq!(rejection.code, Code::DatasetMismatch);
        assert!(rejection.hint.unwrap().contains("distill"));
        assert_eq!(check(r#"{"target": {"flops_reduction": 0.5}}"#, &dataset(&[3, 32, 32], false)), Ok(()));
    }

    #[test]
    fn what_needs_data_is_refused_without_any() {
        for (spec, field) in [
            (r#"{"target": {"flops_reduction": 0.5, "max_metric_drop": 0.1}}"#, "target.max_metric_drop"),
            (r#"{"target": {"flops_reduction": 0.5}, "importance": {"criterion": "taylor"}}"#, "importance.criterion"),
        ] {
            let spec = JobSpec::from_json(spec).unwrap();
            let rejection = check_fit(&spec, None).unwrap_err();
            assert_eq!((rejection.code, rejection.node.as_deref()), (Code::InvalidSpec, Some(field)));
            assert!(rejection.hint.is_some());
            assert_eq!(check_fit(&spec, Some(&dataset(&[3, 32, 32], true))), Ok(()));
        }
        let spec = JobSpec::from_json(r#"{"target": {"flops_reduction": 0.5}}"#).unwrap();
        assert_eq!(check_fit(&spec, None), Ok(()));
    }

    #[test]
    fn channels_last_fits_and_another_size_does_not() {
        let spec = r#"{"target": {"flops_reduction": 0.5}, "input_shape": [3, 32, 32]}"#;
        assert_eq!(check(spec, &dataset(&[32, 32, 3], true)), Ok(()));
        let rejection = check(spec, &dataset(&[3, 28, 28], true)).unwrap_err();
        assert!(rejection.detail.contains("[3, 28, 28]"), "{}", rejection.detail);
    }
}
