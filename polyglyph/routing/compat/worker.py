"""What a worker does for Polyglyph: hook the model after loading it, prove the hooks, and answer the front end.

Written for vLLM 0.32 and 0.33; leans on `v1.worker.gpu_worker.Worker` (`CPUWorker` derives from it),
`WorkerBase.load_model`, `compile_or_warm_up_model`, and on collective RPC by method name.
"""

import logging
import os
from typing import Any

import torch

from polyglyph.contract.errors import UnsupportedModelError
from polyglyph.kernels.annotate import MarkerAutomaton
from polyglyph.kernels.choice import IMPLEMENTATIONS, chosen
from polyglyph.kernels.steer_route import implementation_name
from polyglyph.routing import operator
from polyglyph.routing.compat.markers import find_markers
from polyglyph.routing.compat.model_hooks import ModelHooks
from polyglyph.routing.compat.patching import wrap
from polyglyph.routing.compat.runner import TRACKER, unhooked_methods
from polyglyph.routing.compat.script_labels import find_labeller
from polyglyph.routing.layers import RoutedLayers
from polyglyph.routing.recorder import RecorderOptions
from polyglyph.routing.traces import DEFAULT_MAX_BYTES
from polyglyph.routing.tracker import RequestTracker, TrackerLimits

logger = logging.getLogger("vllm.polyglyph")

_HOOKS = "_polyglyph_hooks"


def patch_workers() -> None:
    """Wrap the worker classes and give them the methods that the front end calls."""
    from vllm.v1.worker.cpu_worker import CPUWorker
    from vllm.v1.worker.gpu_worker import Worker

    wrap(Worker, "load_model", lambda original: _then(original, _install))
    for owner in (Worker, CPUWorker):
        wrap(owner, "compile_or_warm_up_model", lambda original: _then(original, _prove))
    for method in (polyglyph_report, polyglyph_take_receipts, polyglyph_drain_stats, polyglyph_drain_traces):
        setattr(Worker, method.__name__, method)


def _then(original: Any, after: Any) -> Any:
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        result = original(self, *args, **kwargs)
        after(self)
        return result

    return wrapped


def _install(worker: Any) -> None:
    config, runner = worker.vllm_config, worker.model_runner
    check_engine(config)
    hooks = ModelHooks(runner.get_model(), config)
    speculative = config.num_speculative_tokens
    max_num_reqs = config.scheduler_config.max_num_seqs
    layers = RoutedLayers(
        hooks.routers,
        num_slots=max_num_reqs + 1,
        max_num_tokens=_max_padded_tokens(config),
        device=worker.device,
        is_captured=_is_captured(worker),
        logs_scores=_is_on("POLYGLYPH_TRACE_SCORES"),
    )
    tracker = RequestTracker(
        layers,
        automaton=MarkerAutomaton.build(*find_markers(config.model_config)),
        labels=find_labeller(config.model_config).label_table(),
        limits=TrackerLimits(max_num_reqs=max_num_reqs, ring_width=speculative + 2),
        options=RecorderOptions(
            counts=_counts(worker),
            keeps_stats=_is_on("POLYGLYPH_STATS", default="1"),
            keeps_traces=bool(os.environ.get("POLYGLYPH_TRACE_DIR")),
            max_trace_bytes=int(os.environ.get("POLYGLYPH_MAX_TRACE_BYTES") or DEFAULT_MAX_BYTES),
        ),
    )
    _announce(hooks, worker.device)
    operator.install_layers(layers)
    hooks.install()
    setattr(runner, TRACKER, tracker)
    setattr(worker, _HOOKS, hooks)


def _announce(hooks: ModelHooks, device: torch.device) -> None:
    """Say once which implementations run, and where a layer cannot be run by the one that was chosen."""
    kernels = {operation: chosen(operation, device) for operation in IMPLEMENTATIONS}
    logger.info("Polyglyph's kernels: %s", ", ".join(f"{operation} {name}" for operation, name in kernels.items()))
    others = [
        router.name for router, rule in hooks.routers if implementation_name(rule, device) != kernels["steer_route"]
    ]
    if others:
        logger.warning("%s select by a function of the model's own: steered in plain torch, slower", ", ".join(others))


def _is_on(variable: str, *, default: str = "0") -> bool:
    return (os.environ.get(variable) or default) != "0"


