"""anomalib's side of the comparison: fits, exports, scores, and prints what that took as one line of JSON.

    peer.py fit  METHOD SET WEIGHTS EXPORT_FOLDER   through its Engine, on the good images of SET; then exports its torch model
    peer.py graph METHOD SET WEIGHTS FOLDER IMAGES  fits as above, exports ONNX, and scores the images of a JSON list by the trained model
    peer.py cold MODEL.pt IMAGE                     one score through its TorchInferencer
    peer.py many MODEL.pt IMAGES                    wall seconds an image of the files of a JSON list, one call each, through the same
    peer.py openvino METHOD SET WEIGHTS FOLDER      fits as above (fastflow: one epoch), and exports for OpenVINO
    peer.py run MODEL.xml IMAGES PRECISION          wall seconds an image through its OpenVINOInferencer, one call and one thread each; f32 or bf16
    peer.py warm MODEL.pt                           one thread, batch 1: CPU milliseconds of the exported model alone
    peer.py accuracy METHOD SET WEIGHTS SEED        image and pixel AUROC of its model on SET (MVTec AD layout) at 256x256
"""

import argparse
import json
import os
import resource
import time
import warnings

warnings.filterwarnings("ignore")
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["TRUST_REMOTE_CODE"] = "1"


def clock():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return time.perf_counter(), used.ru_utime + used.ru_stime


def since(start):
    wall, cpu = clock()
    return {"wall": wall - start[0], "cpu": cpu - start[1]}


def with_weights(path):
    """Makes timm build its ResNet-18 with the given state dict (batch norm folded into the convolutions) instead of a download."""
    import timm
    from safetensors.torch import load_file

    create = timm.create_model
    given = load_file(path)

    def created(*args, **options):
        model = create(*args, **{**options, "pretrained": False})
        modules = dict(model.named_modules())
        for key, value in given.items():
            name, kind = key.rsplit(".", 1)
            conv = name.replace("downsample.conv", "downsample.0")
            norm = conv.replace("conv1", "bn1").replace("conv2", "bn2").replace("downsample.0", "downsample.1")
            if kind == "weight":
                modules[conv].weight.data.copy_(value)
            else:  # The norm becomes the identity plus the folded bias.
                modules[norm].weight.data.fill_(1)
                modules[norm].bias.data.copy_(value)
                modules[norm].running_mean.fill_(0)
                modules[norm].running_var.fill_(1 - modules[norm].eps)
        return model

    import anomalib.models.components.feature_extractors.timm as user

    timm.create_model = user.timm.create_model = created


def trained(method, data, weights, folder):
    """The model and the engine that fitted it on the good images of a set, and what that took."""
    with_weights(weights)
    import torch
    from anomalib.data import Folder
    from anomalib.engine import Engine
    from anomalib.models import Fastflow, Padim, Patchcore

    torch.manual_seed(0)
    quiet = {"visualizer": False, "evaluator": False}
    if method == "patchcore":
        model = Patchcore(backbone="resnet18", layers=["layer2", "layer3"], coreset_sampling_ratio=0.1, **quiet)
    elif method == "fastflow":
        model = Fastflow(backbone="resnet18", flow_steps=8, **quiet)
    else:
        model = Padim(backbone="resnet18", layers=["layer1", "layer2", "layer3"], n_features=100, **quiet)
    images = Folder(
        name="set", root=data, normal_dir="train/good", train_batch_size=8, eval_batch_size=8, num_workers=0,
        val_split_mode="none", test_split_mode="none",
    )
    engine = Engine(accelerator="cpu", devices=1, default_root_dir=folder, logger=False, enable_progress_bar=False,
                    limit_val_batches=0, max_epochs=1)
    start = clock()
    engine.fit(model=model, datamodule=images)
    return model, engine, since(start)


def fit(method, data, weights, export):
    from anomalib.deploy import ExportType

    model, engine, took = trained(method, data, weights, export)
    path = engine.export(model=model, export_type=ExportType.TORCH, export_root=export)
    took["model_mb"] = os.path.getsize(path) / 1e6
    took["model"] = str(path)
    return took


def graph(method, data, weights, folder, images):
    import numpy
    import torch
    from anomalib.deploy import ExportType
    from PIL import Image

    model, engine, _ = trained(method, data, weights, folder)
    path = engine.export(model=model, export_type=ExportType.ONNX, export_root=folder)
    model.eval()
    scores = []
    with open(images) as file, torch.no_grad():
        for image in json.load(file):
            pixels = numpy.array(Image.open(image).convert("RGB"))
            scores.append(float(model(torch.from_numpy(pixels).permute(2, 0, 1)[None] / 255).pred_score))
    return {"graph": str(path), "scores": scores}


