//! The sandbox of this process: rights that it gives up before libtorch starts its first thread, and never gets back.
//!
//! `main` comes to the [`Entrance`] before it opens anything, and enters when the request was read and nobody else runs in the
//! process yet: most of what is given up holds for the calling thread and for the threads that come from it. Each layer stands by
//! itself, so an old kernel or a container costs the layers that it lacks and no more; the [`Sandbox`] that comes back names both.
//! Nothing is killed: what is not allowed fails with an error, as it would for any program without the right. [`in_force`] is what
//! the report says.
//!
//! The layers from the outside in: descriptors that a careless server left open are closed, limits and namespaces set, the user
//! and the capabilities dropped, files, ports and signals fenced off (Landlock), and last of all system calls (seccomp).

mod descriptors;
mod files;
mod identity;
mod limits;
mod namespaces;
mod system_calls;

use std::fmt::Display;
use std::io;
use std::sync::OnceLock;

use secateur_core::sandbox::{Layer, Mode, Profile, Sandbox, Settings};

use super::memory;

static IN_FORCE: OnceLock<Sandbox> = OnceLock::new();

/// What the process will need, apart from what its worker asks for.
#[derive(Debug, Clone, Copy)]
pub struct Needs {
    pub profile: Profile,
    /// Whether it computes on a GPU, whose driver has devices, libraries and `ioctl`s of its own.
    pub gpu: bool,
}

/// The kernel cannot do what [`Mode::Require`] asks for.
#[derive(Debug, thiserror::Error)]
#[error("the required sandbox is not whole: {0}")]
pub struct Incomplete(String);

/// The sandbox that this process has entered; no layer when it never did.
pub fn in_force() -> Sandbox {
    IN_FORCE.get().cloned().unwrap_or_else(|| Sandbox { mode: Mode::Off, ..Sandbox::default() })
}

/// The way into the sandbox; open descriptors are left at the door.
#[derive(Debug)]
pub struct Entrance {
    settings: Settings,
    descriptors: io::Result<()>,
}

impl Entrance {
    /// Closes every descriptor but standard input, output and error, so the process must not have opened any yet.
    pub fn open(settings: Settings) -> Self {
        let descriptors = match settings.mode {
            Mode::Off => Ok(()),
            Mode::Auto | Mode::Require => descriptors::close_all_but_the_pipes(),
        };
        Self { settings, descriptors }
    }

    /// Gives up everything that a task does not need. The working directory stays readable and writable.
    ///
    /// # Errors
    /// With [`Mode::Require`], when one of the layers that matter is missing; the process is then half confined and must end.
    pub fn enter(self, needs: Needs) -> Result<Sandbox, Incomplete> {
        let Self { settings, descriptors } = self;
        memory::set_ceiling(settings.ceilings.memory_bytes);
        let mut layers = Layers::default();
        match settings.mode {
            Mode::Off => layers.leave_out(&Layers::ALL, "it is switched off"),
            Mode::Auto | Mode::Require => {
                layers.note(Layer::Descriptors, descriptors);
                layers.apply(&settings, needs);
            }
        }
        let sandbox = layers.describe(settings.mode);
        let _ = IN_FORCE.set(sandbox.clone());
        match layers.lacking(&settings) {
            Some(why) if settings.mode == Mode::Require => Err(Incomplete(why)),
            _ => Ok(sandbox),
        }
    }
}

/// The layers so far, each once.
#[derive(Default)]
struct Layers {
    applied: Vec<Layer>,
    missing: Vec<(Layer, String)>,
}

impl Layers {
    const ALL: [Layer; 12] = [
        Layer::Descriptors,
        Layer::Limits,
        Layer::MemoryCeiling,
        Layer::OomScore,
        Layer::Cgroup,
        Layer::NetworkNamespace,
        Layer::IpcNamespace,
        Layer::Uid,
        Layer::Capabilities,
        Layer::NoNewPrivileges,
        Layer::Landlock(0),
        Layer::Seccomp,
    ];

