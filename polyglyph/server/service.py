"""Everything the routes and the middleware share: the loaded model, the registry, the policy, the workers."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from polyglyph import bundled_plans
from polyglyph.contract.errors import StartupError, StorageError
from polyglyph.routing.reports import EngineReport
from polyglyph.routing.workers import Workers
from polyglyph.server.ledger import Ledger
from polyglyph.server.plans import PlanRegistry
from polyglyph.server.policies import PolicyStore
from polyglyph.server.resolution import Resolver
from polyglyph.server.settings import Settings
from polyglyph.server.store.address import address_of
from polyglyph.server.store.store import Store, open_store


@dataclass(frozen=True, kw_only=True)
class Service:
    """A server that is ready: every worker reported its hooks.

    Attributes:
        settings: What the administrator chose.
        workers: The way to the workers.
        report: The model as loaded, and each worker's hooks.
        store: Keeps plans, policy and sums.
        ledger: Sums on their way to the store.
        plans: The registry.
        policies: The policy in force.
        resolver: From a `steering` field to edits.
        engine: The engine's settings that a plain server needs to compute the same.
        changes: Held while plans or the policy change, which are checked against each other.
    """

    settings: Settings
    workers: Workers
    report: EngineReport
    store: Store
    ledger: Ledger
    plans: PlanRegistry
    policies: PolicyStore
    resolver: Resolver
    engine: dict[str, Any]
    changes: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def refresh(self) -> None:
        """Take over plans and the policy that other servers changed in the store.

        Raises:
            StorageError: The store cannot be read; what is known stays.
        """
        async with self.changes:
            await asyncio.to_thread(self.plans.refresh)
            await asyncio.to_thread(self.policies.refresh)


async def start_service(settings: Settings, workers: Workers, *, engine: dict[str, Any]) -> Service:
    """Ask the workers for their hooks, open the store and read the registry and the policy.

    Raises:
        MissingHooksError: A worker lacks a hook.
        StartupError: A setting does not fit the loaded model, or the store cannot be used.
    """
    report = await workers.report()
    store = open_store(address_of(data_dir=settings.data_dir, store_url=settings.store_url))
    binding, folder = report.model.binding, settings.data_dir
    try:
        plans = PlanRegistry(store, folder=folder / "plans", builtin_folder=bundled_plans(), loaded=binding)
        policies = PolicyStore(store, kept=folder / "policy.json", given=settings.policy)
    except StorageError as error:
        raise StartupError(f"the store {store} cannot be read: {error}") from error
    ledger = Ledger(
        store,
        binding,
        versions=report.versions,
        bucket_seconds=settings.stats_bucket_seconds,
        max_groups=settings.stats_max_groups,
    )
    resolver = Resolver(
        report.model,
        plans=plans,
        policies=policies,
        default=settings.steering_default,
        allows_inline_edits=settings.inline_edits,
    )
    return Service(
        settings=settings,
        workers=workers,
        report=report,
        store=store,
        ledger=ledger,
        plans=plans,
        policies=policies,
        resolver=resolver,
        engine=engine,
    )


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
        "block_size": cache.block_size,
        "enable_prefix_caching": cache.enable_prefix_caching,
        "tensor_parallel_size": parallel.tensor_parallel_size,
        "pipeline_parallel_size": parallel.pipeline_parallel_size,
        "enable_expert_parallel": parallel.enable_expert_parallel,
    }
