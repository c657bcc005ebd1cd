"""Blemish on several machines, with Ray: `pip install blemish[ray]`.

    from blemish.ray import fit, score
    detector = fit("shared/good/**/*.png", method="patchcore", workers=16)
    score("archive/**/*.png", detector, workers=16).write_parquet("scores/")

`plan` cuts the images into shards by a rule that knows no cluster, `fit` fits every shard, merges by the shards' numbers and calibrates on images
that are in none; `score` gives a `ray.data.Dataset` with a row an image. The result does not depend on the number of workers.
"""

from ._cluster import workers_for
from ._fit import ShardError, fit
from ._plan import METHODS, Plan, plan
from ._score import SCHEMA, Scorer, score

__all__ = ["METHODS", "SCHEMA", "Plan", "Scorer", "ShardError", "fit", "plan", "score", "workers_for"]
