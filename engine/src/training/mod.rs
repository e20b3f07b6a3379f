//! Recovery of a cut network: training on cross-entropy, on distillation from the original network, or on both.
//!
//! Everything random is seeded (order, augmentation, dropout), so the same spec gives the same weights on one machine with
//! the same number of threads. The weights of the best epoch by validation are kept; epoch 0, the network as it was
//! screened, takes part, so tuning never makes a candidate worse. Batch norm trains unless it is frozen; the original runs in evaluation mode.
//! After every epoch the state is offered as a checkpoint, from which another process comes to the same weights.
//! A loss that is not finite starts everything over once, from the screened weights at a tenth of the learning rate.

mod average;
mod hints;
mod loss;
mod mixup;
mod optimizer;
mod precision;
mod probe;
pub mod repair;
mod schedule;
mod standing;
mod told;

use std::cell::OnceCell;
use std::time::Instant;

use secateur_core::graph::Graph;
use secateur_core::recovery::{Epoch, Recipe, Score};
use secateur_core::rejection::{Code, Rejection};
use secateur_core::spec::{FineTune, Objective};
use secateur_core::surgery::Hint;
use tch::{Kind, Tensor};

use crate::data::{Augment, Labels, Split};
use crate::error::Error;
use crate::measure::batch_norm::for_training;
use crate::measure::evaluate::{Reference, Validator};
use crate::network::{Network, weights};
use crate::output::Outputs;
use crate::process::checkpoint::Checkpoints;
use crate::process::messages::{Counter, Messages};
use crate::torch::{Mode, Precision, Program, Statistics, Training, channels_last};

use average::Average;
use hints::Hints;
use loss::Loss;
use mixup::{Mixed, Mixup};
use optimizer::{Optimizer, Rule, added, clipped};
use schedule::Schedule;
use standing::{Standing, State};

/// The best epoch's weights and the way there.
pub struct Tuned {
    pub weights: Vec<Tensor>,
    pub epochs: Vec<Epoch>,
    /// 0 when no epoch was better than the screened network.
    pub best_epoch: u32,
    pub score: Score,
    pub recipe: Recipe,
}

/// What a job fine-tunes with.
pub struct Session<'a> {
    pub original: &'a Network,
    pub outputs: &'a Outputs,
    pub train: &'a Split,
    pub validator: &'a Validator<'a>,
    pub settings: &'a FineTune,
    pub seed: u64,
    pub messages: &'a Messages,
    /// The original's answers on the training split, for all networks that are trained; empty until the first needs them.
    pub answers: OnceCell<Reference<'a>>,
    /// Where the end of every epoch is offered; `None` when the caller keeps its own.
    pub checkpoints: Option<&'a Checkpoints<'a>>,
}

/// A cut network before its fine-tune.
#[derive(Clone, Copy)]
pub struct Start<'a> {
    pub graph: &'a Graph,
    pub weights: &'a [Tensor],
    /// Where it can be compared with the original besides its answers.
    pub hints: &'a [Hint],
    /// Its number in the job, by which its epochs are told.
    pub candidate: usize,
}

