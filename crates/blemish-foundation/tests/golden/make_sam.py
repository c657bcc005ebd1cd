"""Golden values of transformers' SamModel on seeded random weights.

    python make_sam.py                        writes sam.safetensors beside this file
    python make_sam.py --published FOLDER     writes sam.safetensors of the published ViT-B into a folder

Made with transformers 5.24, torch 2.15.
"""

import sys
from pathlib import Path

import torch
from golden import seed, write
from transformers import SamConfig, SamImageProcessor, SamMaskDecoderConfig, SamModel, SamPromptEncoderConfig, SamVisionConfig

torch.set_num_threads(1)
published = Path(sys.argv[2]) if sys.argv[1:2] == ["--published"] else None

if published:
    config = SamConfig()
else:
    vision = SamVisionConfig(
        hidden_size=16, output_channels=32, num_hidden_layers=3, num_attention_heads=2, image_size=96, patch_size=8, window_size=5,
        global_attn_indexes=[1], num_pos_feats=16, mlp_dim=24,
    )
    prompts = SamPromptEncoderConfig(hidden_size=32, image_size=96, patch_size=8, mask_input_channels=8)
    decoder = SamMaskDecoderConfig(hidden_size=32, mlp_dim=40, num_attention_heads=2, iou_head_hidden_dim=24)
    config = SamConfig(vision_config=vision, prompt_encoder_config=prompts, mask_decoder_config=decoder)

model = seed(SamModel(config), 20)
generator = torch.Generator().manual_seed(21)
side = config.vision_config.image_size
height, width = (37, 60) if not published else (600, 975)
image = torch.rand(3, height, width, generator=generator)

# The image as the network takes it, in single precision throughout.
scale = side / max(height, width)
scaled = (int(height * scale + 0.5), int(width * scale + 0.5))
resized = torch.nn.functional.interpolate(image[None], scaled, mode="bilinear", antialias=True)[0]
mean, std = torch.tensor([123.675, 116.28, 103.53]), torch.tensor([58.395, 57.12, 57.375])
pixels = (255 * resized - mean[:, None, None]) / std[:, None, None]
pixels = torch.nn.functional.pad(pixels, (0, side - scaled[1], 0, side - scaled[0]))[None]

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
