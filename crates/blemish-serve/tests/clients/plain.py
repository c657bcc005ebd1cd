"""The Python standard library alone against a running server: our own interface and the Open Inference Protocol by hand.

    python plain.py 127.0.0.1:8080 MODEL IMAGE [OTHER IMAGE]
"""

import base64
import gzip
import http.client
import json
import struct
import sys
import zlib

address, model = sys.argv[1], sys.argv[2]
files = [open(path, "rb").read() for path in sys.argv[3:]]


def ask(verb, path, body=None, headers={}):
    """Status, headers and body of an answer."""
    connection = http.client.HTTPConnection(address, timeout=60)
    connection.request(verb, path, body, headers)
    answer = connection.getresponse()
    found = answer.status, dict((name.lower(), value) for name, value in answer.getheaders()), answer.read()
    connection.close()
    return found


def score(data):
    """What our own interface says of an image, as the bare body."""
    status, _, body = ask("POST", f"/v1/models/{model}/score", data)
    assert status == 200, body
    return json.loads(body)


def form(parts):
    """A form of files, and its content type."""
    head = b'--cut\r\nContent-Disposition: form-data; name="image"; filename="part.png"\r\n\r\n'
    return b"".join(head + part + b"\r\n" for part in parts) + b"--cut--\r\n", {"Content-Type": "multipart/form-data; boundary=cut"}


def infer(request, binary=b"", coding=None, accept=None, length=None):
    """An answer of the protocol: status, JSON, and the bytes of its outputs."""
    text = json.dumps(request).encode()
    body = text + binary
    headers = {"Inference-Header-Content-Length": str(len(text) if length is None else length)}
    if coding:
        body = gzip.compress(body) if coding == "gzip" else zlib.compress(body)
        headers["Content-Encoding"] = coding
    if accept:
        headers["Accept-Encoding"] = accept
    status, headers, body = ask("POST", f"/v2/models/{model}/infer", body, headers)
    packed = headers.get("content-encoding")
    body = gzip.decompress(body) if packed == "gzip" else zlib.decompress(body) if packed == "deflate" else body
    cut = int(headers.get("inference-header-content-length", len(body)))
    answer, rest, parts = json.loads(body[:cut]), body[cut:], {}
    for output in answer.get("outputs", []):
        size = output.get("parameters", {}).get("binary_data_size")
        if size is not None:
            parts[output["name"]], rest = rest[:size], rest[size:]
    assert not rest
    return status, answer, parts


def single(numbers):
    """Numbers in single precision, which is what scores are, however many digits their text has."""
    return struct.unpack(f"<{len(numbers)}f", struct.pack(f"<{len(numbers)}f", *numbers))


verdicts = [score(data) for data in files]
scores = single([verdict["score"] for verdict in verdicts])
body, headers = form(files[:1])
status, _, body = ask("POST", f"/v1/models/{model}/score", body, headers)
assert status == 200 and single([json.loads(body)["score"]]) == scores[:1]
body, headers = form(files)
status, _, body = ask("POST", f"/v1/models/{model}/score-batch", body, headers)
assert status == 200 and single([one["score"] for one in json.loads(body)["results"]]) == scores

tensor = b"".join(struct.pack("<I", len(data)) + data for data in files)
head = {"name": "image", "shape": [len(files)], "datatype": "BYTES", "parameters": {"binary_data_size": len(tensor)}}
wanted = [{"name": "score", "parameters": {"binary_data": True}}, {"name": "map"}]
for coding in (None, "gzip", "deflate"):
    for accept in (None, "gzip", "deflate"):
        status, answer, parts = infer({"inputs": [head], "outputs": wanted}, tensor, coding, accept)
        assert status == 200, answer
        found = struct.unpack(f"<{len(files)}f", parts["score"])
        assert found == scores, (found, scores)
        map_shape = answer["outputs"][1]["shape"]
        assert len(answer["outputs"][1]["data"]) == map_shape[0] * map_shape[1] * map_shape[2]

texts = [base64.b64encode(data).decode() for data in files]
request = {"inputs": [{"name": "image", "shape": [len(files)], "datatype": "BYTES", "data": texts, "parameters": {"content_type": "base64"}}]}
status, _, body = ask("POST", f"/v2/models/{model}/infer", json.dumps(request))
assert status == 200 and single(json.loads(body)["outputs"][0]["data"]) == scores

# Lengths that lie.
for length in (-1, "x", "1e3", "", 10**30, len(tensor) * 10):
    status, answer, _ = infer({"inputs": [head]}, tensor, length=length)
    assert status == 400 and answer["error"] and answer["code"] and "help" in answer, (length, status, answer)
head["parameters"]["binary_data_size"] += 1
status, answer, _ = infer({"inputs": [head]}, tensor)
assert status == 400, answer

print(f"standard library: {len(files)} images: all as one by one")