def openvino(method, data, weights, folder):
    from anomalib.deploy import ExportType

    model, engine, _ = trained(method, data, weights, folder)
    path = engine.export(model=model, export_type=ExportType.OPENVINO, export_root=folder)
    return {"model": str(path)}


def run(model, images, precision):
    from anomalib.deploy import OpenVINOInferencer

    config = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": precision}
    return an_image(OpenVINOInferencer(path=model, device="CPU", config=config), images)


def cold(model, image):
    from anomalib.deploy import TorchInferencer

    inferencer = TorchInferencer(path=model, device="cpu")
    return {"score": float(inferencer.predict(image=image).pred_score)}


def many(model, images):
    from anomalib.deploy import TorchInferencer

    return an_image(TorchInferencer(path=model, device="cpu"), images)


def an_image(inferencer, images):
    """Wall seconds an image of the files of a JSON list, after two to warm up."""
    with open(images) as file:
        files = json.load(file)
    for file in files[:2]:
        inferencer.predict(image=file)
    start = clock()
    for file in files:
        inferencer.predict(image=file)
    return {"wall": since(start)["wall"] / len(files)}


def warm(model):
    import numpy
    import torch
    from anomalib.deploy import TorchInferencer

    torch.set_num_threads(1)
    network = TorchInferencer(path=model, device="cpu").model.eval()
    image, times = torch.rand(1, 3, 256, 256), []
    with torch.no_grad():
        for _ in range(12):
            start = clock()
            network(image)
            times.append(since(start)["cpu"])
    return {"cpu_ms": 1000 * float(numpy.median(times[2:]))}


def accuracy(method, data, weights, seed):
    with_weights(weights)
    import glob
    import random

    import numpy
    import torch
    from anomalib.models.image.padim.torch_model import PadimModel
    from anomalib.models.image.patchcore.torch_model import PatchcoreModel
    from PIL import Image
    from sklearn.metrics import roc_auc_score

    random.seed(int(seed)), numpy.random.seed(int(seed)), torch.manual_seed(int(seed))
    mean, std = torch.tensor([[[0.485]], [[0.456]], [[0.406]]]), torch.tensor([[[0.229]], [[0.224]], [[0.225]]])

    def image(path):
        pixels = numpy.array(Image.open(path).convert("RGB").resize((256, 256), Image.BILINEAR))
        return ((torch.from_numpy(pixels).permute(2, 0, 1) / 255 - mean) / std)[None]

    if method == "padim":
        model = PadimModel(backbone="resnet18", layers=["layer1", "layer2", "layer3"], n_features=100)
    else:
        model = PatchcoreModel(backbone="resnet18", layers=["layer2", "layer3"])
    model.train().feature_extractor.eval()
    scores, labels, maps, masks = [], [], [], []
    with torch.no_grad():
        for path in sorted(glob.glob(f"{data}/train/good/*")):
            model(image(path))
        model.fit() if method == "padim" else model.subsample_embedding(0.01)
        model.eval()
        for path in sorted(glob.glob(f"{data}/test/*/*")):
            kind, name = path.split("/")[-2:]
            found = model(image(path))
            scores.append(float(found.pred_score)), labels.append(kind != "good")
            mask = f"{data}/ground_truth/{kind}/{os.path.splitext(name)[0]}_mask.png"
            if kind == "good":
                masks.append(numpy.zeros((256, 256), bool))
            elif os.path.exists(mask):
                masks.append(numpy.array(Image.open(mask).convert("L").resize((256, 256), Image.NEAREST)) > 127)
            else:
                continue
            maps.append(found.anomaly_map[0, 0].numpy())
    marked = numpy.ravel(masks)
    pixel = roc_auc_score(marked, numpy.ravel(maps)) if marked.any() else None
    return {"image": roc_auc_score(labels, scores), "pixel": pixel}


if __name__ == "__main__":
    jobs = {"fit": fit, "graph": graph, "cold": cold, "many": many, "openvino": openvino, "run": run, "warm": warm, "accuracy": accuracy}
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("job", choices=jobs)
    parser.add_argument("words", nargs="*", help="what the job takes, in this order")
    args = parser.parse_args()
    print(json.dumps(jobs[args.job](*args.words)))
