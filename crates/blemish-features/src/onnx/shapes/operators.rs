//! Which operators are known here, and what each makes of its inputs.

use super::node::{Fault, Made, Step};
use super::tensor::Known;
use super::{compute, layout, make, numbers};

/// What a step makes.
///
/// # Errors
/// [`Fault`] if nothing can be said of it.
pub(super) fn infer(step: &Step<'_>) -> Result<Made, Fault> {
    match step.node.domain.as_str() {
        "" | "ai.onnx" => standard(step),
        "com.microsoft" => match step.node.op_type.as_str() {
            "Gelu" | "FastGelu" | "QuickGelu" | "BiasGelu" => like_first(step),
            _ => Err(Fault::Unknown),
        },
        _ => Err(Fault::Unknown),
    }
}

fn standard(step: &Step<'_>) -> Result<Made, Fault> {
    Ok(match step.node.op_type.as_str() {
        "Abs"
        | "Acos"
        | "Acosh"
        | "Asin"
        | "Asinh"
        | "Atan"
        | "Atanh"
        | "BatchNormalization"
        | "BitCast"
        | "Cast"
        | "CastLike"
        | "Ceil"
        | "Celu"
        | "Clip"
        | "Cos"
        | "Cosh"
        | "CumSum"
        | "DequantizeLinear"
        | "Dropout"
        | "Elu"
        | "Erf"
        | "Exp"
        | "EyeLike"
        | "Floor"
        | "Gelu"
        | "GroupNormalization"
        | "HardSigmoid"
        | "HardSwish"
        | "Hardmax"
        | "Identity"
        | "InstanceNormalization"
        | "IsInf"
        | "IsNaN"
        | "LRN"
        | "LayerNormalization"
        | "LeakyRelu"
        | "Log"
        | "LogSoftmax"
        | "LpNormalization"
        | "MeanVarianceNormalization"
        | "Mish"
        | "Neg"
        | "Not"
        | "QuantizeLinear"
        | "RMSNormalization"
        | "RandomNormalLike"
        | "RandomUniformLike"
        | "Reciprocal"
        | "Relu"
        | "ReverseSequence"
        | "RotaryEmbedding"
        | "Round"
        | "Scatter"
        | "ScatterElements"
        | "ScatterND"
        | "Selu"
        | "Shrink"
        | "Sigmoid"
        | "Sign"
        | "Sin"
        | "Sinh"
        | "Softmax"
        | "Softplus"
        | "Softsign"
        | "Sqrt"
        | "Swish"
        | "Tan"
        | "Tanh"
        | "ThresholdedRelu"
        | "Trilu" => like_first(step)?,
        "DynamicQuantizeLinear" => {
            let output = step.input(0)?.with(None);
            vec![output, Known::of(Vec::new()), Known::of(Vec::new())].into()
        }
        "Add" | "And" | "BitShift" | "Div" | "Equal" | "Greater" | "GreaterOrEqual" | "Less"
        | "LessOrEqual" | "Max" | "Mean" | "Min" | "Mod" | "Mul" | "Or" | "PRelu" | "Pow" | "Sub" | "Sum"
        | "Where" | "Xor" => numbers::elementwise(step)?.into(),
        "Conv" | "ConvInteger" | "QLinearConv" => compute::convolution(step)?,
        "ConvTranspose" => compute::transposed_convolution(step)?,
        "AveragePool" | "LpPool" | "MaxPool" => compute::pooling(step)?,
        "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" => compute::global_pooling(step)?,
        "MatMul" | "MatMulInteger" | "QLinearMatMul" => compute::product_of_matrices(step)?,
        "Gemm" => compute::gemm(step)?,
        "Einsum" => compute::einsum(step)?,
        "GridSample" => compute::grid_sample(step)?,
        "GRU" | "LSTM" | "RNN" => compute::recurrent(step)?,
        "Concat" => layout::concat(step)?.into(),
        "DepthToSpace" | "SpaceToDepth" => layout::depth_to_space(step)?.into(),
        "Expand" => layout::expand(step)?.into(),
        "Flatten" => layout::flatten(step)?.into(),
        "Gather" => layout::gather(step)?.into(),
        "GatherElements" => layout::gather_elements(step)?.into(),
        "GatherND" => layout::gather_nd(step)?.into(),
        "Pad" => layout::pad(step)?.into(),
        "Reshape" => layout::reshape(step)?.into(),
        "Resize" | "Upsample" => layout::resize(step)?.into(),
        "Shape" => layout::shape_of(step)?.into(),
        "Size" => layout::count_of(step)?.into(),
        "Slice" => layout::slice(step)?.into(),
        "Split" => layout::split(step)?.into(),
        "Squeeze" => layout::squeeze(step)?.into(),
        "Tile" => layout::tile(step)?.into(),
        "Transpose" => layout::transpose(step)?.into(),
        "Unsqueeze" => layout::unsqueeze(step)?.into(),
        "ArgMax" | "ArgMin" | "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax"
        | "ReduceMean" | "ReduceMin" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => {
            let work = step.input(0)?.elements();
            Made { work, ..make::reduce(step)?.into() }
        }
        "Constant" => make::constant_step(step)?.into(),
        "ConstantOfShape" => make::constant_of_shape(step)?.into(),
        "NonZero" => make::non_zero(step)?.into(),
        "OneHot" => make::one_hot(step)?.into(),
        "RandomNormal" | "RandomUniform" => make::random(step)?.into(),
        "Range" => make::range(step)?.into(),
        "TopK" => {
            let work = step.input(0)?.elements().saturating_mul(16);
            Made { work, ..make::top_k(step)?.into() }
        }
        _ => return Err(Fault::Unknown),
    })
}

/// Operators whose outputs are as large as the first input, or smaller.
fn like_first(step: &Step<'_>) -> Result<Made, Fault> {
    let input = step.input(0)?;
    let output = input.with(numbers::of_one(step, input));
    let outputs = vec![output; step.node.output.len().max(1)];
    let work = input.elements().saturating_mul(4);
    Ok(Made { outputs, meanwhile: input.bytes(), work })
}
