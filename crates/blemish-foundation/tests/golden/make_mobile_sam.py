"""Golden values of MobileSAM's image encoder, made of timm's TinyViT on seeded random weights: writes mobile_sam.safetensors.

MobileSAM is TinyViT whose last stage keeps the grid, with the neck of Segment Anything behind it. Names are those of its checkpoint.

Made with timm 1.0, torch 2.15.
"""

import re
from pathlib import Path

import torch
from golden import sam_pixels, write
from timm.models.tiny_vit import TinyVit

torch.set_num_threads(1)
model = TinyVit(
    num_classes=0, embed_dims=(8, 12, 16, 24), depths=(1, 1, 2, 1), num_heads=(1, 2, 4, 3), window_sizes=(3, 5, 3, 4),
)
model.stages[3].downsample.conv2.conv.stride = (1, 1)


class Norm(torch.nn.LayerNorm):
    def forward(self, x):
        return super().forward(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


neck = torch.nn.Sequential(
    torch.nn.Conv2d(24, 32, 1, bias=False), Norm(32, eps=1e-6), torch.nn.Conv2d(32, 32, 3, padding=1, bias=False), Norm(32, eps=1e-6),
)
generator = torch.Generator().manual_seed(60)
tensors = {**model.state_dict(), **{f"neck.{name}": value for name, value in neck.state_dict().items()}}
tensors = {name: value for name, value in tensors.items() if not name.startswith("head.") and "num_batches" not in name}
with torch.no_grad():
    for name, value in sorted(tensors.items()):
        random = torch.randn(value.shape, generator=generator)
        if name.endswith("running_var"):
            random = 0.5 + random.abs()
        elif value.dim() > 1 and "attention_biases" not in name:
            random = 1.5 * random / value[0].numel() ** 0.5
        elif name.endswith("weight"):
            random = 1 + 0.2 * random
        else:
            random = 0.3 * random
        value.copy_(random.half().float())
model.eval()


def renamed(name):
    name = re.sub(r"^patch_embed\.conv([12])\.", lambda m: f"patch_embed.seq.{2 * int(m[1]) - 2}.", name)
    name = re.sub(r"^stages\.(\d)\.downsample\.", lambda m: f"layers.{int(m[1]) - 1}.downsample.", name)
    name = re.sub(r"^stages\.", "layers.", name)
    name = name.replace(".conv.weight", ".c.weight")
    return f"image_encoder.{name}"


image = torch.rand(3, 37, 60, generator=generator)
pixels, _ = sam_pixels(image, 96)
with torch.no_grad():
    features = model.forward_features(pixels)
    embedding = neck(features)
print(features.shape, embedding.shape, embedding.std(), features.std())
out = {"image": image, "embedding": embedding[0].permute(1, 2, 0)}
write(Path(__file__).parent / "mobile_sam.safetensors", {renamed(name): value for name, value in tensors.items()}, out)
