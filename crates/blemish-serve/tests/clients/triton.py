"""tritonclient against a running server: everything that this client does which a server can get wrong.

    python triton.py 127.0.0.1:8080 MODEL IMAGE [OTHER IMAGE]

Needs tritonclient[http] (2.73.0 was used), numpy and Pillow. Compares with our own interface; ends with an error at the first difference.
"""

import io
import json
import sys
import urllib.request

import numpy as np
import tritonclient.http as triton
from PIL import Image
from tritonclient.utils import InferenceServerException, deserialize_bytes_tensor

address, model = sys.argv[1], sys.argv[2]
files = [open(path, "rb").read() for path in sys.argv[3:]]


def own(data):
    """What our own interface says of an image."""
    with urllib.request.urlopen(urllib.request.Request(f"http://{address}/v1/models/{model}/score", data=data)) as answer:
        return json.load(answer)


def same(result, verdicts, outputs):
    """Checks that an answer holds these outputs, equal to verdicts to the last bit."""
    names = [output["name"] for output in result.get_response()["outputs"]]
    assert names == outputs, names
    for name, of in (("score", np.float32), ("p_value", np.float64), ("anomalous", bool)):
        if name in outputs:
            found = result.as_numpy(name)
            assert found.dtype == of, found.dtype
            expected = np.array([verdict[name] for verdict in verdicts], dtype=of)
            assert np.array_equal(found, expected), (name, found, expected)
    if "regions" in outputs:
        regions = [json.loads(text) for text in result.as_numpy("regions")]
        assert regions == [verdict["regions"] for verdict in verdicts], regions
    if "map" in outputs:
        assert result.as_numpy("map").shape[0] == len(verdicts)
        assert result.as_numpy("map").dtype == np.float32


def encoded(images):
    """Files as the input `image`."""
    tensor = triton.InferInput("image", [len(images)], "BYTES")
    tensor.set_data_from_numpy(np.array(images, dtype=np.object_), binary_data=True)
    return [tensor]


def pixels(data, kind, binary):
    """A file's pixels as the input `pixels`."""
    array = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))[None]
    array = array if kind == "UINT8" else array.astype(np.float32) / np.float32(255)
    tensor = triton.InferInput("pixels", list(array.shape), kind)
    tensor.set_data_from_numpy(array, binary_data=binary)
    return [tensor]


def refused(status, inputs, **more):
    """The text that the client shows of an error."""
    try:
        client.infer(more.pop("model", model), inputs, **more)
    except InferenceServerException as error:
        assert error.status() == str(status), error
        return str(error)
    raise AssertionError(f"it was not refused with {status}")


client = triton.InferenceServerClient(address, network_timeout=60, connection_timeout=60)
assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
assert client.get_server_metadata()["name"] == "blemish"
metadata = client.get_model_metadata(model)
version = metadata["versions"][0]
assert len(version) == 12 and client.is_model_ready(model, version)
assert metadata["inputs"] == [{"name": "image", "datatype": "BYTES", "shape": [-1]}], metadata
every = [output["name"] for output in metadata["outputs"]]
assert [entry["name"] for entry in client.get_model_repository_index()].count(model) == 1

verdicts = [own(data) for data in files]
# Without named outputs the client asks for all of them in binary.
same(client.infer(model, encoded(files)), verdicts, every)
same(client.infer(model, encoded(files[:1]), model_version=version, request_id="7"), verdicts[:1], every)
assert client.infer(model, encoded(files[:1]), request_id="7").get_response()["id"] == "7"

# Named ones, in their order, some in JSON and some in binary.
names = ["map", "score", "regions"]
for binaries in ([True] * 3, [False] * 3, [True, False, True], [False, True, False]):
    wanted = [triton.InferRequestedOutput(name, binary_data=binary) for name, binary in zip(names, binaries)]
    same(client.infer(model, encoded(files), outputs=wanted), verdicts, names)

# Compression both ways.
for there in (None, "gzip", "deflate"):
    for back in (None, "gzip", "deflate"):
        more = {"request_compression_algorithm": there, "response_compression_algorithm": back}
        same(client.infer(model, encoded(files), **more), verdicts, every)
        wanted = [triton.InferRequestedOutput("map", binary_data=False), triton.InferRequestedOutput("score", binary_data=True)]
        same(client.infer(model, encoded(files), outputs=wanted, **more), verdicts, ["map", "score"])

# Pixels as bytes and as numbers of JSON. Bytes are the same image; floats are the same up to how shades are rounded.
for binary in (True, False):
    same(client.infer(model, pixels(files[0], "UINT8", binary)), verdicts[:1], every)
    score = client.infer(model, pixels(files[0], "FP32", binary)).as_numpy("score")[0]
    assert abs(score - verdicts[0]["score"]) < 1e-2 * abs(verdicts[0]["score"]), (score, verdicts[0]["score"])

# Parameters.
same(client.infer(model, encoded(files[:1]), timeout=20_000_000), verdicts[:1], every)
few = client.infer(model, encoded(files[:1]), parameters={"min_area": 1e9}).as_numpy("regions")
assert [json.loads(text) for text in few] == [[]], few

# Errors show their text.
assert "no such" in refused(404, encoded(files[:1]), model="nobody") or "no model" in refused(404, encoded(files[:1]), model="nobody")
assert refused(415, encoded([b"no image"])).startswith("[415] ")
assert "heatmap" in refused(400, encoded(files[:1]), outputs=[triton.InferRequestedOutput("heatmap")])
channels_first = triton.InferInput("pixels", [1, 3, 8, 8], "UINT8")
channels_first.set_data_from_numpy(np.zeros((1, 3, 8, 8), np.uint8))
refused(400, [channels_first])
refused(504, encoded(files[:1]), timeout=1)

print(f"tritonclient: {len(files)} images, version {version}, outputs {', '.join(every)}: all as our own interface says")
