"""Files that are written whole or not at all."""

from __future__ import annotations

import errno
import hashlib
import io
import secrets
import shutil
import tempfile
import zipfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from avatar_export.errors import UserError

_STORAGE_FAULTS = {
    errno.EACCES,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.ENOSPC,
    errno.EPERM,
    errno.EROFS,
    errno.EXDEV,
}


def sha256(path: Path) -> str:
    """Hex SHA-256 of a file's bytes."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def write_atomically(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` through a temporary neighbour and one rename.

    Raises:
        UserError: the folder cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Not mkstemp: its files are unreadable to others, whatever the umask says.
        neighbour = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
        try:
            with neighbour.open("xb") as stream:
                stream.write(data)
            neighbour.replace(path)
        except BaseException:
            neighbour.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise UserError(f"cannot write {path}: {error.strerror}") from error


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """The bytes of an .npz file: those of ``numpy.savez`` but for dates, which are fixed."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, array in arrays.items():
            member = io.BytesIO()
            np.lib.format.write_array(member, np.asarray(array), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), member.getvalue())
    return buffer.getvalue()


@contextmanager
def staged_folder(target: Path, outdated: Collection[str] = ()) -> Iterator[Path]:
    """Yield an empty folder next to ``target``; move its files into ``target`` on success only.

    Files that ``target`` already holds stay, unless a new one has the same name. When the body
    raises (or is interrupted), ``target`` is left as it was.

    Args:
        target: the folder to fill.
        outdated: names of files in it that go when the new ones come, such as those of an earlier
            run that this one does not make.

    Raises:
        UserError: ``target`` is a file, its parent cannot be written, or writing failed in the
            body, as on a full disk.
    """
    if target.exists() and not target.is_dir():
        raise UserError(f"{target} is a file", "name a folder with --out")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(dir=_beside(target), prefix=f".{target.name}."))
    except OSError as error:
        raise UserError(f"cannot write to {target.parent}: {error.strerror}") from error
    try:
        yield staging
        _move_contents(staging, target, outdated)
    except OSError as error:
        if error.errno not in _STORAGE_FAULTS:
            raise
        raise UserError(f"cannot write to {target}: {error.strerror}") from error
    finally:
        shutil.rmtree(staging, ignore_errors=True)


def _beside(target: Path) -> Path:
    """Where files can wait that one rename puts into ``target``.

    Inside it if it exists: it may be a mount of its own, or its parent read-only.
    """
    return target if target.is_dir() else target.parent


def _move_contents(staging: Path, target: Path, outdated: Collection[str]) -> None:
    """Replace files of ``target`` by those of ``staging``, restoring the old ones on failure."""
    existed = target.exists()
    target.mkdir(exist_ok=True)
    backup = Path(tempfile.mkdtemp(dir=target, prefix=f".{target.name}.old."))
    moved: list[Path] = []
    try:
        for name in outdated:
            if (target / name).is_file():
                (target / name).replace(backup / name)
        for path in sorted(staging.iterdir()):
            final = target / path.name
            if final.exists():
                final.replace(backup / path.name)
            path.replace(final)
            moved.append(final)
    except BaseException:
        for final in moved:
            _remove(final)
        for old in backup.iterdir():
            old.replace(target / old.name)
        if not existed:
            shutil.rmtree(target, ignore_errors=True)
        raise
    finally:
        shutil.rmtree(backup, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
