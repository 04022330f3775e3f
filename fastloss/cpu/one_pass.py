"""Models whose kernels give curvature in the gradient's pass over X."""

from fastloss.cpu.design import MOST
from fastloss.curvature import majorising, own
from fastloss.model import Asked, Curved


class OnePass:
    """Part of a :class:`fastloss.model.Model`: few columns, and curvatures that kernels know."""

    @property
    def shape(self) -> tuple[int, int]:
        """The shape of X."""
        raise NotImplementedError

    @property
    def one_pass(self) -> bool:
        """Whether X has few columns."""
        return self.shape[1] <= MOST

    def curved(self, asked: Asked) -> Curved | None:
        """Do so where the kernels do."""
        known = asked.curvature in (own, majorising)
        return self._curved(asked) if self.one_pass and known else None

    def _curved(self, asked: Asked) -> Curved:
        raise NotImplementedError
