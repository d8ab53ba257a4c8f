"""Where records go: the contract (``base``), plain files (``file``) and memory (``memory``)."""
