"""The process-wide lock under which models are constructed.

While diffusers and transformers build a model, they patch torch.nn for the whole process: new
parameters go to the meta device, and initializers do nothing. A model that another thread builds
meanwhile would be left without weights ("Cannot copy out of meta tensor"). So every construction
of a module, also of a LoRA's or an adapter's layers, happens under this lock. Downloads do not.
"""

from __future__ import annotations

import threading

#: Re-entrant, because loading a checkpoint loads its parts.
MODEL_CONSTRUCTION = threading.RLock()
