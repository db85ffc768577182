"""A disk that is full or cannot be written to is told in one line, whatever library found it."""

from errno import EACCES, EDQUOT, EIO, ENOSPC, EROFS

import pytest

from tunebench import disk


@pytest.mark.parametrize(
    "error",
    [
        OSError(ENOSPC, "No space left on device", "data/a"),
        OSError(EDQUOT, "Disk quota exceeded"),
        RuntimeError("[enforce fail at inline_container.cc] PytorchStreamWriter failed writing"),
        RuntimeError("Error while serializing: I/O error: No space left on device (os error 28)"),
    ],
)
def test_full_disk_is_told(error: Exception) -> None:
    assert disk.is_full(error)
    fault = str(disk.explained(error))
    assert "the disk is full (" in fault
    assert fault.endswith("Free some and run again; earlier results are unchanged")


@pytest.mark.parametrize("number", [EROFS, EACCES])
def test_read_only_folder_is_told(number: int) -> None:
    error = OSError(number, "Not writable", "metrics/train")
    assert not disk.is_full(error)
    assert str(disk.explained(error)).startswith("metrics/train: Not writable; make it writable")


@pytest.mark.parametrize("error", [OSError(EIO, "I/O error"), ValueError("a fault")])
def test_other_errors_are_none_of_the_disk(error: Exception) -> None:
    assert disk.explained(error) is None
