"""Model Runner V2 on a CPU, its Triton kernels run by Triton's interpreter: for tests only, it is slow.

`install()` comes before the first import of Triton. Everything runs in the calling process, the worker too.
"""

import os
import sys
from typing import Any

VARIABLES = {
    "TRITON_INTERPRET": "1",
    "VLLM_USE_V2_MODEL_RUNNER": "1",
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    "TORCHDYNAMO_DISABLE": "1",
    "VLLM_CPU_KVCACHE_SPACE": "1",
    "VLLM_NO_USAGE_STATS": "1",
    "HF_HUB_OFFLINE": "1",
}


def install(*, plugins: str = "") -> None:
    """Make vLLM in this process believe in a Triton for CPUs.

    Args:
        plugins: Value of `VLLM_PLUGINS`.
    """
    imported = {"triton", "vllm"} & set(sys.modules)
    assert not imported, f"install() comes before the first import of {imported}"
    os.environ.update(VARIABLES, VLLM_PLUGINS=plugins)
    _register_cpu_backend()
    _make_masks_boolean()


def allow_async_scheduling() -> None:
    """Let `async_scheduling=True` stand; vLLM turns it off on CPUs, where it is of no use."""
    from vllm.platforms.cpu import CpuPlatform

    original = CpuPlatform.check_and_update_config

    def check_and_update_config(vllm_config: Any) -> None:
        asked = vllm_config.scheduler_config.async_scheduling
        original(vllm_config)
        vllm_config.scheduler_config.async_scheduling = asked

    CpuPlatform.check_and_update_config = staticmethod(check_and_update_config)


def _register_cpu_backend() -> None:
    from triton.backends import Backend, backends
    from triton.backends.compiler import BaseBackend
    from triton.backends.driver import DriverBase

    class InterpretedDriver(DriverBase):
        """Never launches anything: interpreted kernels do not get that far."""

        @classmethod
        def is_active(cls) -> bool:
            return True

        def get_current_target(self) -> Any:
            from triton.backends.compiler import GPUTarget

            return GPUTarget("cpu", 0, 1)

    backends["cpu"] = Backend(compiler=BaseBackend, driver=InterpretedDriver)


def _make_masks_boolean() -> None:
    """Triton 3.9 gives int8 where the mask of a block meets that of a scalar; its own loads and stores want bool."""
    from triton.runtime import interpreter

    builder = interpreter.InterpreterBuilder
    load, store = builder.create_masked_load, builder.create_masked_store

    def create_masked_load(self: Any, ptrs: Any, mask: Any, other: Any, *policies: Any) -> Any:
        return load(self, ptrs, _boolean(mask), other, *policies)

    def create_masked_store(self: Any, ptrs: Any, value: Any, mask: Any, *policies: Any) -> Any:
        return store(self, ptrs, value, _boolean(mask), *policies)

    def _boolean(mask: Any) -> Any:
        return interpreter.TensorHandle(mask.data.astype(bool), mask.dtype)

    builder.create_masked_load, builder.create_masked_store = create_masked_load, create_masked_store
