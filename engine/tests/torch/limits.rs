//! What one upload may take of time and memory while it is imported.
//!
//! A program can tell by which of our two runs it is run: gradients are on where it is recorded and off where libtorch's own
//! interpreter runs it as the reference. So each attack is tried in both.

use crate::fixture::{fixture, module, operators, peak_mebibytes};
use secateur_core::rejection::{Code, Rejection};
use secateur_engine::torch::{self, TorchError};

/// The model runs `attack` where it is recorded, or where it is run as the reference.
const RUNS: [&str; 2] = ["torch.is_grad_enabled()", "not torch.is_grad_enabled()"];

/// How the import of a model ends that does these lines, and then what any model does.
fn refused(run: &str, attack: &str, code: Code) -> Rejection {
    let attack: String = attack.lines().map(|line| format!("        {line}\n")).collect();
    module()
        .parameter("fc.weight", &[4, 4])
        .forward(&format!("def forward(self, x):\n    if {run}:\n{attack}    return torch.linear(x, self.fc.weight)"))
        .write()
        .rejection(&[&[4]], code)
}

#[test]
fn a_loop_without_an_end_is_ended_in_both_runs() {
    for run in RUNS {
        for attack in [
            "while x.dim() > 0:\n    y = x.size(0)",
            "while x.dim() > 0:\n    pass",
            "n = 0\nfor i in range(90000):\n    for j in range(90000):\n        n = n + 1\nx = x + n",
            "while x.dim() > 0:\n    x = torch.relu(x)",
        ] {
            let rejection = refused(run, attack, Code::UnsupportedModel);
            let said = ["2000000 steps", "more than 100000 times", "more than 100000 operators"];
            assert!(said.iter().any(|text| rejection.detail.contains(text)), "{run}: {attack}: {rejection}");
        }
    }
}

#[test]
fn a_loop_that_only_another_batch_size_enters_is_ended() {
    let rejection = refused("x.size(0) == 4", "while x.dim() > 0:\n    y = x.size(0)", Code::UnsupportedModel);
    assert!(rejection.detail.contains("2000000 steps"), "{rejection}");
}

#[test]
fn lists_dictionaries_and_texts_that_grow_without_bound_are_refused_before_they_take_the_memory() {
    let before = peak_mebibytes();
    for run in RUNS {
        for (attack, what) in [
            ("l = [0]\nfor i in range(60):\n    l.extend(l)\nx = x + len(l)", "elements"),
            ("l = [0]\nfor i in range(60):\n    l = l + l\nx = x + len(l)", "elements"),
            ("l = [0] * 10000000000\nx = x + len(l)", "elements"),
            ("l = 10000000000 * [0]\nx = x + len(l)", "elements"),
            ("l = [x]\nfor i in range(90000):\n    l = l + [x]\nx = x + len(l)", "elements"),
            ("l = x.view(1, -1).expand(1000000, -1).unbind(0)\nx = x + len(l)", "elements"),
            (
                "d = {0: 0}\nfor i in range(90):\n    for j in range(90000):\n        d[i * 90000 + j] = j\nx = x + len(d)",
                "steps",
            ),
            ("s = 'ab'\nfor i in range(60):\n    s = s + s\nx = x + len(s)", "bytes"),
            ("s = 'ab'\nfor i in range(60):\n    s = s.join([s, s])\nx = x + len(s)", "bytes"),
            ("s = 'aa'\nfor i in range(60):\n    s = s.replace('a', s)\nx = x + len(s)", "bytes"),
            ("s = 'ab'\nfor i in range(60):\n    s = '{}{}'.format(s, s)\nx = x + len(s)", "bytes"),
            ("s = 'ab'\nfor i in range(22):\n    s = s + s\nl = list(s)\nx = x + len(l)", "elements"),
        ] {
            let rejection = refused(run, attack, Code::UnsupportedModel);
            assert!(rejection.detail.contains(what), "{run}: {attack}: {rejection}");
        }
    }
    let more = peak_mebibytes() - before;
    assert!(more < 1500, "{more} MiB");
}

