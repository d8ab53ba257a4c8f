"""The file store keeps the contract of a backend."""

from tests.testing.file_stores import FileStoreSuite


class TestContract(FileStoreSuite):
    pass
