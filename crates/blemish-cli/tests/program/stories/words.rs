//! Methods that go by words, without weights: what is said where something is missing.

use crate::support::Bench;
use std::fs;

#[test]
fn a_method_of_words_needs_no_images_and_says_which_weights_to_bring() {
    let bench = Bench::with_model();
    fs::create_dir(bench.path("none")).unwrap();
    for (line, words) in [
        ("fit none --method winclip --set object=nut", "bring `open_clip_model.safetensors` of"),
        ("fit --method winclip --set object=nut", "`blemish weights pull clip_vit_b_16_plus_240`"),
        ("fit set --method winclip --backbone clip-vit-l-14", "vit_large_patch14_clip_224.openai"),
        ("fit none --method winclip --backbone clip_vit_b_32 --weights absent.pt", "absent.pt"),
        ("fit none --method winclip --backbone resnet18", "for images and texts clip_vit_b_16_plus_240"),
        ("fit none --method winclip --ensemble squeezenet1.1", "one network of images and texts"),
        ("fit none --method winclip --set temperature=0", "`temperature`"),
        ("fit none", "holds no images"),
        ("fit", "name a folder"),
        ("fit set --backbone clip_vit_b_32", "gives no feature maps"),
        ("weights add set/test/good/000.png --name clip_vit_b_32", "neither safetensors nor"),
    ] {
        let error = bench.fails(line);
        assert!(error.contains(words), "`{line}` says {error}");
    }
    assert!(bench.ok("info clip_vit_b_32").contains("224x224"));
    assert!(bench.ok("weights list").contains("clip_vit_l_14"));
}