/// Fine-tunes a network.
///
/// # Errors
/// A [`Rejection`] when the data set or the model allows no training of this kind; a failure when the loss is not finite
/// at the lowered learning rate either.
pub fn fine_tune(session: &Session, start: Start) -> Result<Tuned, Error> {
    check_labels(session.settings, session.train.labels().is_some())?;
    let batches = session.steps_of_an_epoch()? as usize;
    let rule = Rule::of(session.settings, start.graph, session.outputs);
    if batches == 0 {
        let count = session.train.count();
        return Err(Rejection::new(
            Code::DatasetMismatch,
            format!("The training split has {count} samples; fine-tuning needs at least 2."),
        )
        .into());
    }
    let total = u64::from(session.settings.epochs) * batches as u64;
    let mut progress = session.messages.count(total, "steps");
    let mut resumed = session.checkpoints.and_then(|checkpoints| {
        checkpoints.resume(|state: State, saved| Standing::restore(state, saved, rule, start.graph, start.weights))
    });
    if let Some(standing) = &resumed {
        progress.resume((standing.epochs.len() * batches) as u64);
        // Those of the last seconds before the end of the attempt that left the checkpoint may not have been passed on.
        for epoch in &standing.epochs {
            progress.tell(told::reading(start.candidate, epoch, session.validator.measure()));
        }
    }
    if session.settings.hints == 0.0 && session.learns_from_kept_answers() {
        session.kept_answers()?;
    }
    let (training, peak) = match &resumed {
        Some(standing) => (standing.training, standing.peak),
        None => probe::choose(session, start, rule, precision::choose(session, start)?)?,
    };
    session.messages.log(format!(
        "training with {} at a learning rate of {peak}{}",
        rule.as_str(),
        if training.statistics == Statistics::Running { ", batch norm frozen" } else { "" }
    ));
    let way = |rate| Way { peak, rate, training };
    let mut pass = session.settings.micro_batch.unwrap_or(session.settings.batch_size).get() as i64;
    if !resumed.as_ref().is_some_and(|standing| standing.is_lowered) {
        match within_memory(session, start, way(Rate::AsAsked), resumed.take(), &mut pass, &mut progress)? {
            Attempt::Finished(tuned) => return Ok(tuned),
            Attempt::NotFinite { epoch } => session.messages.log(format!(
                "the loss was not finite in epoch {epoch} at learning rate {peak}; starting over at {}",
                peak / 10.0
            )),
        }
        progress.restart();
    }
    match within_memory(session, start, way(Rate::Lowered), resumed, &mut pass, &mut progress)? {
        Attempt::Finished(tuned) => Ok(tuned),
        Attempt::NotFinite { epoch } => Err(Error::internal(format!(
            "fine-tuning diverged: the loss was not finite in epoch {epoch} at learning rate {}, after it had not been at {}",
            peak / 10.0,
            peak
        ))),
    }
}

/// The peak learning rate of a network where nothing is tried.
pub fn usual_rate(settings: &FineTune, graph: &Graph, outputs: &Outputs) -> f64 {
    Rule::of(settings, graph, outputs).rate(settings)
}

/// # Errors
/// A [`Rejection`] when the objective wants labels and there are none.
pub fn check_labels(settings: &FineTune, has_labels: bool) -> Result<(), Rejection> {
    if settings.objective.needs_labels() && !has_labels {
        return Err(Rejection::new(
            Code::DatasetMismatch,
            format!(
                "The data set has no labels (`y`), and the objective `{}` needs them.",
                settings.objective.as_str()
            ),
        )
        .at("fine_tune.objective")
        .hint(
            "Set `\"objective\": \"distill\"`, which learns from the original network's outputs and needs no labels.",
        ));
    }
    Ok(())
}

/// The labels of a split where training learns from them.
pub fn labels_learnt_from<'a>(settings: &FineTune, split: &'a Split) -> Option<&'a Labels> {
    let learns_from_labels = settings.objective != Objective::Distill && settings.distill.get() < 1.0;
    split.labels().filter(|_| learns_from_labels)
}

impl Session<'_> {
    /// Batches of the training split.
    pub fn steps_of_an_epoch(&self) -> Result<u64, Error> {
        Ok(self.train.shuffled(self.batch_size(), self.seed, 0)?.len() as u64)
    }

    fn batch_size(&self) -> i64 {
        self.settings.batch_size.get() as i64
    }

    /// Whether every epoch asks the original the same of its outputs, which are then computed once: half the cost of an epoch.
    fn learns_from_kept_answers(&self) -> bool {
        let FineTune { augment, mixup, .. } = self.settings;
        let needs_original = Loss::new(self.outputs, self.train, self.settings).needs_original();
        needs_original && augment.is_empty() && mixup.is_none()
    }

    fn kept_answers(&self) -> Result<&Reference<'_>, Error> {
        if let Some(answers) = self.answers.get() {
            return Ok(answers);
        }
        let answers = Reference::of(self.original, self.train)?;
        Ok(self.answers.get_or_init(|| answers))
    }

    /// The original's answers to samples as they are.
    fn answers_to(&self, samples: &Tensor, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        match self.answers.get() {
            Some(answers) => answers.select(samples, inputs),
            None => self.original.answers(inputs),
        }
    }
}

