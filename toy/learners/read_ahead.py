"""The next training batches made while the network trains on these."""

from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["read_ahead"]

T = TypeVar("T")
END = object()


def read_ahead(items: Iterator[T]) -> Generator[T]:
    """The items in order, the next one being made in a thread while the caller works on the
    present one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as pool:
        following = pool.submit(next, items, END)
        while (item := following.result()) is not END:
            following = pool.submit(next, items, END)
            yield item  # type: ignore[misc]
