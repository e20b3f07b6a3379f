"""`job.apply`: the surgery of a job on a live module.

1. The module's tensors are compared with what the original's must have been, by name and shape.
2. A copy of the module gets the pruned network's tensors, and layers of `torch.nn` the sizes that go with them.
3. The copy is run. Submodules of other classes whose TorchScript had numbers that changed get the attributes, tried one by one, with which they
   return what the pruned TorchScript's submodule returns.
4. The outputs of copy and TorchScript are compared. What was done to the copy is then done to the module itself.

Whatever is raised on the way, the module is as it was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..model import Inputs
from ..report import Report

if TYPE_CHECKING:
    import torch

__all__ = ["apply"]


def apply(
    module: torch.nn.Module,
    script: torch.jit.ScriptModule,
    report: Report,
    *,
    example_inputs: Inputs | None = None,
    inplace: bool = True,
    tolerance: float = 1e-5,
) -> torch.nn.Module:
    """Makes of an original module what a job made of its TorchScript; :meth:`secateur.Job.apply` has the arguments and errors."""
    # PyTorch is needed from here on, and not to import the package.
    from .operation import operate

    return operate(module, script, report, example_inputs=example_inputs, inplace=inplace, tolerance=tolerance)
