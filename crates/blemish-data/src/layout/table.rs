//! The layouts that are read, each with a picture of its tree. One table: the program prints it, and a test builds every tree in it.

/// A layout and what is taken from it.
#[derive(Clone, Copy, Debug)]
pub struct LayoutPicture {
    /// Its name.
    pub name: &'static str,
    /// What it is and how it is read.
    pub about: &'static str,
    /// The tree: a name a line, two spaces deeper inside a folder; `/` ends folders; what follows two spaces explains.
    pub tree: &'static str,
    /// Images to learn from, good ones and defective ones to test with, and defective ones with masks, in the picture.
    pub counts: [usize; 4],
}

/// All layouts, those of folders first.
pub const LAYOUTS: &[LayoutPicture] = &[
    LayoutPicture {
        name: "plain folder",
        about: "Any folder, with subfolders: all images are good and learnt from. Folders whose names speak of defects or masks are refused.",
        tree: "\
parts/
  000.png
  camera2/
    000.png",
        counts: [2, 0, 0, 0],
    },
    LayoutPicture {
        name: "good and defective folders",
        about: "Folders named good, ok, normal, pass ... are learnt from; those named bad, ng, def, anomaly ... or by a kind of defect are for tests, with masks where there are any.",
        tree: "\
parts/
  ok_front/
    000.png
    001.png
  def_front/
    000.png
  masks/
    def_front/
      000.png  or 000_mask.png, 000_gt.png, ...",
        counts: [2, 0, 1, 1],
    },
    LayoutPicture {
        name: "MVTec AD, MPDD, VisA as split",
        about: "The names may be in any case, and those of good any name of good. Test folders may have subfolders, and an image several masks.",
        tree: "\
screw/
  train/
    good/
      000.png
  test/
    good/
      000.png
    scratch_head/
      000.png
  ground_truth/
    scratch_head/
      000_mask.png",
        counts: [1, 1, 1, 1],
    },
    LayoutPicture {
        name: "MVTec AD 2",
        about: "test_public is tested with; validation and the test images without labels are passed over.",
        tree: "\
can/
  train/
    good/
      000_regular.png
  validation/
    good/
      000_regular.png
  test_public/
    good/
      000_regular.png
    bad/
      000_regular.png
    ground_truth/
      bad/
        000_regular_mask.png
  test_private/
    000_regular.png
  test_private_mixed/
    000_mixed.png",
        counts: [1, 1, 1, 1],
    },
    LayoutPicture {
        name: "MVTec LOCO AD",
        about: "An image's mask is the union of those in its folder.",
        tree: "\
breakfast_box/
  train/
    good/
      000.png
  validation/
    good/
      000.png
  test/
    good/
      000.png
    logical_anomalies/
      000.png
    structural_anomalies/
      000.png
  ground_truth/
    logical_anomalies/
      000/
        000.png
        001.png
    structural_anomalies/
      000/
        000.png",
        counts: [1, 1, 2, 2],
    },
    LayoutPicture {
        name: "MVTec 3D-AD",
        about: "The colour images; point clouds (xyz) are passed over.",
        tree: "\
bagel/
  train/
    good/
      rgb/
        000.png
      xyz/
        000.tiff
  validation/
    good/
      rgb/
        000.png
      xyz/
        000.tiff
  test/
    good/
      rgb/
        000.png
      xyz/
        000.tiff
      gt/
        000.png
    hole/
      rgb/
        000.png
      xyz/
        000.tiff
      gt/
        000.png",
        counts: [1, 1, 1, 1],
    },
    LayoutPicture {
        name: "BTAD",
        about: "good is called ok, defective ko.",
        tree: "\
01/
  train/
    ok/
      0000.bmp
  test/
    ok/
      0000.bmp
    ko/
      0000.bmp
  ground_truth/
    ko/
      0000.png",
        counts: [1, 1, 1, 1],
    },
    LayoutPicture {
        name: "VisA",
        about: "With split_csv/1cls.csv the split is that file's; a category alone has all normal images to learn from.",
        tree: "\
candle/
  Data/
    Images/
      Normal/
        0000.JPG
        0001.JPG
      Anomaly/
        000.JPG
    Masks/
      Anomaly/
        000.png
  image_anno.csv",
        counts: [2, 0, 1, 1],
    },
    LayoutPicture {
        name: "KolektorSDD",
        about: "The masks label: images whose mask is empty are learnt from, the others are for tests. The images of a folder are one part and stay together in folds.",
        tree: "\
KolektorSDD/
  kos01/
    Part0.jpg
    Part0_label.bmp  empty
    Part1.jpg
    Part1_label.bmp
  kos02/
    Part0.jpg
    Part0_label.bmp  empty",
        counts: [2, 0, 1, 1],
    },
    LayoutPicture {
        name: "KolektorSDD2",
        about: "As before, with a split; defective images in train are passed over.",
        tree: "\
KSDD2/
  train/
    10000.png
    10000_GT.png  empty
    10001.png
    10001_GT.png
  test/
    20000.png
    20000_GT.png  empty
    20001.png
    20001_GT.png",
        counts: [1, 1, 1, 1],
    },
    LayoutPicture {
        name: "DAGM 2007",
        about: "Images without a label are good; defective images in Train are passed over.",
        tree: "\
Class1/
  Train/
    0001.PNG
    0002.PNG
    Label/
      0002_label.PNG
      Labels.txt
  Test/
    0001.PNG
    0002.PNG
    Label/
      0002_label.PNG
      Labels.txt",
        counts: [1, 1, 1, 1],
    },
    LayoutPicture {
        name: "Real-IAD as folders",
        about: "A category alone: all good images are learnt from. With the lists in realiad_jsons (or one of them named) the split is theirs.",
        tree: "\
audiojack/
  OK/
    S0001/
      audiojack_0001_OK_C1_20231021.jpg
  NG/
    AK/
      S0001/
        audiojack_0001_NG_AK_C1_20231021.jpg
        audiojack_0001_NG_AK_C1_20231021.png",
        counts: [1, 0, 1, 1],
    },
    LayoutPicture {
        name: "videos: UCSD Ped1 and Ped2",
        about: "A folder of frames a clip; numbers are compared by their values. Frames whose mask marks something are anomalous; instead of masks there may be UCSD's .m file. Clips with other names work as well.",
        tree: "\
UCSDped2/
  Train/
    Train001/
      001.tif
      002.tif
  Test/
    Test001/
      001.tif
      002.tif
    Test001_gt/
      001.bmp  empty
      002.bmp",
        counts: [2, 1, 1, 1],
    },
    LayoutPicture {
        name: "videos: ShanghaiTech, Avenue",
        about: "Labels are arrays of NumPy: a 1 for every anomalous frame in test_frame_mask, masks (frames x height x width) in test_pixel_mask; or one frame_labels.npy of all test frames in the order of the clips.",
        tree: "\
shanghaitech/
  training/
    frames/
      01_001/
        000.jpg
  testing/
    frames/
      01_0014/
        000.jpg
        001.jpg
    test_frame_mask/
      01_0014.npy  0 1
    test_pixel_mask/
      01_0014.npy  0 1 by pixel",
        counts: [1, 1, 1, 1],
    },
];

/// What a list may hold, in words.
pub const LISTS: &str = "\
lists: CSV with a header (also with semicolons or tabs, as spreadsheets write them), a JSON array, JSON Lines, or a JSON file of Real-IAD
  path      the image, relative to the list; required (also called image, image_path, file, filename)
  split     train or test; without it good images are learnt from and defective ones are for tests
  label     good, OK, normal, 0, false ... or the kind of defect (1, NG, true ... without a kind)
  mask      the mask of a defective image
  defect    the kind of defect, where the label does not say it
  group     what images of one part or shot share; they stay together in folds
  category  the category, in a list of several";
