"""What is written for people in a file, and what is code: comments, docstrings and documents against the rest."""

import io
import re
import tokenize

DOCUMENTS = {"md", "html"}
HASH_COMMENTS = {"sh", "cmake", "txt", "toml", "map", "in"}
C_LIKE = {"cpp", "hpp", "c", "h", "cu", "js", "css"}
KNOWN = DOCUMENTS | HASH_COMMENTS | C_LIKE | {"py"}

# A string first, so that what looks like a comment inside of one is none.
C_TOKENS = re.compile(r'R"([^\s()\\]*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\'|//[^\n]*|/\*.*?\*/', re.DOTALL)
HASH_COMMENT = re.compile(r"(?m)(?:^|(?<=\s))#(?!!).*$")


def kind_of(path):
    """The ending that says how a file is written, or None for one that holds neither code nor prose."""
    if path.suffix:
        ending = path.suffix[1:]
        return ending if ending in KNOWN else None
    with open(path, "rb") as file:
        return "sh" if file.read(2) == b"#!" else None


def split(text, kind):
    """(prose, code), both as long as `text` and with its line breaks: what belongs to the other is blank."""
    if kind in DOCUMENTS:
        return text, blank(text)
    spans = spans_in_python(text) if kind == "py" else spans_by_pattern(text, kind)
    prose, code, at = [], [], 0
    for begin, end in spans:
        prose += [blank(text[at:begin]), text[begin:end]]
        code += [text[at:begin], blank(text[begin:end])]
        at = end
    return "".join(prose) + blank(text[at:]), "".join(code) + text[at:]


def blank(text):
    return re.sub(r"[^\n]", " ", text)


def spans_by_pattern(text, kind):
    if kind in HASH_COMMENTS:
        return [match.span() for match in HASH_COMMENT.finditer(text)]
    return [match.span() for match in C_TOKENS.finditer(text) if match.group().startswith(("//", "/*"))]


def spans_in_python(text):
    """Comments, and strings that stand alone, which are docstrings."""
    starts = [0]
    for line in text.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    spans = []
    begins_statement = True
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        place = (starts[token.start[0] - 1] + token.start[1], starts[token.end[0] - 1] + token.end[1])
        if token.type == tokenize.COMMENT and not token.string.startswith("#!"):
            spans.append(place)
        elif token.type == tokenize.STRING and begins_statement:
            spans.append(place)
        if token.type in (tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT):
            begins_statement = True
        elif token.type not in (tokenize.COMMENT, tokenize.NL, tokenize.ENCODING):
            begins_statement = False
    return spans
