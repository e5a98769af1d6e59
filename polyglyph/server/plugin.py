"""The endpoint plugin: hangs our routes and middleware into vLLM's server.

Only the standard library is imported on top: vLLM logs and skips a plugin that cannot be imported, and would serve
without it. What raises in the methods stops the server.
"""

import logging
import os
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from argparse import Namespace

    from fastapi import FastAPI
    from starlette.datastructures import State

    from polyglyph.server.service import Service

logger = logging.getLogger("vllm.polyglyph")


class PolyglyphEndpoints:
    """What vLLM expects of an endpoint plugin (vllm/plugins/endpoint_plugins/interface.py)."""

    name = "polyglyph"
    required_tasks: ClassVar[tuple[str, ...]] = ("generate",)

    def attach_router(self, app: "FastAPI") -> None:
        """Add routes and middleware.

        vLLM adds its authentication afterwards, so everything of ours is behind it.

        Raises:
            StartupError: A setting is wrong, or vLLM was started in a way that cannot be steered.
        """
        from polyglyph.contract.errors import RequestError
        from polyglyph.server import routing_routes, steering_routes
        from polyglyph.server.lifespan import with_service
        from polyglyph.server.middleware import SteeringMiddleware, service_of_app
        from polyglyph.server.refusals import answer_refusal
        from polyglyph.server.schemas import describe_fields
        from polyglyph.server.settings import read_settings

        settings = read_settings()
        if settings.disable:
            return
        app.state.polyglyph_settings = settings
        app.include_router(steering_routes.router)
        app.include_router(routing_routes.router)
        app.add_exception_handler(RequestError, answer_refusal)
        app.add_middleware(SteeringMiddleware, find_service=service_of_app)
        app.router.lifespan_context = with_service(app.router.lifespan_context)
        describe_fields(app)
        self._join_authentication(app)

    async def init_state(self, engine_client: Any, state: "State", args: "Namespace") -> None:
        """Ask the workers for their hooks, and be ready.

        Raises:
            MissingHooksError: A worker lacks a hook: the server must not start.
        """
        from polyglyph.routing.compat.activity import EngineActivity
        from polyglyph.routing.compat.engine_shutdown import before_shutdown
        from polyglyph.routing.compat.script_labels import find_labeller
        from polyglyph.routing.workers import Workers
        from polyglyph.server.service import describe_engine, start_service

        settings = getattr(state, "polyglyph_settings", None)
        if settings is None:
            return
        engine = describe_engine(engine_client.vllm_config)
        engine["reasoning_parser"] = getattr(args, "reasoning_parser", None) or None
        labeller = find_labeller(engine_client.model_config)
        workers = Workers(engine_client)
        state.polyglyph = await start_service(
            settings, workers, engine=engine, labeller=labeller, is_idle=EngineActivity(engine_client).is_idle
        )
        before_shutdown(engine_client, state.polyglyph.flusher.flush_before_engine_ends)
        logger.info("%s", start_line(state.polyglyph))

    def _join_authentication(self, app: "FastAPI") -> None:
        from polyglyph.server.admin import UnauthorizedInOpenAIShape, admit_admin_key
        from polyglyph.server.refused_modes import check_arguments

        args = getattr(app.state, "args", None)
        if args is None:
            return
        check_arguments(args)
        key = app.state.polyglyph_settings.admin_key
        admit_admin_key(args, key=key, environment_key=os.environ.get("VLLM_API_KEY"))
        shape = f"{UnauthorizedInOpenAIShape.__module__}.{UnauthorizedInOpenAIShape.__qualname__}"
        # vLLM adds these last, so that they stand outside its authentication.
        args.middleware = [*args.middleware, shape]


def start_line(service: "Service") -> str:
    """Say in one line what is served."""
    binding = service.report.model.binding
    hooks = sum(hook.in_place for worker in service.report.workers for hook in worker.hooks)
    return (
        f"Polyglyph steers {binding.architecture}: {binding.layers} MoE layers, {binding.experts} experts, "
        f"top-{binding.top_k}; {len(service.report.workers)} workers, {hooks} hooks in place; "
        f"{len(service.plans.all())} plans, steering default '{service.settings.steering_default}'"
    )


def endpoint_plugin() -> PolyglyphEndpoints:
    """Give the plugin (entry point `vllm.endpoint_plugins`)."""
    return PolyglyphEndpoints()
