"""WinCLIP by anomalib 2.7.0 on open_clip 3.3, with random weights.

    python make_winclip.py                     a tiny network, into winclip.safetensors here
    python make_winclip.py --published FOLDER  ViT-B-16-plus-240, into that one (0.9 GB)

Names: `weights.` before open_clip's names of the network, of whose token embedding only the rows that prompts use are there (`token_rows`
says which); `images` and `references`, normalised as the network takes them; `prototypes`, not normalised; `zero.map`, `zero.score` without
references, `few.map`, `few.score` with them. Templates are anomalib's, the object is a metal nut.

anomalib asks for an open_clip below 2.26.1, whose transformers take tokens x windows x values. Later ones take windows first, so that, as it
is, tokens would attend to those of other windows; they are given what they take (`tokens_first`).
"""

import json
import sys
from pathlib import Path

import open_clip
import torch
from anomalib.models.image.winclip import torch_model
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg
from safetensors.torch import save_file

HERE = Path(__file__).parent
torch.manual_seed(5)
torch.set_grad_enabled(False)


def network(is_published):
    if is_published:
        folder = Path(open_clip.__file__).parent / "model_configs"
        sizes = json.loads((folder / "ViT-B-16-plus-240.json").read_text())
        return CLIP(sizes["embed_dim"], CLIPVisionCfg(**sizes["vision_cfg"]), CLIPTextCfg(**sizes["text_cfg"])), 240
    vision = CLIPVisionCfg(layers=2, width=32, head_width=16, patch_size=8, image_size=48)
    return CLIP(16, vision, CLIPTextCfg(width=24, heads=2, layers=2)), 48


def transformer_takes_windows_first(clip):
    return getattr(clip.visual.transformer, "batch_first", False)


def tokens_first(model):
    """Lets anomalib's window pass hand tokens x windows to a transformer that takes windows x tokens."""
    transformer, original = model.clip.visual.transformer, model._get_window_embeddings

    class Turned(torch.nn.Module):
        def forward(self, x):
            return transformer(x.permute(1, 0, 2)).permute(1, 0, 2)

    def windows(*arguments):
        model.clip.visual.transformer = Turned()
        try:
            return original(*arguments)
        finally:
            model.clip.visual.transformer = transformer

    model._get_window_embeddings = windows


def make(path, is_published):
    clip, size = network(is_published)
    clip.eval()
    deviation = 0.1 if is_published else 0.3
    for name, parameter in clip.named_parameters():
        # Fresh ones are often ones and zeros, and embeddings so small that all texts are alike.
        if parameter.ndim == 1 or "embedding" in name:
            parameter.add_(torch.randn_like(parameter) * deviation)
        # So that what an image shows and a prompt says counts for more than the class token and the positions.
        elif "conv1" in name or "in_proj" in name or "out_proj" in name:
            parameter.mul_(4)
    open_clip.create_model_and_transforms = lambda *_, **__: (clip, None, None)
    torch_model.open_clip = open_clip
    count = 1 if is_published else 2
    images, references = torch.randn(count, 3, size, size), torch.randn(2, 3, size, size)
    # Something that good images are made of, too, so that distances differ.
    images[..., : size // 2] = 0.7 * images[..., : size // 2] + 0.7 * references[:1, ..., : size // 2]
    model = torch_model.WinClipModel("metal nut").eval()
    if transformer_takes_windows_first(clip):
        tokens_first(model)
    zero = model(images)
    prototypes = model.text_embeddings
    model.setup(reference_images=references)
    few = model(images)
    used = sorted({int(id) for prompts in torch_model.create_prompt_ensemble("metal nut") for id in open_clip.tokenize(prompts).flatten()})
    values = {f"weights.{name}": value for name, value in clip.state_dict().items() if "attn_mask" not in name}
    values["weights.token_embedding.weight"] = clip.token_embedding.weight[used]
    values |= {
        "token_rows": torch.tensor(used).float(), "images": images, "references": references, "prototypes": prototypes,
        "zero.map": zero.anomaly_map, "zero.score": zero.pred_score, "few.map": few.anomaly_map, "few.score": few.pred_score,
    }
    save_file({name: value.contiguous() for name, value in values.items()}, path)
    print(zero.pred_score, few.pred_score, zero.anomaly_map.std(), few.anomaly_map.std())


if "--published" in sys.argv:
    make(Path(sys.argv[sys.argv.index("--published") + 1]) / "winclip.safetensors", True)
else:
    make(HERE / "winclip.safetensors", False)
