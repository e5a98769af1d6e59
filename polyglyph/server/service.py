"""Everything the routes and the middleware share: the loaded model, the registry, the policy, the workers."""

import asyncio
from dataclasses import dataclass, field
from typing import Any

from polyglyph import bundled_plans
from polyglyph.routing.reports import EngineReport
from polyglyph.routing.workers import Workers
from polyglyph.server.plans import PlanRegistry
from polyglyph.server.policies import PolicyStore
from polyglyph.server.resolution import Resolver
from polyglyph.server.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Service:
    """A server that is ready: every worker reported its hooks.

    Attributes:
        settings: What the administrator chose.
        workers: The way to the workers.
        report: The model as loaded, and each worker's hooks.
        plans: The registry.
        policies: The policy in force.
        resolver: From a `steering` field to edits.
        engine: The engine's settings that a plain server needs to compute the same.
        changes: Held while plans or the policy change, which are checked against each other.
    """

    settings: Settings
    workers: Workers
    report: EngineReport
    plans: PlanRegistry
    policies: PolicyStore
    resolver: Resolver
    engine: dict[str, Any]
    changes: asyncio.Lock = field(default_factory=asyncio.Lock)


async def start_service(settings: Settings, workers: Workers, *, engine: dict[str, Any]) -> Service:
    """Ask the workers for their hooks and read the registry and the policy.

    Raises:
        MissingHooksError: A worker lacks a hook.
        StartupError: A setting does not fit the loaded model.
    """
    report = await workers.report()
    plans = PlanRegistry(settings.data_dir / "plans", builtin_folder=bundled_plans(), loaded=report.model.binding)
    policies = PolicyStore(kept=settings.data_dir / "policy.json", given=settings.policy)
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
