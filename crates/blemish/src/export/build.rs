//! From a detector to its graph: images, views, their merging, decisions.

use super::decide::{self, Outcome};
use super::options::{ExportOptions, GraphImages, Layout};
use super::resize;
use crate::detector::Detector;
use crate::view::View;
use blemish_core::error::Error;
use blemish_core::export::{GraphInput, both_sides, cannot, resize_matrix};
use blemish_data::transform::Resize;
use blemish_data::{Mask, Transform};
use blemish_features::onnx::{Element, GraphWriter, OnnxModel, Side, Value};
use blemish_kernels::map::resize_bilinear;

/// What the image input is called.
pub(super) const IMAGE: &str = "image";

/// A graph, and what it takes.
pub(super) struct Built {
    pub(super) model: OnnxModel,
    /// H and W of the image tensor of the first view.
    pub(super) size: (usize, usize),
    /// Whether it takes one image at a time.
    pub(super) is_single: bool,
}

/// Refuses models that have no graph, before any work.
pub(super) fn check(detector: &Detector, options: &ExportOptions) -> Result<(), Error> {
    let model = &detector.model;
    if let Err(reason) = model.entry.exports() {
        return Err(cannot(format!("models of {} have no graph; {reason}", model.entry.info().name)));
    }
    if model.views.iter().any(|view| view.header().tiles.is_some()) {
        return Err(cannot(
            "the model looks at tiles, which have no graph yet; fit it on whole images (without --tile)",
        ));
    }
    if detector.clip() > 1 {
        return Err(cannot(
            "the model looks at several frames, and a graph takes single images; fit it on single images",
        ));
    }
    if options.layout == Layout::Anomalib
        && detector.calibration().is_none_or(|known| known.image_threshold.is_none())
    {
        return Err(cannot(
            "anomalib's values are 0.5 at the threshold, and the model has none; calibrate it (blemish calibrate MODEL --with-good IMAGES)",
        ));
    }
    for view in &model.views {
        match options.images {
            GraphImages::Tensor => {}
            _ => resize::check(view.transform(), options.depth)?,
        }
    }
    let is_one = model.views.windows(2).all(|pair| pair[0].transform() == pair[1].transform());
    if options.images == GraphImages::Tensor && !is_one {
        return Err(cannot(
            "the model resizes every image to several sizes, so no one tensor can go in; use --input any or --input WxH",
        ));
    }
    Ok(())
}

/// H and W of the tensor that a transform makes of the pictures that go in.
fn tensor_size(
    detector: &Detector,
    transform: &Transform,
    options: &ExportOptions,
) -> Result<(usize, usize), Error> {
    if let GraphImages::Sized { height, width } = options.images {
        let fewest = transform.read_options().minimum_side;
        if height.min(width) < fewest {
            return Err(cannot(format!(
                "pictures of {width}x{height} are refused: a side has {fewest} pixels at least"
            )));
        }
        return transform.output_size(height, width).map_err(|fault| cannot(fault.to_string()));
    }
    match (transform.crop, transform.resize) {
        (Some(crop), _) => Ok((crop.height, crop.width)),
        (None, Resize::Exact { height, width }) => Ok((height, width)),
        // The shape of the tensor is then that of the images of the fit.
        (None, _) if options.images == GraphImages::Tensor => {
            let first = crate::record::pictures(&detector.verification)?.into_iter().next();
            let first = first
                .ok_or_else(|| cannot("it is not known of what size its images are; use --input WxH"))?;
            let native = detector.model.single().is_none();
            match native {
                true => transform
                    .output_size(first.height, first.width)
                    .map_err(|fault| cannot(fault.to_string())),
                false => Ok((first.height, first.width)),
            }
        }
        (None, _) => Err(cannot(
            "images of any size give maps of any size here, since the model keeps their proportions; use --input WxH",
        )),
    }
}

/// The region of interest in the tensor.
fn region_of(transform: &Transform, options: &ExportOptions) -> Result<Option<Mask>, Error> {
    let original = match (options.images, transform.resize) {
        (GraphImages::Sized { height, width }, _) => (height, width),
        // It lies in the same place for images of any size.
        (_, Resize::Exact { height, width }) => (height, width),
        _ if transform.region_of_interest.is_none() => return Ok(None),
        _ => {
            return Err(cannot(
                "the region of interest lies elsewhere in images of other sizes, since the model keeps their proportions; use --input WxH",
            ));
        }
    };
    transform.region_at(original.0, original.1).map_err(|fault| cannot(fault.to_string()))
}

