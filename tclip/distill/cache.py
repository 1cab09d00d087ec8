"""Teacher embeddings kept on disk: computed once, reused by every epoch, run and recipe that asks for them.

One SQLite file for each combination of teacher, preprocessing and data: lookups stay on disk, so memory does
not grow with the data; several processes may read and write; an interrupted write leaves a whole file.

B batch, E embedding.
"""

import hashlib
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from tclip.errors import DataError, first_line

# Embeddings are kept as fp16 and answered as such even when just computed, so that a run with a warm
# cache has the very losses of a run with a cold one.
STORED = np.float16


class EmbeddingCache:
    """Embeddings of one tower of one teacher, by text key.

    Every method raises DataError where the file is damaged or cannot be read or written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._database = sqlite3.connect(path, timeout=120, isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.execute(
                "CREATE TABLE IF NOT EXISTS embedding (key BLOB PRIMARY KEY, row BLOB) WITHOUT ROWID"
            )

    def get(
        self, keys: Sequence[str], compute: Callable[[list[int]], Float[Tensor, "M E"]]
    ) -> Float[Tensor, "B E"]:
        """Return the embeddings of the keys, in order; those not known yet are computed and kept.

        Args:
            keys: one a sample.
            compute: gets the positions (into keys) of the missing ones, answers their embeddings.
        """
        hashes = [hashlib.sha256(key.encode()).digest()[:16] for key in keys]
        known = {digest: row for digest in set(hashes) if (row := self._read(digest)) is not None}
        missing = [index for index, digest in enumerate(hashes) if digest not in known]
        if missing:
            rows_ME = compute(missing).detach().float().cpu().numpy().astype(STORED)
            fresh = {hashes[index]: row_E.tobytes() for index, row_E in zip(missing, rows_ME, strict=True)}
            self._write(fresh)
            known |= fresh
        rows_BE = np.stack([np.frombuffer(known[digest], STORED) for digest in hashes])
        return torch.from_numpy(rows_BE.astype(np.float32))

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def _read(self, digest: bytes) -> bytes | None:
        with self._explained():
            found = self._database.execute("SELECT row FROM embedding WHERE key = ?", (digest,)).fetchone()
        return None if found is None else found[0]

    def _write(self, rows: dict[bytes, bytes]) -> None:
        with self._explained():
            self._database.execute("BEGIN IMMEDIATE")
            self._database.executemany("INSERT OR IGNORE INTO embedding VALUES (?, ?)", rows.items())
            self._database.execute("COMMIT")

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.DatabaseError, OSError) as error:
            raise DataError(
                f"The cache of teacher embeddings {self._path} cannot be used ({first_line(error)}): "
                "delete it if it is damaged, name another folder in TCLIP_CACHE, or set teacher.cache "
                "to false."
            ) from error
