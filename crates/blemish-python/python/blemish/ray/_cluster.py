"""What a cluster has to give."""

from __future__ import annotations

from typing import Any

from .._errors import SettingError

try:
    import ray
except ImportError as error:
    raise ImportError("blemish.ray needs Ray: pip install blemish[ray]") from error


def started() -> Any:
    """Ray, started on this machine where no cluster has been connected to yet."""
    if not ray.is_initialized():
        ray.init(include_dashboard=False, log_to_driver=False)
    return ray


def workers_for(workers: int | None, threads: int) -> int:
    """The number of workers of `threads` CPUs each; by default as many as leave one CPU of the cluster free.

    Raises:
        SettingError: They would take all CPUs. Actors are placed before the tasks that read images, which then find no place: the job would wait
            for ever.
    """
    if threads < 1:
        raise SettingError(f"threads={threads!r} is no number of threads", help="allowed: 1 and more")
    total = int(started().cluster_resources().get("CPU", 0))
    most = (total - 1) // threads
    reason = "one CPU must be left for the tasks that read images, or the job would wait for ever"
    if most < 1:
        raise SettingError(f"the cluster has {total} CPUs, too few for a worker of {threads}", help=f"{reason}: give more CPUs or fewer threads")
    if workers is None:
        return most
    if workers < 1:
        raise SettingError(f"workers={workers!r} is no number of workers", help="allowed: 1 and more")
    if workers > most:
        told = f"{workers} workers of {threads} CPUs would take all {total} CPUs of the cluster"
        raise SettingError(told, help=f"{reason}: ask for {most} at most")
    return workers
