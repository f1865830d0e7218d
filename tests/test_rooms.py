"""The walls of the house: what each room may import, and who may import a door."""

import ast
import glob
import os

import pytest

pytestmark = pytest.mark.once

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# What stands at the top level: modules whose code is there, and doors, which hold a command.
SHARED = (
    "args",
    "lamb_optimizer",
    "modeling",
    "optimization",
    "optimization_finetuning",
    "tokenization",
)
DOORS = (
    "classification",
    "create_pretraining_data",
    "extract_features",
    "run_classifier",
    "run_pretraining",
    "serve",
    "similarity",
)

# Rooms and shared modules: what of the project each may import.  A room may import itself.
MAY_IMPORT = {
    "args": "",
    "tokenization": "basics",
    "lamb_optimizer": "basics",
    "optimization": "basics lamb_optimizer",
    "optimization_finetuning": "optimization",
    "modeling": "basics layers model_files",
    "basics": "",
    "layers": "basics",
    "text": "basics tokenization",
    "model_files": "basics tokenization",
    "heads": "basics layers model_files modeling",
    "training": "basics model_files lamb_optimizer",
    "pretraining_data": "basics text tokenization",
    "pretraining": (
        "basics layers model_files heads training pretraining_data modeling optimization"
    ),
    "finetuning": "basics text model_files heads training tokenization optimization",
    "inference": "basics text layers model_files tokenization args",
    "conversion": "basics model_files heads",
    "serving": "basics model_files inference args",
}


def place_of(module):
    """Room or module at the top level that a dotted name belongs to; None if it is not ours."""
    parts = module.split(".")
    if parts[0] == "albert":
        return parts[1] if len(parts) > 1 else "albert"
    return parts[0] if parts[0] in SHARED + DOORS else None


def imports(tree):
    """(line, dotted name) of every import of a file, also of those inside functions."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, "%s%s.%s" % ("." * node.level, node.module or "", alias.name)


def breaches(path, content):
    """Sentences about the imports of a file (relative to the repository) that are not allowed."""
    own = place_of(path[: -len(".py")].replace(os.sep, "."))
    for line, name in imports(ast.parse(content)):
        if name.startswith("."):
            yield "%s:%d imports %s; name the room" % (path.replace(os.sep, "/"), line, name)
        other = place_of(name)
        if other is None or other == own:
            continue
        where = "%s:%d imports %s" % (path.replace(os.sep, "/"), line, other)
        if other in DOORS:
            yield "%s, a door; only a person opens a door" % where
        elif own in MAY_IMPORT and other not in MAY_IMPORT[own].split():
            allowed = ", ".join(MAY_IMPORT[own].split()) or "nothing of the project"
            yield "%s; %s may import %s" % (where, own, allowed)


def files(*patterns):
    found = (glob.glob(os.path.join(ROOT, pattern), recursive=True) for pattern in patterns)
    return sorted(os.path.relpath(path, ROOT) for paths in found for path in paths)


def read(path):
    with open(os.path.join(ROOT, path), encoding="utf-8") as handle:
        return handle.read()


def test_rooms_import_only_what_they_may():
    found = []
    for path in files("*.py", "albert/**/*.py", "scripts/*.py", "benchmarks/*.py"):
        found += breaches(path, read(path))
    assert not found, "\n" + "\n".join(found)


def test_every_room_has_its_rule():
    rooms = {path.split(os.sep)[1] for path in files("albert/**/*.py") if path.count(os.sep) > 1}
    assert rooms == {path.split(os.sep)[1] for path in files("albert/*/__init__.py")}
    assert files("albert/*.py") == [os.path.join("albert", "__init__.py")]
    assert rooms | set(SHARED) == set(MAY_IMPORT)
    assert {os.path.splitext(path)[0] for path in files("*.py")} == set(SHARED + DOORS)


@pytest.mark.parametrize(
    "path, content, expected",
    [
        (
            "albert/inference/text_model.py",
            "def f():\n    from albert.finetuning import run\n",
            "albert/inference/text_model.py:2 imports finetuning; inference may import basics, "
            "text, layers, model_files, tokenization, args",
        ),
        (
            "albert/basics/cli.py",
            "import modeling",
            "albert/basics/cli.py:1 imports modeling; basics may import nothing of the project",
        ),
        (
            "albert/heads/spans.py",
            "from ..finetuning import run",
            "albert/heads/spans.py:1 imports ..finetuning.run; name the room",
        ),
        (
            "scripts/report.py",
            "import run_classifier",
            "scripts/report.py:1 imports run_classifier, a door; only a person opens a door",
        ),
        (
            "albert/serving/app.py",
            "from similarity import BertSim",
            "albert/serving/app.py:1 imports similarity, a door; only a person opens a door",
        ),
        (
            "run_classifier.py",
            "import os\nimport run_pretraining",
            "run_classifier.py:2 imports run_pretraining, a door; only a person opens a door",
        ),
    ],
)
def test_a_breach_is_told(path, content, expected):
    assert list(breaches(path.replace("/", os.sep), content)) == [expected]


def test_what_is_allowed_is_no_breach():
    content = (
        "import os\nimport modeling\nfrom albert import heads\nfrom albert.basics import cli\n"
    )
    assert list(breaches(os.path.join("albert", "heads", "spans.py"), content)) == []


@pytest.mark.parametrize("path", files("albert/**/__init__.py"))
def test_a_room_says_its_purpose_and_nothing_else(path):
    tree = ast.parse(read(path))
    purpose = ast.get_docstring(tree)
    assert len(tree.body) == 1
    assert purpose.endswith(".") and "\n\n" not in purpose
    assert purpose.count(". ") == 0  # one sentence


def test_no_room_opens_a_door_by_name():
    """Names of modules in strings, as a fork server takes them, would escape the rules above."""
    found = [
        "%s:%d names %s" % (path, node.lineno, node.value)
        for path in files("albert/**/*.py")
        for node in ast.walk(ast.parse(read(path)))
        if isinstance(node, ast.Constant) and node.value in DOORS
    ]
    assert not [place for place in found if not place.endswith(" classification")], found
    for path in files("albert/**/*.py"):
        assert "import_module" not in read(path), path
