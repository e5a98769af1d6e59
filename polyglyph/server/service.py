"""Everything the routes and the middleware share: the loaded model, the registry, the policy, the workers."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

from polyglyph import __version__, bundled_plans
from polyglyph.contract.errors import StartupError, StorageError
from polyglyph.contract.model import ModelDescription
from polyglyph.contract.sums import GroupSums
from polyglyph.routing.reports import EngineReport
from polyglyph.routing.scripts.labeller import ScriptLabeller
from polyglyph.routing.workers import Workers
from polyglyph.server.accounts import Recorders
from polyglyph.server.builtin_policy import builtin_policy
from polyglyph.server.expert_sets import ExpertSetRegistry
from polyglyph.server.exports import Exports
from polyglyph.server.flushing import Flusher
from polyglyph.server.ledger import Ledger
from polyglyph.server.metrics.collector import Identity, RoutingCollector
from polyglyph.server.metrics.counts import Metrics
from polyglyph.server.metrics.publication import publish, withdraw
from polyglyph.server.plans import PlanRegistry
from polyglyph.server.policies import PolicyStore
from polyglyph.server.resolution import Resolver
from polyglyph.server.settings import Settings
from polyglyph.server.store.address import address_of
from polyglyph.server.store.store import Store, open_store
from polyglyph.server.trace_collector import TraceCollector, trace_header
from polyglyph.server.trace_files import TraceWriter

Drain = Callable[[], Awaitable[Sequence[GroupSums]]]


@dataclass(frozen=True, kw_only=True)
class Service:
    """A server that is ready: every worker reported its hooks.

    Attributes:
        settings: What the administrator chose.
        workers: The way to the workers.
        report: The model as loaded, and each worker's hooks.
        store: Keeps plans, policy and sums.
        ledger: Sums on their way to the store.
        plans: The registry of plans.
        expert_sets: The registry of expert sets.
        policies: The policy in force.
        resolver: From a `steering` field to edits.
        engine: The engine's settings that a plain server needs to compute the same.
        recorders: What the accounts in responses are written with.
        flusher: Carries sums from the engine to the store.
        collector: Shows the metrics.
        traces: Writes every request's trace down; None unless the administrator asked.
        exports: Exports of stats under way.
        changes: Held while plans, expert sets or the policy change, which are checked against each other.
    """

    settings: Settings
    workers: Workers
    report: EngineReport
    store: Store
    ledger: Ledger
    plans: PlanRegistry
    expert_sets: ExpertSetRegistry
    policies: PolicyStore
    resolver: Resolver
    engine: dict[str, Any]
    recorders: Recorders
    flusher: Flusher
    collector: RoutingCollector
    traces: TraceCollector | None = None
    exports: Exports = field(default_factory=Exports)
    changes: asyncio.Lock = field(default_factory=asyncio.Lock)

    def start(self) -> None:
        """Begin to flush by the clock, and show the metrics."""
        publish(self.collector)
        self.flusher.start()

    async def stop(self) -> None:
        """Flush a last time and let go of the store."""
        await self.flusher.stop()
        if self.traces is not None:
            await asyncio.to_thread(self.traces.close)
        withdraw(self.collector)
        self.store.close()

    async def flush(self) -> None:
        """Bring everything that was counted up to now into the store.

        Raises:
            StorageError: The store failed; the sums are kept.
        """
        await self.flusher.flush_now()

    async def reset_stats(self) -> None:
        """Set all sums to zero.

        Raises:
            StorageError: The store failed; nothing was reset.
        """
        await self.flusher.reset()

    async def import_stats(self, groups: Iterable[GroupSums], *, sha256: str, since: datetime) -> None:
        """Add a file's sums; see `Ledger.import_sums`."""
        await asyncio.to_thread(self.ledger.import_sums, groups, sha256=sha256, since=since)


