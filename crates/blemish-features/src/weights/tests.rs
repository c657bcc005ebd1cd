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

/// Tries so many damaged files of each format.
fn try_mutations(count: usize, seed: u64) {
    let safetensors = {
        let values: Vec<u8> = (0..48u8).collect();
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![3, 4], &values).unwrap();
        safetensors::serialize([("a", view)], None).unwrap()
    };
    let files = ["zip.pth", "legacy.pth", "nested.pth"].map(|name| std::fs::read(golden(name)).unwrap());
    for bytes in files.into_iter().chain([safetensors]) {
        let mut random = Random(seed);
        let mut refused = 0;
        for _ in 0..count {
            refused += usize::from(read_bytes(&mutate(&bytes, &mut random), Path::new("mutated")).is_err());
        }
        assert!(refused > count / 10, "mutations should break files, {refused} did");
    }
}

#[test]
fn ten_thousand_mutations_of_each_format_never_panic() {
    try_mutations(10_000, 1);
}

/// `BLEMISH_MUTATIONS=1000000 cargo test --release -p blemish-features many_mutations -- --ignored`
#[test]
#[ignore = "a long trial; BLEMISH_MUTATIONS says how many"]
fn many_mutations_of_each_format_never_panic() {
    let count = std::env::var("BLEMISH_MUTATIONS").ok().and_then(|count| count.parse().ok());
    try_mutations(count.unwrap_or(100_000), 2);
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
    assert!(
        store
            .add(&path, Some("sam_vit_b"))
            .unwrap_err()
            .to_string()
            .contains("does not hold the weights of `sam_vit_b`")
    );
}

#[test]
fn entries_added_at_the_same_time_are_all_kept() {
    let folder = tempfile::tempdir().unwrap();
    let names = ["resnet18", "resnet34", "vgg16", "alexnet"];
    for round in 0..20 {
        let store = WeightStore::open_at(folder.path().join(round.to_string()));
        std::thread::scope(|scope| {
            for name in names {
                scope.spawn(|| store.add(&golden("zip.pth"), Some(name)).unwrap());
            }
        });
        assert_eq!(store.list().unwrap().len(), names.len(), "round {round}");
    }
}

/// A PyTorch file of the old form around the instructions of its fourth pickle.
fn legacy(program: &[u8]) -> Vec<u8> {
    let mut file =
        b"\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.\x80\x02M\xe9\x03.\x80\x02}.".to_vec();
    file.extend_from_slice(program);
    file.extend_from_slice(b"\x80\x02].");
    file
}

/// A PyTorch file of today around the instructions of its pickle and one storage.
fn zipped(program: &[u8], storage: &[u8]) -> Vec<u8> {
    use std::io::Write;
    let mut archive = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, content) in [("a/data.pkl", program), ("a/data/0", storage)] {
        archive.start_file(name, stored).unwrap();
        archive.write_all(content).unwrap();
    }
    archive.finish().unwrap().into_inner()
}

#[test]
fn nesting_of_any_depth_and_kind_is_refused_without_following_it() {
    let around = |open: &[u8], middle: &[u8], close: &[u8]| {
        [b"\x80\x02", &open.repeat(150_000)[..], middle, &close.repeat(150_000), b"."].concat()
    };
    let deep = |open, close| around(open, b"", close);
    let in_a_dict = around(b"}X\x05\0\0\0model", b"}", b"s");
    let size = b"ctorch\nSize\n";
    let mut sizes = b"\x80\x02".to_vec();
    sizes.extend(size.repeat(100_000));
    sizes.push(b')');
    sizes.extend(b"R\x85".repeat(100_000));
    sizes.push(b'.');
    // A list within a list that was full already, again and again, and one within itself.
    let mut late = b"\x80\x02]q\0".to_vec();
    late.extend(b"h\0]q\x01ah\x01q\0".repeat(150_000));
    late.push(b'.');
    let circle = b"\x80\x02]q\0h\0a.".to_vec();
    let programs = [
        deep(b")", b"\x85"),
        deep(b"]", b"a"),
        deep(b"(", b"t"),
        deep(b"(", b"l"),
        in_a_dict,
        sizes,
        late,
        circle,
    ];
    for (number, program) in programs.iter().enumerate() {
        for file in [legacy(program), zipped(program, &[0; 12])] {
            let message = read_bytes(&file, Path::new("deep.pth")).unwrap_err().to_string();
            assert!(message.contains("deep.pth"), "{number}: {message}");
        }
    }
}

