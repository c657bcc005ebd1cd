"""KServe's REST client against a running server.

    python kserve_rest.py 127.0.0.1:8080 MODEL IMAGE [OTHER IMAGE]

Needs kserve (0.21.0 was used). Compares with our own interface; ends with an error at the first difference.
"""

import asyncio
import base64
import json
import sys
import urllib.request

import httpx
import numpy as np
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

address, model = sys.argv[1], sys.argv[2]
files = [open(path, "rb").read() for path in sys.argv[3:]]
base = f"http://{address}"


def own(data):
    """What our own interface says of an image."""
    with urllib.request.urlopen(urllib.request.Request(f"{base}/v1/models/{model}/score", data=data)) as answer:
        return json.load(answer)


def outputs(response):
    """Outputs by name, as arrays."""
    return {output.name: output.as_numpy() for output in response.outputs}


async def main():
    client = InferenceRESTClient(config=RESTConfig(protocol="v2", timeout=60))
    assert await client.is_server_live(base)
    assert await client.is_server_ready(base)
    assert await client.is_model_ready(base, model)
    verdicts = [own(data) for data in files]
    scores = np.array([verdict["score"] for verdict in verdicts], dtype=np.float32)

    # Base64 in JSON.
    texts = [base64.b64encode(data).decode() for data in files]
    tensor = InferInput("image", [len(files)], "BYTES", data=texts, parameters={"content_type": "base64"})
    response = await client.infer(base, InferRequest(model_name=model, infer_inputs=[tensor], request_id="7"), model_name=model)
    assert response.id == "7" and response.model_name == model, response
    assert np.array_equal(outputs(response)["score"], scores), outputs(response)["score"]

    # Bytes after the JSON.
    tensor = InferInput("image", [len(files)], "BYTES")
    tensor.set_data_from_numpy(np.array(files, dtype=np.object_), binary_data=True)
    for wanted in (None, True):
        request = InferRequest(model_name=model, infer_inputs=[tensor], parameters={} if wanted is None else {"binary_data_output": wanted})
        response = await client.infer(base, request, model_name=model)
        found = outputs(response)
        assert np.array_equal(found["score"], scores), found["score"]
        if verdicts[0]["p_value"] is not None:
            assert np.array_equal(found["p_value"], [verdict["p_value"] for verdict in verdicts])

    # The text of an error comes through.
    tensor = InferInput("image", [1], "BYTES")
    tensor.set_data_from_numpy(np.array([b"no image"], dtype=np.object_), binary_data=True)
    try:
        await client.infer(base, InferRequest(model_name=model, infer_inputs=[tensor]), model_name=model)
    except httpx.HTTPStatusError as error:
        assert error.response.status_code == 415, error
        text = error.response.json()["error"]
        assert text in str(error), f"the client does not show `{text}`: {error}"
    else:
        raise AssertionError("it was not refused")
    print(f"kserve: {len(files)} images: all as our own interface says")


asyncio.run(main())
