"""WinCLIP's image tower beside anomalib's on one thread: CPU seconds an image, with random weights of ViT-B-16-plus-240.

    python benches/winclip_speed.py [--images N]

Needs anomalib 2.7 with open_clip. Both embed the image, its 196 windows of 2x2 tokens and its 169 of 3x3. Ours is measured by `cargo bench -p
blemish-foundation --bench clip`, right after, on the same machine.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

os.environ["OMP_NUM_THREADS"] = "1"
sys.path.append(str(Path(__file__).resolve().parent))

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--images", type=int, default=3)
count = parser.parse_args().images

import open_clip  # noqa: E402
import torch  # noqa: E402
from blemish import Rows  # noqa: E402
from anomalib.models.image.winclip import torch_model  # noqa: E402
from open_clip.model import CLIP, CLIPTextCfg, CLIPVisionCfg  # noqa: E402

torch.set_num_threads(1)
torch.set_grad_enabled(False)

sizes = json.loads((Path(open_clip.__file__).parent / "model_configs/ViT-B-16-plus-240.json").read_text())
clip = CLIP(sizes["embed_dim"], CLIPVisionCfg(**sizes["vision_cfg"]), CLIPTextCfg(**sizes["text_cfg"])).eval()
open_clip.create_model_and_transforms = lambda *_, **__: (clip, None, None)
model = torch_model.WinClipModel().eval()
if getattr(clip.visual.transformer, "batch_first", False):
    # anomalib's window pass is for an open_clip below 2.26.1, whose transformers take tokens first; see make_winclip.py.
    transformer, original = clip.visual.transformer, model._get_window_embeddings

    class Turned(torch.nn.Module):
        def forward(self, x):
            return transformer(x.permute(1, 0, 2)).permute(1, 0, 2)

    def windows(*arguments):
        clip.visual.transformer = Turned()
        try:
            return original(*arguments)
        finally:
            clip.visual.transformer = transformer

    model._get_window_embeddings = windows
image = torch.rand(1, 3, 240, 240)
model.encode_image(image)
theirs = []
for _ in range(count):
    before = time.process_time()
    model.encode_image(image)
    theirs.append(time.process_time() - before)

command = ["cargo", "bench", "-q", "-p", "blemish-foundation", "--bench", "clip"]
out = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parent.parent).stdout
ours = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
best = min(line["windows"] for line in ours if "windows" in line)
rows = Rows("winclip-speed")
for peer, value in [("", best), ("anomalib", min(theirs)), ("anomalib / Blemish", min(theirs) / best)]:
    note = f"random weights, 1 thread, least of {count}"
    rows.add(set="240x240", method="winclip", variant="clip_vit_b_16_plus_240", metric="image and windows, CPU s", value=f"{value:.2f}", peer=peer, note=note)
print(f"anomalib {min(theirs):.2f} s an image (of {count}), Blemish {best:.2f} s, ratio {min(theirs) / best:.2f}; all: {theirs} {ours}")
