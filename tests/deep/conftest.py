"""scikit-learn draws from Python's global generator when it is imported for the first time:
before any test, then.
"""

import sklearn.datasets  # noqa: F401
