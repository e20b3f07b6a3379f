//! Small TorchScript archives, written from source text for one test each.

use std::path::{Path, PathBuf};

use secateur_core::graph::{Graph, Node, ParameterKind};
use secateur_core::rejection::{Code, Rejection};
use secateur_engine::torch::{self, Imported, ModuleBuilder, TorchError};
use tch::{Device, Kind, Tensor};
use tempfile::TempDir;

/// An archive in a folder of its own that goes when it is dropped.
pub(crate) struct Archive {
    _folder: TempDir,
    pub path: PathBuf,
}

pub(crate) struct Source {
    module: ModuleBuilder,
}

/// Starts a module; tensors and methods follow, then [`Source::write`].
pub(crate) fn module() -> Source {
    Source { module: ModuleBuilder::new("Fixture").unwrap() }
}

impl Source {
    pub(crate) fn parameter(self, name: &str, shape: &[i64]) -> Self {
        self.tensor(name, ParameterKind::Parameter, &random(shape))
    }

    pub(crate) fn buffer(self, name: &str, shape: &[i64]) -> Self {
        self.tensor(name, ParameterKind::Buffer, &random(shape).abs())
    }

    pub(crate) fn tensor(mut self, name: &str, kind: ParameterKind, tensor: &Tensor) -> Self {
        self.module.tensor(name, kind, tensor, kind == ParameterKind::Parameter).unwrap();
        self
    }

    /// A convolution's weight and a batch norm's tensors, `conv` and `norm` of the module at `path`.
    pub(crate) fn conv_and_norm(self, path: &str, weight: &[i64]) -> Self {
        let norm = format!("{path}.norm");
        let channels = [weight[0]];
        self.parameter(&format!("{path}.conv.weight"), weight)
            .parameter(&format!("{norm}.weight"), &channels)
            .parameter(&format!("{norm}.bias"), &channels)
            .buffer(&format!("{norm}.running_mean"), &channels)
            .buffer(&format!("{norm}.running_var"), &channels)
    }

    pub(crate) fn define(mut self, path: &str, source: &str) -> Self {
        self.module.define(path, &format!("{source}\n")).unwrap();
        self
    }

    pub(crate) fn forward(self, source: &str) -> Self {
        self.define("", source)
    }

    pub(crate) fn write(mut self) -> Archive {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("model.pt");
        self.module.save(&path, &[]).unwrap();
        Archive { _folder: folder, path }
    }
}

pub(crate) fn random(shape: &[i64]) -> Tensor {
    Tensor::randn(shape, (Kind::Float, Device::Cpu))
}

impl Archive {
    pub(crate) fn import(&self, shapes: &[&[i64]]) -> Imported {
        self.try_import(shapes).unwrap()
    }

    pub(crate) fn try_import(&self, shapes: &[&[i64]]) -> Result<Imported, TorchError> {
        let shapes: Vec<Vec<i64>> = shapes.iter().map(|shape| shape.to_vec()).collect();
        torch::import(&self.path, Some(&shapes))
    }

    /// The rejection that the import ends with, which must have `code`.
    pub(crate) fn rejection(&self, shapes: &[&[i64]], code: Code) -> Rejection {
        match self.try_import(shapes) {
            Err(TorchError::Rejected(rejection)) => {
                assert_eq!(rejection.code, code, "{rejection:?}");
                rejection
            }
            other => panic!("expected a rejection with {code:?}, got {other:?}"),
        }
    }
}

/// Operators in program order, without `aten::`.
pub(crate) fn operators(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(|node| node.op.strip_prefix("aten::").unwrap_or(&node.op)).collect()
}

pub(crate) fn names(graph: &Graph) -> Vec<&str> {
    graph.nodes().iter().map(|node| node.name.as_str()).collect()
}

pub(crate) fn node<'a>(graph: &'a Graph, name: &str) -> &'a Node {
    graph.nodes().iter().find(|node| node.name == name).unwrap_or_else(|| panic!("no {name} in {:?}", names(graph)))
}

/// One of the repository's example networks.
pub(crate) fn example(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples").join(name)
}

/// A file of `tests/fixtures`.
pub(crate) fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

pub(crate) fn largest_difference(one: &Tensor, other: &Tensor) -> f64 {
    assert_eq!(one.size(), other.size());
    (one - other).abs().max().double_value(&[])
}

/// The most memory that this process ever had.
pub(crate) fn peak_mebibytes() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    peak.trim().strip_suffix(" kB").unwrap().parse::<u64>().unwrap() / 1024
}
