"""Names of types that may be made when one of our skops files is loaded."""

TRUSTED: frozenset[str] = frozenset()
