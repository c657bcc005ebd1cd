//! Real files of every format, damaged ones, and ones that try to run code.

use super::store::{Check, WeightStore};
use super::{read_bytes, read_state_dict};
use crate::graph::Tensor;
use std::path::{Path, PathBuf};

fn golden(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name)
}

fn shared(name: &str) -> Option<PathBuf> {
    let path = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/weights")).join(name);
    if !path.exists() {
        println!("skipped: {} is absent", path.display());
    }
    path.exists().then_some(path)
}

#[test]
fn every_pytorch_format_gives_the_same_tensors() {
    let rows: Vec<f32> = (0..12).map(|i| i as f32).collect();
    let columns: Vec<f32> = (0..12).map(|i| (i % 3 * 4 + i / 3) as f32).collect();
    for name in ["zip.pth", "legacy.pth", "half.pth", "nested.pth"] {
        let state = read_state_dict(&golden(name)).unwrap();
        assert_eq!(state["a"], Tensor { shape: vec![3, 4], data: rows.clone() }, "{name}");
        assert_eq!(state["b"], Tensor { shape: vec![4, 3], data: columns.clone() }, "{name}");
        assert_eq!(state["c"], Tensor { shape: vec![4], data: rows[4..8].to_vec() }, "{name}");
        assert_eq!(state["steps"], Tensor { shape: vec![], data: vec![7.0] }, "{name}");
    }
}

#[test]
fn the_real_old_file_is_read_whole() {
    let Some(path) = shared("efficientnet-lite0-57934424.pth") else { return };
    let state = read_state_dict(&path).unwrap();
    let numbers: usize = state.values().map(|tensor| tensor.data.len()).sum();
    assert_eq!((state.len(), numbers), (296, 4_694_073));
}

#[test]
fn the_real_safetensors_file_is_read_whole() {
    let Some(path) = shared("resnet18-layer1to3-bnfolded.safetensors") else { return };
    let state = read_state_dict(&path).unwrap();
    let numbers: usize = state.values().map(|tensor| tensor.data.len()).sum();
    assert_eq!((state.len(), numbers), (30, 2_780_544));
}

/// Protocol 2: GLOBAL posix.system, its argument, REDUCE.
const ATTACK: &[u8] = b"\x80\x02cposix\nsystem\nX\x09\x00\x00\x00echo evil\x85R.";

#[test]
fn a_pickle_that_would_run_code_is_refused_by_name() {
    let mut legacy =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    legacy.extend_from_slice(ATTACK);
    let message = read_bytes(&legacy, Path::new("evil.pth")).unwrap_err().to_string();
    assert!(message.contains("posix.system") && message.contains("evil.pth"), "{message}");
}

#[test]
fn foreign_and_empty_files_are_named() {
    for (bytes, words) in [
        (&b"hello world, no weights"[..], "neither"),
        (b"PK\x03\x04 broken", "zip"),
        (b"\x80\x02}.", "not of PyTorch"),
        (b"\x10\0\0\0\0\0\0\0{\"a\":1}", "safetensors"),
    ] {
        let message = read_bytes(bytes, Path::new("file.pth")).unwrap_err().to_string();
        assert!(message.contains(words) && message.contains("file.pth"), "{message}");
    }
}

/// A small fixed-formula generator (splitmix64), so that no test depends on a crate's stream.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        ((z ^ (z >> 31)) % bound as u64) as usize
    }
}

fn mutate(bytes: &[u8], random: &mut Random) -> Vec<u8> {
    let mut mutated = bytes.to_vec();
    for _ in 0..=random.below(4) {
        if mutated.is_empty() {
            break;
        }
        let at = random.below(mutated.len());
        match random.below(4) {
            0 => mutated[at] ^= 1 << random.below(8),
            1 => mutated[at] = random.below(256) as u8,
            2 => mutated.truncate(at),
            _ => mutated.insert(at, random.below(256) as u8),
        }
    }
    mutated
}

#[test]
fn ten_thousand_mutations_of_each_format_never_panic() {
    let safetensors = {
        let values: Vec<u8> = (0..48u8).collect();
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![3, 4], &values).unwrap();
        safetensors::serialize([("a", view)], None).unwrap()
    };
    let files = ["zip.pth", "legacy.pth", "nested.pth"].map(|name| std::fs::read(golden(name)).unwrap());
    for bytes in files.into_iter().chain([safetensors]) {
        let mut random = Random(1);
        let mut refused = 0;
        for _ in 0..10_000 {
            refused += usize::from(read_bytes(&mutate(&bytes, &mut random), Path::new("mutated")).is_err());
        }
        assert!(refused > 1_000, "mutations should break files, {refused} did");
    }
}

#[test]
fn the_store_keeps_finds_and_checks_files() {
    let Some(path) = shared("squeezenet1.1.safetensors") else { return };
    let folder = tempfile::tempdir().unwrap();
    let store = WeightStore::open_at(folder.path().join("store"));
    assert_eq!(store.list().unwrap(), []);
    let entry = store.add(&path, None).unwrap();
    assert_eq!(entry.name, "squeezenet1_1");
    assert_eq!(entry.sha256, "b04ea03a5c355187c56fff25a222305170ef7ca115811bded48d7ef2f90d1eb5");
    let kept = store.find("squeezenet1_1").unwrap().unwrap();
    assert_eq!(store.verify().unwrap()[0].1, Check::Intact);
    let mut bytes = std::fs::read(&kept).unwrap();
    bytes[1_000_000] ^= 1;
    std::fs::write(&kept, bytes).unwrap();
    assert_eq!(store.verify().unwrap()[0].1, Check::Altered);
    std::fs::remove_file(&kept).unwrap();
    assert_eq!(store.verify().unwrap()[0].1, Check::Missing);
    assert!(store.add(&path, Some("resnet9000")).unwrap_err().to_string().contains("resnet9000"));
}

#[test]
fn what_cannot_be_pulled_says_what_to_bring() {
    let store = WeightStore::open_at("nowhere");
    assert!(store.pull("resnet9000").unwrap_err().to_string().contains("resnet9000"));
    assert!(store.pull("alexnet").unwrap_err().to_string().contains("torchvision"));
    #[cfg(not(feature = "pull"))]
    {
        let message = store.pull("resnet18").unwrap_err().to_string();
        assert!(
            message.contains("timm/resnet18.tv_in1k") && message.contains("cannot pull resnet18"),
            "{message}"
        );
    }
}
