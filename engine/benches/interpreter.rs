//! What the interpreter costs over `Module::forward`: both run the same network in turns, at batch 1 and one thread.
//!
//! `cargo bench -p secateur-engine --bench interpreter`. The file that `Module::forward` runs is our own export of the
//! imported network, so both call the same kernels with the same arguments.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use secateur_core::graph::ParameterKind;
use secateur_core::wire;
use secateur_engine::torch::{self, Imported, Mode, ModuleBuilder, Program, Reloaded, runtime};
use tch::{Device, Kind, Tensor};

const WARM_UP: usize = 5;
const RUNS_PER_BLOCK: usize = 5;
const TIME: Duration = Duration::from_secs(15);

fn main() {
    runtime::initialise(1, wire::Device::Cpu).expect("libtorch starts");
    let folder = tempfile::tempdir().expect("there is room for temporary files");
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/resnet20-digits.pt");
    compare("ResNet-20, 8x8", &example, &[1, 8, 8], folder.path());
    compare("ResNet-20, 32x32", &example, &[1, 32, 32], folder.path());
    compare("VGG-16 with batch norm, 64x64", &vgg16(folder.path()), &[3, 64, 64], folder.path());
}

fn compare(name: &str, model: &Path, shape: &[i64], folder: &Path) {
    let Imported { graph, weights, .. } = torch::import(model, Some(&[shape.to_vec()])).expect("the network imports");
    let exported = folder.join("exported.pt");
    torch::export(&graph, &weights, &exported, &[]).expect("the network exports");
    let module = Reloaded::open(&exported, Device::Cpu).expect("the export loads");
    let program = Program::prepare(&graph).expect("the graph runs");
    let inputs = [Tensor::randn([&[1], shape].concat(), (Kind::Float, Device::Cpu))];
    let _no_grad = tch::no_grad_guard();

    let mut interpreter = Vec::new();
    let mut forward = Vec::new();
    let started = Instant::now();
    while started.elapsed() < TIME {
        let program_time = time(|| drop(program.run(&weights, &inputs, Mode::Evaluate).expect("the graph runs")));
        let forward_time = time(|| drop(module.forward(&inputs).expect("the module runs")));
        interpreter.push(program_time);
        forward.push(forward_time);
    }
    let blocks = interpreter.len() - WARM_UP;
    let (interpreter, forward) = (median(interpreter.split_off(WARM_UP)), median(forward.split_off(WARM_UP)));
    println!(
        "{name}: interpreter {interpreter:.1} us, Module::forward {forward:.1} us, ratio {:.3} ({blocks} blocks of {RUNS_PER_BLOCK})",
        interpreter / forward,
    );
}

/// Microseconds of one run, the mean of a block.
fn time(mut run: impl FnMut()) -> f64 {
    let started = Instant::now();
    for _ in 0..RUNS_PER_BLOCK {
        run();
    }
    started.elapsed().as_secs_f64() * 1e6 / RUNS_PER_BLOCK as f64
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// A VGG-16 with random weights.
fn vgg16(folder: &Path) -> PathBuf {
    const WIDTHS: [&[i64]; 5] = [&[64, 64], &[128, 128], &[256, 256, 256], &[512, 512, 512], &[512, 512, 512]];
    let mut module = ModuleBuilder::new("Vgg16").expect("the class is new");
    let mut code = String::from("def forward(self, x):\n");
    let mut channels = 3;
    for (stage, widths) in WIDTHS.iter().enumerate() {
        for (layer, &width) in widths.iter().enumerate() {
            let path = format!("s{stage}.l{layer}");
            let mut tensor = |name: &str, kind, shape: &[i64]| {
                let tensor = Tensor::randn(shape, (Kind::Float, Device::Cpu)).abs() * 0.05;
                module
                    .tensor(&format!("{path}.{name}"), kind, &tensor, kind == ParameterKind::Parameter)
                    .expect("new name");
            };
            tensor("conv", ParameterKind::Parameter, &[width, channels, 3, 3]);
            tensor("weight", ParameterKind::Parameter, &[width]);
            tensor("bias", ParameterKind::Parameter, &[width]);
            tensor("mean", ParameterKind::Buffer, &[width]);
            tensor("var", ParameterKind::Buffer, &[width]);
            let l = format!("self.{path}");
            code += &format!("    x = torch.conv2d(x, {l}.conv, None, [1, 1], [1, 1])\n");
            code += &format!(
                "    x = torch.batch_norm(x, {l}.weight, {l}.bias, {l}.mean, {l}.var, False, 0.1, 1e-5, True)\n"
            );
            code += "    x = torch.relu_(x)\n";
            channels = width;
        }
        code += "    x = torch.max_pool2d(x, [2, 2])\n";
    }
    code += "    return x.mean([2, 3])\n";
    module.define("", &code).expect("the code compiles");
    let path = folder.join("vgg16.pt");
    module.save(&path, &[]).expect("the folder is writable");
    path
}
