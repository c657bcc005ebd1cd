"""Prometheus' own parser against a running server: counters equal the requests that were made, and paths make no labels.

    python metrics.py 127.0.0.1:8080 MODEL IMAGE [PATHS]

Needs prometheus_client. The server must be asked by nobody else meanwhile.
"""

import http.client
import sys

from prometheus_client.openmetrics.parser import text_string_to_metric_families

address, model, image = sys.argv[1], sys.argv[2], open(sys.argv[3], "rb").read()
paths = int(sys.argv[4]) if len(sys.argv) > 4 else 10_000
connection = http.client.HTTPConnection(address, timeout=60)


def ask(verb, path, body=None):
    """The status of an answer, and its body."""
    connection.request(verb, path, body)
    answer = connection.getresponse()
    return answer.status, answer.read()


def metrics():
    """Samples by name and labels."""
    status, body = ask("GET", "/metrics")
    assert status == 200
    families = list(text_string_to_metric_families(body.decode()))
    return {(sample.name, tuple(sorted(sample.labels.items()))): sample.value for family in families for sample in family.samples}


before = metrics()
for _ in range(5):
    assert ask("POST", f"/v1/models/{model}/score", image)[0] == 200
assert ask("POST", f"/v2/models/{model}/infer", b"rubbish")[0] == 400
for number in range(paths):
    assert ask("GET", f"/nothing/{number}?here={number}")[0] == 404
after = metrics()


def grown(name, **labels):
    """How much a sample has grown."""
    key = (name, tuple(sorted(labels.items())))
    return after.get(key, 0) - before.get(key, 0)


assert grown("blemish_requests_total", route="/v1/models/{name}/score", status="200") == 5
assert grown("blemish_requests_total", route="other", status="404") == paths
assert grown("blemish_requests_total", route="/v2/models/{name}/infer", status="400") == 1
assert grown("blemish_rejected_total", model=model, reason="request") == 1
said = sum(grown("blemish_images_total", model=model, verdict=verdict) for verdict in ("anomalous", "good", "undecided"))
assert said == 5, said
for stage in ("queue", "decode", "score"):
    assert grown("blemish_stage_seconds_count", model=model, stage=stage) == 5
assert after[("blemish_queue_length", (("model", model),))] == 0
assert after[("process_resident_memory_bytes", ())] > 1 << 20
assert [key for key in after if key[0] == "blemish_model_info" and dict(key[1])["model"] == model]
new = {key for key in after if key not in before}
assert len(new) < 200, f"{len(new)} new samples for {paths} paths"
print(f"metrics: {len(after)} samples, {len(new)} of them new after {paths} different paths")
