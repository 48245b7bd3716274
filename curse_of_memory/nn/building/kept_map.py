"""The reparameterisation of a layer's recurrent weight, by name or as an object, and how it is pickled."""

from typing import cast

from torch import Tensor, nn

from curse_of_memory.theory import reparameterization
from curse_of_memory.theory.reparameterization import Reparameterization

__all__ = ["KeepsMap"]


class KeepsMap(nn.Module):
    """A layer with a ``parameterization``: a name, or an object whose formulas may be lambdas.

    pickle refers to functions by name, and lambdas have none; so an object is pickled by its content.
    """

    parameterization: str | Reparameterization

    @property
    def _map(self) -> Reparameterization:
        # looked up, not kept: another of that name may have been added since
        return reparameterization.get(self.parameterization)

    def _mapped(self, weight: Tensor) -> Tensor:
        """Return f(w) for the free `weight` w."""
        return cast(Tensor, self._map.f(weight))  # formulas answer in the type of their argument

    def __getstate__(self) -> dict:
        state = dict(self.__dict__)
        if isinstance(self.parameterization, Reparameterization):
            state["parameterization"] = _ByContent(self.parameterization)
        return state

    def __setstate__(self, state: dict) -> None:
        if isinstance(kept := state["parameterization"], _ByContent):
            state = state | {"parameterization": kept.content}
        super().__setstate__(state)


class _ByContent:
    def __init__(self, content: Reparameterization):
        self.content = content

    def __deepcopy__(self, memo) -> "_ByContent":
        return self  # it does not change

    def __reduce__(self):
        from joblib import wrap_non_picklable_objects  # whoever pickles nothing does not wait for it

        return _ByContent, (wrap_non_picklable_objects(self.content, keep_wrapper=False),)
