#!/usr/bin/env python3
"""Makes a site of the documents in build/docs/site and checks every link in it.

    tools/docs/build_site.py --program build/gradstab [--doxygen doxygen]

Runs under an interpreter that has tools/docs/requirements.txt; `./run docs` makes one. The source is laid out in
build/docs/source as the repository is, so that links between documents stay as they are. Files of code that documents
link to become pages. The reference is made of --help, of the docstrings and, by Doxygen, of the public headers."""

import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
TOOLS = ROOT / "tools/docs"
OUT = ROOT / "build/docs"
SOURCE = OUT / "source"
HEADERS = ("include/gradstab", "adaptors/libtorch/include/gradstab")
# Pages that are not in docs/.
DOCUMENTS = ("README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md")
LANGUAGES = {".py": "python", ".c": "c", ".h": "c", ".cpp": "cpp", ".hpp": "cpp", ".sh": "bash", ".json": "json", ".txt": "text"}

LINK = re.compile(r"(!?\[[^\]]*\]\()([^)\s#]+)(#[^)\s]*)?(\))")
LIST_ITEM = re.compile(r"^ *(?:[-*]|\d+\.) ")


def as_markdown_of_the_site(text):
    """Python-Markdown wants an empty line before a list and behind a comment, where GitHub does not."""
    lines = []
    in_code = False
    for line in text.splitlines():
        if line.lstrip().startswith("```"):
            in_code = not in_code
        before = lines[-1] if lines else ""
        starts_list = LIST_ITEM.match(line) and before.strip() and not LIST_ITEM.match(before) and not before.startswith(" ")
        behind_comment = before.startswith("<!--") and line.strip()
        ends_table = before.startswith("|") and line.strip() and not line.startswith("|")
        if not in_code and (starts_list or behind_comment or ends_table):
            lines.append("")
        lines.append(line)
    return "\n".join(lines) + "\n"


class Layout:
    """Lays files out in the source of the site. A document that is linked to comes along, with what it links to."""

    def __init__(self):
        self.done = set()

    def add_document(self, name):
        """`name` from the root of the repository."""
        if name in self.done:
            return
        self.done.add(name)
        text = (ROOT / name).read_text(encoding="utf-8")
        self.write(name, as_markdown_of_the_site(LINK.sub(lambda match: self.link(name, match), text)))

    def link(self, document, match):
        before, target, anchor, behind = match.groups()
        if "://" in target or target.startswith("mailto:"):
            return match.group()
        path = os.path.normpath(os.path.join(os.path.dirname(document), target))
        if path.startswith("..") or not (ROOT / path).exists():
            return match.group()  # MkDocs says what is wrong with it
        page = self.add(path)
        return before + os.path.relpath(page, os.path.dirname(document) or ".") + (anchor or "") + behind

    def add(self, path):
        """Where the file or folder is in the site."""
        file = ROOT / path
        if file.is_dir():
            return self.add_folder(path)
        if file.suffix == ".md":
            self.add_document(path)
            return path
        if file.suffix in LANGUAGES and not path.startswith("docs/"):
            return self.add_code(path)
        (SOURCE / path).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, SOURCE / path)
        return path

    def add_code(self, path):
        page = path + ".md"
        if page not in self.done:
            self.done.add(page)
            text = (ROOT / path).read_text(encoding="utf-8")
            self.write(page, f"# {pathlib.PurePath(path).name}\n`{path}`\n\n```{LANGUAGES[pathlib.PurePath(path).suffix]}\n{text}```\n")
        return page

    def add_folder(self, path):
        page = os.path.join(path, "README.md")
        if (ROOT / page).exists():
            return self.add(page)
        if page not in self.done:
            self.done.add(page)
            files = sorted(file for file in (ROOT / path).iterdir() if file.is_file() and file.suffix in LANGUAGES)
            links = [os.path.relpath(self.add(str(file.relative_to(ROOT))), path) for file in files]
            self.write(page, f"# {path}\n\n" + "".join(f"- [{file.name}]({link})\n" for file, link in zip(files, links)))
        return page

    def write(self, name, text):
        (SOURCE / name).parent.mkdir(parents=True, exist_ok=True)
        (SOURCE / name).write_text(text, encoding="utf-8")