/// Writes the graph.
pub(super) fn build(detector: &Detector, options: &ExportOptions) -> Result<Built, Error> {
    check(detector, options)?;
    let model = &detector.model;
    let mut writer = GraphWriter::new(model.entry.info().name).halving_tables(options.half_tables);
    let count = if options.layout == Layout::Anomalib { Side::Fixed(1) } else { Side::Any("N") };
    let sizes = model
        .views
        .iter()
        .map(|view| tensor_size(detector, view.transform(), options))
        .collect::<Result<Vec<_>, Error>>()?;
    let size = sizes[0];
    let fed = Fed::new(&mut writer, options, count, size);
    let mut outcomes = Vec::new();
    let mut usable = None;
    for (number, (view, &size)) in model.views.iter().zip(&sizes).enumerate() {
        let prefix = crate::model::prefix(number, model.views.len()).replace('.', "/");
        writer.scope(&format!("{prefix}input/"));
        let (image, is_usable) = fed.image(&mut writer, view.transform(), options, size)?;
        usable = usable.or(is_usable);
        let region = region_of(view.transform(), options)?;
        let image = resize::painted(&mut writer, &image, region.as_ref());
        outcomes.push(write_view(&mut writer, view, &prefix, image, size, region.as_ref())?);
    }
    writer.scope("outcome/");
    let mut outcome = merge(&mut writer, &model.views, outcomes, &sizes, options)?;
    if let Some(usable) = usable {
        outcome.score = writer.div(&outcome.score, &usable);
    }
    let is_single = writer.is_single() || options.layout == Layout::Anomalib;
    let count = if is_single { Side::Fixed(1) } else { count };
    decide::write(&mut writer, detector, &outcome, options.layout, count, size);
    Ok(Built { model: writer.finish(), size, is_single })
}

/// The input, ready for the transforms of the views.
enum Fed {
    /// N x 3 x h x w.
    Tensor(Value),
    /// N x H x W x 3.
    Pictures(Value),
}

impl Fed {
    fn new(writer: &mut GraphWriter, options: &ExportOptions, count: Side, size: (usize, usize)) -> Self {
        let element = match options.depth {
            super::Depth::Eight => Element::U8,
            super::Depth::Sixteen => Element::U16,
        };
        let sides = match options.images {
            GraphImages::Tensor => {
                let sides = [count, Side::Fixed(3), Side::Fixed(size.0), Side::Fixed(size.1)];
                return Self::Tensor(writer.input(IMAGE, Element::F32, &sides));
            }
            GraphImages::Sized { height, width } => [Side::Fixed(height), Side::Fixed(width)],
            GraphImages::Any => [Side::Any("H"), Side::Any("W")],
        };
        if options.layout == Layout::Blemish {
            let sides = [count, sides[0], sides[1], Side::Fixed(3)];
            return Self::Pictures(writer.input(IMAGE, element, &sides));
        }
        // What anomalib feeds: channels first, in [0, 1].
        writer.scope("input/");
        let sides = [count, Side::Fixed(3), sides[0], sides[1]];
        let planes = writer.input(IMAGE, Element::F32, &sides);
        let white = writer.number(options.depth.white());
        let half = writer.number(0.5);
        let scaled = writer.mul(&planes, &white);
        let above = writer.add(&scaled, &half);
        let whole = writer.each("Floor", &above);
        Self::Pictures(writer.transpose(&whole, &[0, 2, 3, 1]))
    }

    /// N x 3 x h x w in [0, 1] by a transform, and what is not 1 for images that are too small.
    fn image(
        &self,
        writer: &mut GraphWriter,
        transform: &Transform,
        options: &ExportOptions,
        size: (usize, usize),
    ) -> Result<(Value, Option<Value>), Error> {
        match (self, options.images) {
            (Self::Tensor(image), _) => Ok((image.clone(), None)),
            (Self::Pictures(pictures), GraphImages::Sized { height, width }) => {
                Ok((resize::of_size(writer, pictures, transform, options.depth, (height, width))?, None))
            }
            (Self::Pictures(pictures), _) => {
                let (image, usable) = resize::of_any(writer, pictures, transform, options.depth, size)?;
                Ok((image, Some(usable)))
            }
        }
    }
}

