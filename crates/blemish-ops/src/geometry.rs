//! The sizes of a convolution, which both ways of computing it share.

/// Sizes of a convolution: square kernel, the same stride and zero padding both ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Geometry {
    pub(crate) batch: usize,
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) kernel: usize,
    pub(crate) stride: usize,
    pub(crate) padding: usize,
}

impl Geometry {
    /// Height and width of the output.
    pub(crate) fn output_size(&self) -> (usize, usize) {
        let side = |length: usize| (length + 2 * self.padding - self.kernel) / self.stride + 1;
        (side(self.height), side(self.width))
    }

    /// Whether the kernel fits into the padded map at all.
    pub(crate) fn is_valid(&self) -> bool {
        let fits = |length: usize| length + 2 * self.padding >= self.kernel;
        self.stride > 0 && self.kernel > 0 && fits(self.height) && fits(self.width)
    }

    pub(crate) fn input_values(&self) -> usize {
        self.inputs * self.height * self.width
    }

    pub(crate) fn output_values(&self) -> usize {
        let (height, width) = self.output_size();
        self.outputs * height * width
    }
}
