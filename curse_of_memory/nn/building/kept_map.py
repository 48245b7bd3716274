"""The map of a layer's recurrent weight, by name or as an object, and what pickle makes of it."""

from torch import nn

from curse_of_memory.theory import reparameterization
from curse_of_memory.theory.reparameterization import Reparameterization

__all__ = ["KeepsMap"]


class KeepsMap(nn.Module):
    """Part of a layer that has a ``parameterization``: a name, or an object, whose formulas may be lambdas.

    pickle takes functions by name, and lambdas have none; so an object goes by its content.
    """

    parameterization: str | Reparameterization

    @property
    def _map(self) -> Reparameterization:
        # looked up, not kept: another of that name may have been added since
        return reparameterization.get(self.parameterization)

    def __getstate__(self) -> dict:
        state = dict(self.__dict__)
        if isinstance(self.parameterization, Reparameterization):
            state["parameterization"] = _ByContent(self.parameterization)
        return state

    def __setstate__(self, state: dict) -> None:
        if isinstance(kept := state["parameterization"], _ByContent):
            state = state | {"parameterization": kept.map}
        super().__setstate__(state)


class _ByContent:
    def __init__(self, map: Reparameterization):
        self.map = map

    def __deepcopy__(self, memo) -> "_ByContent":
        return self  # it does not change

    def __reduce__(self):
        from joblib import wrap_non_picklable_objects  # whoever pickles nothing does not wait for it

        return _ByContent, (wrap_non_picklable_objects(self.map, keep_wrapper=False),)
