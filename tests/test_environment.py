"""The repository as a whole: requirements, setup_env.sh, and what every module must not do."""

import ast
import glob
import os
import re
import shutil
import subprocess
import sys

import pytest
from packaging.requirements import Requirement

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
SCRIPTS = sorted(
    path
    for pattern in ("*.py", os.path.join("albert", "**", "*.py"))
    for path in glob.glob(os.path.join(ROOT, pattern), recursive=True)
)
# Dotted names: "modeling", "albert.basics.cli", "albert.basics" for its __init__.py.
MODULES = [
    re.sub(r"\.__init__$", "", os.path.relpath(path, ROOT)[: -len(".py")].replace(os.sep, "."))
    for path in SCRIPTS
]
SETUP = os.path.join(ROOT, "scripts", "setup_env.sh")

TENSORFLOW = {
    "3.7": "1.15.5",
    "3.9": "2.15.1",
    "3.10": "2.15.1",
    "3.11": "2.15.1",
    "3.12": "2.21.0",
    "3.13": "2.21.0",
}

# Files of the reader's own in the documentation.
OF_READERS = ("my_task.py",)
# Scripts of albert_zh and of google-research/albert that have another name here.
OF_THE_REFERENCE = tuple(
    """
    bert_utils.py classifier_utils.py create_pretraining_data_google.py
    export_checkpoints.py export_to_tfhub.py lamb_optimizer_google.py modeling_google.py
    modeling_google_fast.py optimization_google.py optimization_finetuning.py
    resources/create_pretraining_data_roberta.py
    resources/shell_scripts/create_pretrain_data_batch_webtext.sh run_classifier_clue.py
    run_classifier_sp_google.py run_glue.sh run_pretraining_google.py run_pretraining_google_fast.py
    run_race.py run_squad_v1.py run_squad_v2.py test_changes.py tokenization_google.py
    """.split()
)

# Third parties are imported first: what they print, define or build is not the modules' doing.
IMPORT_ALL = """
import importlib, os, sys, tempfile
import tensorflow.compat.v1 as tf
from absl import app, flags, logging
hasattr(tf, "estimator")
modules = sys.argv[1:]
failures = []
for module in modules:
    with tempfile.TemporaryFile() as output:
        saved = os.dup(1), os.dup(2)
        os.dup2(output.fileno(), 1), os.dup2(output.fileno(), 2)
        try:
            importlib.import_module(module)
        finally:
            sys.stdout.flush(), sys.stderr.flush()
            os.dup2(saved[0], 1), os.dup2(saved[1], 2)
        output.seek(0)
        printed = output.read()
    if printed:
        failures.append("%s prints %r" % (module, printed))
for module, defined in flags.FLAGS.flags_by_module_dict().items():
    if module in modules:
        failures.append("%s defines the flags %s" % (module, [flag.name for flag in defined]))
if flags.FLAGS.is_parsed():
    failures.append("flags are parsed")
if tf.get_default_graph().get_operations():
    failures.append("the default graph has operations")
print("\\n".join(failures))
"""


def run_python(*arguments):
    environment = dict(os.environ, PYTHONPATH=ROOT, TF_CPP_MIN_LOG_LEVEL="2")
    return subprocess.run(
        [sys.executable, "-W", "ignore"] + list(arguments),
        env=environment,
        capture_output=True,
        text=True,
    )


