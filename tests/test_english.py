"""The English of docstrings, comments and documents: a few habits that were hard to read stay out."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("callbacks", "datamodules", "lightning_modules", "vidcorr", "tests")
CODE = [ROOT / "cli.py", *(path for room in ROOMS for path in (ROOT / room).rglob("*.py"))]
DOCUMENTS = [
    ROOT / "README.md",
    *(ROOT / "docs").glob("*.md"),
    *(ROOT / "configs").rglob("*.md"),
    *(ROOT / "configs").rglob("*.yaml"),
]
OPENINGS = ("What", "Where", "Which", "Whether", "When", "Why", "How", "As", "That", "See")
"""First words that leave open what a function does: a docstring opens with a verb or with a noun."""
AVOIDED = {
    r"\blikewise\b": "repeat what holds, so that the next editor need not look it up",
    r"\bno number\b": "non-finite",
    r"\b(?:loss|weights?) that (?:is|are) no\b": "non-finite",
    r"\bin different company\b": "in different BatchNorm groups",
    r"\bnothing is told\b": "nothing is reported",
    r"\b(?:go|goes|going|gone|went) on\b": "continue, or resume",
    r"\bTell (?:whether|if)\b": "Return whether",
    r"\bso many\b": "N, or the number itself",
    r"\bsays? so\b": "name what is said and where it shows",
    r"\b(?:colour|file|folder|process|row)(?:es|s)? of (?:its|their) own\b": "its own, or separate",
    r"\bone (?:(?!as|by|if|in|is|of|on|that|with)\.?\w+ )?a (?:class|file|line|name|row|video)\b": "one per",
    r"\bis (?:(?-i:no [A-Z])|none of)": "is not a, or unlike any of",
    r"(?<!of )\bwhole numbers?\b": "integer",
    r"\bor not at all\b|\ball of it or nothing\b": "atomically",
    r"[a-z)`]\.  [a-z]": "one space after a full stop",
    r"\S  # of ": "begin with the noun: what of it?",
    r"\bsee `": "explain it where it stands, in ten words",
}


@cache
def docstrings(path):
    """Return (line, text) of every docstring of a file, those of attributes included."""
    expressions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Expr))
    values = (node.value for node in expressions if isinstance(node.value, ast.Constant))
    return [(value.lineno, value.value.strip()) for value in values if isinstance(value.value, str)]


@pytest.mark.slow
def test_docstrings_open_with_a_verb_or_a_noun():
    assert not [
        f"{path.relative_to(ROOT)}:{line}: {text.splitlines()[0]}"
        for path in CODE
        for line, text in docstrings(path)
        if text.split(" ")[0] in OPENINGS
    ]


VAGUE = ("one", "each", "own", "those", "what", "whose", "where", "there", "such")
"""Words that stand where a noun would be read once."""
MOST_VAGUE = 8
"""Largest number of these words per thousand words of the source's docstrings."""


def test_docstrings_name_things_by_nouns():
    text = " ".join(
        text for path in CODE if "tests" not in path.relative_to(ROOT).parts for _, text in docstrings(path)
    )
    words = re.findall(r"[a-z][a-z'’-]*", text.lower())
    counts = {word: words.count(word) for word in VAGUE}
    assert 1000 * sum(counts.values()) / len(words) <= MOST_VAGUE, counts


FRAGMENTS = re.compile(r"(?:of|that|which|the same|both|in place|default)\b", re.IGNORECASE)
"""Openings of a flag's help that leave out what the flag gives."""


def test_the_help_of_each_flag_says_what_it_gives():
    trees = [ast.parse(path.read_text()) for path in CODE if path.parent.name == "commands"]
    calls = [node for tree in trees for node in ast.walk(tree) if isinstance(node, ast.Call)]
    flags = [node for node in calls if isinstance(node.func, ast.Attribute) and node.func.attr == "add_argument"]
    texts = {ast.unparse(flag): [k.value for k in flag.keywords if k.arg == "help"] for flag in flags}
    assert len(texts) > 50
    assert [
        flag for flag, text in texts.items() if not text or FRAGMENTS.match(ast.unparse(text[0]).strip("f'\""))
    ] == []


@pytest.mark.slow
def test_words_that_stay_out():
    faults = []
    for path in {*CODE, *DOCUMENTS} - {Path(__file__).resolve()}:  # this file names the words
        text = path.read_text()
        for pattern, instead in AVOIDED.items():
            for match in re.finditer(pattern, text, re.IGNORECASE):
                line = text[: match.start()].count("\n") + 1
                faults.append(f"{path.relative_to(ROOT)}:{line}: {match[0]!r}, better: {instead}")
    assert not faults
