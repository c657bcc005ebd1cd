"""Golden values of vision transformers, from transformers, timm and open_clip with seeded random weights.

    python make_vit.py vit.safetensors vit.json
    python make_vit.py --published FOLDER

The first form writes tiny networks of every kind, their weights under the packages' names, an image of the size they are made for and one of
another, not square and no multiple of the patch, and what comes out; and for the networks of published size a digest of names and
shapes. The second writes DINOv2's ViT-S/14 with random weights at 224x224 and 448x392.
Made with torch 2.15, transformers 5.24, timm 1.0 and open_clip 3.3.
"""
import hashlib
import json
import math
import sys

import open_clip
import timm
import torch
import transformers as hf
from safetensors.numpy import save_file
from timm.models.vision_transformer import VisionTransformer

WIDTH, DEPTH, HEADS, HIDDEN, PATCH, IMAGE = 16, 2, 2, 32, 4, 16
SIZES = {"own": (16, 16), "other": (21, 30)}


def hub_positions(self, embeddings, height, width):
    """DINOv2's own way: scale factors of (n + 0.1) / m."""
    table = self.position_embeddings
    count, dim = table.shape[1] - 1, table.shape[-1]
    patch = self.config.patch_size
    if embeddings.shape[1] - 1 == count and height == width:
        return table
    side = int(math.sqrt(count))
    rows, columns = height // patch, width // patch
    grid = table[:, 1:].reshape(1, side, side, dim).permute(0, 3, 1, 2)
    scale = ((rows + 0.1) / side, (columns + 0.1) / side)
    grid = torch.nn.functional.interpolate(grid, scale_factor=scale, mode="bicubic")
    assert grid.shape[-2:] == (rows, columns)
    return torch.cat((table[:, :1], grid.permute(0, 2, 3, 1).reshape(1, -1, dim)), 1)


def randomise(model, seed):
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not value.is_floating_point():
                continue
            noise = torch.randn(value.shape, generator=generator)
            is_gain = value.ndim == 1 and name.endswith(("weight", "gamma", "lambda1"))
            fan = value[0].numel() if value.ndim > 1 else 1
            value.copy_(1 + 0.2 * noise if is_gain else noise * (0.3 if value.ndim == 1 else 1.2 / fan**0.5))
    return model.eval()


def hf_outputs(model, image):
    size = {"interpolate_pos_encoding": True} if "Dinov2" not in type(model).__name__ else {}
    found = model(image, output_hidden_states=True, **size)
    return found.hidden_states[1], found.last_hidden_state


def clip_outputs(model, image):
    found = model(image, output_hidden_states=True, interpolate_pos_encoding=True)
    return found.hidden_states[1], model.post_layernorm(found.last_hidden_state)


def timm_outputs(model, image):
    kept = []
    hook = model.blocks[0].register_forward_hook(lambda _, __, out: kept.append(out))
    last = model.forward_features(image)
    hook.remove()
    return kept[0], last


def hub_names(state):
    """DINOv2's own names, blocks in chunks of one."""
    out = {}
    for name, value in state.items():
        name = name.replace("embeddings.position_embeddings", "pos_embed").replace("embeddings.patch_embeddings.projection", "patch_embed.proj")
        name = name.replace("embeddings.", "").replace("layernorm", "norm").replace("attention.o_proj", "attn.proj")
        name = name.replace("layer_scale1.lambda1", "ls1.gamma").replace("layer_scale2.lambda1", "ls2.gamma")
        if name.startswith("encoder.layer."):
            _, _, index, rest = name.split(".", 3)
            name = f"blocks.{index}.{index}.{rest}"
        if "q_proj" in name:
            out[name.replace("attention.q_proj", "attn.qkv")] = torch.cat(joint(state, name))
        elif "k_proj" not in name and "v_proj" not in name:
            out[name] = value
    return out


def joint(state, name):
    index, kind = name.split(".")[1], name.rsplit(".", 1)[1]
    return [state[f"encoder.layer.{index}.attention.{part}_proj.{kind}"] for part in "qkv"]


