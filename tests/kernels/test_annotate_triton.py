"""The Triton kernel keeps the promises of `test_annotate.py` under the interpreter, and compiles for GPUs.

Each test is a process of its own: Triton decides when it is imported whether it interprets.
"""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="Triton has wheels for Linux only")

PROMISES = Path(__file__).with_name("test_annotate.py")
COMPILE = """
import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource
from polyglyph.kernels.annotate.triton import _annotate_kernel as kernel

constants = {{"RING_WIDTH": 8, "C": {num_marker_tokens}, "BLOCK_C": 4, "BLOCK_T": 256, "REFILL_T": 1024}}
signature = dict.fromkeys(kernel.arg_names, "*i32") | {{"is_reasoning_S": "*i1"}}
signature |= dict.fromkeys(["num_requests", "num_tokens", "max_num_tokens"], "i32")
signature |= dict.fromkeys(constants, "constexpr")
source = ASTSource(kernel, signature=signature, constexprs=constants)
binary = triton.compile(source, target=GPUTarget("cuda", {capability}, 32), options={{"num_warps": 1}})
print(len(binary.asm["cubin"]))
"""


@pytest.mark.skipif(os.environ.get("TRITON_INTERPRET") == "1", reason="test_annotate.py itself covers Triton here")
def test_the_promises_hold_under_the_interpreter():
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "triton", str(PROMISES)]
    done = run(command, {"TRITON_INTERPRET": "1"})
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout


@pytest.mark.parametrize("capability", [80, 90])
@pytest.mark.parametrize("num_marker_tokens", [0, 3])
def test_the_kernel_compiles_for_gpus(capability, num_marker_tokens):
    code = COMPILE.format(capability=capability, num_marker_tokens=num_marker_tokens)
    done = run([sys.executable, "-c", code], {"TRITON_INTERPRET": "0"})
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def run(command, variables):
    return subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, env=os.environ | variables)
