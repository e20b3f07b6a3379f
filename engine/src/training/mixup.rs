//! Two samples as one: Zhang, Cissé, Dauphin and Lopez-Paz, "mixup: Beyond Empirical Risk Minimization", ICLR 2018 (arXiv 1710.09412).

use rand::seq::SliceRandom;
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use secateur_core::rejection::{Code, Rejection};
use tch::Tensor;

use crate::error::Error;
use crate::network::weights;

/// Mixes the samples of every batch with each other, by a share that is drawn for the batch.
pub(super) struct Mixup {
    alpha: f64,
    generator: ChaCha8Rng,
}

/// A batch of mixed samples.
pub(super) struct Mixed {
    pub inputs: Vec<Tensor>,
    /// The labels of the samples that were mixed in.
    pub others: Option<Tensor>,
    /// What the samples themselves are of the mixture.
    pub share: f64,
}

impl Mixup {
    /// `alpha`: of the distribution Beta(alpha, alpha).
    pub(super) fn new(alpha: f64, seed: u64) -> Self {
        Self { alpha, generator: ChaCha8Rng::seed_from_u64(seed) }
    }

    /// From here on draws depend on seed and epoch alone.
    pub(super) fn begin(&mut self, epoch: u32) {
        // Apart from the streams of the order of samples, from 0 on, and of their augmentation, from the end down.
        self.generator.set_stream(u64::MAX / 2 - u64::from(epoch));
        self.generator.set_word_pos(0);
    }

    /// # Errors
    /// A [`Rejection`] when the samples are whole numbers, which have no mean.
    pub(super) fn mix(&mut self, inputs: &[Tensor], labels: Option<&Tensor>) -> Result<Mixed, Error> {
        for input in inputs {
            if !weights::is_float(input.f_kind()?) {
                return Err(Rejection::new(
                    Code::InvalidSpec,
                    "`fine_tune.mixup` adds samples up, and an input of the model takes whole numbers.",
                )
                .at("fine_tune.mixup")
                .hint("Leave `fine_tune.mixup` out.")
                .into());
            }
        }
        let share = self.share();
        let count = inputs.first().map_or(0, |input| input.size()[0]);
        let mut order: Vec<i64> = (0..count).collect();
        order.shuffle(&mut self.generator);
        let others = |tensor: &Tensor| {
            Ok::<_, Error>(tensor.f_index_select(0, &Tensor::f_from_slice(&order)?.f_to(tensor.device())?)?)
        };
        let mixed = |input: &Tensor| Ok(others(input)?.f_lerp(input, share)?);
        Ok(Mixed {
            inputs: inputs.iter().map(mixed).collect::<Result<_, Error>>()?,
            others: labels.map(others).transpose()?,
            share,
        })
    }

    /// From Beta(alpha, alpha), by Jöhnk's method, which is quick up to an alpha of 1.
    fn share(&mut self) -> f64 {
        loop {
            let [one, other] = [(); 2].map(|()| self.generator.random::<f64>().powf(1.0 / self.alpha));
            if one + other > 0.0 && one + other <= 1.0 {
                return one / (one + other);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn a_mixed_sample_lies_between_two_of_the_batch_and_names_the_other_ones_label() {
        let labels = Tensor::arange(8, (Kind::Int64, Device::Cpu));
        let input = labels.to_kind(Kind::Float).view([8, 1]);
        let mut mixup = Mixup::new(0.4, 1);
        mixup.begin(1);
        let Mixed { inputs, others, share } = mixup.mix(std::slice::from_ref(&input), Some(&labels)).unwrap();
        let others = others.unwrap();
        assert!(!others.equal(&labels));
        let expected = input.f_mul_scalar(share).unwrap() + others.to_kind(Kind::Float).view([8, 1]) * (1.0 - share);
        assert!((&inputs[0] - expected).abs().max().double_value(&[]) < 1e-5);
        // The epoch decides, and not what came before.
        let again = |mixup: &mut Mixup| {
            mixup.begin(1);
            mixup.mix(std::slice::from_ref(&input), None).unwrap().share
        };
        assert_eq!((again(&mut mixup), again(&mut mixup)), (share, share));
        assert!(mixup.mix(&[labels], None).err().unwrap().to_string().contains("whole numbers"));
    }

    /// Beta(a, a) has the mean 1/2 and the variance 1 / (8 a + 4).
    #[test]
    fn shares_have_the_spread_of_their_distribution() {
        let mut mixup = Mixup::new(0.4, 3);
        let drawn: Vec<f64> = (0..20_000).map(|_| mixup.share()).collect();
        let mean = drawn.iter().sum::<f64>() / 20_000.0;
        let variance = drawn.iter().map(|share| (share - mean).powi(2)).sum::<f64>() / 20_000.0;
        assert!((mean - 0.5).abs() < 0.01 && (variance - 1.0 / 7.2).abs() < 0.005, "{mean} {variance}");
    }
}