/// A view: backbone, method and map stage.
fn write_view(
    writer: &mut GraphWriter,
    view: &View,
    prefix: &str,
    image: Value,
    size: (usize, usize),
    region: Option<&Mask>,
) -> Result<Outcome, Error> {
    let model = view.models().next().ok_or_else(|| cannot("the model is empty"))?;
    let maps = match view.backbone() {
        Some(backbone) if model.needs().reads.maps() => {
            backbone.write(writer, &format!("{prefix}backbone/"), &image, [size.0, size.1])?
        }
        _ => Vec::new(),
    };
    writer.scope(&format!("{prefix}{}/", model.info().name));
    let input = GraphInput { image, size, prefix, maps, region };
    let scores = model.write(writer, &input)?;
    writer.scope(&format!("{prefix}map/"));
    let (score, map) = model.map_stage().write(writer, &scores, size, region);
    Ok(Outcome { score, map })
}

/// All views in units of their spread on good images, averaged at the size of the first.
fn merge(
    writer: &mut GraphWriter,
    views: &[View],
    outcomes: Vec<Outcome>,
    sizes: &[(usize, usize)],
    options: &ExportOptions,
) -> Result<Outcome, Error> {
    let part = 1.0 / outcomes.len() as f32;
    let is_alone = views[0].header().spread.is_none();
    let mut merged: Option<Outcome> = None;
    for ((view, Outcome { score, mut map }), &size) in views.iter().zip(outcomes).zip(sizes) {
        let Some(spread) = view.header().spread.filter(|_| !is_alone) else {
            if merged.is_none() {
                merged = Some(Outcome { score, map });
            }
            continue;
        };
        let scaled = |writer: &mut GraphWriter, value: &Value, (mean, deviation): (f32, f32)| {
            let mean = writer.number(mean);
            let factor = writer.number(part / deviation);
            let centred = writer.sub(value, &mean);
            writer.mul(&centred, &factor)
        };
        if size != sizes[0] {
            let down = resize_matrix(resize_bilinear, size.0, sizes[0].0);
            let across = resize_matrix(resize_bilinear, size.1, sizes[0].1);
            map = both_sides(writer, &map, (&down, &across), size);
        }
        let (score, map) = (scaled(writer, &score, spread.score), scaled(writer, &map, spread.map));
        merged = Some(match merged {
            None => Outcome { score, map },
            Some(sum) => Outcome { score: writer.add(&sum.score, &score), map: writer.add(&sum.map, &map) },
        });
    }
    let mut merged = merged.ok_or_else(|| cannot("the model is empty"))?;
    if !is_alone && let Some(region) = region_of(views[0].transform(), options)? {
        let ones: Vec<f32> = region.marked.iter().map(|&inside| f32::from(u8::from(inside))).collect();
        let ones = writer.floats("inside", &[1, region.height, region.width], &ones);
        merged.map = writer.mul(&merged.map, &ones);
    }
    Ok(merged)
}

/// The graph of the input alone: pictures in, what each view's transform makes of them out as `image.0`, `image.1` and so on.
pub(super) fn build_input(detector: &Detector, options: &ExportOptions) -> Result<OnnxModel, Error> {
    let mut writer = GraphWriter::new("input");
    let count = if options.layout == Layout::Anomalib { Side::Fixed(1) } else { Side::Any("N") };
    let fed = Fed::new(&mut writer, options, count, (0, 0));
    for (number, view) in detector.model.views.iter().enumerate() {
        let transform = view.transform();
        let size = tensor_size(detector, transform, options)?;
        let (image, _) = fed.image(&mut writer, transform, options, size)?;
        let region = region_of(transform, options)?;
        let image = resize::painted(&mut writer, &image, region.as_ref());
        let sides = [count, Side::Fixed(3), Side::Fixed(size.0), Side::Fixed(size.1)];
        writer.output(&format!("image.{number}"), &image, Element::F32, &sides);
    }
    Ok(writer.finish())
}
