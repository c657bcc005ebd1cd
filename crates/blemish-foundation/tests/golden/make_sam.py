"""Golden values of transformers' SamModel on seeded random weights.

    python make_sam.py                        writes sam.safetensors beside this file
    python make_sam.py --published FOLDER     writes sam.safetensors of the published ViT-B into a folder

Made with transformers 5.24, torch 2.15.
"""

import sys
from pathlib import Path

import torch
from golden import sam_pixels, seed, tiny_sam, write
from transformers import SamConfig, SamImageProcessor, SamModel

torch.set_num_threads(1)
published = Path(sys.argv[2]) if sys.argv[1:2] == ["--published"] else None

model = seed(SamModel(SamConfig()), 20) if published else tiny_sam()
config = model.config
generator = torch.Generator().manual_seed(21)
side = config.vision_config.image_size
height, width = (37, 60) if not published else (600, 975)
image = torch.rand(3, height, width, generator=generator)

pixels, scaled = sam_pixels(image, side)
to_square = torch.tensor([scaled[1] / width, scaled[0] / height])
box = torch.tensor([5.0, 4.0, 41.5, 30.0]) * (width / 60)
points = torch.tensor([[20.0, 11.0], [50.0, 3.0]]) * (width / 60)
labels = torch.tensor([1, 0])
low = 4 * side // config.vision_config.patch_size
rough = torch.randn(1, 1, low, low, generator=generator)

out = {"image": image, "box": box, "points": points, "labels": labels, "rough": rough[0, 0]}
with torch.no_grad():
    embedding = model.get_image_embeddings(pixels)
    out["embedding"] = embedding[0].permute(1, 2, 0)
    boxes = (box.view(2, 2) * to_square).view(1, 1, 4)
    where = (points * to_square).view(1, 1, 2, 2)
    asked = {
        "box": dict(input_boxes=boxes, multimask_output=False),
        "points": dict(input_points=where, input_labels=labels.view(1, 1, 2), multimask_output=True),
        "all": dict(input_points=where, input_labels=labels.view(1, 1, 2), input_boxes=boxes, input_masks=rough, multimask_output=False),
    }
    for name, prompt in asked.items():
        answer = model(image_embeddings=embedding, **prompt)
        out[f"{name}.logits"] = answer.pred_masks[0, 0]
        out[f"{name}.quality"] = answer.iou_scores[0, 0]
        print(name, answer.pred_masks.shape, answer.pred_masks.abs().max().item(), answer.iou_scores)
processor = SamImageProcessor(size={"longest_edge": side}, pad_size={"height": side, "width": side})
full = processor.post_process_masks(out["box.logits"][None, None].unsqueeze(0)[0], [[height, width]], [list(scaled)], binarize=False)
out["box.full"] = full[0][0, 0]
print(embedding.abs().max(), out["box.full"].shape)
write((published or Path(__file__).parent) / "sam.safetensors", model.state_dict(), out)
