//! Heat maps over the images they belong to.

use crate::errors;
use crate::pixels::image_of;
use blemish::data::{Pixels, ReadOptions, decode_image, read_image};
use blemish_report::{Picture, ReportError, draw_with};
use numpy::{PyArray1, PyArray3, PyArrayMethods, PyReadonlyArray2, PyUntypedArray, PyUntypedArrayMethods};
use pyo3::prelude::*;
use std::path::PathBuf;

/// Lays a map over the rows and columns (top, bottom, left, right) of an image that it covers: H x W x 3 bytes.
#[pyfunction]
pub fn overlay<'py>(
    py: Python<'py>,
    image: &Bound<'py, PyUntypedArray>,
    bgr: bool,
    map: PyReadonlyArray2<'py, f32>,
    covered: (usize, usize, usize, usize),
    range: (f32, f32),
    opacity: f32,
) -> PyResult<Bound<'py, PyArray3<u8>>> {
    let image = image_of(image, bgr).map_err(|fault| errors::faulty(py, "image", fault))?;
    let (height, width) = (map.shape()[0], map.shape()[1]);
    let map: Vec<f32> = map.as_array().iter().copied().collect();
    let (top, bottom, left, right) = covered;
    let drawn = py.detach(|| {
        let picture = Picture::from_image(&image)?;
        draw_with(opacity, picture, (top..bottom, left..right), &map, (height, width), range)
    });
    let refused = |error: ReportError| errors::coded(py, "pixels", &error.to_string());
    let picture = drawn.map_err(refused)?;
    PyArray1::from_vec(py, picture.rgb).reshape([picture.height, picture.width, 3])
}

/// The pixels of an image file, or of its bytes, as they are read for scoring: H x W x 3 of uint8, uint16 or float32.
#[pyfunction]
#[pyo3(signature = (path=None, data=None))]
pub fn pixels<'py>(
    py: Python<'py>,
    path: Option<PathBuf>,
    data: Option<Vec<u8>>,
) -> PyResult<Bound<'py, PyAny>> {
    let options = ReadOptions { minimum_side: 1, ..ReadOptions::default() };
    let read = py.detach(|| match (&path, &data) {
        (Some(path), _) => read_image(path, &options).map_err(blemish::Error::from),
        (None, data) => decode_image(data.as_deref().unwrap_or_default(), &options)
            .map_err(|fault| blemish::data::DataError::Image { path: "image".into(), fault }.into()),
    });
    let image = read.map_err(|error| errors::raised(py, &error))?;
    let shape = [image.height, image.width, 3];
    Ok(match image.pixels {
        Pixels::U8(values) => PyArray1::from_vec(py, values).reshape(shape)?.into_any(),
        Pixels::U16(values) => PyArray1::from_vec(py, values).reshape(shape)?.into_any(),
        Pixels::F32(values) => PyArray1::from_vec(py, values).reshape(shape)?.into_any(),
    })
}
