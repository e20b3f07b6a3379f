//! The stages of a job: which follow each other, and the tasks of each.
//!
//! A stage is one file here, which implements [`Definition`], and one of the same name in the engine, which carries it out.
//! [`with_stages!`](crate::with_stages) is the list of all, in the order in which a job goes through them; everything else that has
//! a case for every stage is made from it.
//!
//! [`Stage::next`] and [`plan`] are pure functions of the spec and of what has finished, so that the server's transaction and the
//! local run of the command line take the same road. The caller runs every task of a stage, then asks for the next.

pub mod calibration;
pub mod control;
mod definition;
pub mod encoder;
pub mod export;
pub mod finalists;
pub mod graph;
pub mod import;
pub mod importance;
pub mod inspect;
mod job;
pub mod judge;
pub mod latency;
pub mod light_tune;
mod measurement;
pub mod prepare;
pub mod repair;
pub mod reuse;
pub mod rung;
pub mod screen;
pub mod search;
pub mod sensitivity;
pub mod tune;
pub mod verify;

use std::any::Any;

use serde::{Deserialize, Serialize};
use strum::{EnumString, IntoStaticStr, VariantArray};
use utoipa::ToSchema;

use crate::sandbox::Profile;
use crate::spec::JobSpec;

pub use definition::Definition;
pub use job::{FinishedTask, Input, JobView, Plan, PlanError, PlannedTask, Source, TaskTime};
pub use measurement::{Kept, Measurements};

/// Calls a macro with every stage: what it is, its module, its name. The order is that in which a job goes through them.
#[macro_export]
macro_rules! with_stages {
    ($callback:ident) => {
        $callback! {
            "The only stage of an inspection, which looks at a model and prunes nothing." inspect Inspect;
            "Reads the user's program and makes it a graph." import Import;
            "Makes arrays of a data set of pictures, recordings or tables; with such a data set only." prepare Prepare;
            "Finds the coupled groups, the costs and the limits." graph Graph;
            "Measures the latency of every layer at many widths; with a latency target only." latency Latency;
            "Takes gradients, for a criterion that needs them; with `sacp` only." importance Importance;
            "Measures a sample of configurations, for an encoder that is fitted to them; with `sacp` only." calibration Calibration;
            "Trains the graph encoder; with `sacp` only." encoder Encoder;
            "Measures what cutting each group alone costs; with `sacp` and a data set only." sensitivity Sensitivity;
            "Proposes configurations." search Search;
            "Cuts every proposed network, proves the surgery and measures what is left." screen Screen;
            "A few steps of distillation for every screened network; with `sacp` only." repair Repair;
            "A short training of the better ones; with `sacp` only." light_tune LightTune;
            "The full training of the best." tune Tune;
            "Cuts random channels as a control experiment; with `sacp` or `diagnostics` only." control Control;
            "Writes every finalist for the judge; with `judge` only." finalists Finalists;
            "Waits for the judge's scores; with `judge` only." judge Judge;
            "Writes the pruned model." export Export;
            "Reloads the written file in a fresh process, compares, times and reports." verify Verify;
        }
    };
}