#[test]
fn tensors_beyond_the_limit_are_refused_by_their_size() {
    for run in RUNS {
        for attack in [
            "x = x + torch.zeros([1000000, 1000000])[0, 0]",
            "x = x * torch.ones([1000000, 1000000, 4]).sum()",
            "x = x.repeat([1000000, 1000000])",
            // Untouched, so it takes no memory of the machine: nine times a GiB.
            "l = [x]\nfor i in range(9):\n    l.append(torch.empty([268435456]))\nx = x + len(l)",
        ] {
            let rejection = refused(run, attack, Code::OutOfMemory);
            assert!(rejection.detail.contains("bytes of tensors"), "{run}: {attack}: {rejection}");
        }
    }
}

#[test]
fn outputs_and_inputs_that_are_too_large_are_refused_by_their_shape() {
    let archive =
        module().forward("def forward(self, x):\n    return x.view(-1, 1, 4).expand(-1, 100000000, -1)").write();
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("[4, 100000000, 4]"), "{rejection}");
    let rejection = archive.rejection(&[&[1 << 40]], Code::InputShape);
    assert!(rejection.detail.contains("[1099511627776]"), "{rejection}");
    archive.rejection(&[&[1 << 40, 1 << 40]], Code::InputShape);
}

#[test]
fn calls_that_go_too_deep_are_refused() {
    let mut archive = module().define("", "def f0(self, x):\n    return x");
    for level in 1..300 {
        let source = format!("def f{level}(self, x):\n    return self.f{}(x)", level - 1);
        archive = archive.define("", &source);
    }
    let archive = archive.forward("def forward(self, x):\n    return self.f299(x)").write();
    let rejection = archive.rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("more than 200 deep"), "{rejection}");
}

#[test]
fn branches_that_are_nested_too_deeply_are_refused() {
    let mut source = "def forward(self, x):\n".to_owned();
    for level in 1..120 {
        source += &format!("{}if x.dim() > {level}:\n", "  ".repeat(level));
    }
    source += &format!("{}x = x + 1\n  return x", "  ".repeat(120));
    let rejection = module().forward(&source).write().rejection(&[&[4]], Code::UnsupportedModel);
    assert!(rejection.detail.contains("more than 100"), "{rejection}");
}

#[test]
fn views_of_views_are_refused_where_they_do_not_end() {
    let rejection = refused(RUNS[0], "for i in range(2000):\n    x = x[:, :]", Code::UnsupportedModel);
    assert!(rejection.detail.contains("1000 views of views"), "{rejection}");
}

#[test]
fn a_device_that_is_not_here_means_the_one_that_is() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                x = x.to(torch.device('cuda:7'))
                zeros = torch.zeros([4], dtype=6, device=torch.device('cuda', 3))
                return torch.linear(x, self.fc.weight) + zeros",
        )
        .write();
    assert!(operators(&archive.import(&[&[4]]).graph).contains(&"linear"));
}

#[test]
fn what_a_model_prints_is_not_even_made() {
    let archive = module()
        .parameter("fc.weight", &[4, 4])
        .forward(
            "def forward(self, x):
                for i in range(90000):
                    print('flood', i, x)
                return torch.linear(x, self.fc.weight)",
        )
        .write();
    assert_eq!(operators(&archive.import(&[&[4]]).graph), ["linear"]);
}

#[test]
fn a_text_that_libtorch_would_compute_while_it_loads_the_file_is_not_made() {
    // A file of 4 KB, whose constant texts double in 45 lines by `+`, by `replace` and by `format`.
    let before = peak_mebibytes();
    let Err(TorchError::Rejected(rejection)) = torch::import(&fixture("growing-text.pt"), Some(&[vec![4]])) else {
        panic!("it is refused")
    };
    assert_eq!(rejection.code, Code::UnsupportedModel);
    assert!(rejection.detail.contains("texts of more than 67108864 bytes"), "{rejection}");
    let more = peak_mebibytes() - before;
    assert!(more < 1000, "{more} MiB");
}
