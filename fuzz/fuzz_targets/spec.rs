#![no_main]
//! A job spec: what is accepted is written back as the same spec, and what is refused is refused in a sentence.

use libfuzzer_sys::fuzz_target;
use secateur_core::spec::JobSpec;
use secateur_fuzz::check_rejection;

fuzz_target!(|json: &str| {
    match JobSpec::from_json(json) {
        Ok(spec) => {
            let written = serde_json::to_string(&spec).expect("a spec can be written");
            let again = JobSpec::from_json(&written).expect("a spec that was written can be read");
            assert_eq!(serde_json::to_string(&again).unwrap(), written);
        }
        Err(rejection) => check_rejection(&rejection),
    }
});
