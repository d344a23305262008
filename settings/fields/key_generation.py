"""Key generations: numbers that stand for the keys which are made for hosts."""

from typing import Annotated

from settings.fields.numbers import whole
from settings.problem import Rule

_HIGHEST = 1_000_000
KEY_GENERATION = Rule(
    f"a whole number from 1 to {_HIGHEST}, one more than before for new keys",
    "keys are made once for each number, and `pulumi up` leads both ends to those of another",
)

KeyGeneration = Annotated[int, whole(KEY_GENERATION, 1, _HIGHEST)]
