"""Which steps are taken: one whose loss or gradient has gone astray would spoil the weights."""

import math
from dataclasses import dataclass

# A loss that grows tenfold over where it began will not come back.
EXPLODED = 10.0


@dataclass
class Watch:
    """Judges steps by their loss and the norm of its gradient.

    They are compared with the first loss at full strength of quantization: while it fades in, a student that
    began as its teacher comes from a loss of nearly 0.

    Attributes:
        unit: the loss if each of its parts were 1, before it is weighted. So much is allowed in any case, for
            what begins near 0 may grow more than tenfold.
        first_loss: the first loss at full strength; None: there was none yet.
    """

    unit: float
    first_loss: float | None = None

    def is_sound(self, loss: float, norm: float, strength: float) -> bool:
        """Return whether a step may change weights.

        Args:
            loss: weighted, of all parts.
            norm: of its gradient.
            strength: of quantization in this step.
        """
        if not (math.isfinite(loss) and math.isfinite(norm)):
            return False
        if strength < 1:
            return True
        if self.first_loss is None:
            self.first_loss = loss
        return loss <= EXPLODED * self.first_loss + self.unit

    @property
    def beginning(self) -> str:
        """Where the loss began, for a message."""
        return "" if self.first_loss is None else f" (it began at {self.first_loss:.3g})"