macro_rules! define_stages {
    ($($doc:literal $module:ident $Variant:ident;)*) => {
        /// A stage of a job.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, ToSchema, EnumString,
            IntoStaticStr, VariantArray,
        )]
        #[serde(rename_all = "snake_case")]
        #[strum(serialize_all = "snake_case")]
        pub enum Stage {
            $(#[doc = $doc] $Variant,)*
        }

        /// What one task is to do.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "stage", rename_all = "snake_case")]
        pub enum Work {
            $(#[doc = $doc] $Variant(<$module::$Variant as Definition>::Work),)*
        }

        /// What one task found out beside its files; stored with the task.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        #[serde(tag = "stage", rename_all = "snake_case")]
        pub enum TaskResult {
            $(#[doc = $doc] $Variant(<$module::$Variant as Definition>::Result),)*
        }

        impl Stage {
            /// Whether a job goes through it.
            fn is_part_of(self, spec: &JobSpec, has_dataset: bool) -> bool {
                match self {
                    $(Self::$Variant => $module::$Variant::is_part_of(spec, has_dataset),)*
                }
            }

            /// How much its tasks may do.
            pub fn profile(self) -> Profile {
                match self {
                    $(Self::$Variant => $module::$Variant::PROFILE,)*
                }
            }

            /// Whether its tasks find out how long a network takes.
            pub fn times_networks(self) -> bool {
                match self {
                    $(Self::$Variant => $module::$Variant::TIMES_NETWORKS,)*
                }
            }

            fn tasks(self, job: JobView<'_>, reused: &Measurements) -> Result<Vec<PlannedTask>, PlanError> {
                match self {
                    $(Self::$Variant => $module::$Variant::plan(job, reused),)*
                }
            }

            fn taken_over(self, job: JobView<'_>, known: &Measurements) -> Result<Measurements, PlanError> {
                match self {
                    $(Self::$Variant => $module::$Variant::taken_over(job, known),)*
                }
            }

            fn procedure(self, spec: &JobSpec) -> Option<serde_json::Value> {
                match self {
                    $(Self::$Variant => $module::$Variant::procedure(spec),)*
                }
            }

            fn measurements(self, job: JobView<'_>) -> Vec<String> {
                match self {
                    $(Self::$Variant => $module::$Variant::measurements(job),)*
                }
            }

            fn known(self, job: JobView<'_>, kept: &[Kept]) -> Measurements {
                match self {
                    $(Self::$Variant => $module::$Variant::known(job, kept),)*
                }
            }

            /// How many of the measurements that a job has taken over belong to this stage.
            pub fn count_reused(self, reused: &Measurements) -> usize {
                match self {
                    $(Self::$Variant => $module::$Variant::count_reused(reused),)*
                }
            }

            /// What is counted where all measurements of the stage were taken over.
            pub fn reused_unit(self) -> &'static str {
                match self {
                    $(Self::$Variant => $module::$Variant::REUSED_UNIT,)*
                }
            }
        }

        impl Work {
            /// The stage that it belongs to.
            pub fn stage(&self) -> Stage {
                match self {
                    $(Self::$Variant(_) => Stage::$Variant,)*
                }
            }

            /// Names of the files that the task writes, unless its result is that it did without one.
            pub fn files(&self) -> Vec<String> {
                match self {
                    $(Self::$Variant(work) => $module::$Variant::files(work),)*
                }
            }

            /// A made-up result of the task.
            #[cfg(any(test, feature = "testing"))]
            pub fn sample(&self) -> TaskResult {
                match self {
                    $(Self::$Variant(work) => TaskResult::$Variant($module::$Variant::sample(work)),)*
                }
            }
        }

        impl TaskResult {
            /// The stage that reports it.
            pub fn stage(&self) -> Stage {
                match self {
                    $(Self::$Variant(_) => Stage::$Variant,)*
                }
            }

            /// Of the files of a task, those that one with this result has not written.
            fn left_out(&self) -> &'static [&'static str] {
                match self {
                    $(Self::$Variant(result) => $module::$Variant::left_out(result),)*
                }
            }

            fn as_any(&self) -> &dyn Any {
                match self {
                    $(Self::$Variant(result) => result,)*
                }
            }

            fn brought(&self, job: JobView<'_>) -> Vec<Kept> {
                match self {
                    $(Self::$Variant(result) => $module::$Variant::brought(result, job),)*
                }
            }
        }
    };
}

with_stages!(define_stages);

impl Stage {
    /// Every stage, in the order of the list.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// The name in the API, in tables and in reports.
    pub fn as_str(self) -> &'static str {
        self.into()
    }

    /// The stage of a name; `None` for any other text.
    pub fn parse(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// The stage after this one; `None` when the job is done.
    pub fn next(self, spec: &JobSpec, has_dataset: bool) -> Option<Self> {
        if self == Self::Inspect {
            return None;
        }
        let later = Self::ALL.iter().copied().filter(|&stage| stage > self);
        later.into_iter().find(|stage| stage.is_part_of(spec, has_dataset))
    }
}

impl TaskResult {
    /// Names of the files that a task with this result has written.
    pub fn files(&self, work: &Work) -> Vec<String> {
        let left_out = self.left_out();
        work.files().into_iter().filter(|file| !left_out.contains(&file.as_str())).collect()
    }
}

/// The tasks of a stage whose predecessors have all finished, without those whose results are `known` from earlier jobs.
///
/// # Errors
/// The result of an earlier stage is not there.
pub fn plan(stage: Stage, job: JobView<'_>, known: &Measurements) -> Result<Plan, PlanError> {
    let reused = stage.taken_over(job, known)?;
    Ok(Plan { tasks: stage.tasks(job, &reused)?, reused })
}

#[cfg(test)]
mod tests;
