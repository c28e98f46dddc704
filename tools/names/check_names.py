#!/usr/bin/env python3
"""Fails where a comment or a document names a file, a flag, a verb, a CMake option, an environment variable or a test that the code does
not have.

    tools/names/check_names.py [--root FOLDER] [--program build/gradstab]

With --program, the flags of command lines are compared with the help of their verb. allowed.txt beside this script lists
the names that belong to others."""

import argparse
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent))
import prose  # noqa: E402

# Records and recorded data; and this check with what it must find.
SKIPPED = ("docs/results/", "fuzz/corpus/", "tests/golden/data/", "tests/names/", "tools/names/allowed.txt", "LICENSE")
ENDINGS = "hpp|cpp|cuh|cu|h|c|pyi|py|sh|md|cmake|js|css|html|jsonl|json|gz|toml|txt|csv|png|gsck|so|a|pc|map|log"
PATH = rf"(?:[\w.+-]+/)*[\w-][\w.-]*\.(?:{ENDINGS})"
# Behind = and , stand values, behind / the end of an address; * and < are patterns.
FILE = re.compile(rf"(?<![\w/.*<>{{}}$=,:-])({PATH})(?![\w*/-]|\.\w)")
FOLDER = re.compile(r"(?<=`)((?:[\w.-]+/)+)(?=`)")
FLAG = re.compile(r"(?<![\w-])(--[a-z][a-z0-9-]*[a-z0-9])(?![\w-])")
MACRO = re.compile(r"(?:(?<![\w$])|(?<=-D))(GRADSTAB_[A-Z0-9_]*[A-Z0-9])(?![\w*])")
VARIABLE = re.compile(r"(?<=`)([A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+)(?=[`=])")
TEST = re.compile(r"(?<![\w.])([A-Z]\w*Test)\.([A-Z]\w*)(\.\.\.)?")
RUN_VERB = re.compile(r"(?<![\w/])\./run ([a-z]\w*)")
# A command: in backticks, at the start of a line of a block of commands, or of a comment.
COMMAND = re.compile(r"(?:`|^ {0,8}(?:\$ )?(?:\w+=\S+ )*|(?://|#) {1,4})(?:build/)?gradstab ((?:[a-z][\w-]*)(?: [^`|\n]*)?)", re.MULTILINE)
# What stands behind these is a file of the reader's own.
OWN_FILE = re.compile(r"""(?:(?:--(?:checkpoint|html|output|input|json|data|records|resume|video)|-o|>)[ =]|open\()["']?([^\s"'`)]+)""")
# A flag that a string begins with is declared there or handed on; within a longer string it is mentioned.
DECLARED_FLAG = re.compile(r"""["'](?:-\w,)?(--[a-z][a-z0-9-]*[a-z0-9])(?=["',=!])""")
STRING = re.compile(r'"(?:\\.|[^"\\\n])*"')
FENCED = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)


class Tree:
    """The files of a checkout, read once: what is written for people, and the names that exist."""

    def __init__(self, root):
        self.root = root
        self.prose = {}
        self.code = code = {}
        files = sorted(files_of(root))
        for file in files:
            kind = None if file.startswith(SKIPPED) else prose.kind_of(root / file)
            if kind is not None:
                self.prose[file], code[file] = prose.split((root / file).read_text(encoding="utf-8"), kind)
        all_code = "\n".join(code.values())
        # What programs write and what others install is named by the code.
        paths = set(files) | set(re.findall(rf"(?<![\w.])({PATH})(?!\w)", all_code))
        self.paths = {tail for path in paths for tail in tails(path)}
        folders = {str(parent) for file in files for parent in pathlib.PurePosixPath(file).parents}
        folders |= set(re.findall(r"(?:[\w.-]+/)+[\w.-]+", all_code))
        self.folders = {tail for folder in folders for tail in tails(folder)}
        self.words = set(re.findall(r"\w+", all_code))
        # The settings of training are declared by name; the command line makes flags of them.
        settings = re.findall(r'visit\(\s*"(\w+)"', all_code)
        self.flags = {"--" + name.replace("_", "-") for name in settings}
        for file, text in code.items():
            if file.endswith((".cpp", ".hpp", ".py", ".js")):
                self.flags |= set() if file.startswith("tests/") and file.endswith(".cpp") else set(DECLARED_FLAG.findall(text))
            else:
                self.flags |= set(FLAG.findall(text))
        self.roots = {file.split("/")[0] + "/" for file in files if "/" in file}
        self.tests = {".".join(name) for name in re.findall(r"\bTEST(?:_[FP])?\(\s*(\w+),\s*(\w+)\s*\)", all_code)}
        self.verbs = set(re.findall(r'add_subcommand\(\s*"(\w+)"', all_code))
        cases = re.findall(r"(?m)^  ([a-z| -]+)\) ", code.get("run", ""))
        self.run_verbs = {verb.strip() for case in cases for verb in case.split("|")}


def tails(path):
    parts = path.split("/")
    return {"/".join(parts[i:]) for i in range(len(parts))}