def _is_captured(worker: Any) -> bool:
    """Whether CUDA graphs may replay what the hooks do; a mode that is not settled yet may."""
    mode = worker.vllm_config.compilation_config.cudagraph_mode
    return worker.device.type != "cpu" and getattr(mode, "name", "") != "NONE"


def _max_padded_tokens(config: Any) -> int:
    captured = config.compilation_config.max_cudagraph_capture_size or 0
    return max(int(config.scheduler_config.max_num_batched_tokens), int(captured))


def _prove(worker: Any) -> None:
    """Run a neutral step where the engine's own warm-up ran none, so that every hook has been executed once.

    Model Runner V2 warms up with requests of its own, which nobody asked for: their sums are dropped.
    """
    tracker: RequestTracker | None = getattr(worker.model_runner, TRACKER, None)
    if tracker is None:
        return
    if not all(tracker.layers.has_run(layer) for layer in range(tracker.layers.num_layers)):
        worker.model_runner._dummy_run(1)
    tracker.make_ready()


def check_engine(config: Any) -> None:
    """Refuse engine settings under which a token cannot be told to its request.

    Raises:
        UnsupportedModelError: Names the setting.
    """
    parallel = config.parallel_config
    refused = {
        "pipeline parallelism (--pipeline-parallel-size)": parallel.pipeline_parallel_size > 1,
        "data parallelism (--data-parallel-size)": parallel.data_parallel_size > 1,
        "dual batch overlap (--enable-dbo)": bool(getattr(parallel, "enable_dbo", False)),
        "prefill context parallelism": getattr(parallel, "prefill_context_parallel_size", 1) > 1,
        "sequence-parallel MoE": bool(getattr(parallel, "use_sequence_parallel_moe", False)),
    }
    for setting, is_set in refused.items():
        if is_set:
            raise UnsupportedModelError(f"Polyglyph does not steer under {setting} yet; start the server without it")


def polyglyph_report(worker: Any) -> dict[str, Any]:
    """Describe the model and every layer's hook as they are now."""
    hooks: ModelHooks | None = getattr(worker, _HOOKS, None)
    tracker: RequestTracker | None = getattr(worker.model_runner, TRACKER, None)
    rank = worker.rank
    if hooks is None or tracker is None:
        return {"rank": rank, "hooks": [], "expected_layers": 0, "kernels": {}, "model": None}
    config = worker.vllm_config
    return {
        "rank": rank,
        "tp_rank": rank % config.parallel_config.tensor_parallel_size,
        "pp_rank": 0,
        "runner": f"{type(worker.model_runner).__module__}.{type(worker.model_runner).__name__}",
        "hooks": [vars(hook) for hook in hooks.report(tracker.layers.has_run, device=worker.device)],
        "unhooked_runner_methods": unhooked_methods(worker.model_runner),
        "expected_layers": hooks.expected_layers,
        "kernels": {operation: chosen(operation, worker.device) for operation in IMPLEMENTATIONS},
        "num_hidden_layers": config.model_config.get_total_num_hidden_layers(),
        "can_log_scores": tracker.layers.can_log_scores,
        "model": hooks.description.model_dump(mode="json"),
    }


def polyglyph_take_receipts(worker: Any, keys: list[str]) -> dict[str, dict[str, Any]]:
    """Give and forget receipts, as plain values and bytes."""
    tracker: RequestTracker = getattr(worker.model_runner, TRACKER)
    return {key: receipt.to_wire() for key, receipt in tracker.take_receipts(keys).items()}


def polyglyph_drain_stats(worker: Any, acknowledged: int) -> dict[str, Any]:
    """End the running interval of the stats and give its sums, once the front end has acknowledged the one before."""
    tracker: RequestTracker = getattr(worker.model_runner, TRACKER)
    return tracker.drain_stats(acknowledged) if _counts(worker) else {}


def polyglyph_drain_traces(worker: Any, acknowledged: int) -> dict[str, Any]:
    """Give finished requests' traces, where all are kept."""
    tracker: RequestTracker = getattr(worker.model_runner, TRACKER)
    return tracker.drain_traces(acknowledged) if _counts(worker) else {}


def _counts(worker: Any) -> bool:
    """The ranks of a tensor-parallel group see the same tokens: the first one counts."""
    return bool(worker.rank % worker.vllm_config.parallel_config.tensor_parallel_size == 0)
