//! Products in fewer bits, for trainings on GPUs.

use burn::tensor::DType;
use std::cell::Cell;

thread_local! {
    static PRODUCTS: Cell<Option<DType>> = const { Cell::new(None) };
}

/// Runs work whose linear layers and convolutions multiply in numbers of a type and give sums as the tensors are; everything else, the
/// weights and their gradients too, stays as it is. `None`: in the tensors' own.
pub fn with_products_in<T>(dtype: Option<DType>, work: impl FnOnce() -> T) -> T {
    struct Back(Option<DType>);
    impl Drop for Back {
        fn drop(&mut self) {
            PRODUCTS.set(self.0);
        }
    }
    let _back = Back(PRODUCTS.replace(dtype));
    work()
}

/// The type that products are in where it is not the tensors' own.
pub(crate) fn of_products() -> Option<DType> {
    PRODUCTS.get()
}