    const OF_ONE_THREAD: [Layer; 5] =
        [Layer::NetworkNamespace, Layer::IpcNamespace, Layer::Uid, Layer::Capabilities, Layer::Landlock(0)];

    fn apply(&mut self, settings: &Settings, needs: Needs) {
        self.note(Layer::Limits, limits::bound(&settings.ceilings, settings.account.is_some(), needs.gpu));
        self.note(Layer::MemoryCeiling, limits::bound_memory(settings.ceilings.memory_bytes, needs.gpu));
        self.note(Layer::OomScore, limits::go_first_when_memory_runs_out());
        self.leave_out(&[Layer::Cgroup], "this version makes none");
        match identity::only_one_thread() {
            Ok(()) => self.apply_to_this_thread(settings.account, needs),
            Err(why) => {
                self.leave_out(&Self::OF_ONE_THREAD, &why);
                self.note(Layer::NoNewPrivileges, identity::gain_nothing_and_show_nothing());
            }
        }
        // This one reaches threads that run already, and takes their way to new privileges too.
        self.note(Layer::Seccomp, system_calls::filter(needs.gpu));
    }

    /// What threads inherit and processes do not have.
    fn apply_to_this_thread(&mut self, account: Option<u32>, needs: Needs) {
        // While the capabilities are there; another user has to do with less.
        let separated = namespaces::separate();
        if separated.is_ok() {
            self.applied.extend([Layer::NetworkNamespace, Layer::IpcNamespace]);
        }
        identity::empty_the_bounding_set();
        let reachable = files::Reachable::of(needs);
        self.note(Layer::Uid, identity::become_user(account, &reachable));
        if separated.is_err() {
            let separated = namespaces::separate_as_ordinary_user().map_err(|error| error.to_string());
            for layer in [Layer::UserNamespace, Layer::NetworkNamespace, Layer::IpcNamespace] {
                self.note(layer, separated.clone());
            }
            identity::empty_the_bounding_set();
        }
        self.note(Layer::Capabilities, identity::drop_capabilities());
        self.note(Layer::NoNewPrivileges, identity::gain_nothing_and_show_nothing());
        match files::fence(&reachable) {
            Ok(version) => self.applied.push(Layer::Landlock(version)),
            Err(error) => self.missing.push((Layer::Landlock(0), error)),
        }
    }

    fn note<E: Display>(&mut self, layer: Layer, result: Result<(), E>) {
        match result {
            Ok(()) => self.applied.push(layer),
            Err(error) => self.missing.push((layer, error.to_string())),
        }
    }

    fn leave_out(&mut self, layers: &[Layer], why: &str) {
        self.missing.extend(layers.iter().map(|&layer| (layer, why.to_owned())));
    }

    /// Why the sandbox is not whole; `None` when nothing is missing without which it would not hold. Namespaces and the ceiling
    /// on memory are not among these: system calls and Landlock refuse sockets without the first, and a GPU cannot have the second.
    fn lacking(&self, settings: &Settings) -> Option<String> {
        let (missing, why) = self.missing.iter().find(|(layer, _)| match layer {
            Layer::Descriptors
            | Layer::Limits
            | Layer::Capabilities
            | Layer::NoNewPrivileges
            | Layer::Landlock(_)
            | Layer::Seccomp => true,
            Layer::Uid => settings.account.is_some(),
            _ => false,
        })?;
        Some(format!("{}: {why}", name(*missing)))
    }

    fn describe(&self, mode: Mode) -> Sandbox {
        Sandbox {
            mode,
            layers: self.applied.iter().map(Layer::to_string).collect(),
            missing: self.missing.iter().map(|(layer, _)| name(*layer)).collect(),
            reasons: self.missing.iter().map(|(layer, why)| (name(*layer), why.clone())).collect(),
        }
    }
}

/// Of a layer that is missing: without a version.
fn name(layer: Layer) -> String {
    match layer {
        Layer::Landlock(_) => "landlock".to_owned(),
        layer => layer.to_string(),
    }
}
