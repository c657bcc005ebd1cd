//! Regions for other programs: COCO for evaluation tools, LabelMe for drawing and correcting them by hand.
//!
//! Both get every region as the polygon of its outer border, in pixels of the image; its area leaves holes out.

use crate::error::ReportError;
use crate::file::write_whole;
use blemish_eval::Region;
use serde_json::{Value, json};
use std::io::Write;
use std::path::Path;

/// The one kind of object there is.
const LABEL: &str = "anomaly";

/// Version of LabelMe whose format is written.
const LABELME_VERSION: &str = "5.5.0";

/// Collects images and regions into one COCO file (object detection, polygons, with a score each).
#[derive(Debug, Default)]
pub struct CocoExport {
    images: Vec<Value>,
    annotations: Vec<Value>,
}

impl CocoExport {
    /// Adds an image of (height, width) pixels and its regions.
    pub fn add(&mut self, file_name: &str, (height, width): (usize, usize), regions: &[Region]) {
        let image = self.images.len() + 1;
        self.images.push(json!({"id": image, "file_name": file_name, "width": width, "height": height}));
        for region in regions {
            let bounds = region.bounds;
            let polygon: Vec<f64> = region.outline.iter().flat_map(|point| [point.x, point.y]).collect();
            self.annotations.push(json!({
                "id": self.annotations.len() + 1,
                "image_id": image,
                "category_id": 1,
                "bbox": [bounds.x, bounds.y, bounds.width, bounds.height],
                "area": region.area,
                "segmentation": [polygon],
                "iscrowd": 0,
                "score": region.peak.score,
            }));
        }
    }

    /// Writes the file, whole or not at all.
    ///
    /// # Errors
    /// [`ReportError::Io`] if the folder cannot be written.
    pub fn save(&self, path: &Path) -> Result<(), ReportError> {
        let file = json!({
            "info": {"description": "regions above a model's pixel threshold; score is the highest in the region"},
            "images": self.images,
            "annotations": self.annotations,
            "categories": [{"id": 1, "name": LABEL, "supercategory": ""}],
        });
        save(path, &file)
    }
}

/// Writes the regions of one image of (height, width) pixels as a LabelMe file, whole or not at all.
///
/// `image` is the image's path as LabelMe should open it: absolute, or seen from the file's folder.
///
/// # Errors
/// [`ReportError::Io`] if the folder cannot be written.
pub fn save_labelme(
    path: &Path,
    image: &str,
    (height, width): (usize, usize),
    regions: &[Region],
) -> Result<(), ReportError> {
    let shapes: Vec<Value> = regions
        .iter()
        .map(|region| {
            let points: Vec<[f64; 2]> = region.outline.iter().map(|point| [point.x, point.y]).collect();
            json!({
                "label": LABEL,
                "points": points,
                "group_id": null,
                "description": format!("peak score {}", region.peak.score),
                "shape_type": "polygon",
                "flags": {},
            })
        })
        .collect();
    let file = json!({
        "version": LABELME_VERSION,
        "flags": {},
        "shapes": shapes,
        "imagePath": image,
        "imageData": null,
        "imageHeight": height,
        "imageWidth": width,
    });
    save(path, &file)
}

fn save(path: &Path, value: &Value) -> Result<(), ReportError> {
    write_whole(path, |file| {
        serde_json::to_writer(&mut *file, value)
            .map_err(std::io::Error::from)
            .and_then(|()| writeln!(file))
            .map_err(ReportError::io("write", path))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use blemish_eval::{Frame, find_regions};

    /// A region of 2 x 1 cells, each 10 x 10 pixels of a 20 x 30 image.
    fn regions() -> Vec<Region> {
        let frame = Frame { rows: 0..20, columns: 0..30 };
        find_regions(&[0.0, 0.0, 0.0, 0.0, 5.0, 4.0], (2, 3), 1.0, &frame, 0.0)
    }

    fn read(path: &Path) -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    #[test]
    fn coco_numbers_images_and_annotations_from_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("coco.json");
        let mut coco = CocoExport::default();
        coco.add("good.png", (20, 30), &[]);
        coco.add("bad.png", (20, 30), &regions());
        coco.save(&path).unwrap();
        let file = read(&path);
        assert_eq!(file["images"][1], json!({"id": 2, "file_name": "bad.png", "width": 30, "height": 20}));
        let annotation = &file["annotations"][0];
        assert_eq!((&annotation["id"], &annotation["image_id"]), (&json!(1), &json!(2)));
        assert_eq!(annotation["bbox"], json!([10, 10, 20, 10]));
        assert_eq!(annotation["area"], json!(200.0));
        assert_eq!(annotation["segmentation"], json!([[10.0, 10.0, 30.0, 10.0, 30.0, 20.0, 10.0, 20.0]]));
        assert_eq!(file["annotations"].as_array().unwrap().len(), 1);
        assert_eq!(file["categories"][0]["id"], annotation["category_id"]);
    }

    #[test]
    fn labelme_holds_a_polygon_a_region() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("bad.json");
        save_labelme(&path, "../bad.png", (20, 30), &regions()).unwrap();
        let file = read(&path);
        assert_eq!((&file["imageHeight"], &file["imageWidth"]), (&json!(20), &json!(30)));
        assert_eq!(file["imagePath"], json!("../bad.png"));
        let points = json!([[10.0, 10.0], [30.0, 10.0], [30.0, 20.0], [10.0, 20.0]]);
        assert_eq!(file["shapes"][0]["points"], points);
        assert!(save_labelme(Path::new("no/such/folder.json"), "", (1, 1), &[]).is_err());
    }
}
