"""The last step of a program that registers hundreds of resources."""

import asyncio


async def all_begun() -> None:
    """Lets every registration begin, at the end of a program: `pulumi.run(all_begun)`.

    The SDK then waits for registrations, one after the other, and for values after that. If none
    has begun when it looks, it takes the values at once, and goes through all that are open
    whenever one of them is there: with hundreds of forwards a third of a preview.
    """
    await asyncio.sleep(0)  # one turn of the loop, in which each of them begins
