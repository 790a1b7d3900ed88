"""What a file may have become: no file any more."""

import os


def to_pipe(path, _text):
    """A pipe, at which a reader waits for ever."""
    path.unlink()
    os.mkfifo(path)


def to_folder(path, _text):
    """A folder."""
    path.unlink()
    path.mkdir()
