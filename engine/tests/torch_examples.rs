//! The example networks go through import, the interpreter and export.

use std::path::{Path, PathBuf};

use secateur_engine::torch::{self, Imported, Mode, Program, Reloaded};
use tch::{Device, Kind, Tensor};

fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

#[test]
fn resnet() {
    let imported = torch::import(&example("resnet20-digits.pt"), None).unwrap();
    println!("{}", serde_json::to_string_pretty(imported.graph.file()).unwrap());
}
