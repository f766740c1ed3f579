"""What a file system may hold after a loss of power: made of all that a run asked it to do.

A file's fsync makes its bytes last, not its name; a folder's fsync makes the names in it last. Of what came later
anything may be lost (Pillai et al. 2014, OSDI, "All File Systems Are Not Created Equal"):

- bytes: any 512 of them that were written or cut off, or a file of its later length with zeros in it;
- names: either those of a journal, which keeps the order of all changes, or any of them; a rename is two changes,
  the new name and the old one, of which the old one does not vanish before the new one is there.
"""

import random
from dataclasses import dataclass, field
from pathlib import PurePosixPath

SECTOR = 512


@dataclass(frozen=True)
class Operation:
    """A call: its name, the path and, of a rename, the other one; where and how much was written, and what."""

    name: str
    path: str
    other: str = ""
    offset: int = 0
    size: int = 0
    data: bytes = field(default=b"", repr=False)


def operations(log, folder):
    """Return the list of Operations in the log of a run; paths are taken relative to the folder, '' for itself."""
    found, place, start = [], 0, len(str(folder)) + 1
    while place < len(log):
        end = log.index(b"\n", place)
        name, *numbers = log[place:end].decode().split()
        offset, size, n_path, n_other, n_data = map(int, numbers)
        place = end + 1
        pieces = []
        for n in (n_path, n_other, n_data):
            pieces.append(log[place : place + n])
            place += n
        path, other = (piece.decode()[start:] for piece in pieces[:2])
        found.append(Operation(name, path, other, offset, size, pieces[2]))
    return found


