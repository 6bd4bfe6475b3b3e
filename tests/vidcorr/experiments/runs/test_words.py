"""Words of `fit` and `validate`: each form of a class, an argument and a config means the same.

Also tests arguments of a checkpoint's class beside those that the user gives.
"""

import json
from itertools import product
from pathlib import Path

import pytest
import yaml

from tests.helpers.refusal import refused
from tests.helpers.words import FORMS_OF_ARGUMENT, FORMS_OF_CLASS, PARTS_IN_WORDS, words_of_parser
from vidcorr.errors import UsageError
from vidcorr.experiments.runs.words import given_arguments, last_class, read_words

SPELLINGS = [
    ("model", "docs.examples.byol:Byol", "docs.examples.byol.Byol"),
    ("model", "tests.helpers.encoders:TinyResNet", "FrozenEncoder"),
    ("model", "tests.helpers.networks:plain", "FrozenEncoder"),
    ("model.class_path", "docs.examples.byol:Byol", "docs.examples.byol.Byol"),
    ("data", "tests.helpers.training:InMemory", "tests.helpers.training.InMemory"),
]


@pytest.mark.parametrize(("flag", "name", "kind"), SPELLINGS)
def test_ones_own_class_has_one_spelling(flag, name, kind):
    """A class below LightningModule is the model itself; another name is a network."""
    for words in ([f"--{flag}={name}"], [f"--{flag}", name]):
        assert last_class(list(read_words(words)), flag.partition(".")[0]) == kind


@pytest.mark.parametrize("form", FORMS_OF_CLASS)
@pytest.mark.parametrize("part", PARTS_IN_WORDS)
def test_a_class_is_read_alike_in_all_its_forms(form, part, here):
    other, kind = PARTS_IN_WORDS[part]
    words = FORMS_OF_CLASS[form](part, kind, here)
    for before, after in (([], []), ([f"--config={json.dumps({part: other})}"], []), ([f"--{part}", other], [])):
        assert last_class(list(read_words([*before, *words, *after])), part) == kind
    assert last_class(list(read_words([*words, f"--{part}={other}"])), part) == other
    in_configs = []
    for word in words_of_parser("fit", *words)[1:]:
        content = word.removeprefix("--config=")
        in_configs.append(json.loads(content) if content.startswith("{") else yaml.safe_load(Path(content).read_text()))
    assert in_configs[-1][part] in (kind, {"class_path": kind})


@pytest.mark.parametrize(("form", "part"), list(product(FORMS_OF_ARGUMENT, PARTS_IN_WORDS)))
def test_an_argument_is_read_alike_in_all_its_forms(form, part, here):
    kind = PARTS_IN_WORDS[part][1]
    words = FORMS_OF_ARGUMENT[form](part, kind, "seed", 3, here)
    said = list(read_words(words))
    given = {name for word in said if word.kind == "argument" and word.part == part for name in word.value}
    for word in said:
        content = word.value.get(part) if word.kind == "config" else word.value
        if word.kind in ("config", "class") and isinstance(content, dict):
            given |= {(name,) for name in content.get("init_args", {})}
    assert ("seed",) in given
    assert (("seed",) in given_arguments(said)) == (part == "model")


def test_a_word_without_its_flag_and_a_flag_without_its_value_are_refused():
    line = "--input imagenett: expected imagenet, half, unit.*imagenet"
    refused(UsageError, line, list, read_words(["--input", "imagenett"]))
    for word, flag in (("a.yaml", "--config"), ("VFSSimSiam", "--model")):
        refused(UsageError, f"^{word}: a word without a flag; write {flag} {word}", list, read_words([word]))
    for words in (["--data.size"], ["--data.size", "--trainer.max_steps=3"], ["--config"]):
        refused(UsageError, f"^argument {words[0]}: expected one argument", list, read_words(words))
    for words in (["--help"], ["--model.help"], ["--print_config"], ["--before"], ["--data.shift", "-3"]):
        assert [word.words for word in read_words(words)] == [words]