def files_of(root):
    listed = subprocess.run(["git", "-C", root, "ls-files", "-co", "--exclude-standard"], capture_output=True, text=True)
    top = subprocess.run(["git", "-C", root, "rev-parse", "--show-prefix"], capture_output=True, text=True)
    if listed.returncode == 0 and top.stdout.strip() == "":
        return [file for file in listed.stdout.splitlines() if (root / file).is_file()]
    # A source archive, perhaps with what was built in it.
    tops = [top for top in root.iterdir() if not re.match(r"build|demo$|\.git$", top.name)]
    files = [path for top in tops for path in (top.rglob("*") if top.is_dir() else [top])]
    return [str(path.relative_to(root)) for path in files if path.is_file()]


class Check:
    """Goes through the prose of a tree. `found` has what does not exist, `met` the allowed names that were needed."""

    def __init__(self, tree, allowed, program):
        self.tree = tree
        self.allowed = allowed
        self.program = program
        self.found = set()
        self.met = set()
        self.flags_of_verb = {}
        for file, words in tree.prose.items():
            self.file, self.words = file, words
            self.check_files()
            self.check_words()
            self.check_commands()
        for file, code in tree.code.items():
            self.file, self.words = file, code
            self.check_messages()

    def expect(self, exists, what, name, place):
        if exists:
            return
        if name in self.allowed:
            self.met.add(name)
            return
        self.found.add((self.file, self.words.count("\n", 0, place) + 1, f"there is no {what} '{name}'"))

    def exists_as(self, name, paths):
        beside = os.path.normpath(os.path.join(os.path.dirname(self.file), name))
        return os.path.normpath(name) in paths or beside in paths

    def check_files(self):
        own = set(OWN_FILE.findall(self.words))
        for match in FILE.finditer(self.words):
            name = match.group(1)
            stem = name.rsplit("/", 1)[-1].split(".")[0]
            placeholder = stem.isupper() and len(stem) > 1  # NAME.cpp
            here = self.exists_as(name, self.tree.paths) or (self.tree.root / os.path.dirname(self.file) / name).exists()
            self.expect(placeholder or name in own or here, "file", name, match.start())
        for match in FOLDER.finditer(self.words):
            self.expect(self.exists_as(match.group(1).rstrip("/"), self.tree.folders), "folder", match.group(1), match.start())

    def check_words(self):
        tree = self.tree
        for pattern, what, names in ((FLAG, "flag", tree.flags), (MACRO, "option, variable or macro", tree.words),
                                     (VARIABLE, "variable", tree.words), (RUN_VERB, "verb of ./run", tree.run_verbs)):
            for match in pattern.finditer(self.words):
                self.expect(match.group(1) in names, what, match.group(1), match.start())
        for match in TEST.finditer(self.words):
            name = f"{match.group(1)}.{match.group(2)}"
            exists = any(test.startswith(name) for test in tree.tests) if match.group(3) else name in tree.tests
            self.expect(exists, "test", name, match.start())

    def check_messages(self):
        """What the program says, its help included: strings within the code."""
        if self.file.startswith("tests/") or not self.file.endswith((".cpp", ".hpp", ".py")):
            return
        for text in STRING.finditer(self.words):
            for flag in FLAG.findall(text.group()):
                self.expect(flag in self.tree.flags, "flag", flag, text.start())
        for match in FILE.finditer(self.words):
            ours = match.group(1).split("/")[0] + "/" in self.tree.roots
            self.expect(not ours or (self.tree.root / match.group(1)).exists(), "file", match.group(1), match.start())

    def check_commands(self):
        words = self.words.replace("\\\n", "  ")
        blocks = [match.span() for match in FENCED.finditer(words)]
        for match in COMMAND.finditer(words):
            in_document = self.file.endswith(".md")
            if in_document and match.group()[0] != "`" and not any(begin < match.start() < end for begin, end in blocks):
                continue  # a sentence that begins with the program's name
            line = match.group(1).split(" #")[0]
            verb, *rest = line.split()
            self.expect(verb in self.tree.verbs, "verb of gradstab", verb, match.start())
            if not self.program or verb not in self.tree.verbs:
                continue
            task = tuple(rest[:1]) if verb in ("train", "sweep") and rest and rest[0].isalpha() else ()
            for flag in FLAG.findall(line):
                self.expect(flag in self.help_of(verb, *task), f"flag of 'gradstab {verb}'", flag, match.start())

    def help_of(self, *verb):
        if verb not in self.flags_of_verb:
            answer = subprocess.run([self.program, *verb, "--help"], capture_output=True, text=True)
            self.flags_of_verb[verb] = set(FLAG.findall(answer.stdout))
        return self.flags_of_verb[verb]


def allowed_names(path):
    lines = path.read_text().splitlines() if path.exists() else []
    return {name for line in lines for name in line.split("#")[0].split()}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=pathlib.Path, default=pathlib.Path(__file__).resolve().parents[2])
    parser.add_argument("--program", help="build/gradstab, whose help has the flags of its verbs")
    arguments = parser.parse_args()
    tree = Tree(arguments.root)
    allowed_file = arguments.root / "tools/names/allowed.txt"
    check = Check(tree, allowed_names(allowed_file), arguments.program)
    for file, line, what in sorted(check.found):
        print(f"{file}:{line}: {what}")
    unneeded = sorted(check.allowed - check.met)
    for name in unneeded:
        print(f"{allowed_file}: nothing needs '{name}' any more")
    if check.found or unneeded:
        return 1
    print(f"names: {len(tree.prose)} files name nothing that does not exist")
    return 0


if __name__ == "__main__":
    sys.exit(main())
