"""The next training batches made while the network trains on these."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

T = TypeVar("T")
END = object()


def read_ahead(items: Iterator[T]) -> Generator[T]:
    """Yield the items in order, and make the next one in a thread meanwhile.

    Args:
        items: Makes the items; one at a time is made ahead.

    Yields:
        Each item.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        following = pool.submit(next, items, END)
        while (item := following.result()) is not END:
            following = pool.submit(next, items, END)
            yield item  # type: ignore[misc]