#[test]
fn tensors_cannot_multiply_one_storage() {
    // ('storage', torch.FloatStorage, '0', 'cpu', 3), then tensors of all three numbers under many names.
    let mut program = b"\x80\x02}(".to_vec();
    for number in 0..10_000 {
        let name = format!("{number:04}");
        program.extend(b"X\x04\0\0\0");
        program.extend(name.as_bytes());
        if number == 0 {
            program.extend(b"ctorch._utils\n_rebuild_tensor_v2\nq\0");
            program.extend(b"((X\x07\0\0\0storagectorch\nFloatStorage\nX\x01\0\0\x000X\x03\0\0\0cpuK\x03tQK\0K\x03\x85K\x01\x85t");
            program.extend(b"q\x01R");
        } else {
            program.extend(b"h\0h\x01R");
        }
    }
    program.extend(b"u.");
    let few = zipped(&program, &[0; 12]);
    assert_eq!(read_bytes(&few, Path::new("x.pth")).unwrap().len(), 10_000);
    // The same with a storage that is most of the file: each further name would cost as much again.
    let whole = replace(&program, b"K\x03\x85K\x01\x85", b"J\0\0\x04\0\x85K\x01\x85");
    let message = read_bytes(&zipped(&whole, &vec![0; 1 << 20]), Path::new("x.pth")).unwrap_err().to_string();
    assert!(message.contains("more numbers than its size allows"), "{message}");
}

fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let at = bytes.windows(from.len()).position(|window| window == from).unwrap();
    [&bytes[..at], to, &bytes[at + from.len()..]].concat()
}

#[cfg(unix)]
#[test]
fn a_pipe_or_device_is_refused_without_waiting() {
    for path in ["/dev/zero", "/dev", "/dev/null"] {
        let message = read_state_dict(Path::new(path)).unwrap_err().to_string();
        assert!(message.contains("folder, pipe or device"), "{message}");
    }
}

#[test]
fn what_cannot_be_pulled_says_what_to_bring() {
    let store = WeightStore::open_at("nowhere");
    assert!(store.pull("resnet9000", &mut |_, _| true).unwrap_err().to_string().contains("resnet9000"));
    assert!(store.pull("alexnet", &mut |_, _| true).unwrap_err().to_string().contains("torchvision"));
    #[cfg(not(feature = "pull"))]
    {
        let message = store.pull("resnet18", &mut |_, _| true).unwrap_err().to_string();
        assert!(
            message.contains("timm/resnet18.tv_in1k") && message.contains("cannot pull resnet18"),
            "{message}"
        );
    }
}

#[test]
fn a_file_of_terabytes_is_refused_before_it_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("weights.safetensors");
    let mut file = std::fs::File::create(&path).unwrap();
    std::io::Write::write_all(&mut file, b"\x10\0\0\0\0\0\0\0{}").unwrap();
    // A hole, which takes no room on the disk.
    if file.set_len(1 << 40).is_ok() {
        let error = read_state_dict(&path).unwrap_err().to_string();
        assert!(error.contains("larger than the weights of any backbone"), "{error}");
    }
}

#[test]
fn a_network_of_images_and_texts_is_recognised_by_its_patches_and_kept_under_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let patches = vec![0; 4 * 1024 * 3 * 14 * 14];
    for name in ["visual.conv1.weight", "vision_model.embeddings.patch_embedding.weight"] {
        let view =
            safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1024, 3, 14, 14], &patches);
        let file = folder.path().join("clip.safetensors");
        let words = safetensors::tensor::TensorView::new(safetensors::Dtype::F32, vec![1], &patches[..4]);
        let tensors = [(name, view.unwrap()), ("text.token_embedding.weight", words.unwrap())];
        std::fs::write(&file, safetensors::serialize(tensors, None).unwrap()).unwrap();
        let store = WeightStore::open_at(folder.path().join("store"));
        assert_eq!(store.add(&file, None).unwrap().name, "clip_vit_l_14");
        assert_eq!(store.add(&file, Some("clip_vit_b_32")).unwrap().name, "clip_vit_b_32");
        assert!(store.find("clip_vit_l_14").unwrap().is_some());
    }
}
