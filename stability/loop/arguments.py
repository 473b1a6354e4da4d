"""Checks of the arguments of the Python API: an error names the argument, the value and what
is allowed.
"""

import operator
import reprlib
import sys
from numbers import Real
from typing import Any

import numpy as np

__all__ = ["is_array_like", "numeric_array", "require_methods", "require_number", "whole_number"]

NUMERIC = "biuf"  # kinds of NumPy's types: bool, integer, unsigned, float


def is_array_like(value: Any) -> bool:
    """Tell points from an object that draws points; a DataFrame has a method `sample` too.

    Args:
        value: The argument.

    Returns:
        Whether it is an array, a tensor, a table or a list.
    """
    return isinstance(value, list | tuple) or hasattr(value, "__array__")


def numeric_array(value: Any, name: str) -> np.ndarray:
    """Convert an array, a tensor, a table or nested lists of real numbers.

    Args:
        value: The argument.
        name: Of the argument.

    Returns:
        The array. Its type stays, but for objects that all are numbers, which become float64.

    Raises:
        TypeError: If it holds something else: text, dates, complex numbers, mixed columns.
        ValueError: If its rows differ in length, or entries are masked.
    """
    torch = sys.modules.get("torch")  # where it is not loaded there are no tensors
    if torch and isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype == torch.bfloat16 else value
    if np.ma.is_masked(value):
        raise ValueError(
            f"{name} must have no masked entries, got {np.ma.count_masked(value)} of them"
        )
    try:
        array = np.asarray(value)
    except ValueError:  # NumPy's words for ragged lists do not say of what
        raise ValueError(
            f"{name} must be an array of numbers, got rows of different lengths"
        ) from None

    if array.dtype.kind == "O" and array.ndim and all(isinstance(x, Real) for x in array.flat):
        array = array.astype(float)
    if array.dtype.kind not in NUMERIC:
        kind = type(value).__name__ if array.ndim == 0 else f"an array of {array.dtype}"
        raise TypeError(f"{name} must be an array of real numbers, got {kind}")
    return array


def require_number(value: Any, name: str) -> None:
    """Refuse anything that is no real number.

    Args:
        value: The argument; NaN and inf are numbers.
        name: Of the argument.

    Raises:
        TypeError: If it is text, a truth value, an array or another object.
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, Real):
        raise TypeError(f"{name} must be a real number, got {reprlib.repr(value)}")


def whole_number(value: Any, name: str, least: int) -> int:
    """Convert a whole number of any type.

    Args:
        value: The argument.
        name: Of the argument.
        least: The smallest value that is allowed.

    Returns:
        The number.

    Raises:
        TypeError: If it is no whole number: 2.5, 2.0, "2", True.
        ValueError: If it is less than `least`.
    """
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool | np.bool_):
        raise TypeError(f"{name} must be a whole number, got {reprlib.repr(value)}")
    if number < least:
        raise ValueError(f"{name} must be >= {least}, got {number}")
    return number


def require_methods(value: Any, name: str, *methods: str) -> None:
    """Refuse an object that lacks a method of its protocol, before it is needed.

    Args:
        value: The argument.
        name: Of the argument.
        methods: Names of the methods.

    Raises:
        TypeError: If it is a class instead of an instance, or one is missing; the message names it.
    """
    if isinstance(value, type):
        raise TypeError(f"{name} must be an instance, got the class {value.__name__}")
    missing = [method for method in methods if not callable(getattr(value, method, None))]
    if missing:
        raise TypeError(
            f"{name} must have a method {missing[0]}, got {type(value).__name__} without it"
        )