def tiny():
    sizes = dict(hidden_size=WIDTH, num_hidden_layers=DEPTH, num_attention_heads=HEADS, image_size=IMAGE, patch_size=PATCH)
    dino = dict(sizes, mlp_ratio=HIDDEN // WIDTH)
    model = randomise(hf.Dinov2Model(hf.Dinov2Config(**dino)), 1)
    yield "dinov2", model, hf_outputs, None
    model = randomise(hf.Dinov2Model(hf.Dinov2Config(**dino)), 2)
    model.embeddings.interpolate_pos_encoding = hub_positions.__get__(model.embeddings)
    yield "dinov2_hub", model, hf_outputs, hub_names
    model = randomise(hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**dino, num_register_tokens=4)), 3)
    yield "dinov2_registers", model, hf_outputs, None
    plain = dict(img_size=IMAGE, patch_size=PATCH, embed_dim=WIDTH, depth=DEPTH, num_heads=HEADS, mlp_ratio=HIDDEN // WIDTH)
    plain.update(num_classes=5, dynamic_img_size=True, dynamic_img_pad=False)
    yield "vit", randomise(VisionTransformer(**plain), 4), timm_outputs, None
    registers = dict(plain, num_classes=0, init_values=1e-5, reg_tokens=4, no_embed_class=True)
    yield "dinov2_timm_registers", randomise(VisionTransformer(**registers), 5), timm_outputs, None
    vit = hf.ViTModel(hf.ViTConfig(**sizes, intermediate_size=HIDDEN, layer_norm_eps=1e-6))
    yield "vit_transformers", randomise(vit, 6), hf_outputs, None
    clip = hf.CLIPVisionModel(hf.CLIPVisionConfig(**sizes, intermediate_size=HIDDEN, hidden_act="quick_gelu"))
    yield "clip_quick", randomise(clip, 7), clip_outputs, None
    text = dict(context_length=7, vocab_size=20, width=8, heads=1, layers=1)
    vision = dict(image_size=IMAGE, layers=DEPTH, width=WIDTH, head_width=WIDTH // HEADS, mlp_ratio=HIDDEN / WIDTH, patch_size=PATCH)
    both = randomise(open_clip.model.CLIP(embed_dim=6, vision_cfg=vision, text_cfg=text), 8)
    yield "clip", both, open_clip_outputs, None


def open_clip_outputs(model, image):
    tower = model.visual
    x = tower._embeds(image)
    kept = []
    hook = tower.transformer.resblocks[0].register_forward_hook(lambda _, __, out: kept.append(out))
    last = tower.ln_post(tower.transformer(x))
    hook.remove()
    return kept[0], last


def image(height, width, seed):
    return torch.randn(1, 3, height, width, generator=torch.Generator().manual_seed(seed))


def write_tiny(path):
    tensors = {f"image.{name}": image(*size, 99).numpy() for name, size in SIZES.items()}
    for case, model, outputs, rename in tiny():
        state = dict(model.state_dict())
        state = rename(state) if rename else state
        for name, value in state.items():
            tensors[f"{case}/{name}"] = value.numpy().copy()
        for name, size in SIZES.items():
            height, width = size
            if case == "clip" and name == "other":
                continue  # Its tower takes one size.
            x = image(*size, 99)
            if isinstance(model, VisionTransformer):
                x = x[..., : height // PATCH * PATCH, : width // PATCH * PATCH]
            with torch.no_grad():
                first, last = outputs(model, x)
            tensors[f"out.{case}.{name}.first"] = first[0].numpy().copy()
            tensors[f"out.{case}.{name}.last"] = last[0].numpy().copy()
    save_file(tensors, path)


def digest(state, heads=()):
    lines = [f"{name} {'x'.join(map(str, value.shape))}\n" for name, value in sorted(state.items()) if not name.startswith(tuple(heads))]
    return {"tensors": len(lines), "sha256": hashlib.sha256("".join(lines).encode()).hexdigest()}


def write_names(path):
    out = {}
    heads = ("head.", "pooler.", "embeddings.mask_token", "proj", "fc_norm")
    names = [f"vit_{size}_patch14{reg}_dinov2" for size in ("small", "base", "large") for reg in ("", "_reg4")]
    names += [f"vit_{size}_patch16_224" for size in ("small", "base", "large")]
    names += ["vit_base_patch32_clip_224", "vit_base_patch16_clip_224", "vit_base_patch16_plus_clip_240", "vit_large_patch14_clip_224"]
    names += ["vit_base_patch32_clip_quickgelu_224", "vit_base_patch16_clip_quickgelu_224", "vit_large_patch14_clip_quickgelu_224"]
    with torch.device("meta"):
        for name in names:
            out[f"{name} timm's"] = digest(timm.create_model(name).state_dict(), heads)
        for size, width, depth, count in (("small", 384, 12, 6), ("base", 768, 12, 12), ("large", 1024, 24, 16)):
            sizes = dict(hidden_size=width, num_hidden_layers=depth, num_attention_heads=count)
            model = hf.Dinov2Model(hf.Dinov2Config(**sizes, image_size=518, patch_size=14))
            out[f"vit_{size}_patch14_dinov2 transformers 5's"] = digest(model.state_dict(), heads)
            model = hf.Dinov2WithRegistersModel(hf.Dinov2WithRegistersConfig(**sizes, image_size=518, patch_size=14))
            out[f"vit_{size}_patch14_reg4_dinov2 transformers 5's"] = digest(model.state_dict(), heads)
            model = hf.ViTModel(hf.ViTConfig(**sizes, intermediate_size=4 * width))
            out[f"vit_{size}_patch16_224 transformers 5's"] = digest(model.state_dict(), heads)
        clips = {"ViT-B-32": "vit_base_patch32_clip_224", "ViT-B-16": "vit_base_patch16_clip_224", "ViT-L-14": "vit_large_patch14_clip_224", "ViT-B-16-plus-240": "vit_base_patch16_plus_clip_240"}
        for config, name in clips.items():
            vision = open_clip.get_model_config(config)["vision_cfg"]
            text = dict(context_length=7, vocab_size=20, width=8, heads=1, layers=1)
            model = open_clip.model.CLIP(embed_dim=8, vision_cfg=vision, text_cfg=text).visual
            out[f"{name} open_clip's"] = digest(model.state_dict(), heads)
            sizes = dict(hidden_size=vision["width"], intermediate_size=4 * vision["width"], num_hidden_layers=vision["layers"])
            sizes.update(num_attention_heads=vision["width"] // 64, image_size=vision["image_size"], patch_size=vision["patch_size"])
            model = hf.CLIPVisionModel(hf.CLIPVisionConfig(**sizes))
            out[f"{name} transformers'"] = digest(model.state_dict(), heads)
    with open(path, "w") as file:
        json.dump(out, file, indent=1, sort_keys=True)
        file.write("\n")


def write_published(folder):
    sizes = dict(hidden_size=384, num_hidden_layers=12, num_attention_heads=6, image_size=518, patch_size=14)
    model = randomise(hf.Dinov2Model(hf.Dinov2Config(**sizes)), 1)
    model.embeddings.interpolate_pos_encoding = hub_positions.__get__(model.embeddings)
    tensors = {f"weights/{name}": value.numpy().copy() for name, value in model.state_dict().items()}
    for height, width in ((224, 224), (448, 392)):
        x = image(height, width, 5)
        with torch.no_grad():
            first, last = hf_outputs(model, x)
        tensors[f"image.{height}x{width}"] = x.numpy()
        tensors[f"out.{height}x{width}.first"] = first[0].numpy().copy()
        tensors[f"out.{height}x{width}.last"] = last[0].numpy().copy()
    save_file(tensors, f"{folder}/vit.safetensors")


if __name__ == "__main__":
    if sys.argv[1] == "--published":
        write_published(sys.argv[2])
    else:
        write_tiny(sys.argv[1])
        write_names(sys.argv[2])
