"""Theorems that the proof assistant Coq has checked: the sources, what they state, and what they
may assume.

Each `.v` file here holds one development. `theorems` says what each one proves and lists spoiled
copies that Coq must reject; `check` compiles them.
"""