/// The peak learning rate of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rate {
    AsAsked,
    /// A tenth of it.
    Lowered,
}

/// How an attempt goes about it.
#[derive(Debug, Clone, Copy)]
struct Way {
    /// As asked.
    peak: f64,
    rate: Rate,
    training: Training,
}

enum Attempt {
    Finished(Tuned),
    NotFinite { epoch: u32 },
}

/// An attempt, again with half as many samples in a pass as long as memory runs out. A step has the same samples and the same rate.
fn within_memory(
    session: &Session,
    start: Start,
    way: Way,
    mut resumed: Option<Standing>,
    pass: &mut i64,
    progress: &mut Counter,
) -> Result<Attempt, Error> {
    loop {
        match attempt(session, start, way, resumed.take(), *pass, progress) {
            Err(error) if error.is_out_of_memory() && *pass >= 4 => {
                *pass /= 2;
                session.messages.log(format!(
                    "memory ran out ({error}); starting over with {pass} samples in a pass, whose gradients add up to a step of {}",
                    session.batch_size()
                ));
                progress.restart();
            }
            other => return other,
        }
    }
}

/// `pass`: samples that run through the network at once.
fn attempt(
    session: &Session,
    start: Start,
    way: Way,
    resumed: Option<Standing>,
    pass: i64,
    progress: &mut Counter,
) -> Result<Attempt, Error> {
    let Session { original, outputs, train, validator, settings, seed, .. } = *session;
    let Way { peak, rate, training } = way;
    let graph = start.graph;
    let first = resumed.as_ref().map_or(start.weights, |standing| &standing.weights);
    let student = Network::new(for_training(graph)?, trainable_copy(graph, first)?)?;
    let rule = Rule::of(settings, graph, outputs);
    let mut optimizer = Optimizer::new(rule, trained(graph, student.weights())?, settings.weight_decay)?;
    let loss = Loss::new(outputs, train, settings);
    let mut augment = Augment::new(&settings.augment, train, labels_learnt_from(settings, train), seed)?;
    let mut mixup = settings.mixup.map(|alpha| Mixup::new(alpha, seed));
    let hints = match loss.needs_original() && settings.hints > 0.0 {
        true => Hints::of(original, start.hints, train)?,
        false => None,
    };
    let with_hints = match &hints {
        Some(_) => Some(Program::prepare(&hints::returning(student.graph(), start.hints)?)?),
        None => None,
    };
    let live = Reference::Live(original);
    let reference = match loss.needs_original() && hints.is_none() {
        false => None,
        true if session.learns_from_kept_answers() => Some(session.kept_answers()?),
        true => Some(&live),
    };

    let steps = session.steps_of_an_epoch()?;
    let highest = peak / if rate == Rate::Lowered { 10.0 } else { 1.0 };
    let mut schedule = Schedule::new(highest, steps * u64::from(settings.epochs));
    let mut average = settings.ema.map(|decay| Average::new(decay, graph, &student)).transpose()?;
    let (mut best, mut epochs) = match resumed {
        Some(standing) => {
            let done = steps * standing.epochs.len() as u64;
            optimizer.set_moments(&standing.moments, done)?;
            schedule = schedule.after(done);
            average = average.map(|average| average.restored(standing.average, done));
            (standing.best.in_layout_of_its_epoch(graph)?, standing.epochs)
        }
        None => {
            let score = validator.score(&student)?;
            (Best { weights: weights::deep_copy(graph, start.weights)?, epoch: 0, score }, Vec::new())
        }
    };
    for epoch in epochs.len() as u32 + 1..=settings.epochs {
        if settings.patience.is_some_and(|patience| epoch - 1 - best.epoch >= patience) {
            session.messages.log(format!("no epoch was better than epoch {}; training ends", best.epoch));
            break;
        }
        let started = Instant::now();
        // What an epoch draws depends on seed and epoch alone, so that it comes out the same when it is the first of a process.
        tch::manual_seed(seed.rotate_left(32).wrapping_add(u64::from(epoch)) as i64);
        if let Some(augment) = &mut augment {
            augment.begin(epoch);
        }
        if let Some(mixup) = &mut mixup {
            mixup.begin(epoch);
        }
        let mut sum: Option<Tensor> = None;
        let mut seen = 0;
        let batches = train.shuffled(session.batch_size(), seed, u64::from(epoch))?;
        for (number, batch) in batches.iter().enumerate() {
            if let Some(next) = batches.get(number + 1) {
                train.expect(next)?;
            }
            let of_part = |part: &Tensor| -> Result<Tensor, Error> {
                let (input, labels) = train.draw(part, augment.as_mut())?;
                let Mixed { inputs: input, others, share: of_sample } = match &mut mixup {
                    Some(mixup) => mixup.mix(&input, labels.as_ref())?,
                    None => Mixed { inputs: input, others: None, share: 1.0 },
                };
                let (targets, hidden_targets) = match (&hints, reference) {
                    (Some(hints), _) => {
                        let (answers, hidden) = hints.of_original(&input)?;
                        (Some(answers), hidden)
                    }
                    (None, Some(reference)) => (Some(reference.select(part, &input)?), Vec::new()),
                    (None, None) => (None, Vec::new()),
                };
                let mut answers = match &with_hints {
                    Some(program) => program.run(student.weights(), &input, Mode::Train(training))?,
                    None => student.train(&input, training)?,
                };
                let hidden = answers.split_off(answers.len() - hidden_targets.len());
                let mut value = loss.of(&answers, labels.as_ref(), targets.as_deref())?;
                if let Some(others) = &others {
                    // Of the other samples' labels; what is distilled is the same in both.
                    value = loss.of(&answers, Some(others), targets.as_deref())?.f_lerp(&value, of_sample)?;
                }
                if let Some(hints) = &hints {
                    let of_hidden = hints.loss(&hidden, &hidden_targets)?;
                    value = value.f_add(&of_hidden.f_mul_scalar(settings.hints * loss.distill())?)?;
                }
                Ok(value)
            };
            let Slope { loss: value, gradients } = slope(&optimizer, batch, pass, settings.clip_norm, of_part)?;
            let value = value.f_mul_scalar(batch.numel() as i64)?;
            sum = Some(match sum {
                Some(sum) => sum.f_add(&value)?,
                None => value,
            });
            optimizer.follow(gradients, schedule.next())?;
            if let Some(average) = &mut average {
                average.add(graph, &student)?;
            }
            seen += batch.numel() as i64;
            progress.advance();
        }
        let total = sum.map_or(Ok(0.0), |sum| sum.f_double_value(&[]))?;
        let train_loss = total / seen.max(1) as f64;
        let averaged = average.as_ref().map(|average| average.network(graph, &student)).transpose()?;
        let candidate = averaged.as_ref().unwrap_or(&student);
        let score = validator.score(candidate)?;
        if !train_loss.is_finite() || score.loss == Score::WORST_LOSS {
            return Ok(Attempt::NotFinite { epoch });
        }
        if score.is_better_than(&best.score) {
            best = Best { weights: weights::deep_copy(graph, candidate.weights())?, epoch, score };
        }
        let seconds = started.elapsed().as_secs_f64();
        let Score { accuracy, metric, .. } = score;
        epochs.push(Epoch { epoch, train_loss, val_accuracy: accuracy, val_metric: metric, seconds });
        progress.tell(told::reading(start.candidate, &epochs[epochs.len() - 1], validator.measure()));
        if let Some(checkpoints) = session.checkpoints.filter(|_| epoch < settings.epochs) {
            let state = State {
                is_lowered: rate == Rate::Lowered,
                is_bfloat16: training.precision == Precision::Bfloat16,
                is_frozen: training.statistics == Statistics::Running,
                peak,
                has_average: average.is_some(),
                best_epoch: best.epoch,
            };
            checkpoints.save(&format!("epoch {epoch} of {}", settings.epochs), &state, || {
                let averages = average.as_ref().map_or(&[][..], |average| &average.tensors);
                Standing::tensors(graph, student.weights(), &optimizer.moments(), averages, &best, &epochs)
            });
        }
    }
    let recipe = told::recipe(rule, highest, training, pass);
    Ok(Attempt::Finished(Tuned { weights: best.weights, epochs, best_epoch: best.epoch, score: best.score, recipe }))
}

