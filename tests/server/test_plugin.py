"""How the plugin joins vLLM's server: authentication around it, refused modes, and a worker without hooks."""

from argparse import Namespace
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse
from starlette.middleware.base import BaseHTTPMiddleware

from polyglyph.contract.errors import MissingHooksError, StartupError
from polyglyph.server.admin import UnauthorizedInOpenAIShape
from polyglyph.server.plugin import PolyglyphEndpoints, endpoint_plugin, start_line
from polyglyph.server.service import start_service
from tests.server.fakes import ADMIN, FakeVllm, FakeWorkers, make_labeller, question
from tests.server.test_bad_requests import check_refusal

CALLER = {"Authorization": "Bearer caller-secret"}


def arguments(**changes: Any) -> Namespace:
    usual = {"api_key": None, "middleware": [], "api_server_count": None, "data_parallel_size": 1}
    return Namespace(**(usual | changes))


async def authenticated_client(vllm: FakeVllm, workers: FakeWorkers, args: Namespace) -> httpx.AsyncClient:
    """Build a server in vLLM's order: routes, plugins, authentication, then the middleware that `args` name."""
    app = FastAPI()
    app.state.args = args
    app.add_api_route("/v1/completions", vllm.serve, methods=["POST"])
    PolyglyphEndpoints().attach_router(app)
    settings = app.state.polyglyph_settings
    app.state.polyglyph = await start_service(settings, workers, engine={}, labeller=make_labeller())
    if args.api_key:
        app.add_middleware(BaseHTTPMiddleware, dispatch=authenticate_by(args.api_key))
    for path in args.middleware:
        assert path == f"{UnauthorizedInOpenAIShape.__module__}.{UnauthorizedInOpenAIShape.__qualname__}"
        app.add_middleware(UnauthorizedInOpenAIShape)
    return httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://server")


def authenticate_by(keys: list[str]) -> Any:
    async def authenticate(request: Request, call_next: Any) -> Any:
        if request.headers.get("Authorization", "").removeprefix("Bearer ") not in keys:
            return JSONResponse({"error": "Unauthorized"}, status_code=401)
        return await call_next(request)

    return authenticate


async def test_callers_and_administrators_pass_vllms_authentication(vllm: FakeVllm, workers: FakeWorkers):
    client = await authenticated_client(vllm, workers, arguments(api_key=["caller-secret"]))
    assert (await client.get("/v1/routing/stats", headers=ADMIN)).status_code == 200
    refused = await client.get("/v1/routing/stats", headers=CALLER)
    check_refusal(refused, 403, param="Authorization", code="admin_key_required")
    for headers in (CALLER, ADMIN):
        assert (await client.get("/v1/steering/plans", headers=headers)).status_code == 200
        assert (await client.post("/v1/completions", json=question("/v1/completions"), headers=headers)).is_success


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer wrong"}])
async def test_without_a_key_our_routes_refuse_in_openais_shape(
    vllm: FakeVllm, workers: FakeWorkers, headers: dict[str, str]
):
    client = await authenticated_client(vllm, workers, arguments(api_key=["caller-secret"]))
    for method, path in (("GET", "/v1/steering/plans"), ("PUT", "/v1/steering/policy"), ("GET", "/v1/routing/stats")):
        answer = await client.request(method, path, headers=headers)
        check_refusal(answer, 401, param="Authorization", code="invalid_api_key")
    served = await client.post("/v1/completions", json=question("/v1/completions", steering=1), headers=headers)
    assert (served.status_code, served.json()) == (401, {"error": "Unauthorized"})
    assert not vllm.bodies


async def test_the_key_of_the_environment_is_joined_by_the_admin_key(
    settings: pytest.MonkeyPatch, vllm: FakeVllm, workers: FakeWorkers
):
    settings.setenv("VLLM_API_KEY", "caller-secret")
    args = arguments()
    await authenticated_client(vllm, workers, args)
    assert args.api_key == ["caller-secret", "admin-secret"]


async def test_an_open_server_stays_open(vllm: FakeVllm, workers: FakeWorkers):
    args = arguments()
    client = await authenticated_client(vllm, workers, args)
    assert args.api_key is None
    assert (await client.get("/v1/steering/plans")).status_code == 200


@pytest.mark.parametrize(
    ("changes", "environment", "text"),
    [
        ({"api_server_count": 2}, {}, "--api-server-count 2"),
        ({"data_parallel_size": 4}, {}, "--data-parallel-size 4"),
        ({"headless": True}, {}, "--headless"),
        ({"grpc": True}, {}, "--grpc"),
        ({}, {"VLLM_USE_RUST_FRONTEND": "1"}, "VLLM_USE_RUST_FRONTEND"),
        ({}, {"POLYGLYPH_MAX_BODY_BYTES": "many"}, "POLYGLYPH_MAX_BODY_BYTES"),
    ],
)
def test_what_cannot_be_steered_stops_the_start(
    settings: pytest.MonkeyPatch, changes: dict[str, Any], environment: dict[str, str], text: str
):
    for name, value in environment.items():
        settings.setenv(name, value)
    app = FastAPI()
    app.state.args = arguments(**changes)
    with pytest.raises(StartupError, match=text):
        PolyglyphEndpoints().attach_router(app)


class EngineWithoutHooks:
    """An engine client whose workers never loaded the plugin."""

    def __init__(self) -> None:
        part = SimpleNamespace
        self.vllm_config = part(
            model_config=part(
                model="m",
                tokenizer="m",
                dtype="torch.float32",
                max_model_len=8,
                quantization=None,
                enforce_eager=True,
                seed=0,
                skip_tokenizer_init=True,
            ),
            num_speculative_tokens=0,
            cache_config=part(block_size=16, enable_prefix_caching=True),
            scheduler_config=part(max_num_seqs=1, max_num_batched_tokens=8, async_scheduling=False),
            parallel_config=part(tensor_parallel_size=1, pipeline_parallel_size=1, enable_expert_parallel=False),
        )

    output_processor = SimpleNamespace(add_request=None, has_unfinished_requests=lambda: False)

    @property
    def model_config(self) -> Any:
        return self.vllm_config.model_config

    async def collective_rpc(self, method: str, *args: Any, **kwargs: Any) -> list[Any]:
        return []


async def test_workers_without_hooks_keep_the_server_from_starting():
    plugin, app = endpoint_plugin(), FastAPI()
    plugin.attach_router(app)
    with pytest.raises(MissingHooksError):
        await plugin.init_state(EngineWithoutHooks(), app.state, arguments())


async def test_disabled_the_plugin_leaves_vllm_untouched(settings: pytest.MonkeyPatch):
    settings.setenv("POLYGLYPH_DISABLE", "1")
    plugin, app = endpoint_plugin(), FastAPI()
    routes, middleware = list(app.routes), list(app.user_middleware)
    plugin.attach_router(app)
    await plugin.init_state(EngineWithoutHooks(), app.state, arguments())
    assert (list(app.routes), list(app.user_middleware)) == (routes, middleware)


async def test_the_start_line_names_model_and_hooks(app: FastAPI):
    line = start_line(app.state.polyglyph)
    assert "FakeMoeForCausalLM: 4 MoE layers, 8 experts, top-2; 2 workers, 8 hooks in place" in line
