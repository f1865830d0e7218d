"""The Markdown texts of the project: their headings, their blocks, and the commands in these.

The commands of a block are those that bash makes of it, with variables, patterns and `&`: bash runs
the block, and every program in it is a stand-in that only notes its name and arguments.  Scripts of
the project are real, and the Python that they call is such a stand-in.
"""

import glob
import os
import re
import shutil
import subprocess
from typing import NamedTuple

from helpers.paths import ROOT

READMES = ("README.md", "README.zh-CN.md")
DOCS = tuple(
    sorted(
        os.path.relpath(path, ROOT).replace(os.sep, "/")
        for path in glob.glob(os.path.join(ROOT, "docs", "*.md"))
    )
)

# These scripts do what no test should: install, fetch, or take minutes.
NOT_ENTERED = "quickstart|run_tests|setup_env|download_pretrained|compare_optimizers"
PROGRAMS = ("python", "pip", "curl", "tensorboard", "tensorflow_model_server", "pytest")
_NOTE = """#!/bin/bash
{ printf '%s\\0' "${0##*/}" "$@"; printf '\\n\\0'; } >>"$NOTES"
"""
_NOTE_OR_ENTER = """#!/bin/bash
case $1 in
scripts/*.sh) [[ $1 =~ (%s).sh$ ]] || exec /bin/bash "$ROOT/$1" "${@:2}" ;;
*) exec /bin/bash "$@" ;;
esac
{ printf '%%s\\0' bash "$@"; printf '\\n\\0'; } >>"$NOTES"
"""


class Block(NamedTuple):
    """A fenced block: number of its first line, language, content."""

    line: int
    language: str
    content: str


class Section(NamedTuple):
    """A heading with its level (number of #), and the text below it up to the next one."""

    level: int
    heading: str
    text: str


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
        return handle.read()


def blocks(text):
    """All `Block`s of a Markdown text."""
    return [
        Block(text.count("\n", 0, match.start(2)) + 1, match.group(1), match.group(2))
        for match in re.finditer(r"^```(\w*)\n(.*?)^```$", text, re.M | re.S)
    ]


def without_blocks(text):
    return re.sub(r"^```\w*\n.*?^```$", "", text, flags=re.M | re.S)


def sections(text):
    """All `Section`s of a Markdown text; a # in a block is no heading."""
    found, in_block = [], False
    for line in text.splitlines(True):
        in_block ^= line.startswith("```")
        heading = not in_block and re.match(r"(#+) (.+)$", line)
        if heading:
            found.append([len(heading.group(1)), heading.group(2), []])
        elif found:
            found[-1][2].append(line)
    return [Section(level, heading, "".join(lines)) for level, heading, lines in found]


def without_comments(block):
    """What a block says to the machine."""
    lines = [re.sub(r"(^|\s+)#.*", "", line).rstrip() for line in block.content.splitlines()]
    return [line for line in lines if line]


class Notes:
    """Stand-ins for the programs that texts call, and what they noted.

    Args:
        folder: `pathlib.Path`, made here.
    """

    def __init__(self, folder):
        folder.mkdir()
        self._file = folder / "notes"
        self._commands = folder / "bin"
        self._commands.mkdir()
        for name in PROGRAMS:
            self._write(name, _NOTE)
        self._write("bash", _NOTE_OR_ENTER % NOT_ENTERED)

    def _write(self, name, content):
        path = self._commands / name
        path.write_text(content)
        path.chmod(0o755)

    def commands(self, block, cwd):
        """The commands of a bash block, as lists of program and arguments, in their order."""
        self._file.write_bytes(b"")
        environment = dict(
            os.environ,
            PATH=os.pathsep.join([str(self._commands), os.environ["PATH"]]),
            NOTES=str(self._file),
            ROOT=ROOT,
        )
        environment.pop("PYTHON", None)
        process = subprocess.run(
            ["/bin/bash", "-c", "set -eu\n" + block.content + "\nwait"],
            cwd=str(cwd),
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.returncode == 0, (block, process.stdout.decode("utf-8"))
        noted = self._file.read_bytes().decode("utf-8").split("\0")
        found = [[]]
        for word in noted[:-1]:
            if word == "\n":
                found.append([])
            else:
                found[-1].append(word)
        return found[:-1]


def link(source, target):
    """A file or folder of the repository under another name."""
    target.parent.mkdir(parents=True, exist_ok=True)
    os.symlink(os.path.join(ROOT, source), str(target))


def copy_lines(source, target, number):
    with open(os.path.join(ROOT, source), encoding="utf-8") as handle:
        lines = handle.readlines()[:number]
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("".join(lines), encoding="utf-8")


def copy_tree(source, target):
    shutil.copytree(str(source), str(target))
