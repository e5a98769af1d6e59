"""Asks the kernel for the AMX registers before vLLM's CPU attention uses them.

vLLM 0.32 picks AMX for bfloat16 where the processor has it and dies of SIGILL in a process that did not ask.
"""

import platform

import torch


def init_amx() -> None:
    """Make the process fit to run AMX instructions; nothing happens where there are none."""
    if platform.machine() == "x86_64" and hasattr(torch.cpu, "_init_amx"):
        torch.cpu._init_amx()
