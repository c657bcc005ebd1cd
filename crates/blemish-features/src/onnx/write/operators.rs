//! Operators that are used often, by what they do.

use super::{Element, GraphWriter, Setting, Value};

/// The first set of operators in which reductions take their axes as an input.
const AXES_AS_INPUT: i64 = 18;

/// What a reduction makes of the values along its axes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// The largest.
    Max,
    /// The smallest.
    Min,
    /// Their mean.
    Mean,
    /// Their sum.
    Sum,
}

impl GraphWriter {
    /// a + b.
    pub fn add(&mut self, a: &Value, b: &Value) -> Value {
        self.apply("Add", &[a, b], &[])
    }

    /// a - b.
    pub fn sub(&mut self, a: &Value, b: &Value) -> Value {
        self.apply("Sub", &[a, b], &[])
    }

    /// a times b, element by element.
    pub fn mul(&mut self, a: &Value, b: &Value) -> Value {
        self.apply("Mul", &[a, b], &[])
    }

    /// a over b, element by element.
    pub fn div(&mut self, a: &Value, b: &Value) -> Value {
        self.apply("Div", &[a, b], &[])
    }

    /// The product of matrices, the last two axes of each.
    pub fn matmul(&mut self, a: &Value, b: &Value) -> Value {
        self.apply("MatMul", &[a, b], &[])
    }

    /// A function of every element, such as `Exp`.
    pub fn each(&mut self, kind: &str, value: &Value) -> Value {
        self.apply(kind, &[value], &[])
    }

    /// The same values as another element type.
    pub fn cast(&mut self, value: &Value, to: Element) -> Value {
        self.apply("Cast", &[value], &[Setting::Int("to", i64::from(to.number()))])
    }

    /// Another shape; 0 keeps a side, -1 is what is left.
    pub fn reshape(&mut self, value: &Value, shape: &[i64]) -> Value {
        let shape = self.list(shape);
        self.apply("Reshape", &[value, &shape], &[])
    }

    /// Axes in another order.
    pub fn transpose(&mut self, value: &Value, order: &[i64]) -> Value {
        self.apply("Transpose", &[value], &[Setting::Ints("perm", order)])
    }

    /// Adds axes of length 1.
    pub fn unsqueeze(&mut self, value: &Value, axes: &[i64]) -> Value {
        let axes = self.list(axes);
        self.apply("Unsqueeze", &[value, &axes], &[])
    }

    /// Leaves axes of length 1 out.
    pub fn squeeze(&mut self, value: &Value, axes: &[i64]) -> Value {
        let axes = self.list(axes);
        self.apply("Squeeze", &[value, &axes], &[])
    }

    /// Joins values along an axis.
    pub fn concat(&mut self, values: &[Value], axis: i64) -> Value {
        match values {
            [single] => single.clone(),
            _ => self.apply("Concat", &values.iter().collect::<Vec<_>>(), &[Setting::Int("axis", axis)]),
        }
    }

    /// The sum of values, one after the other; none of none.
    pub fn sum(&mut self, values: impl IntoIterator<Item = Value>) -> Option<Value> {
        values.into_iter().reduce(|sum, value| self.add(&sum, &value))
    }

    /// Entries along an axis by their numbers.
    pub fn gather(&mut self, value: &Value, numbers: &Value, axis: i64) -> Value {
        self.apply("Gather", &[value, numbers], &[Setting::Int("axis", axis)])
    }

    /// Entries from `from` until before `to` along an axis.
    pub fn slice(&mut self, value: &Value, from: i64, to: i64, axis: i64) -> Value {
        let bounds = [from, to, axis].map(|bound| self.list(&[bound]));
        self.apply("Slice", &[value, &bounds[0], &bounds[1], &bounds[2]], &[])
    }

    /// What is left of some axes, as axes of length 1 or without them.
    pub fn reduce(&mut self, how: Reduction, value: &Value, axes: &[i64], keeps: bool) -> Value {
        let kind = match how {
            Reduction::Max => "ReduceMax",
            Reduction::Min => "ReduceMin",
            Reduction::Mean => "ReduceMean",
            Reduction::Sum => "ReduceSum",
        };
        let keeps = Setting::Int("keepdims", i64::from(keeps));
        if how == Reduction::Sum || self.operators >= AXES_AS_INPUT {
            let axes = self.list(axes);
            return self.apply(kind, &[value, &axes], &[keeps]);
        }
        self.apply(kind, &[value], &[Setting::Ints("axes", axes), keeps])
    }

    /// A convolution of N x C x H x W with a weight of outputs x (C / `groups`) x `kernel` x `kernel`, stride 1, that keeps the size of maps.
    pub fn convolve(
        &mut self,
        value: &Value,
        weight: &Value,
        bias: Option<&Value>,
        kernel: usize,
        groups: usize,
    ) -> Value {
        let pad = (kernel / 2) as i64;
        let settings = [
            Setting::Ints("kernel_shape", &[kernel as i64; 2]),
            Setting::Ints("strides", &[1, 1]),
            Setting::Ints("pads", &[pad; 4]),
            Setting::Int("group", groups as i64),
        ];
        let inputs: Vec<&Value> = [value, weight].into_iter().chain(bias).collect();
        self.apply("Conv", &inputs, &settings)
    }

    /// The smallest `count` along the last axis in ascending order, and their numbers.
    pub fn smallest(&mut self, value: &Value, count: usize) -> [Value; 2] {
        let count = self.list(&[count as i64]);
        let settings = [Setting::Int("axis", -1), Setting::Int("largest", 0), Setting::Int("sorted", 1)];
        self.operator("TopK", &[value, &count], &settings)
    }
}
