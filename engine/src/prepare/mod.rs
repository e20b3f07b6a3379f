//! Turns a data set in a format that people have into the file that training reads.
//!
//! [`convert`] streams: a thread reads the source, others decode, resize and write each sample where it belongs ([`store`]), so that
//! what is in memory is a few samples for each thread, an index of names, and the labels. The samples to train on are written in an
//! order that the seed draws, since folders are sorted by class and training shuffles blocks: an archive that can be read in any order
//! is read in that one, the samples of everything else are written to where they belong as they come. Validation and test keep
//! their order.
//!
//! A sample that cannot be read is passed over and reported; more than one in a hundred, and more than three, refuse the set.
//! Dropping out half-way leaves a file behind that is no data set; whoever called removes it.

pub mod picture;

mod crew;
mod read;
mod sound;
mod store;
mod unpacked;

#[cfg(test)]
mod tests;

use std::path::Path;
use std::sync::Mutex;

use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use secateur_core::dataset::source::{Content, Labels, Resize, Source};
use secateur_core::dataset::{Split, SplitCounts};
use secateur_core::graph::DType;
use secateur_core::rejection::{Code, Rejection};

use self::crew::{Crew, Decoded, Fault, Outbox, Tally};
use self::picture::Frame;
use self::store::{Element, Form, Store, Target};
use crate::error::Error;

pub use self::crew::{BadSample, BadSamples};
pub use self::unpacked::unpack;

/// What the model takes, and how the data set is to become that.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// One sample without the batch, `[3, 224, 224]`.
    pub shape: Vec<usize>,
    /// The type of the model's input: an integer type for tokens, else a float type.
    pub dtype: DType,
    /// The rule for pictures of another size, `data.resize` of the spec.
    pub resize: Option<Resize>,
    /// Draws the order of the samples to train on.
    pub seed: u64,
    /// Threads that decode.
    pub threads: usize,
}

/// What was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Converted {
    /// Samples of each split in the store; 0 where it has none.
    pub samples: SplitCounts,
    /// The names of the classes in the order of their numbers; empty where the source does not name them.
    pub classes: Vec<String>,
    /// Samples that could not be read, in all splits together.
    pub bad: BadSamples,
}

/// Names of the arrays of each split.
const NAMES: [[&str; 2]; 3] = [["x", "y"], ["x_val", "y_val"], ["x_test", "y_test"]];

/// Converts `source` into a `.safetensors` file at `out`. `progress` is given the samples that are done and how many there are.
///
/// # Errors
/// A [`Rejection`] when the data set does not fit the model, or too many samples cannot be read; else what went wrong with the disk.
pub fn convert(
    source: &Source,
    wanted: &Wanted,
    out: &Path,
    progress: &mut dyn FnMut(usize, usize),
) -> Result<Converted, Error> {
    let work = Work::new(source, wanted)?;
    let counts = [Split::Train, Split::Val, Split::Test].map(|split| source.summary().count(split));
    let total = counts.iter().sum();
    let tally = Mutex::new(Tally::new(total));
    let mut store = Store::create(out, work.form.clone(), total)?;
    let mut samples = [0; 3];
    let mut before = 0;
    for (split, &count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        let slots = store.slots()?;
        let order = order(count, split, wanted.seed);
        let mut report = |done: usize| progress(before + done, total);
        let crew = Crew { threads: wanted.threads.max(1), slots: &slots, count, tally: &tally };
        let labels = crew.fill(
            &mut report,
            |outbox| work.read(split, &order, outbox),
            |piece| work.decode(piece),
            |piece| work.name(piece),
        )?;
        let masks = slots.into_masks();
        samples[split] = store.finish_split(NAMES[split], masks, labels)?;
        if samples[split] == 0 {
            return Err(Rejection::new(
                Code::InvalidDataset,
                format!("None of the {count} samples of `{}` could be read.", NAMES[split][0]),
            )
            .into());
        }
        before += count;
        progress(before, total);
    }
    store.finish()?;
    let [train, val, test] = samples;
    let bad = tally.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner).bad;
    Ok(Converted { samples: SplitCounts { train, val, test }, classes: source.summary().classes.clone(), bad })
}

/// Where each sample goes, or which sample comes next: a permutation of the samples to train on, the identity else.
fn order(count: usize, split: usize, seed: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..count as u32).collect();
    if split == 0 {
        order.shuffle(&mut ChaCha8Rng::seed_from_u64(seed));
    }
    order
}

/// The samples of a source, on their way to the model's form.
struct Work<'a> {
    content: &'a Content,
    form: Form,
    maker: Maker,
}

/// What makes a sample of what was read.
enum Maker {
    Pictures(Frame),
    Sounds(sound::Rate),
    Tokens,
}