/// Where a batch leads.
struct Slope {
    /// float64.
    loss: Tensor,
    gradients: Vec<Tensor>,
}

/// The mean loss of a batch and its gradients, in passes of so many samples whose gradients add up.
fn slope(
    optimizer: &Optimizer,
    batch: &Tensor,
    pass: i64,
    clip_norm: Option<f64>,
    mut loss_of: impl FnMut(&Tensor) -> Result<Tensor, Error>,
) -> Result<Slope, Error> {
    let mut sums: Option<Slope> = None;
    for (part, share) in passes(batch, pass)? {
        let value = loss_of(&part)?.f_mul_scalar(share)?;
        let gradients = optimizer.gradients(&value)?;
        let loss = value.f_detach()?.f_to_kind(Kind::Double)?;
        sums = Some(match sums {
            Some(before) => Slope { loss: before.loss.f_add(&loss)?, gradients: added(before.gradients, gradients)? },
            None => Slope { loss, gradients },
        });
    }
    let Slope { loss, gradients } = sums.ok_or_else(|| Error::internal("a batch without samples"))?;
    let gradients = match clip_norm {
        Some(norm) => clipped(gradients, norm)?,
        None => gradients,
    };
    Ok(Slope { loss, gradients })
}

/// A batch in passes of so many samples, each with its share of the batch. A single sample goes with those before it, since batch norm
/// cannot train on it.
fn passes(batch: &Tensor, pass: i64) -> Result<Vec<(Tensor, f64)>, Error> {
    let count = batch.numel() as i64;
    let mut parts = Vec::new();
    let mut first = 0;
    while first < count {
        let rest = count - first;
        let size = if rest - pass <= 1 { rest } else { pass };
        parts.push((batch.f_narrow(0, first, size)?, size as f64 / count as f64));
        first += size;
    }
    Ok(parts)
}

