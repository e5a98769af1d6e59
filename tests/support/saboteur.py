"""A vLLM plugin that takes a hook away from outside, as another plugin or a patched model file might.

It becomes visible to vLLM through a folder with a distribution's metadata on `PYTHONPATH`; the product knows nothing
of it.
"""

import os
from pathlib import Path

_PLUGIN = """
import os, threading, time
from pathlib import Path


def unhook(worker, layer):
    runners = [module for module in worker.get_model().modules() if type(module).__name__ == "MoERunner"]
    del runners[layer].router._compute_routing


def load():
    from vllm.v1.worker.cpu_worker import CPUWorker

    original = CPUWorker.determine_available_memory  # comes after the model was loaded and hooked

    def determine_available_memory(self, *args, **kwargs):
        available = original(self, *args, **kwargs)
        moment = os.environ["SABOTAGE"]
        if moment == "at start":
            unhook(self, 3)
        else:
            threading.Thread(target=wait_and_unhook, args=(self, Path(moment)), daemon=True).start()
        return available

    CPUWorker.determine_available_memory = determine_available_memory


def wait_and_unhook(worker, sign):
    while not sign.exists():
        time.sleep(0.05)
    unhook(worker, 3)
    sign.with_suffix(".done").touch()
"""


def install_saboteur(folder: Path, *, moment: str) -> dict[str, str]:
    """Make the plugin and give the environment in which it loads.

    Args:
        folder: Where it is written.
        moment: `at start`, or the path of a file at whose appearance the hook goes.
    """
    (folder / "saboteur.py").write_text(_PLUGIN)
    metadata = folder / "saboteur-1.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.1\nName: saboteur\nVersion: 1\n")
    (metadata / "entry_points.txt").write_text("[vllm.general_plugins]\nsaboteur = saboteur:load\n")
    path = os.pathsep.join(filter(None, [str(folder), os.environ.get("PYTHONPATH", "")]))
    return {"PYTHONPATH": path, "VLLM_PLUGINS": "polyglyph,saboteur", "SABOTAGE": moment}
