"""The Triton kernel keeps the promises of `test_steer_route.py` under the interpreter, and compiles for GPUs.

Each test is a process of its own: Triton decides when it is imported whether it interprets.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton has wheels for Linux only")

PROMISES = [Path(__file__).with_name(name) for name in ("test_steer_route.py", "test_steer_route_accuracy.py")]
COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from polyglyph.kernels.steer_route.triton import _steer_route_kernel as kernel

constants = dict({constants})
constants |= {{"FORCED": 1, "BANNED": 2}}
signature = dict.fromkeys(kernel.arg_names, "*fp32")
signature |= dict.fromkeys(["ids_TK", "slot_T", "log_ids_TK"], "*i32")
signature |= dict.fromkeys(["edits_logits_S", "scales_S", "renormalize_S", "log_changed_T"], "*i1")
signature |= dict.fromkeys([name for name in kernel.arg_names if name.endswith("_stride")], "i32")
signature |= {{"logits_TE": "*{dtype}", "flags_SE": "*u8", "scaling": "fp32"}}
signature |= dict.fromkeys(constants, "constexpr")
source = ASTSource(kernel, signature=signature, constexprs=constants)
binary = triton.compile(source, target=GPUTarget("cuda", {capability}, 32), options={{"num_warps": {num_warps}}})
print(len(binary.asm["cubin"]))
"""
SOFTMAX = {"SCORING": 0, "HAS_BIAS": False, "RENORMALIZES": True, "N": 1, "M": 128, "TOP_N": 1, "K": 8}
SOFTMAX |= {"BLOCK_N": 1, "BLOCK_M": 128, "BLOCK_K": 8}
GROUPS = {"SCORING": 1, "HAS_BIAS": True, "RENORMALIZES": True, "N": 8, "M": 32, "TOP_N": 4, "K": 8}
GROUPS |= {"BLOCK_N": 8, "BLOCK_M": 32, "BLOCK_K": 8}
ODD = {"SCORING": 2, "HAS_BIAS": False, "RENORMALIZES": False, "N": 1, "M": 500, "TOP_N": 1, "K": 3}
ODD |= {"BLOCK_N": 1, "BLOCK_M": 512, "BLOCK_K": 4}


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="test_steer_route.py itself covers Triton here")
def test_the_promises_hold_under_the_interpreter() -> None:
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "triton", *map(str, PROMISES)]
    done = run(command, {"TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize(("constants", "num_warps"), [(SOFTMAX, 1), (GROUPS, 1), (ODD, 4)])
def test_the_kernel_compiles_for_gpus(dtype: str, capability: int, constants: dict[str, int], num_warps: int) -> None:
    code = COMPILE.format(capability=capability, constants=constants, dtype=dtype, num_warps=num_warps)
    done = run([sys.executable, "-c", code], {"TRITON_INTERPRET": "0"})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def run(command: list[str], variables: dict[str, str]) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=os.environ | variables)
