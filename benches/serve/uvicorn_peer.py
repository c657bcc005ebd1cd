"""anomalib's side of `speed.py`: PaDiM through ResNet-18 as OpenVINO behind FastAPI and uvicorn.

    uvicorn_peer.py export SET WEIGHTS FOLDER    fits on the good images of SET and exports
    uvicorn_peer.py serve FOLDER PORT            POST /score with an image as body; GET /ready
"""

import argparse
import sys
import warnings
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parent.parent / "anomalib"))
warnings.filterwarnings("ignore")


def export(data, weights, folder):
    from peer import with_weights

    with_weights(weights)
    import torch
    from anomalib.data import Folder
    from anomalib.deploy import ExportType
    from anomalib.engine import Engine
    from anomalib.models import Padim

    torch.manual_seed(0)
    model = Padim(backbone="resnet18", layers=["layer1", "layer2", "layer3"], pre_trained=True, visualizer=False, evaluator=False)
    good = Folder(name="parts", root=data, normal_dir="train/good", train_batch_size=8, eval_batch_size=8, num_workers=0)
    engine = Engine(accelerator="cpu", devices=1, default_root_dir=folder, logger=False, enable_progress_bar=False)
    engine.fit(model=model, datamodule=good)
    engine.export(model=model, export_type=ExportType.OPENVINO, export_root=folder)


def serve(folder, port):
    import io

    import numpy as np
    import uvicorn
    from anomalib.deploy import OpenVINOInferencer
    from fastapi import FastAPI, Request
    from PIL import Image

    inferencer = OpenVINOInferencer(path=next(Path(folder).rglob("*.xml")), device="CPU")
    app = FastAPI()

    @app.get("/ready")
    def ready():
        return {"ready": True}

    @app.post("/score")
    async def score(request: Request):
        image = np.array(Image.open(io.BytesIO(await request.body())).convert("RGB"))
        prediction = inferencer.predict(image)
        return {"score": float(np.asarray(prediction.pred_score).ravel()[0])}

    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="error")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=["export", "serve"])
    parser.add_argument("words", nargs="+")
    arguments = parser.parse_args()
    {"export": export, "serve": serve}[arguments.task](*arguments.words)