def help_of(program, *verb):
    # A terminal's width would get into the text.
    return subprocess.run([program, *verb, "--help"], capture_output=True, text=True, check=True, env={**os.environ, "COLUMNS": "100"}).stdout


def verbs_of(text):
    """The names below "Subcommands:" of a help text."""
    part = text.partition("Subcommands:\n")[2]
    return re.findall(r"(?m)^  (\w+) ", part)


def command_line_page(program):
    pages = [((), help_of(program))]
    for verb in verbs_of(pages[0][1]):
        pages.append(((verb,), help_of(program, verb)))
        pages += [((verb, task), help_of(program, verb, task)) for task in verbs_of(pages[-1][1])]
    text = "# Command line\nWhat `gradstab` says with `--help`.\n"
    for verb, said in pages:
        text += f"\n## {' '.join(('gradstab', *verb))}\n```text\n{said.strip()}\n```\n"
    return text


def python_page():
    return ("# Python\nThe public names of the package `gradient_stabilizer`, from its docstrings. [The Python package](../docs/python.md) is the "
            "guide.\n\n::: gradient_stabilizer\n    options:\n      show_root_heading: false\n"
            "\n::: gradient_stabilizer.optim\n\n::: gradient_stabilizer.compat\n")


def headers_page(doxygen):
    text = "# C and C++\nThe comments in the public headers are the reference."
    if doxygen:
        text += " Doxygen has made [pages of them](cpp/index.html), by [file](cpp/files.html) and by [class](cpp/annotated.html)."
    text += "\n\n| header | what it has |\n|---|---|\n"
    for folder in HEADERS:
        for header in sorted((ROOT / folder).iterdir()):
            first = header.read_text(encoding="utf-8").splitlines()[0].lstrip("/ ").replace("|", "\\|")
            text += f"| [gradstab/{header.name}](../{folder}/{header.name}) | {first} |\n"
    return text


def run_doxygen(doxygen):
    settings = (TOOLS / "Doxyfile").read_text() + f"INPUT = {' '.join(HEADERS)}\nOUTPUT_DIRECTORY = {SOURCE}/reference\nHTML_OUTPUT = cpp\n"
    subprocess.run([doxygen, "-"], input=settings, text=True, cwd=ROOT, check=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/gradstab", help="whose help texts are shown")
    parser.add_argument("--doxygen", default=shutil.which("doxygen"), help="empty: no pages of the headers")
    arguments = parser.parse_args()
    shutil.rmtree(OUT / "source", ignore_errors=True)
    layout = Layout()
    layout.write("reference/command-line.md", command_line_page(str(pathlib.Path(arguments.program).resolve())))
    layout.write("reference/python.md", python_page())
    if arguments.doxygen:
        run_doxygen(arguments.doxygen)
    page = headers_page(arguments.doxygen)
    layout.write("reference/c-and-cpp.md", LINK.sub(lambda match: layout.link("reference/c-and-cpp.md", match), page))
    for document in (*DOCUMENTS, *(str(file.relative_to(ROOT)) for file in sorted((ROOT / "docs").rglob("*.md")))):
        layout.add_document(document)
    for file in (ROOT / "docs/results").rglob("*.html"):
        layout.add(str(file.relative_to(ROOT)))
    shutil.copyfile(TOOLS / "site.css", SOURCE / "site.css")
    # Its warnings, of which --strict makes errors, are about links; --quiet would silence both.
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--clean", "--config-file", TOOLS / "mkdocs.yml"]
    built = subprocess.run(command, env={**os.environ, "NO_MKDOCS_2_WARNING": "1"})
    if built.returncode == 0:
        print(f"site     {OUT / 'site' / 'index.html'}")
        print(f"serve    python3 -m http.server -d {OUT / 'site'}    # with search")
    return built.returncode


if __name__ == "__main__":
    sys.exit(main())
