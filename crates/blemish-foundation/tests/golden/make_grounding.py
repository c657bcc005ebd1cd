"""Golden values of transformers' GroundingDinoForObjectDetection on seeded random weights.

    python make_grounding.py                        writes grounding.safetensors beside this file
    python make_grounding.py --published FOLDER     writes grounding.safetensors of the published Swin-T into a folder

Made with transformers 5.24, torch 2.15.
"""

import sys
import tempfile
from pathlib import Path

import torch
from golden import seed, tiny_grounding, write
from safetensors.torch import load_file
from transformers import GroundingDinoConfig, GroundingDinoForObjectDetection, SwinConfig

torch.set_num_threads(1)
published = Path(sys.argv[2]) if sys.argv[1:2] == ["--published"] else None

if published:
    swin = SwinConfig(
        window_size=7, image_size=224, embed_dim=96, depths=(2, 2, 6, 2), num_heads=(3, 6, 12, 24), out_indices=[2, 3, 4],
    )
    model = seed(GroundingDinoForObjectDetection(GroundingDinoConfig(backbone_config=swin)), 40)
    # Boxes that move by small steps, as trained ones do: with large ones six layers amplify rounding beyond any comparison.
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "bbox_embed" in name and "layers.2" in name:
                parameter.copy_((0.1 * parameter).half().float())
else:
    model = tiny_grounding()
generator = torch.Generator().manual_seed(41)
# The shorter side is the network's, so nothing is resized.
image = torch.rand(3, *((67, 83) if not published else (800, 1000)), generator=generator)
mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
pixels = ((image - mean[:, None, None]) / std[:, None, None])[None]
tokens = torch.tensor([[101, 7, 900, 33, 1012, 412, 1012, 58, 9, 102]])

kept = {}
model.model.encoder.register_forward_pre_hook(lambda _, args, kwargs: kept.update(kwargs), with_kwargs=True)
with torch.no_grad():
    answer = model(pixel_values=pixels, input_ids=tokens)
count = tokens.shape[1]
out = {
    "image": image,
    "tokens": tokens[0],
    "text": kept["text_features"][0],
    "levels": kept["vision_features"][0],
    "scores": answer.logits[0, :, :count].sigmoid(),
    "boxes": answer.pred_boxes[0],
}
with torch.no_grad():
    exact = model.double()(pixel_values=pixels.double(), input_ids=tokens)
model.float()
for name, ours in (("scores", exact.logits[0, :, :count].sigmoid()), ("boxes", exact.pred_boxes[0])):
    print(f"{name} in single precision are within {((out[name] - ours).abs().max() / ours.abs().max()).item():.1e} of double precision")
print({name: (tuple(value.shape), value.float().std().item()) for name, value in out.items()})
with tempfile.TemporaryDirectory() as folder:
    # Files have other names than the modules in memory.
    model.save_pretrained(folder)
    weights = load_file(f"{folder}/model.safetensors")
print(sum(value.numel() for value in weights.values()))
write((published or Path(__file__).parent) / "grounding.safetensors", weights, out)
