//! Focal loss.

use super::mean::mean;
use burn::tensor::Tensor;

/// Cross-entropy in which values that are already right count less (Lin et al. 2017), as the released codes of DRAEM and MemSeg compute it.
///
/// With y the one-hot truth held within [e, 1 - e], e the smoothing, and p the probabilities:
///
/// - [`FocalForm::TrueClass`]: q = sum over k of y_k p_k + e; -(1 - q)^gamma ln q (DRAEM, gamma 2);
/// - [`FocalForm::EachClass`]: sum over k of -(1 - p_k)^gamma y_k ln(p_k + e) (MemSeg, gamma 4);
///
/// averaged over images and positions.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Focal {
    /// How fast certainty counts less; 0 is the cross-entropy.
    pub gamma: f64,
    /// e.
    pub smoothing: f64,
    /// Which of the two.
    pub form: FocalForm,
}

/// Where a focal loss looks at the probabilities.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FocalForm {
    /// At that of the true class.
    TrueClass,
    /// At all, weighted by the truth.
    EachClass,
}

impl Focal {
    /// The loss of probabilities, batch x classes x height x width, for a one-hot truth of the same shape; see [`two_classes`].
    ///
    /// # Panics
    /// If the shapes differ.
    pub fn forward(&self, probabilities: Tensor<4>, truth: Tensor<4>) -> Tensor<1> {
        assert_eq!(probabilities.dims(), truth.dims(), "a loss of values of two shapes");
        let Self { gamma, smoothing, form } = *self;
        let truth = truth.clamp(smoothing, 1.0 - smoothing);
        // Rounding must not make a certainty a little more than 1: only even powers of that would be numbers.
        let doubt = |p: Tensor<4>| (-p + 1.0).clamp_min(0.0).powf_scalar(gamma);
        let cost = match form {
            FocalForm::TrueClass => {
                let q = (truth * probabilities).sum_dim(1) + smoothing;
                doubt(q.clone()) * q.log()
            }
            FocalForm::EachClass => {
                (doubt(probabilities.clone()) * truth * (probabilities + smoothing).log()).sum_dim(1)
            }
        };
        mean(cost).neg()
    }
}

/// The one-hot truth of two classes, good and defective, from masks of 0 and 1: batch x 1 x height x width to batch x 2 x height x width.
pub fn two_classes(masks: Tensor<4>) -> Tensor<4> {
    Tensor::cat(vec![-masks.clone() + 1.0, masks], 1)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{check_gradients, close, double, random, values};
    use burn::module::Param;
    use burn::tensor::activation::softmax;

    fn truth() -> Tensor<4> {
        two_classes(double().of(vec![1.0, 0.0], [1, 1, 1, 2]).val().detach())
    }

    #[test]
    fn doubt_about_the_true_class_counts() {
        // Defective with 0.75, good with 0.5.
        let p = double().of(vec![0.25, 0.5, 0.75, 0.5], [1, 2, 1, 2]).val();
        let expected = -(0.0625 * 0.75f64.ln() + 0.25 * 0.5f64.ln()) / 2.0;
        for form in [FocalForm::TrueClass, FocalForm::EachClass] {
            let focal = Focal { gamma: 2.0, smoothing: 0.0, form };
            close(&values(focal.forward(p.clone(), truth())), &[expected], 1e-12);
        }
        let entropy = Focal { gamma: 0.0, smoothing: 0.0, form: FocalForm::TrueClass };
        close(&values(entropy.forward(p, truth())), &[-(0.75f64.ln() + 0.5f64.ln()) / 2.0], 1e-12);
    }

    #[test]
    fn certainty_is_finite() {
        let device = burn::tensor::Device::flex().autodiff();
        for form in [FocalForm::TrueClass, FocalForm::EachClass] {
            let p = Tensor::<4>::from_data([[[[0.0, 0.0]], [[1.0, 1.0]]]], &device).require_grad();
            let masks = Tensor::<4>::from_data([[[[1.0, 0.0]]]], &device);
            let loss = Focal { gamma: 2.5, smoothing: 1e-5, form }.forward(p.clone(), two_classes(masks));
            assert!(values(loss.clone())[0].is_finite());
            assert!(values(p.grad(&loss.backward()).unwrap()).iter().all(|slope| slope.is_finite()));
        }
    }

    #[test]
    fn gradients_are_the_slopes() {
        for (form, gamma) in
            [(FocalForm::TrueClass, 2.0), (FocalForm::EachClass, 4.0), (FocalForm::TrueClass, 1.5)]
        {
            let focal = Focal { gamma, smoothing: 1e-5, form };
            check_gradients(Param::from_tensor(random([1, 2, 1, 2], 1)), |logits| {
                focal.forward(softmax(logits.val(), 1), truth())
            });
        }
    }
}