def test_a_reader_that_has_seen_enough_is_no_error(repo_root):
    program = (
        "from albert.basics import cli; "
        "cli.run(lambda _: [print('x' * 999) for _ in range(999)], lambda _: 0)"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=repo_root,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    process.stdout.read(10)
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 1


@pytest.mark.slow
def test_importing_modules_has_no_side_effects():
    result = run_python("-c", IMPORT_ALL, *MODULES)
    assert result.returncode == 0, result.stderr
    assert result.stdout.strip() == ""


@pytest.mark.parametrize("module", ["albert.basics.storage", "tokenization"])
def test_module_does_not_need_tensorflow(module):
    code = "import sys, %s; print('tensorflow' in sys.modules)" % module
    result = run_python("-c", code)
    assert (result.returncode, result.stdout, result.stderr) == (0, "False\n", "")


def dotted_names(tree):
    """Names such as "tf.io.gfile", and imported ones as "import tensorflow.io"."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, "import " + alias.name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, "import %s.%s" % (node.module, alias.name)
        elif isinstance(node, ast.Attribute):
            parts = []
            while isinstance(node, ast.Attribute):
                parts.append(node.attr)
                node = node.value
            if isinstance(node, ast.Name):
                yield node.lineno, ".".join([node.id] + parts[::-1])


def module_of(path):
    """Name of a module of a room, "basics.cli"; of others as it is."""
    name = MODULES[SCRIPTS.index(path)]
    return name[len("albert.") :] if name.startswith("albert.") else name


def uses(path, pattern):
    """Places ("file:line name") of a script where a dotted name matches a regular expression."""
    with open(path, encoding="utf-8") as handle:
        tree = ast.parse(handle.read())
    return [
        "%s:%d %s" % (os.path.relpath(path, ROOT), line, name)
        for line, name in dotted_names(tree)
        if re.search(pattern, name)
    ]


@pytest.mark.once
@pytest.mark.parametrize("path", SCRIPTS, ids=MODULES)
def test_only_api_of_all_three_tensorflows(path):
    assert uses(path, r"^tf\.(contrib|layers|keras|flags|app)\b|^import (tf_)?keras\b") == []
    assert uses(path, r"^import tensorflow\.(python|contrib|keras)\b") == []
    if module_of(path) not in ("basics.tf_compat", "training.tpu_estimator", "training.estimator"):
        assert uses(path, r"^tf\.estimator\b|^import tensorflow_estimator\b") == []


@pytest.mark.once
@pytest.mark.parametrize("path", SCRIPTS, ids=MODULES)
def test_version_differences_only_in_tf_compat(path):
    versions = r"^tf\.(__version__|VERSION|version)\b|^sys\.version|^platform\.python_version"
    if module_of(path) != "basics.tf_compat":
        assert uses(path, versions) == []


@pytest.mark.once
@pytest.mark.parametrize("path", SCRIPTS, ids=MODULES)
def test_tensorflow_comes_from_tf_compat(path):
    # storage.py imports it inside a function, so that local files do not need it.
    if module_of(path) not in ("basics.tf_compat", "basics.storage"):
        assert uses(path, r"^import tensorflow\b") == []


@pytest.mark.once
@pytest.mark.parametrize(
    "source, name",
    [
        ("tf.contrib.layers.fully_connected(x)", "tf.contrib.layers.fully_connected"),
        ("from tensorflow.python.ops import math_ops", "import tensorflow.python.ops.math_ops"),
        ("import sys\nprint(sys.version_info[0])", "sys.version_info"),
    ],
)
def test_dotted_names_sees(source, name):
    assert name in [found for _, found in dotted_names(ast.parse(source))]


def requirements(name):
    """The requirement lines of a file and of those that it includes."""
    found = []
    with open(os.path.join(ROOT, name), encoding="utf-8") as handle:
        for line in handle.read().splitlines():
            if line.startswith("-r "):
                found += requirements(line[len("-r ") :])
            elif line and not line.startswith("#"):
                found.append(line)
    return found


@pytest.mark.once
@pytest.mark.parametrize("line", requirements("requirements-dev.txt"))
def test_requirement_has_a_pin(line):
    assert re.match(r"[a-z0-9-]+==\d+(\.\d+)+(; python_version [^;]+)?$", line)


@pytest.mark.once
@pytest.mark.parametrize("version", sorted(TENSORFLOW))
def test_every_python_has_one_version_of_each_requirement(version):
    all_lines = [Requirement(line) for line in requirements("requirements.txt")]
    active = [
        line
        for line in all_lines
        if line.marker is None or line.marker.evaluate({"python_version": version})
    ]
    names = [line.name for line in active]
    assert len(names) == len(set(names))
    assert {line.name for line in all_lines} - set(names) <= {"protobuf"}
    pins = {line.name: str(line.specifier) for line in active}
    assert pins["tensorflow"] == "==" + TENSORFLOW[version]


def test_tensorboard_starts():
    """As the documentation starts it; setuptools and NumPy can break it."""
    result = run_python("-m", "tensorboard.main", "--version")
    assert result.returncode == 0, result.stderr
    active = [Requirement(line) for line in requirements("requirements.txt")]
    pins = {
        line.name: str(line.specifier)
        for line in active
        if line.marker is None or line.marker.evaluate()
    }
    assert "==" + result.stdout.strip() == pins["tensorboard"]


def texts():
    """(file relative to the repository, content) of its code and of its texts."""
    patterns = ["*.py", "*.md", "*.txt", "*.toml", "scripts/*", ".ci/*"]
    patterns += ["albert/**/*.py", "albert/**/*.html", "tests/**/*.py"]
    patterns += ["benchmarks/*.py", "benchmarks/*.md", "docs/*.md"]
    for pattern in patterns:
        for path in sorted(glob.glob(os.path.join(ROOT, pattern), recursive=True)):
            if os.path.isfile(path):
                with open(path, encoding="utf-8") as handle:
                    yield os.path.relpath(path, ROOT).replace(os.sep, "/"), handle.read()


def places(pattern):
    """Places ("file:line found") in the repository's texts that a regular expression matches."""
    for path, content in texts():
        for match in re.finditer(pattern, content):
            yield "%s:%d %s" % (path, content.count("\n", 0, match.start()) + 1, match.group())


@pytest.mark.once
def test_no_absolute_paths_of_a_machine():
    machine = r"(?<![\w.}])/(home|root|Users|work|opt|mnt)/|\b[A-Z]:\\Users"
    assert list(places(machine)) == []


def exists(name, beside):
    """Whether a file of the repository has this name, from its root or beside another file."""
    return any(
        os.path.exists(os.path.join(ROOT, folder, name)) for folder in ("", os.path.dirname(beside))
    )


@pytest.mark.once
def test_no_citation_of_what_lies_outside_the_repository():
    assert list(places(r"\bspec[/]")) == []
    names = r"\bdocs/[\w/.-]*\w|(?<![\w./{}*-])\w+\.md\b"
    missing = [
        "%s names %s" % (path, name)
        for path, content in texts()
        for name in re.findall(names, content)
        if not exists(name, path)
    ]
    assert missing == []


@pytest.mark.once
def test_the_documentation_names_files_that_exist():
    """All of them, in sentences and in commands; `--flag=name` is of the reader."""
    names = r"(?<![\w=/.}*-])((?:[\w.-]+/)*[\w{},*-]+\.(?:py|sh|md|html))\b"
    rooms = r"\balbert/\w+\b(?![/.\w])"
    missing = [
        "%s names %s" % (path, name)
        for path, content in texts()
        if path.endswith(".md")
        for name in re.findall(names, content) + re.findall(rooms, content)
        if not exists(name, path) and name not in OF_READERS + OF_THE_REFERENCE
    ]
    assert missing == []


@pytest.mark.once
@pytest.mark.parametrize("readme", ["README.md", "README.zh-CN.md"])
def test_every_script_of_the_reference_is_in_the_readme(readme):
    content = dict(texts())[readme]
    assert [name for name in OF_THE_REFERENCE if "`%s" % name not in content] == []


@pytest.mark.once
def test_every_room_is_in_the_readme():
    rooms = sorted(os.listdir(os.path.join(ROOT, "albert")))
    for readme in ("README.md", "README.zh-CN.md"):
        content = dict(texts())[readme]
        found = re.findall(r"^\| `albert/(\w+)` \|", content, re.MULTILINE)
        assert sorted(found) == [room for room in rooms if not room.startswith("__")]


@pytest.mark.once
def test_citations_of_the_reference_name_its_headings():
    reference = "docs/reference.md"
    headings = re.findall(r"^#+ (.+)$", dict(texts())[reference], re.MULTILINE)
    assert len(headings) == len(set(headings))
    for path, content in texts():
        for citation in re.findall(re.escape(reference) + r',[\s#]+"([^"]+)"', content):
            assert re.sub(r"[\s#]+", " ", citation) in headings, (path, citation)


def setup_env(*arguments, **variables):
    """Runs setup_env.sh; returns its exit status, standard output and standard error."""
    environment = dict(os.environ, **{name: str(value) for name, value in variables.items()})
    process = subprocess.run(
        [shutil.which("bash"), SETUP] + [str(argument) for argument in arguments],
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    return process.returncode, process.stdout, process.stderr


def test_setup_env_without_a_supported_python(tmp_path):
    commands = tmp_path / "bin"
    commands.mkdir()
    os.symlink(shutil.which("dirname"), str(commands / "dirname"))
    fake = commands / "python3"
    fake.write_text("#!%s\necho 3.6.15\n" % shutil.which("sh"))
    fake.chmod(0o755)
    status, output, error = setup_env(tmp_path / "venv", PATH=commands)
    assert (status, output) == (1, "")
    assert error == (
        "setup_env.sh: no supported Python: supported are 3.11, 3.10, 3.9, 3.13, 3.12, 3.7; "
        "found 3.6.15 (%s).\n" % fake
    )
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
def test_setup_env_with_an_unsupported_version(tmp_path):
    status, output, error = setup_env(tmp_path / "venv", "3.8")
    assert (status, output) == (1, "")
    assert error.startswith("setup_env.sh: no supported Python for PYTHON='3.8': supported are ")
    assert not (tmp_path / "venv").exists()


@pytest.mark.slow
def test_setup_env_makes_reuses_and_repairs(tmp_path):
    base, dev, venv = tmp_path / "base.txt", tmp_path / "dev.txt", tmp_path / "venv"
    base.write_text("# nothing to install\n")
    dev.write_text("-r base.txt\n")
    stamp = venv / "setup_env.stamp"

    status, output, error = setup_env(venv, sys.executable, REQUIREMENTS=dev)
    assert status == 0, error
    assert output.startswith("Making ")
    assert (venv / "bin" / "python").exists()
    complete = stamp.read_text()

    for requirements_file in (dev, base):  # what includes base.txt serves for base.txt as well
        status, output, _ = setup_env(venv, REQUIREMENTS=requirements_file)
        assert status == 0
        assert output.startswith("Using ")
        assert len(output.splitlines()) == 1

    base.write_text("# changed\n")
    status, output, error = setup_env(venv, REQUIREMENTS=base)
    assert status == 0, error
    assert output.startswith("Installing ")
    assert setup_env(venv, REQUIREMENTS=dev)[1].startswith("Installing ")
    assert stamp.read_text() != complete

    stamp.write_text("")  # as an installation that was killed leaves it
    (venv / "leftover").write_text("")
    status, output, error = setup_env(venv, sys.executable, REQUIREMENTS=base)
    assert status == 0, error
    assert output.startswith("Making ")
    assert not (venv / "leftover").exists()


def test_setup_env_leaves_other_directories_alone(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("data")
    status, _, error = setup_env(tmp_path, sys.executable)
    assert status == 1
    assert error.endswith("was not made by this script; remove it or name another VENV_DIR.\n")
    assert precious.read_text() == "data"