async def start_service(
    settings: Settings,
    workers: Workers,
    *,
    engine: dict[str, Any],
    labeller: ScriptLabeller,
    is_idle: Callable[[], bool] = lambda: False,
) -> Service:
    """Ask the workers for their hooks, open the store and read the registry and the policy.

    Args:
        settings: What the administrator chose.
        workers: The way to the workers.
        engine: The engine's settings, for who asks.
        labeller: Finds the scripts of the model's tokens.
        is_idle: Whether the engine has had nothing to do since it was asked last.

    Raises:
        MissingHooksError: A worker lacks a hook.
        StartupError: A setting does not fit the loaded model, or the store cannot be used.
    """
    report = await workers.report()
    # Compiled at its first use, which no request shall wait for.
    await asyncio.to_thread(labeller.exact, ())
    store = open_store(address_of(data_dir=settings.data_dir, store_url=settings.store_url))
    plans, expert_sets, policies = _read_store(store, settings, report.model)
    ledger = Ledger(
        store,
        report.model.binding,
        versions=report.versions,
        bucket_seconds=settings.stats_bucket_seconds,
        max_groups=settings.stats_max_groups,
    )
    resolver = Resolver(
        report.model,
        plans=plans,
        expert_sets=expert_sets,
        policies=policies,
        default=settings.steering_default,
        allows_inline_edits=settings.inline_edits,
    )
    changes, metrics = asyncio.Lock(), Metrics()
    recorders = Recorders(workers=workers, report=report, labeller=labeller, metrics=metrics)
    traces = _open_traces(settings, recorders)
    identity = Identity(
        version=__version__, model=str(engine.get("model", "")), fingerprint=report.model.binding.fingerprint
    )
    return Service(
        settings=settings,
        workers=workers,
        report=report,
        store=store,
        ledger=ledger,
        plans=plans,
        expert_sets=expert_sets,
        policies=policies,
        resolver=resolver,
        engine=engine,
        recorders=recorders,
        flusher=Flusher(
            _drain(settings, workers, traces),
            ledger,
            interval_s=settings.flush_seconds,
            refresh=partial(_refresh, changes, plans, expert_sets, policies),
            is_idle=is_idle,
        ),
        collector=RoutingCollector(
            ledger.facts, metrics=metrics, identity=identity, is_per_expert=settings.expert_metrics
        ),
        traces=traces,
        changes=changes,
    )


def _open_traces(settings: Settings, recorders: Recorders) -> TraceCollector | None:
    if settings.trace_dir is None:
        return None
    header = trace_header(recorders.report)
    writer = TraceWriter(settings.trace_dir, header, metrics=recorders.metrics, flush_seconds=settings.flush_seconds)
    return TraceCollector(recorders, writer)


def _drain(settings: Settings, workers: Workers, traces: TraceCollector | None) -> Drain:
    """Choose what the engine is asked for every flush."""
    if traces is not None:
        return traces.drain_with_stats if settings.stats else traces.drain_alone
    return workers.drain_stats if settings.stats else _nothing


def _read_store(
    store: Store, settings: Settings, model: ModelDescription
) -> tuple[PlanRegistry, ExpertSetRegistry, PolicyStore]:
    folder, binding = settings.data_dir, model.binding
    try:
        plans = PlanRegistry(store, folder=folder / "plans", builtin_folder=bundled_plans(), loaded=binding)
        builtin = builtin_policy(bundled_plans(), binding)
        policies = PolicyStore(store, kept=folder / "policy.json", given=settings.policy, builtin=builtin)
        return plans, ExpertSetRegistry(store, model=model), policies
    except StorageError as error:
        raise StartupError(f"the store {store} cannot be read: {error}") from error


async def _refresh(
    changes: asyncio.Lock, plans: PlanRegistry, expert_sets: ExpertSetRegistry, policies: PolicyStore
) -> None:
    """Take over plans, expert sets and the policy that other servers changed in the store."""
    async with changes:
        await asyncio.to_thread(plans.refresh)
        await asyncio.to_thread(expert_sets.refresh)
        await asyncio.to_thread(policies.refresh)


async def _nothing() -> tuple[GroupSums, ...]:
    return ()


def describe_engine(vllm_config: Any) -> dict[str, Any]:
    """Give the engine's settings that decide what it computes, as plain JSON values."""
    model, cache = vllm_config.model_config, vllm_config.cache_config
    scheduler, parallel = vllm_config.scheduler_config, vllm_config.parallel_config
    return {
        "model": model.model,
        "tokenizer": model.tokenizer,
        "dtype": str(model.dtype).removeprefix("torch."),
        "max_model_len": model.max_model_len,
        "quantization": model.quantization,
        "enforce_eager": model.enforce_eager,
        "seed": model.seed,
        "max_num_seqs": scheduler.max_num_seqs,
        "max_num_batched_tokens": scheduler.max_num_batched_tokens,
        "async_scheduling": scheduler.async_scheduling,
        "num_speculative_tokens": vllm_config.num_speculative_tokens,
        "block_size": cache.block_size,
        "enable_prefix_caching": cache.enable_prefix_caching,
        "tensor_parallel_size": parallel.tensor_parallel_size,
        "pipeline_parallel_size": parallel.pipeline_parallel_size,
        "enable_expert_parallel": parallel.enable_expert_parallel,
    }