impl<'a> Work<'a> {
    fn new(source: &'a Source, wanted: &Wanted) -> Result<Self, Error> {
        let content = source.content();
        let takes_tokens =
            matches!(wanted.dtype, DType::Int64 | DType::Int32 | DType::Int16 | DType::Int8 | DType::Uint8);
        let shape = &wanted.shape;
        let mismatch = |samples: &str, takes: &str| {
            let kind = if takes_tokens { "integers" } else { "floats" };
            Rejection::new(
                Code::DatasetMismatch,
                format!(
                    "The data set has {samples}, which need a model that takes {takes}; this one takes {kind} of shape {shape:?}."
                ),
            )
        };
        let frame = |height: usize, width: usize, channels: usize| Frame::new(channels, height, width, wanted.resize);
        let (maker, element) = match content {
            Content::Tables(tables) if tables.columns.tokens => {
                let (true, [_]) = (takes_tokens, &shape[..]) else {
                    return Err(mismatch("lists of tokens", "integers, [tokens]").into());
                };
                (Maker::Tokens, Element::I64)
            }
            Content::Sounds(..) => {
                let (false, [_] | [1, _]) = (takes_tokens, &shape[..]) else {
                    return Err(mismatch("recordings", "floats, [samples] or [1, samples]").into());
                };
                (Maker::Sounds(sound::Rate::default()), Element::F32)
            }
            Content::Pictures(..) | Content::Cifar(..) | Content::Idx(..) | Content::Tables(_) => {
                let frame = match shape[..] {
                    [height, width] if !takes_tokens => frame(height, width, 1)?,
                    [channels @ (1 | 3), height, width] if !takes_tokens => frame(height, width, channels)?,
                    _ => {
                        return Err(mismatch("pictures", "floats, [3, height, width] or [1, height, width]").into());
                    }
                };
                (Maker::Pictures(frame), Element::U8)
            }
        };
        let target = match (source.summary().labels, &shape[..]) {
            (Labels::None, _) => Target::None,
            (Labels::Masks, &[.., height, width]) => Target::Mask([height, width]),
            (Labels::Classes | Labels::Masks, _) => Target::Class,
        };
        if shape.iter().try_fold(8, |bytes: usize, &size| bytes.checked_mul(size)).is_none_or(|bytes| bytes >= 1 << 40)
            || shape.contains(&0)
        {
            return Err(Rejection::new(
                Code::DatasetMismatch,
                format!("A sample of shape {shape:?} is empty or has no place in memory."),
            )
            .into());
        }
        Ok(Self { content, form: Form { shape: shape.clone(), element, target }, maker })
    }

    fn read(&self, split: usize, order: &[u32], outbox: &mut Outbox<read::Piece>) -> Result<(), Error> {
        match self.content {
            Content::Pictures(archive, samples) | Content::Sounds(archive, samples) => {
                read::files::read(archive, &samples[split], order, outbox)
            }
            Content::Cifar(archive, cifar) => read::cifar::read(archive, cifar, split, order, outbox),
            Content::Idx(archive, pairs) => match &pairs[split] {
                Some(pair) => read::idx::read(archive, pair, order, outbox),
                None => Ok(()),
            },
            Content::Tables(tables) => read::tables::read(tables, split, order, outbox),
        }
    }

    fn decode(&self, piece: &read::Piece) -> Result<Decoded, Fault> {
        let archive = match self.content {
            Content::Pictures(archive, _) | Content::Sounds(archive, _) => Some(archive),
            _ => None,
        };
        let read::Loaded { bytes, label, mask } = piece.load(archive)?;
        let (sample, mask) = match (&self.maker, bytes) {
            (Maker::Pictures(frame), read::Bytes::Encoded(bytes)) => match mask {
                Some(mask) => {
                    let (sample, mask) = frame.sample_with_mask(&bytes, &mask)?;
                    (sample, Some(mask))
                }
                None => (frame.sample(&bytes)?, None),
            },
            (Maker::Pictures(frame), read::Bytes::Pixels(picture)) => (frame.sample_of_pixels(&picture)?, None),
            (Maker::Sounds(rate), read::Bytes::Encoded(bytes)) => {
                let name = self.name(piece);
                let length = self.form.shape.last().copied().unwrap_or_default();
                let sample = rate.sample(&name, &bytes, length).map_err(|fault| sound_fault(fault, &name))?;
                (sample.iter().flat_map(|number| number.to_le_bytes()).collect(), None)
            }
            (Maker::Tokens, read::Bytes::Tokens(mut tokens)) => {
                // As `padding="max_length", truncation=True` with the usual padding token.
                tokens.resize(self.form.shape[0], 0);
                (tokens.iter().flat_map(|token| token.to_le_bytes()).collect(), None)
            }
            _ => unreachable!("the maker was chosen by the content"),
        };
        Ok(Decoded { sample, mask, label })
    }

    fn name(&self, piece: &read::Piece) -> String {
        match self.content {
            Content::Pictures(archive, _) | Content::Sounds(archive, _) => piece.name(Some(archive)),
            _ => piece.name(None),
        }
    }
}

fn sound_fault(fault: sound::Fault, name: &str) -> Fault {
    match fault {
        sound::Fault::Bad(reason) => Fault::Bad(reason),
        sound::Fault::Rate { found, rate, name: other } => Fault::Refused(
            Rejection::new(
                Code::InvalidDataset,
                format!(
                    "`{name}` has a sampling rate of {found} Hz, but `{other}` has {rate}; all have to have the same."
                ),
            )
            .at(name)
            .hint("Resample the recordings to the rate that the model was trained at."),
        ),
    }
}
