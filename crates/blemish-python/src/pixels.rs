//! An array's pixels, copied once into the image that is scored.

use blemish::data::{ImageFault, Pixels, RgbImage};
use numpy::ndarray::{ArrayView3, ArrayViewD, Axis, Ix2, Ix3};
use numpy::{PyArrayDyn, PyArrayMethods, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;

/// The image in an array of (H, W) or (H, W, C) of 1, 3 or 4 channels; `bgr` says that blue comes first. Any strides will do.
///
/// Who calls has made sure that the array is aligned and in the byte order of the machine.
///
/// # Errors
/// [`ImageFault::Pixels`] for another shape or type.
pub fn image_of(array: &Bound<'_, PyUntypedArray>, bgr: bool) -> Result<RgbImage, ImageFault> {
    let (height, width) = match array.shape() {
        [height, width] | [height, width, 1 | 3 | 4] if height * width > 0 => (*height, *width),
        shape => return Err(ImageFault::Pixels(refusal(shape))),
    };
    let pixels = if let Ok(values) = array.cast::<PyArrayDyn<u8>>() {
        copied(values, bgr, |value| value).map(Pixels::U8)
    } else if let Ok(values) = array.cast::<PyArrayDyn<u16>>() {
        copied(values, bgr, |value| value).map(Pixels::U16)
    } else if let Ok(values) = array.cast::<PyArrayDyn<f32>>() {
        copied(values, bgr, |value| value).map(Pixels::F32)
    } else if let Ok(values) = array.cast::<PyArrayDyn<f64>>() {
        copied(values, bgr, |value| value as f32).map(Pixels::F32)
    } else if let Ok(values) = array.cast::<PyArrayDyn<bool>>() {
        copied(values, bgr, |value| if value { 255 } else { 0 }).map(Pixels::U8)
    } else {
        None
    };
    match pixels {
        Some(pixels) => Ok(RgbImage { height, width, pixels }),
        None => Err(ImageFault::Pixels(format!(
            "its type is {}; give uint8, uint16, bool, or float32 or float64 within [0, 1]",
            array.dtype()
        ))),
    }
}

/// Why a shape is none of an image.
fn refusal(shape: &[usize]) -> String {
    let told: Vec<String> = shape.iter().map(usize::to_string).collect();
    let told = told.join(", ");
    match shape {
        _ if shape.contains(&0) => format!("its shape ({told}) holds no pixels; give the whole image"),
        [1 | 3 | 4, _, _] => format!("its shape is ({told}); channels come last; use np.moveaxis(a, 0, -1)"),
        [_, _, channels] => format!("it has {channels} channels; give 1, 3 or 4"),
        [_, _, _, _] => format!(
            "its shape ({told}) is that of several images; give one, or the array by itself as all images"
        ),
        _ => format!("its shape is ({told}); give (height, width) or (height, width, channels)"),
    }
}

/// Interleaved RGB of an array; `None` where the shape is none of an image, which was looked at before.
fn copied<T: numpy::Element + Copy, U: Copy + Default>(
    array: &Bound<'_, PyArrayDyn<T>>,
    bgr: bool,
    of: impl Fn(T) -> U + Copy,
) -> Option<Vec<U>> {
    // Safety: nothing else runs in the interpreter until this returns, and no reference outlives it. Of foreign threads that write all the
    // same, values are read that are old or new; any bits are values of these types but bool's, which NumPy itself takes for 0 and 1.
    let view: ArrayViewD<'_, T> = unsafe { array.as_array() };
    if view.ndim() == 2 {
        let view = view.into_dimensionality::<Ix2>().ok()?;
        let mut rgb = Vec::with_capacity(3 * view.len());
        for row in view.axis_iter(Axis(0)) {
            match row.as_slice() {
                Some(row) => rgb.extend(row.iter().flat_map(|&grey| [of(grey); 3])),
                None => rgb.extend(row.iter().flat_map(|&grey| [of(grey); 3])),
            }
        }
        return Some(rgb);
    }
    let view = view.into_dimensionality::<Ix3>().ok()?;
    Some(match (view.dim().2, bgr) {
        (1, _) => interleaved::<_, _, 1>(&view, |[grey]| [of(grey); 3]),
        (3, false) => interleaved::<_, _, 3>(&view, |pixel| pixel.map(of)),
        (3, true) => interleaved::<_, _, 3>(&view, |[blue, green, red]| [of(red), of(green), of(blue)]),
        (_, false) => interleaved::<_, _, 4>(&view, |[red, green, blue, _]| [of(red), of(green), of(blue)]),
        (_, true) => interleaved::<_, _, 4>(&view, |[blue, green, red, _]| [of(red), of(green), of(blue)]),
    })
}

/// Each pixel of C samples turned into red, green and blue. Targets are written in place, which compiles to plain copies and shuffles.
fn interleaved<T: Copy, U: Copy + Default, const C: usize>(
    view: &ArrayView3<'_, T>,
    of: impl Fn([T; C]) -> [U; 3],
) -> Vec<U> {
    let (height, width, _) = view.dim();
    let mut rgb = vec![U::default(); 3 * height * width];
    for (row, target) in view.axis_iter(Axis(0)).zip(rgb.chunks_exact_mut(3 * width)) {
        let targets = target.as_chunks_mut::<3>().0;
        match row.as_slice() {
            Some(row) => {
                targets
                    .iter_mut()
                    .zip(row.as_chunks::<C>().0)
                    .for_each(|(target, pixel)| *target = of(*pixel));
            }
            None => {
                for (at, target) in targets.iter_mut().enumerate() {
                    *target = of(std::array::from_fn(|channel| row[[at, channel]]));
                }
            }
        }
    }
    rgb
}
