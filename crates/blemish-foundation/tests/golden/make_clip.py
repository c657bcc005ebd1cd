"""Embeddings of CLIPs with random weights, by open_clip 3.3 and transformers 5.24.

    python make_clip.py                     tiny networks, into this folder
    python make_clip.py --published FOLDER  ViT-B-16-plus-240, into that one (0.9 GB)

clip.safetensors: open_clip's names, exact GELU, with windows (tokens dropped behind the positional embedding) and patches behind the last
norm. clip_transformers.safetensors: CLIPModel with OpenAI's GELU. `weights.` stands before the names of the network.
"""

import sys
from pathlib import Path

import torch
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

HERE = Path(__file__).parent
torch.manual_seed(11)
torch.set_grad_enabled(False)


def shake(model, deviation):
    """As fresh weights are often ones and zeros."""
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1 or "embedding" in name:
            parameter.add_(torch.randn_like(parameter) * deviation)


def window_embeddings(visual, images, scale):
    """Class token and the tokens of each window through all blocks, window after window."""
    tokens = visual._embeds(images)
    grid = visual.grid_size[0]
    out = []
    for top in range(grid - scale + 1):
        for left in range(grid - scale + 1):
            kept = [0] + [1 + y * grid + x for y in range(top, top + scale) for x in range(left, left + scale)]
            x = visual.transformer(tokens[:, kept])
            x = visual.ln_post(x)[:, 0] @ visual.proj
            out.append(x)
    return torch.stack(out, 1)


def open_clip_file(path, model, images, scales, texts):
    visual = model.visual
    visual.output_tokens = True
    image, patches = visual(images)
    values = {f"weights.{name}": value for name, value in model.state_dict().items() if "attn_mask" not in name}
    values |= {"images": images, "image": image, "patches": patches, "texts": texts.float(), "text": model.encode_text(texts)}
    for scale in scales:
        values[f"windows.{scale}"] = window_embeddings(visual, images, scale)
    save_file({name: value.contiguous() for name, value in values.items()}, path)


def published(folder):
    import json

    import open_clip

    configuration = json.loads((Path(open_clip.__file__).parent / "model_configs/ViT-B-16-plus-240.json").read_text())
    model = CLIP(configuration["embed_dim"], CLIPVisionCfg(**configuration["vision_cfg"]), CLIPTextCfg(**configuration["text_cfg"])).eval()
    shake(model, 0.1)
    texts = open_clip.tokenize(["a photo of a metal nut", "a photo of the damaged metal nut for visual inspection"])
    images = torch.rand(1, 3, 240, 240) * 2 - 1
    open_clip_file(Path(folder) / "clip.safetensors", model, images, [2, 3], texts)


def tiny():
    vision = CLIPVisionCfg(layers=3, width=32, head_width=16, patch_size=8, image_size=40)
    text = CLIPTextCfg(context_length=12, vocab_size=60, width=24, heads=2, layers=2)
    model = CLIP(16, vision, text, quick_gelu=False).eval()
    shake(model, 0.3)
    texts = torch.zeros(3, 12, dtype=torch.long)
    for row, length in enumerate([3, 8, 12]):
        texts[row, :length] = torch.randint(1, 58, (length,))
        texts[row, 0], texts[row, length - 1] = 58, 59
    open_clip_file(HERE / "clip.safetensors", model, torch.randn(2, 3, 40, 40), [2, 3, 5], texts)

    from transformers import CLIPConfig, CLIPModel

    config = CLIPConfig(
        text_config=dict(hidden_size=24, intermediate_size=96, num_hidden_layers=2, num_attention_heads=2, max_position_embeddings=12,
                         vocab_size=60, eos_token_id=59, bos_token_id=58, pad_token_id=0),
        vision_config=dict(hidden_size=32, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=40, patch_size=8),
        projection_dim=16,
    )
    model = CLIPModel(config).eval()
    shake(model, 0.3)
    images = torch.randn(2, 3, 40, 40)
    values = {f"weights.{name}": value for name, value in model.state_dict().items() if "position_ids" not in name}
    vision = model.vision_model(pixel_values=images).pooler_output
    words = model.text_model(input_ids=texts).pooler_output
    values |= {"images": images, "image": model.visual_projection(vision), "texts": texts.float(), "text": model.text_projection(words)}
    save_file({name: value.contiguous() for name, value in values.items()}, HERE / "clip_transformers.safetensors")


if "--published" in sys.argv:
    published(sys.argv[sys.argv.index("--published") + 1])
else:
    tiny()