@dataclass
class _File:
    """The bytes of a file that last, and what was asked for since: (offset, data), or (length, None) for a cut."""

    lasting: bytes = b""
    pending: list = field(default_factory=list)

    def content(self, keep=lambda: True):
        """Return the bytes with those changes that are kept, asked for every 512 of them, and every length."""
        data = bytearray(self.lasting)
        for offset, piece in self.pending:
            if piece is None:
                if keep():
                    del data[offset:]
                    data.extend(bytes(offset - len(data)))
                continue
            begin = offset
            while begin < offset + len(piece):
                end = min((begin // SECTOR + 1) * SECTOR, offset + len(piece))
                if keep():
                    data.extend(bytes(max(end - len(data), 0)))
                    data[begin:end] = piece[begin - offset : end - offset]
                begin = end
        return bytes(data)

    def length(self):
        return len(self.content())


@dataclass(frozen=True)
class _Name:
    """A change of a folder: a name gets an inode, or (None) is gone. Changes of one rename share their number."""

    folder: int
    name: str
    inode: int | None
    rename: int = 0


class Disk:
    """A disk under a run: files and folders by inode, inode 0 being the folder of the run.

    Parameters
    ----------
    tree : {path: bytes, or None for a folder}
        What lasts in the beginning.
    """

    def __init__(self, tree):
        self._files, self._folders = {}, {0: {}}  # inode: what a folder holds, as the run sees it
        self._lasting, self._pending, self._renames = {0: {}}, [], 0
        for path in sorted(tree):
            inode = self._new(path, tree[path] is None)
            if tree[path] is not None:
                self._files[inode].lasting = tree[path]
        self._lasting = {inode: dict(names) for inode, names in self._folders.items()}
        self._pending = []

    def _new(self, path, is_folder):
        inode = 1 + len(self._files) + len(self._folders)
        (self._folders if is_folder else self._files)[inode] = {} if is_folder else _File()
        if is_folder:
            self._lasting[inode] = {}
        self._name(path, inode)
        return inode

    def _name(self, path, inode, rename=0):
        path = PurePosixPath(path)
        folder = self._inode(path.parent)
        if inode is None:
            del self._folders[folder][path.name]
        else:
            self._folders[folder][path.name] = inode
        self._pending.append(_Name(folder, path.name, inode, rename))

    def _inode(self, path):
        """Return the inode of a path, None if there is no such file."""
        inode = 0
        for name in PurePosixPath(path).parts:
            inode = self._folders.get(inode, {}).get(name)
            if inode is None:
                return None
        return inode

    def do(self, operation):
        """Let the run do what it did."""
        inode = self._inode(operation.path)
        if operation.name in ("create", "mkdir"):
            self._new(operation.path, operation.name == "mkdir")
        elif operation.name == "rename":
            self._renames += 1
            self._name(operation.other, inode, self._renames)
            self._name(operation.path, None, self._renames)
        elif operation.name in ("unlink", "rmdir"):
            self._name(operation.path, None)
        elif inode is None:
            return  # a file that has no name any more
        elif operation.name in ("fsync", "fdatasync"):
            self._sync(inode)
        elif operation.name.startswith("ftruncate"):
            self._files[inode].pending.append((operation.size, None))
        else:
            self._files[inode].pending.append((operation.offset, operation.data))

    def _sync(self, inode):
        if inode in self._files:
            self._files[inode] = _File(self._files[inode].content())
            return
        for change in [change for change in self._pending if change.folder == inode]:
            self._apply(self._lasting, change)
        self._pending = [change for change in self._pending if change.folder != inode]

    @staticmethod
    def _apply(folders, change):
        if change.inode is None:
            folders[change.folder].pop(change.name, None)
        else:
            folders[change.folder][change.name] = change.inode

    def now(self):
        """Return the tree as the run sees it."""
        return self._tree(self._folders, lambda file: file.content())

    def states(self, n_random, seed):
        """Yield (what it is, tree) of states after a loss of power now."""
        whole, nothing = (lambda file: file.content()), (lambda file: file.lasting)
        zeros = lambda file: bytes(file.length())  # noqa: E731
        none, everything = self._names([]), self._names(self._pending)
        yield "nothing more than what was synced", self._tree(none, nothing)
        yield "everything", self._tree(everything, whole)
        yield "all names, no bytes", self._tree(everything, nothing)
        yield "all names, zeros for bytes", self._tree(everything, lambda file: file.lasting or zeros(file))
        yield "all bytes, no names", self._tree(none, whole)
        dice = random.Random(seed)
        for number in range(n_random):
            is_journal = number % 2 == 0
            kept = self._pending[: dice.randint(0, len(self._pending))] if is_journal else self._any(dice)
            share = dice.choice((0.05, 0.5, 0.95))
            yield (
                "a journal's names, some bytes" if is_journal else "some names, some bytes",
                self._tree(self._names(kept), lambda file, p=share: file.content(lambda: dice.random() < p)),
            )

    def _any(self, dice):
        """Return some changes of names: never the old name of a rename lost without the new one."""
        share = dice.choice((0.1, 0.5, 0.9))
        kept = [change for change in self._pending if dice.random() < share]
        there = {change.rename for change in kept if change.inode is not None}
        return [c for c in kept if c.inode is not None or not c.rename or c.rename in there or not self._waits(c)]

    def _waits(self, gone):
        """Say whether the new name of a rename is still to be written; else its folder was synced."""
        return any(change.rename == gone.rename and change.inode is not None for change in self._pending)

    def _names(self, changes):
        folders = {inode: dict(names) for inode, names in self._lasting.items()}
        for change in changes:
            self._apply(folders, change)
        return folders

    def _tree(self, folders, content, inode=0, path=""):
        found = {}
        for name, child in folders[inode].items():
            place = f"{path}{name}"
            if child in self._folders:
                found[place] = None
                found |= self._tree(folders, content, child, f"{place}/")
            else:
                found[place] = content(self._files[child])
        return found


def read_tree(folder):
    """Return {path: bytes, or None for a folder} of what is in a folder."""
    return {
        str(path.relative_to(folder)): None if path.is_dir() else path.read_bytes()
        for path in sorted(folder.rglob("*"))
    }


def write_tree(folder, tree):
    """Make a folder hold a tree, and nothing else."""
    for path in sorted(folder.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    for path in sorted(tree):
        if tree[path] is None:
            (folder / path).mkdir()
        else:
            (folder / path).write_bytes(tree[path])
