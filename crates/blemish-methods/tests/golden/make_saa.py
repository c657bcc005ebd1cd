"""Golden maps of SAA from its specification, on transformers' tiny networks with seeded random weights: writes saa.safetensors.

The networks are those of crates/blemish-foundation/tests/golden; features of the saliency are random maps.

Made with transformers 5.24, torch 2.15.
"""

import math
import sys
from pathlib import Path

import torch
from safetensors.torch import save_file

here = Path(__file__).parent
sys.path.insert(0, str(here / "../../../blemish-foundation/tests/golden"))
from golden import sam_pixels, tiny_grounding, tiny_sam  # noqa: E402

torch.set_num_threads(1)
WORDS = {200: "object", 201: "defect", 202: "damage", 203: "flaw", 204: "on", 205: "black", 206: "hole"}
NUMBERS = {word: number for number, word in WORDS.items()}
HEIGHT, WIDTH = 48, 64
BOX, TEXT = 0.6, 0.55

detector, segmenter = tiny_grounding(), tiny_sam()
generator = torch.Generator().manual_seed(50)
image = torch.rand(3, HEIGHT, WIDTH, generator=generator)
maps = [torch.rand(channels, side, side, generator=generator) for channels, side in ((6, 16), (5, 8), (4, 4))]

# Shorter side 67.
resized = torch.nn.functional.interpolate(image[None], (67, int(67 * WIDTH / HEIGHT)), mode="bilinear", antialias=True)
mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
pixels = (resized - mean[:, None, None]) / std[:, None, None]
square, scaled = sam_pixels(image, 96)


@torch.no_grad()
def detect(words):
    tokens = [101] + [NUMBERS[word] for word in words] + [1012, 102]
    answer = detector(pixel_values=pixels, input_ids=torch.tensor([tokens]))
    found = []
    for box, scores in zip(answer.pred_boxes[0].tolist(), answer.logits[0, :, : len(tokens)].sigmoid().tolist()):
        phrase = [WORDS[token] for token, score in zip(tokens, scores) if score > TEXT and token in WORDS]
        found.append((box, max(scores), phrase))
    return found


@torch.no_grad()
def mask_of(box):
    x, y, w, h = box
    left, top = (x - w / 2) * WIDTH, (y - h / 2) * HEIGHT
    corners = torch.tensor([left, top, left + w * WIDTH, top + h * HEIGHT])
    to_square = torch.tensor([scaled[1] / WIDTH, scaled[0] / HEIGHT])
    boxes = (corners.view(2, 2) * to_square).view(1, 1, 4)
    logits = segmenter(pixel_values=square, input_boxes=boxes, multimask_output=False).pred_masks[0, 0]
    big = torch.nn.functional.interpolate(logits[None], (96, 96), mode="bilinear")[:, :, : scaled[0], : scaled[1]]
    return torch.nn.functional.interpolate(big, (HEIGHT, WIDTH), mode="bilinear")[0, 0] > 0


def features():
    joined = [torch.nn.functional.interpolate(m[None], (16, 16), mode="nearest")[0] for m in maps]
    rows = torch.cat(joined).flatten(1).T
    return rows / rows.norm(dim=1, keepdim=True)


def saliency(objects, boxes, count):
    rows = features()
    distance = (1 - rows @ rows.T) / 2
    if objects == 1:
        values = distance.sort(dim=1, descending=True)[0][:, :count].mean(1)
    else:
        cells = [mask_of(box).float()[None, None] for box in boxes]
        cells = [torch.nn.functional.interpolate(m, (16, 16), mode="nearest")[0, 0].flatten() > 0.5 for m in cells]
        values = torch.zeros(256)
        for own, mask in enumerate(cells):
            others = torch.zeros(256, dtype=torch.bool)
            for other, m in enumerate(cells):
                if other != own:
                    others |= m
            if others.any():
                nearest = distance[:, others].min(1)[0]
                values = torch.where(mask, torch.maximum(values, nearest), values)
    return torch.nn.functional.interpolate(values.view(1, 1, 16, 16), (HEIGHT, WIDTH), mode="bilinear")[0, 0]


def contains(phrase, words):
    return any(phrase[at : at + len(words)] == words for at in range(len(phrase) - len(words) + 1))


def run(name, captions, objects, most, theta, is_plus):
    boxes, area = [], 1.0
    if is_plus:
        boxes = [box for box, score, _ in detect(["object"]) if score > BOX and 0 < box[2] * box[3] < 1 / objects]
        area = max([box[2] * box[3] for box in boxes], default=1.0)
    kept = []
    for caption, unwanted in captions:
        for box, score, phrase in detect(caption):
            if score > BOX and box[2] * box[3] < theta * area and not contains(phrase, unwanted):
                kept.append((mask_of(box), score))
    total = sum(len(detect(caption)) for caption, _ in captions)
    if is_plus:
        salient = saliency(objects, boxes, 40)
        kept = [(m, s * math.exp(3 * salient[m].mean().item()) if m.any() else s) for m, s in kept]
        kept = sorted(kept, key=lambda pair: -pair[1])[:most]
    sums, counts = torch.zeros(HEIGHT, WIDTH), torch.ones(HEIGHT, WIDTH)
    for mask, score in kept:
        sums[mask] += score
        counts[mask] += 1
    print(name, f"{len(boxes)} objects of {area:.3f}, {len(kept)} of {total} kept, {len((sums / counts).unique())} levels")
    return sums / counts


on = [(["defect", "on", "object"], ["object"]), (["damage", "on", "object"], ["object"]), (["flaw", "on", "object"], ["object"])]
out = {
    "image": image,
    "single": run("single", on, 1, 5, 0.9, True),
    "several": run("several", on, 2, 900, 1.0, True),
    "plain": run("plain", [(["black", "hole"], ["hole"])], 1, None, 1.0, False),
    **{f"layer{index + 1}": m for index, m in enumerate(maps)},
}
save_file({name: value.contiguous() for name, value in out.items()}, here / "saa.safetensors")