struct Best {
    weights: Vec<Tensor>,
    epoch: u32,
    score: Score,
}

impl Best {
    /// Weights that were read from a file in the layout that they had, so that they are measured by the same arithmetic.
    fn in_layout_of_its_epoch(self, graph: &Graph) -> Result<Self, Error> {
        let weights = if self.epoch == 0 { self.weights } else { trainable_copy(graph, &self.weights)? };
        Ok(Self { weights, ..self })
    }
}

/// A copy of the weights in the layout that convolutions train fastest in.
fn trainable_copy(graph: &Graph, start: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    let _no_grad = tch::no_grad_guard();
    weights::for_each_owned(graph, |index, _| Ok(channels_last(&weights::copy(&start[index])?)?))
}

/// Which of the graph's parameters are trained.
fn trained_indices(graph: &Graph, tensors: &[Tensor]) -> Vec<usize> {
    let is_float = |&index: &usize| tensors[index].f_kind().is_ok_and(weights::is_float);
    weights::trainable(graph).into_iter().filter(is_float).collect()
}

/// The tensors that are trained, as leaves that record gradients.
fn trained(graph: &Graph, weights: &[Tensor]) -> Result<Vec<Tensor>, Error> {
    let trained: Vec<Tensor> = trained_indices(graph, weights)
        .into_iter()
        .map(|index| weights[index].f_set_requires_grad(true))
        .collect::<Result<_, _>>()?;
    if trained.is_empty() {
        return Err(Rejection::new(
            Code::UnsupportedModel,
            "The model has nothing to train: none of its tensors is a parameter with `requires_grad` or the constant weight of a layer.",
        )
        .hint("Set `\"fine_tune\": null`.")
        .into());
    }
    Ok(trained)
}
