"""Images, masks and accuracy as all comparisons with other tools take them: sets in MVTec AD layout, figures exact."""

import os

import numpy
import torch
from PIL import Image
from scipy.ndimage import label
from sklearn.metrics import roc_auc_score

MEAN, STD = torch.tensor([[[0.485]], [[0.456]], [[0.406]]]), torch.tensor([[[0.229]], [[0.224]], [[0.225]]])


def image(path, size):
    pixels = numpy.array(Image.open(path).convert("RGB").resize(size, Image.BILINEAR))
    return (torch.from_numpy(pixels).permute(2, 0, 1) / 255 - MEAN) / STD


def aupro(maps, masks, limit=0.3):
    regions, count = [], 0
    for mask in masks:
        labels, found = label(mask, numpy.ones((3, 3)))
        regions.append(numpy.where(labels > 0, labels + count, 0))
        count += found
    scores, regions = numpy.ravel(maps), numpy.ravel(regions)
    order = numpy.argsort(-scores, kind="stable")
    scores, regions = scores[order], regions[order]
    background = regions == 0
    share = 1 / (count * numpy.bincount(regions))
    last = numpy.append(numpy.diff(scores) != 0, True)  # of equal scores
    rate = numpy.append(0, (numpy.cumsum(background) / background.sum())[last])
    overlap = numpy.append(0, numpy.cumsum(numpy.where(background, 0, share[regions]))[last])
    inside = rate < limit
    return numpy.trapezoid(numpy.append(overlap[inside], numpy.interp(limit, rate, overlap)), numpy.append(rate[inside], limit)) / limit


def accuracy(model, folder, paths, batch, size):
    """Image AUROC, pixel AUROC and AUPRO of a model that gives `pred_score` and `anomaly_map` of a batch."""
    scores, labels, maps, masks = [], [], [], []
    for start in range(0, len(paths), batch):
        chunk = paths[start : start + batch]
        with torch.no_grad():
            found = model(torch.stack([image(path, size) for path in chunk]))
        scores += found.pred_score.flatten().tolist()
        for path, anomaly_map in zip(chunk, found.anomaly_map.reshape(-1, *size).numpy()):
            kind, name = path.split("/")[-2:]
            labels.append(kind != "good")
            mask = f"{folder}/ground_truth/{kind}/{os.path.splitext(name)[0]}_mask.png"
            if kind == "good":
                masks.append(numpy.zeros(size, bool))
            elif os.path.exists(mask):
                masks.append(numpy.array(Image.open(mask).convert("L").resize(size, Image.NEAREST)) > 127)
            else:
                continue
            maps.append(anomaly_map)
    figures = {"image": roc_auc_score(labels, scores), "pixel": None, "aupro": None}
    if numpy.any(masks):
        figures |= {"pixel": roc_auc_score(numpy.ravel(masks), numpy.ravel(maps)), "aupro": aupro(maps, masks)}
    return figures
